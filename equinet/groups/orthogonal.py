"""Rotations and reflections of n-dimensional space: O(n) and SO(n)."""

import abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.closed_forms import ROTATIONS, ClosedForm
from equinet.groups.matrix_lie_group import MatrixLieGroup, candidates, differs
from equinet.linalg import small_matrices as small
from equinet.precision import HIGHEST, at_least_float32, floating, read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key, Matrix, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class _Orthogonal(MatrixLieGroup, abc.ABC):
    """What O(n) and SO(n) share: their Lie algebra and the transpose as inverse."""

    n: int

    def __post_init__(self) -> None:
        check_dimension(type(self).__name__, self.n)

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element."""
        return self.n

    @property
    def is_orthogonal(self) -> bool:
        """Always true."""
        return True

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """Antisymmetric matrices; for n = 3 about x, y, z, so that ``hat`` is the cross product."""
        return _antisymmetric_basis(self.n)

    @property
    def closed_form(self) -> ClosedForm | None:
        """Rodrigues' formula and its derivatives, in two and three dimensions."""
        return ROTATIONS.get(self.n)

    def inverse(self, g: Matrix) -> Matrix:
        """The transposed matrices."""
        return floating(g).mT

    def adjoint(self, g: Matrix) -> Float[Array, "... d d"]:
        """For n = 3 the matrix itself, times its determinant."""
        if self.n != 3:
            return super().adjoint(g)
        g = floating(g)
        return g if isinstance(self, SO) else small.determinant(g)[..., None, None] * g

    def _logarithm(self, g: Matrix) -> Matrix:
        return _rotation_logarithm(g)


@dataclasses.dataclass(frozen=True, repr=False)
class O(_Orthogonal):  # noqa: E742
    """The orthogonal group O(n): rotations and reflections, elements ``[..., n, n]``.

    The matrices with R^T R = 1. It is compact, and samples have its Haar measure.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> group = O(3)
        >>> g = group.sample(jax.random.key(0), (8,))
        >>> bool(group.contains(g).all()), group == O(3), group == O(2)
        (True, True, False)
    """

    def _has_log(self, g: Matrix, atol: float) -> Bool[Array, "..."]:
        return SO(self.n)._has_log(g, atol)

    def discrete_generators(self) -> Float[np.ndarray, "1 n n"]:
        """The inversion for odd n; for even n, where that is a rotation, the reflection of x."""
        signs = -np.ones(self.n)
        signs[1:] = -1 if self.n % 2 else 1
        return np.diag(signs)[None]

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Matrix:
        """Random elements of Haar measure with batch axes ``shape``."""
        dtype = jnp.result_type(float if dtype is None else dtype)
        return _haar(key, shape, self.n, dtype).astype(dtype)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the columns are orthonormal."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        gram = jnp.einsum("...ki,...kj->...ij", g, g, precision=HIGHEST)
        return ~differs(gram, np.eye(self.n), atol)


