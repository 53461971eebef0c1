"""What every group can do, and what a group of matrices can do besides."""

import abc
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, PyTree

from equinet.groups import lie, small
from equinet.groups.rotation_maps import ClosedForm
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
        return small.matmul(jnp.asarray(g), jnp.asarray(h))

    def inverse(self, g: Matrix) -> Matrix:
        """The inverse matrix."""
        return _widely(jnp.linalg.inv, jnp.asarray(g))

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
        dual = jnp.asarray(lie.dual_basis(self), algebra.dtype)
        return jnp.einsum("...ij,dij->...d", algebra, dual, precision=HIGHEST)

    def exp(self, algebra: Matrix) -> Matrix:
        """The group element at time one along a Lie algebra element; smooth at zero.

        Example:
            >>> from equinet.groups import SO
            >>> quarter = jnp.asarray([0.0, 0.0, np.pi / 2])  # about z
            >>> (SO(3).exp(SO(3).hat(quarter)) @ jnp.asarray([1.0, 0.0, 0.0])).round(3) + 0.0
            Array([0., 1., 0.], dtype=float32)
        """
        if self.closed_form is not None:
            return self.exp_coordinates(self.vee(algebra))
        return _widely(small.expm, floating(algebra))

    def exp_coordinates(self, v: Float[Array, "... d"]) -> Matrix:
        """The element with these exponential coordinates: ``exp(hat(v))``, the Exp of micro Lie."""
        v = floating(v)
        if self.closed_form is not None:
            return _widely(self.closed_form.exp, v)
        return self.exp(self.hat(v))

    def log(self, g: Matrix) -> Matrix:
        """The principal logarithm: ``hat(log_coordinates(g))``, with its errors."""
        return self.hat(self.log_coordinates(g))

    def log_coordinates(self, g: Matrix) -> Float[Array, "... d"]:
        """Coordinates of the principal logarithm, the Log of micro Lie theory.

        Principal: the eigenvalues of the logarithm have imaginary parts between -pi and pi. At a
        rotation by pi one of the two logarithms is returned.

        Args:
            g: Elements ``[..., n, n]``.

        Returns:
            Coordinates ``[..., d]``; under jit NaN where the group has no such logarithm.

        Raises:
            ValueError: If an element is not in the group, or has no real principal logarithm
                (GL+(n): a negative eigenvalue; O(n): a reflection). Not under jit.

        Example:
            >>> from equinet.groups import SE
            >>> SE(2).log_coordinates(SE(2).exp_coordinates(jnp.asarray([1.0, 2.0, 0.5]))).round(4)
            Array([1. , 2. , 0.5], dtype=float32)
        """
        g = floating(g)
        lie.check_member(self, g)
        v = _widely(self._log_coordinates, g)
        lie.check_log(self, v)
        return v

    def adjoint(self, g: Matrix) -> Float[Array, "... d d"]:
        """The matrix of v -> vee(g hat(v) g^-1)."""
        return _widely(lambda x: lie.adjoint(self, x), floating(g))

    def left_jacobian(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """Jl with exp(v + dv) = exp(Jl dv) exp(v), to first order, in coordinates."""
        v = floating(v)
        if self.closed_form is not None:
            return _widely(self.closed_form.left_jacobian, v)
        return _widely(lambda x: lie.left_jacobian(self, x), v)

    def right_jacobian(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """Jr with exp(v + dv) = exp(v) exp(Jr dv), to first order: Jl(-v)."""
        return self.left_jacobian(-jnp.asarray(v))

    def left_jacobian_inverse(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The inverse of ``left_jacobian``; singular where a rotation angle is 2 pi."""
        v = floating(v)
        if self.closed_form is not None:
            return _widely(self.closed_form.left_jacobian_inverse, v)
        return _widely(lambda x: small.inverse(lie.left_jacobian(self, x)), v)

    def right_jacobian_inverse(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The inverse of ``right_jacobian``: the derivative of ``log_coordinates``."""
        return self.left_jacobian_inverse(-jnp.asarray(v))

    @property
    def closed_form(self) -> ClosedForm | None:
        """Formulas for the identity component, where there are any that are fast."""
        return None

    def _log_coordinates(self, g: Matrix) -> Float[Array, "... d"]:
        if self.closed_form is not None:
            return self.closed_form.log(g)
        return lie.log_coordinates(self, g)

    def _logarithm(self, g: Matrix) -> Matrix:
        """The matrix whose coordinates the logarithm has; its derivatives are never asked for."""
        return small.logm(g)


def _widely(f: Callable[[Array], Array], x: Array) -> Array:
    """Applies f in at least float32."""
    return f(x.astype(at_least_float32(x.dtype))).astype(x.dtype)


def read_only(table: np.ndarray) -> np.ndarray:
    """Protects a cached table from being written to."""
    table.setflags(write=False)
    return table


def candidates(g: ArrayLike, atol: float | None) -> tuple[Matrix, float]:
    """What ``contains`` works on: matrices in at least float32, and the tolerance to use."""
    g = floating(g)
    atol = 1000 * float(jnp.finfo(g.dtype).eps) if atol is None else atol
    return g.astype(at_least_float32(g.dtype)), atol


def floating(x: ArrayLike) -> Array:
    """An array, of JAX's default float type if it is not one of floats."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def at_least_float32(dtype: DTypeLike) -> np.dtype:
    """The dtype in which to factorise or compare matrices of this one."""
    return np.dtype(np.float64 if jnp.dtype(dtype) == np.float64 else np.float32)


def differs(actual: Array, expected: ArrayLike, atol: float) -> Bool[Array, "..."]:
    """Whether any entry of the last axes, those of ``expected``, is off by more than ``atol``."""
    expected = jnp.asarray(expected, actual.dtype)
    error = jnp.abs(actual - jnp.broadcast_to(expected, actual.shape))
    return (error > atol).any(tuple(range(-expected.ndim, 0)))
