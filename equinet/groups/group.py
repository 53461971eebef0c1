"""What every group can do, and what a group of matrices can do besides."""

import abc
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, PyTree

from equinet.typing import DTypeLike, Element, Key, Matrix, PointCloud, Shape

HIGHEST = jax.lax.Precision.HIGHEST


class Group(abc.ABC):
    """A symmetry group: a value without arrays, equal and hashed by what it is.

    Subclasses are dataclasses declared ``frozen=True, repr=False``. Their elements are arrays with
    any batch axes in front, so one call handles one element or many.
    """

    @property
    @abc.abstractmethod
    def vector_dim(self) -> int:
        """Dimension of the space that ``Vector(group)`` is: the size of ``linear_part(g)``."""

    @property
    def is_orthogonal(self) -> bool:
        """Whether every ``linear_part(g)`` is orthogonal, so that a vector equals its dual."""
        return False

    @property
    def linear_group(self) -> "Group":
        """The group of the matrices ``linear_part(g)``."""
        return self

    @abc.abstractmethod
    def identity(self, dtype: DTypeLike | None = None) -> Element:
        """The neutral element, without batch axes."""

    @abc.abstractmethod
    def compose(self, g: Element, h: Element) -> Element:
        """The product ``g h``: first ``h``, then ``g``. Batch axes broadcast."""

    @abc.abstractmethod
    def inverse(self, g: Element) -> Element:
        """The element that undoes ``g``."""

    @abc.abstractmethod
    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Element:
        """Random elements with batch axes ``shape``: Haar measure where the group is compact."""

    @abc.abstractmethod
    def contains(self, g: Element, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether each element lies in the group up to ``atol``; False for a wrong shape.

        Args:
            g: Candidate elements.
            atol: Largest error of a defining equation; None stands for 1000 units of rounding.
        """

    @abc.abstractmethod
    def linear_part(self, g: Element) -> Matrix:
        """The matrices ``[..., n, n]`` by which ``g`` acts on directions."""

    def act(self, g: Element, points: PointCloud) -> PointCloud:
        """Moves points ``[..., n]``; their batch axes broadcast against those of ``g``."""
        matrix = self.linear_part(g).astype(points.dtype)
        return jnp.einsum("...ij,...j->...i", matrix, points, precision=HIGHEST)

    def __repr__(self) -> str:
        values = (repr(getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(values)})"

    def __mul__(self, other: "Group") -> "Group":
        """The direct product, whose elements are tuples."""
        from equinet.groups.product import DirectProduct  # which imports this module

        return DirectProduct((self, other)) if isinstance(other, Group) else NotImplemented

    def lie_algebra(self) -> PyTree[np.ndarray]:
        """A basis of the Lie algebra ``[d, ...]``, read-only float64 numpy; d = 0 if discrete."""
        return read_only(np.zeros((0, self.vector_dim, self.vector_dim)))

    def lie_linear_part(self, algebra: PyTree[Array]) -> Matrix:
        """The derivative of ``linear_part`` at the identity: matrices of Lie algebra elements."""
        return jnp.asarray(algebra)

    def discrete_generators(self) -> Element:
        """Elements ``[k, ...]`` that, with the identity component, generate the group (numpy)."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None][:0], self.identity())


class MatrixLieGroup(Group):
    """A Lie group of real matrices ``[..., n, n]``.

    A subclass gives ``matrix_dim``, ``lie_algebra``, ``sample`` and ``contains``; it overrides the
    rest where something cheaper than the general rule is known.
    """

    @property
    @abc.abstractmethod
    def matrix_dim(self) -> int:
        """Number of rows of an element."""

    @property
    def vector_dim(self) -> int:
        """Dimension of the space that the group acts on."""
        return self.matrix_dim

    @abc.abstractmethod
    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """A basis of the Lie algebra: read-only float64 numpy."""

    def identity(self, dtype: DTypeLike | None = None) -> Matrix:
        """The identity matrix."""
        return jnp.eye(self.matrix_dim, dtype=dtype)

    def compose(self, g: Matrix, h: Matrix) -> Matrix:
        """The matrix product ``g h``."""
        return jnp.matmul(g, h, precision=HIGHEST)

    def inverse(self, g: Matrix) -> Matrix:
        """The inverse matrix."""
        return jnp.linalg.inv(g)

    def linear_part(self, g: Matrix) -> Matrix:
        """The element itself."""
        return jnp.asarray(g)

    def lie_linear_part(self, algebra: Matrix) -> Matrix:
        """As ``linear_part``, which for a group of matrices is linear: its own derivative."""
        return self.linear_part(algebra)

    def hat(self, coordinates: Float[Array, "... d"]) -> Matrix:
        """The Lie algebra element with these coordinates in the basis ``lie_algebra()``."""
        coordinates = jnp.asarray(coordinates)
        basis = jnp.asarray(self.lie_algebra(), coordinates.dtype)
        return jnp.einsum("...d,dij->...ij", coordinates, basis, precision=HIGHEST)

    def vee(self, algebra: Matrix) -> Float[Array, "... d"]:
        """The coordinates of a Lie algebra element: undoes ``hat``, projects what is outside."""
        algebra = jnp.asarray(algebra)
        dual = jnp.asarray(_dual_basis(self), algebra.dtype)
        return jnp.einsum("...ij,dij->...d", algebra, dual, precision=HIGHEST)

    def exp(self, algebra: Matrix) -> Matrix:
        """The group element at time one along a Lie algebra element; smooth at zero.

        Example:
            >>> from equinet.groups import SO
            >>> quarter = jnp.asarray([0.0, 0.0, np.pi / 2])  # about z
            >>> (SO(3).exp(SO(3).hat(quarter)) @ jnp.asarray([1.0, 0.0, 0.0])).round(3) + 0.0
            Array([0., 1., 0.], dtype=float32)
        """
        with jax.default_matmul_precision("highest"):
            return jax.scipy.linalg.expm(algebra)


@functools.cache
def _dual_basis(group: MatrixLieGroup) -> Float[np.ndarray, "d n n"]:
    basis = group.lie_algebra()
    flat = basis.reshape(len(basis), group.matrix_dim**2)
    return read_only(np.linalg.pinv(flat).T.reshape(basis.shape))


def read_only(table: np.ndarray) -> np.ndarray:
    """Protects a cached table from being written to."""
    table.setflags(write=False)
    return table


def normal(key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    """Standard normal numbers; drawn on one axis, which XLA compiles ten times faster than five."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def candidates(g: ArrayLike, atol: float | None) -> tuple[Matrix, float]:
    """What ``contains`` works on: matrices in at least float32, and the tolerance to use."""
    g = jnp.asarray(g)
    dtype = g.dtype if jnp.issubdtype(g.dtype, jnp.floating) else jnp.result_type(float)
    atol = 1000 * float(jnp.finfo(dtype).eps) if atol is None else atol
    return g.astype(at_least_float32(dtype)), atol


def at_least_float32(dtype: DTypeLike) -> np.dtype:
    """The dtype in which to factorise or compare matrices of this one."""
    return np.dtype(np.float64 if jnp.dtype(dtype) == np.float64 else np.float32)


def differs(actual: Array, expected: ArrayLike, atol: float) -> Bool[Array, "..."]:
    """Whether any entry of the last axes, those of ``expected``, is off by more than ``atol``."""
    expected = jnp.asarray(expected, actual.dtype)
    error = jnp.abs(actual - jnp.broadcast_to(expected, actual.shape))
    return (error > atol).any(tuple(range(-expected.ndim, 0)))