@dataclasses.dataclass(frozen=True, repr=False)
class SO(_Orthogonal):
    """The special orthogonal group SO(n): rotations, elements ``[..., n, n]``.

    The matrices with R^T R = 1 and det R = 1. It is compact, and samples have its Haar measure.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> SO(3).hat(jnp.asarray([1.0, 2.0, 3.0]))
        Array([[ 0., -3.,  2.],
               [ 3.,  0., -1.],
               [-2.,  1.,  0.]], dtype=float32)
    """

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Matrix:
        """Random elements of Haar measure with batch axes ``shape``."""
        dtype = jnp.result_type(float if dtype is None else dtype)
        g = _haar(key, shape, self.n, dtype)
        # Not g.at[..., 0].multiply(sign): jaxlib 0.12 fuses that scatter into a matrix product that
        # follows under jit, and the result is wrong (CPU).
        flip = (small.determinant(g) < 0)[..., None, None]
        first = jnp.broadcast_to(jnp.arange(self.n) == 0, g.shape)
        return jnp.where(first & flip, -g, g).astype(dtype)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the columns are orthonormal and the determinant is positive."""
        g, atol = candidates(g, atol)
        orthogonal = O(self.n).contains(g, atol)
        square = g.shape[-2:] == (self.n, self.n)
        return orthogonal & (small.determinant(g) > 0) if square else orthogonal


def check_dimension(name: str, n: int) -> None:
    """Raises the ``ValueError`` of a group asked for in a dimension that does not exist."""
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"{name}(n) needs an integer n >= 1, got {n!r}; space is {name}(3)")


@functools.lru_cache
def _antisymmetric_basis(n: int) -> Float[np.ndarray, "d n n"]:
    """Planes in reverse order with alternating orientation: for n = 3 this is x, y, z."""
    planes = [(i, j) for i in range(n) for j in range(i + 1, n)][::-1]
    basis = np.zeros((len(planes), n, n))
    for matrix, (i, j) in zip(basis, planes, strict=True):
        matrix[j, i] = (-1) ** (i + j + 1)
        matrix[i, j] = -matrix[j, i]
    return read_only(basis)


def _haar(key: Key, shape: Shape, n: int, dtype: DTypeLike) -> Matrix:
    """QR of a Gaussian matrix is Haar once the diagonal of R is made positive.

    References:
        F. Mezzadri, How to generate random matrices from the classical compact groups, arXiv
        math-ph/0609050.
    """
    wide = at_least_float32(dtype)  # there is no QR in half precision
    with jax.default_matmul_precision("highest"):
        q, r = jnp.linalg.qr(normal(key, (*shape, n, n), wide))
    sign = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(wide)
    return q * sign[..., None, :]


@jax.jit
def _rotation_logarithm(g: Matrix) -> Matrix:
    """An antisymmetric logarithm of rotations in any dimension, at pi too; not differentiable.

    Let V be the sum of the planes whose rotation angle is above some threshold. There -g is a
    rotation by small angles, and g = exp(pi J) (-g), where J with J^2 = -1 on V is the sense of
    rotation. Outside of V the general logarithm converges. Planes with an angle of pi to rounding
    have no sense of rotation, and either one is right.

    Args:
        g: Rotations ``[..., n, n]``.

    Returns:
        Antisymmetric matrices, with norms of planes up to pi.
    """
    n = g.shape[-1]
    cosine, sine = (g + g.mT) / 2, (g - g.mT) / 2
    values, vectors = jnp.linalg.eigh(cosine)  # ascending, each plane twice
    pairs = n // 2
    # By pairs, so that no plane is split; the angle is an odd one, unlikely between two equal ones.
    far = jnp.repeat(values[..., : 2 * pairs : 2] < np.cos(2.3971), 2, axis=-1)
    inside = vectors[..., : 2 * pairs] * far[..., None, :].astype(g.dtype)
    inner = _direction(small.matmul(inside.mT, small.matmul(sine, inside)), far)
    direction = small.matmul(inside, small.matmul(inner, inside.mT))
    projector = small.matmul(inside, inside.mT)
    near = small.matmul(g, small.eye_like(g) - 2 * projector)
    log = small.logm(near) + np.asarray(np.pi, g.dtype) * direction
    return (log - log.mT) / 2


def _direction(sine: Matrix, inside: Bool[Array, "... m"]) -> Matrix:
    """J with J^2 = -1 on the coordinates ``inside``: the polar factor of the antisymmetric sine.

    Planes whose sine is below rounding have none: what is added far below rounding decides.
    Newton's iteration, scaled by norms, takes them all to one in a dozen steps.
    """
    both = (inside[..., :, None] & inside[..., None, :]).astype(sine.dtype)
    quarter = np.kron(np.eye(sine.shape[-1] // 2), [[0.0, -1.0], [1.0, 0.0]])
    quarter = jnp.broadcast_to(jnp.asarray(quarter, sine.dtype), sine.shape)
    tiny = 1e-3 * float(jnp.finfo(sine.dtype).eps)

    def step(_: int, x: Matrix) -> Matrix:
        back = small.inverse(x)
        sizes = [jnp.sqrt((y * y).sum((-2, -1), keepdims=True)) for y in (back, x)]
        scale = jnp.sqrt(sizes[0] / sizes[1])
        x = (scale * x - back / scale) / 2  # the inverse transposed is minus the inverse
        return (x - x.mT) / 2

    start = (sine - sine.mT) / 2 * both + quarter * jnp.where(both > 0, tiny, 1.0)
    return jax.lax.fori_loop(0, 16, step, start) * both
