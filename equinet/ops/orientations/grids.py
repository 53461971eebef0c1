"""Grids of orientations on the circle and the sphere, with the rotations that permute them."""

import dataclasses
import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.precision import HIGHEST, floating, read_only

_GOLDEN = (1 + math.sqrt(5)) / 2
POLYHEDRA = {
    "tetrahedron": 4,
    "octahedron": 6,
    "cube": 8,
    "icosahedron": 12,
    "dodecahedron": 20,
    "icosidodecahedron": 30,
}
"""Number of vertices of each polyhedron; the vertices of the icosidodecahedron are the midpoints of
an icosahedron's edges."""
_SMALLEST = {"circle": 3, "fibonacci": 4, "antipodal_fibonacci": 6}
_TOLERANCE = 1e-9  # of coordinates of unit vectors: far below the distance of any two of them


@dataclasses.dataclass(frozen=True)
class Grid:
    """A finite set of unit vectors that represents all orientations; hashable, a static argument.

    Created by ``circle``, ``fibonacci``, ``polyhedron`` and ``grid_of_size``. If the grid contains
    the antipode of every point, the second half of the points are the antipodes of the first half,
    in the same order.

    Attributes:
        kind: ``"circle"``, ``"fibonacci"``, ``"antipodal_fibonacci"`` or a polyhedron.
        size: Number of orientations.

    Raises:
        ValueError: If the kind is unknown or the size does not fit it.

    >>> Grid("dodecahedron", 20).is_antipodal
    True
    >>> Grid("circle", 2)
    Traceback (most recent call last):
    ValueError: grid too small: a circle needs at least 3 orientations, got 2
    """

    kind: str
    size: int

    def __post_init__(self) -> None:
        if self.kind in POLYHEDRA:
            if self.size != POLYHEDRA[self.kind]:
                raise ValueError(
                    f"the {self.kind} has {POLYHEDRA[self.kind]} orientations, got {self.size}"
                )
            return
        if self.kind not in _SMALLEST:
            known = sorted((*_SMALLEST, *POLYHEDRA))
            raise ValueError(f"unknown grid {self.kind!r}, expected one of {known}")
        if self.size < _SMALLEST[self.kind]:
            raise ValueError(
                f"grid too small: a {self.kind} needs at least {_SMALLEST[self.kind]} "
                f"orientations, got {self.size}"
            )
        if self.kind == "antipodal_fibonacci" and self.size % 2:
            raise ValueError(f"an antipodal grid has an even size, got {self.size}: add one")

    @property
    def dim(self) -> int:
        """Dimension of the space that contains the orientations: 2 or 3."""
        return 2 if self.kind == "circle" else 3

    @property
    def points(self) -> Float[np.ndarray, "size dim"]:
        """The unit vectors ``[size, dim]``, read-only float64."""
        return _points(self.kind, self.size)

    @property
    def is_antipodal(self) -> bool:
        """Whether the second half of the points are the antipodes of the first.

        >>> circle(6).is_antipodal, circle(5).is_antipodal, fibonacci(6).is_antipodal
        (True, False, False)
        """
        half = self.points[: self.size // 2]
        return self.size % 2 == 0 and np.array_equal(self.points[self.size // 2 :], -half)

    @property
    def dual(self) -> Float[np.ndarray, "size dim"]:
        r"""The dual frame :math:`\tilde o = (\sum_p p p^T)^{-1} o`.

        It inverts products with the points, :math:`\sum_o \tilde o\, o^T = 1`. On the polyhedra
        and the circle it equals ``dim / size * points``.

        >>> grid = fibonacci(7)
        >>> bool(np.allclose(grid.dual.T @ grid.points, np.eye(3)))
        True
        """
        return _dual(self)

    def symmetries(
        self, *, reflections: bool = False
    ) -> tuple[Float[np.ndarray, "order dim dim"], Int[np.ndarray, "order size"]]:
        """All rotations that map the grid to itself, and how they permute it.

        ``rotations[g] @ points[k] == points[permutations[g, k]]`` up to rounding.

        Args:
            reflections: Whether to include orthogonal matrices of determinant -1.

        Returns:
            Matrices (the identity among them), float64, and index arrays, int32; read-only.

        >>> [len(polyhedron(name).symmetries()[0]) for name in POLYHEDRA]
        [12, 24, 24, 60, 60, 60]
        """
        return _symmetries(self, reflections)


def circle(size: int) -> Grid:
    r"""Equispaced directions of the plane, :math:`(\cos 2 \pi k / N, \sin 2 \pi k / N)`.

    Raises:
        ValueError: If there are fewer than 3.

    >>> circle(4).points.round(12).tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, -0.0], [-0.0, -1.0]]
    """
    return Grid("circle", size)


def fibonacci(size: int, *, antipodal: bool = False) -> Grid:
    r"""Directions at equidistant heights, each rotated by the golden angle from the previous one.

    :math:`z_k = 1 - (2 k + 1) / N` and azimuth :math:`\pi (1 + \sqrt 5)\, k`: nearly uniform for
    every N, with hardly any symmetry.

    Args:
        size: Number of directions, at least 4.
        antipodal: Whether half of the points are on a hemisphere and the others are their
            antipodes. A convolution on such a grid takes half the work.

    Raises:
        ValueError: If the size is too small, or odd and ``antipodal``.

    References:
        González, Mathematical Geosciences 42, 49 (2010).

    >>> fibonacci(16).points.shape, fibonacci(16, antipodal=True).is_antipodal
    ((16, 3), True)
    """
    return Grid("antipodal_fibonacci" if antipodal else "fibonacci", size)


def polyhedron(name: str) -> Grid:
    """Directions of the vertices of a polyhedron, permuted by all its rotations.

    Args:
        name: A key of ``POLYHEDRA``, such as ``"icosahedron"``.

    Raises:
        ValueError: If the name is unknown.

    >>> polyhedron("icosahedron").size
    12
    """
    if name not in POLYHEDRA:
        raise ValueError(f"unknown polyhedron {name!r}, expected one of {sorted(POLYHEDRA)}")
    return Grid(name, POLYHEDRA[name])


def grid_of_size(size: int) -> Grid:
    """The polyhedron with this number of vertices if there is one, else a Fibonacci grid.

    A polyhedron is preferred because its rotations permute the grid exactly.

    Args:
        size: Number of directions in three dimensions, at least 4.

    Raises:
        ValueError: If the size is too small.

    >>> grid_of_size(20).kind, grid_of_size(16).kind
    ('dodecahedron', 'fibonacci')
    """
    names = {vertices: name for name, vertices in POLYHEDRA.items()}
    return polyhedron(names[size]) if size in names else fibonacci(size)


@functools.cache
def _points(kind: str, size: int) -> Float[np.ndarray, "size dim"]:
    if kind == "circle":
        angles = 2 * np.pi * np.arange(size) / size
        points = np.stack([np.cos(angles), np.sin(angles)], -1)
        if size % 2 == 0:
            points[size // 2 :] = -points[: size // 2]
    elif kind == "fibonacci":
        points = _spiral(1 - (2 * np.arange(size) + 1) / size)
    elif kind == "antipodal_fibonacci":
        points = _with_antipodes(_spiral(1 - (2 * np.arange(size // 2) + 1) / size))
    else:
        points = _vertices(kind)
    return read_only(points)


def _spiral(heights: np.ndarray) -> np.ndarray:
    azimuths = 2 * np.pi * _GOLDEN * np.arange(len(heights))
    radii = np.sqrt(1 - heights**2)
    return np.stack([radii * np.cos(azimuths), radii * np.sin(azimuths), heights], -1)


def _vertices(kind: str) -> np.ndarray:
    """Unit vertices; of each pair of antipodes the lexicographically larger comes first."""
    corners = {
        "octahedron": [(1, 0, 0)],
        "cube": [(1, 1, 1)],
        "icosahedron": [(0, 1, _GOLDEN)],
        "dodecahedron": [(1, 1, 1), (0, 1 / _GOLDEN, _GOLDEN)],
        "icosidodecahedron": [(1, 0, 0), (_GOLDEN / 2, 1 / 2, _GOLDEN**2 / 2)],
    }
    if kind == "tetrahedron":
        return np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / math.sqrt(3)
    vertices = set()
    for corner in corners[kind]:
        signed = itertools.product(*({c, -c} for c in corner))
        vertices |= {s[i:] + s[:i] for s in signed for i in range(3)}
    half = np.array(sorted((p for p in vertices if p > (0, 0, 0)), reverse=True))
    return _with_antipodes(half / np.linalg.norm(half, axis=-1, keepdims=True))


def _with_antipodes(half: np.ndarray) -> np.ndarray:
    return np.concatenate([half, -half])


@functools.cache
def _dual(grid: Grid) -> np.ndarray:
    return read_only(np.linalg.solve(grid.points.T @ grid.points, grid.points.T).T.copy())


@functools.cache
def _symmetries(grid: Grid, reflections: bool) -> tuple[np.ndarray, np.ndarray]:
    """The orthogonal matrices that map two fixed points to others and permute all points."""
    points, count = grid.points, grid.dim - 1
    other = next(k for k in range(1, grid.size) if abs(points[0] @ points[k]) < 1 - 1e-6)
    fixed = points[[0, other][:count]]
    rotations, permutations = [], []
    for images in itertools.permutations(points, count):
        image = np.stack(images)
        if np.abs(image @ image.T - fixed @ fixed.T).max() > _TOLERANCE:
            continue  # no orthogonal matrix maps the fixed points to the images
        for sign in (1, -1) if reflections else (1,):
            rotation = _basis(image, sign) @ np.linalg.inv(_basis(fixed))
            moved = points @ rotation.T
            permutation = (points @ moved.T).argmax(0)
            if np.abs(points[permutation] - moved).max() < _TOLERANCE:
                rotations.append(rotation)
                permutations.append(permutation)
    return read_only(np.stack(rotations)), read_only(np.stack(permutations).astype(np.int32))


def _basis(vectors: np.ndarray, sign: int = 1) -> np.ndarray:
    """A basis in columns: one vector of the plane or two in three dimensions, and their normal."""
    if len(vectors) == 1:
        ((x, y),) = vectors
        return np.array([[x, -sign * y], [y, sign * x]])
    first, second = vectors
    return np.stack([first, second, sign * np.cross(first, second)], -1)


def lift_vectors(
    vectors: Float[Array, "... dim channels"], grid: Grid
) -> Float[Array, "... size channels"]:
    r"""Converts vectors to functions of the orientation, :math:`f(o) = v \cdot o`.

    Args:
        vectors: ``[..., dim, channels]``.
        grid: Orientations.

    Returns:
        ``[..., size, channels]``.

    Raises:
        ValueError: If the vectors have another dimension than the grid.

    >>> import jax.numpy as jnp
    >>> lift_vectors(jnp.array([[1.0], [2.0]]), circle(4)).ravel().round(4).tolist()
    [1.0, 2.0, -1.0, -2.0]
    """
    if vectors.shape[-2] != grid.dim:
        raise ValueError(
            f"vectors must have shape [..., {grid.dim}, channels], got {vectors.shape}"
        )
    return _contract(grid.points, vectors)


def read_vectors(
    functions: Float[Array, "... size channels"], grid: Grid
) -> Float[Array, "... dim channels"]:
    r"""Converts functions of the orientation to vectors, :math:`v = \sum_o f(o)\, \tilde o`.

    With ``grid.dual`` as :math:`\tilde o` it is the inverse of ``lift_vectors`` on every grid; on
    polyhedra and the circle it is :math:`\frac{d}{N} \sum_o f(o)\, o`.

    Args:
        functions: ``[..., size, channels]``.
        grid: Orientations.

    Returns:
        ``[..., dim, channels]``.

    Raises:
        ValueError: If the functions have another number of orientations than the grid.

    >>> import jax.numpy as jnp
    >>> v = jnp.array([[1.0], [2.0], [3.0]])
    >>> read_vectors(lift_vectors(v, fibonacci(9)), fibonacci(9)).round(4).tolist()
    [[1.0], [2.0], [3.0]]
    """
    if functions.shape[-2] != grid.size:
        raise ValueError(
            f"functions must have shape [..., {grid.size}, channels], got {functions.shape}"
        )
    return _contract(grid.dual.T, functions)


def _contract(table: np.ndarray, x: Array) -> Array:
    x = floating(x)
    matrix = jnp.asarray(table, x.dtype)
    return jnp.einsum("ad,...dc->...ac", matrix, x, precision=HIGHEST)
