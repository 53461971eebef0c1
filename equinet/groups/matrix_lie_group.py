"""Groups of real matrices: exponential, logarithm, adjoint and Jacobians; groups that keep a form.

Coordinates are those of the basis ``lie_algebra()``; in the micro Lie theory of J. Solà, J. Deray
and D. Atchuthan (arXiv 1812.01537) the tangent at g is on the right: g exp(dv).
"""

import abc
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float

from equinet.groups.closed_forms import ClosedForm
from equinet.groups.group import Group
from equinet.linalg import small_matrices as small
from equinet.precision import HIGHEST, at_least_float32, floating, read_only
from equinet.typing import DTypeLike, Matrix


class MatrixLieGroup(Group):
    """A Lie group of real matrices ``[..., n, n]``.

    A subclass defines ``matrix_dim``, ``lie_algebra``, ``sample`` and ``contains``; it overrides
    other methods where something cheaper than the general rule is known.
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
        return small.matmul(floating(g), floating(h))

    def inverse(self, g: Matrix) -> Matrix:
        """The inverse matrix."""
        return _widely(jnp.linalg.inv, floating(g))

    def linear_part(self, g: Matrix) -> Matrix:
        """The matrices that act on vectors: the elements themselves, ``[..., n, n]``."""
        return floating(g)

    def lie_linear_part(self, algebra: Matrix) -> Matrix:
        """The derivative of ``linear_part`` at the identity: the same function, as it is linear."""
        return self.linear_part(algebra)

    def hat(self, coordinates: Float[Array, "... d"]) -> Matrix:
        """The Lie algebra element with these coordinates in the basis ``lie_algebra()``."""
        coordinates = floating(coordinates)
        basis = jnp.asarray(self.lie_algebra(), coordinates.dtype)
        return jnp.einsum("...d,dij->...ij", coordinates, basis, precision=HIGHEST)

    def vee(self, algebra: Matrix) -> Float[Array, "... d"]:
        """The coordinates of a Lie algebra element: the inverse of ``hat``.

        Matrices outside of the Lie algebra are first projected onto it.
        """
        algebra = floating(algebra)
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
        n = self.matrix_dim
        if g.shape[-2:] != (n, n):
            raise ValueError(f"got shape {g.shape}, expected elements of {self}: [..., {n}, {n}]")
        v, complete = _principal_log(self, g)
        if not isinstance(complete, Tracer) and not bool(complete):
            raise ValueError(_why_no_log(self, g))
        return v

    def adjoint(self, g: Matrix) -> Float[Array, "... d d"]:
        """The matrix of v -> vee(g hat(v) g^-1)."""
        return _widely(lambda x: _adjoint(self, x), floating(g))

    def left_jacobian(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """Jl with exp(v + dv) = exp(Jl dv) exp(v), to first order, in coordinates."""
        v = floating(v)
        if self.closed_form is not None:
            return _widely(self.closed_form.left_jacobian, v)
        return _widely(lambda x: _left_jacobian(self, x), v)

    def right_jacobian(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """Jr with exp(v + dv) = exp(v) exp(Jr dv), to first order: Jl(-v)."""
        return self.left_jacobian(-jnp.asarray(v))

    def left_jacobian_inverse(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The inverse of ``left_jacobian``; singular where a rotation angle is 2 pi."""
        v = floating(v)
        if self.closed_form is not None:
            return _widely(self.closed_form.left_jacobian_inverse, v)
        return _widely(lambda x: small.inverse(_left_jacobian(self, x)), v)

    def right_jacobian_inverse(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The inverse of ``right_jacobian``: the derivative of ``log_coordinates``."""
        return self.left_jacobian_inverse(-jnp.asarray(v))

    @property
    def closed_form(self) -> ClosedForm | None:
        """Formulas for the identity component, where there are any that are fast."""
        return None

    def _has_log(self, g: Matrix, atol: float) -> Bool[Array, "..."]:
        """Whether ``_log_coordinates`` is defined; cheap, because every logarithm asks."""
        if self.closed_form is not None:
            return self.closed_form.contains(g, atol)
        return self.contains(g, atol)

    def _log_coordinates(self, g: Matrix) -> Float[Array, "... d"]:
        if self.closed_form is not None:
            return self.closed_form.log(g)
        return _log_coordinates(self, g)

    def _logarithm(self, g: Matrix) -> Matrix:
        """The matrix whose coordinates the logarithm has; its derivatives are never asked for."""
        return small.logm(g)


def _widely(f: Callable[[Array], Array], x: Array) -> Array:
    """Applies f in at least float32."""
    return f(x.astype(at_least_float32(x.dtype))).astype(x.dtype)


def candidates(g: ArrayLike, atol: float | None) -> tuple[Matrix, float]:
    """What ``contains`` works on: matrices in at least float32, and the tolerance to use."""
    g = floating(g)
    atol = 1000 * float(jnp.finfo(g.dtype).eps) if atol is None else atol
    return g.astype(at_least_float32(g.dtype)), atol


def differs(actual: Array, expected: ArrayLike, atol: float) -> Bool[Array, "..."]:
    """Whether any entry of the last axes, those of ``expected``, is off by more than ``atol``."""
    expected = jnp.asarray(expected, actual.dtype)
    error = jnp.abs(actual - jnp.broadcast_to(expected, actual.shape))
    return (error > atol).any(tuple(range(-expected.ndim, 0)))


@functools.lru_cache
def _dual_basis(group: MatrixLieGroup) -> Float[np.ndarray, "d n n"]:
    """Matrices whose inner products with a Lie algebra element are its coordinates."""
    basis = group.lie_algebra()
    flat = basis.reshape(len(basis), group.matrix_dim**2)
    return read_only(np.linalg.pinv(flat).T.reshape(basis.shape))


@functools.lru_cache
def _structure_constants(group: MatrixLieGroup) -> Float[np.ndarray, "d d d"]:
    """The table c with [b_i, b_j] = sum over k of c[i, k, j] b_k."""
    basis = group.lie_algebra()
    product = np.einsum("iab,jbc->ijac", basis, basis)
    table = np.einsum("ijab,kab->ikj", product - product.swapaxes(0, 1), _dual_basis(group))
    table[np.abs(table) < 1e-14] = 0
    return read_only(table)


def _ad(group: MatrixLieGroup, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
    """The matrix of the bracket with the element of coordinates v."""
    table = jnp.asarray(_structure_constants(group), v.dtype)
    return jnp.einsum("...i,ikj->...kj", v, table, precision=HIGHEST)


def _adjoint(group: MatrixLieGroup, g: Matrix) -> Float[Array, "... d d"]:
    """The matrix of v -> vee(g hat(v) g^-1)."""
    basis = jnp.asarray(group.lie_algebra(), g.dtype)
    dual = jnp.asarray(_dual_basis(group), g.dtype)
    conjugated = small.matmul(
        small.matmul(g[..., None, :, :], basis), group.inverse(g)[..., None, :, :]
    )
    return jnp.einsum("...jab,kab->...kj", conjugated, dual, precision=HIGHEST)


def _left_jacobian(group: MatrixLieGroup, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
    """(exp(ad) - 1) / ad."""
    return small.phi1(_ad(group, v))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_coordinates(group: MatrixLieGroup, g: Matrix) -> Float[Array, "... d"]:
    """Coordinates of the principal logarithm; NaN where there is none."""
    return group.vee(group._logarithm(g))


@_log_coordinates.defjvp
def _log_jvp(
    group: MatrixLieGroup, primals: tuple[Matrix], tangents: tuple[Matrix]
) -> tuple[Float[Array, "... d"], Float[Array, "... d"]]:
    """The inverse of the right Jacobian, applied to vee(g^-1 dg).

    Differentiating through the iterations would cost more and be less exact.
    """
    (g,), (dg,) = primals, tangents
    v = _log_coordinates(group, g)
    step = group.vee(small.matmul(group.inverse(g), dg))
    return v, small.apply(group.right_jacobian_inverse(v), step)


def _tolerance(dtype: np.dtype) -> float:
    """How far a matrix may be from a group whose logarithm is asked for."""
    return 10 * float(jnp.finfo(dtype).eps) ** 0.5


@functools.partial(jax.jit, static_argnums=0)
def _principal_log(
    group: MatrixLieGroup, g: Matrix
) -> tuple[Float[Array, "... d"], Bool[Array, ""]]:
    """Coordinates, NaN for matrices outside of the group; whether all are finite.

    One compiled function for both, so that the check costs a caller outside of ``jit`` no pass over
    the matrices and no dispatch. Inside of ``jit`` the second result is not computed.
    """
    wide = g.astype(at_least_float32(g.dtype))
    v = group._log_coordinates(wide)
    inside = group._has_log(wide, _tolerance(g.dtype))[..., None]
    v = jnp.where(inside, v, jnp.full_like(v, jnp.nan))
    return v.astype(g.dtype), jnp.isfinite(v).all()


def _why_no_log(group: MatrixLieGroup, g: Matrix) -> str:
    atol = _tolerance(g.dtype)
    if not bool(group.contains(g, atol).all()):
        return (
            f"got a matrix that is not in {group} (up to {atol:.0e}); contains(g, {atol:.0e}) "
            "says which; under jit the result is NaN"
        )
    return (
        f"got an element of {group} without a real principal logarithm (an eigenvalue is "
        "negative, or it lies off the identity component); under jit the result is NaN"
    )


class FormGroup(MatrixLieGroup, abc.ABC):
    """The matrices g with g^T F g = F for an orthogonal matrix F, the form."""

    @property
    @abc.abstractmethod
    def form(self) -> Float[np.ndarray, "n n"]:
        """The matrix F: read-only float64 numpy."""

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element."""
        return len(self.form)

    def inverse(self, g: Matrix) -> Matrix:
        """F^-1 g^T F: no equations are solved."""
        g = floating(g)
        form = jnp.asarray(self.form, g.dtype)
        return jnp.einsum("ji,...kj,kl->...il", form, g, form, precision=HIGHEST)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether g^T F g = F; ``atol`` grows with the square of the largest entry above 1."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != self.form.shape:
            return jnp.zeros(g.shape[:-2], bool)
        form = jnp.asarray(self.form, g.dtype)
        kept = jnp.einsum("...ji,jk,...kl->...il", g, form, g, precision=HIGHEST)
        size = jnp.maximum(jnp.abs(g).max((-2, -1), keepdims=True), 1)
        error = (kept - jnp.broadcast_to(form, kept.shape)) / size**2
        return ~differs(error, np.zeros(form.shape), atol)
