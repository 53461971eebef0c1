"""Polar, Cartan (KAK) and Iwasawa (KAN) decompositions of matrices with positive determinant.

exp reaches neither all of GL+(n) nor all of SL(n); these decompositions do. Each comes with its
inverse. Elements of SL(n) have factors in SL(n).

References:
    M. Mironenco, P. Forré, Lie group decompositions for equivariant neural networks, arXiv
    2310.11366.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from equinet.groups.orthogonal import SO
from equinet.linalg import safe_eigh
from equinet.linalg import small_matrices as small
from equinet.precision import HIGHEST, at_least_float32, floating
from equinet.typing import Matrix

Diagonal = Float[Array, "... n"]


def polar(g: Matrix) -> tuple[Matrix, Matrix]:
    """G = P R with P symmetric positive definite and R a rotation; smooth everywhere on GL+(n).

    Args:
        g: Matrices ``[..., n, n]`` with positive determinant.

    Returns:
        P and R, both ``[..., n, n]``.

    Raises:
        ValueError: If a determinant is not positive; under jit the factors are NaN.

    Example:
        >>> spd, rotation = polar(jnp.asarray([[0.0, -2.0], [3.0, 0.0]]))
        >>> print(spd, rotation)
        [[2. 0.]
         [0. 3.]] [[ 0. -1.]
         [ 1.  0.]]
    """
    spd, rotation = _of_positive(g, _polar)
    return spd, rotation


def from_polar(spd: Matrix, rotation: Matrix) -> Matrix:
    """The product P R of the factors of ``polar``, ``[..., n, n]``."""
    return small.matmul(spd, rotation)


def cartan(g: Matrix) -> tuple[Matrix, Diagonal, Matrix]:
    """G = K diag(a) L with rotations K and L, and a positive and ascending.

    Where two entries of a are equal, K and L are not unique; their derivatives are then finite, and
    zero in the directions that are not determined.

    Args:
        g: Matrices ``[..., n, n]`` with positive determinant.

    Returns:
        K ``[..., n, n]``, a ``[..., n]`` and L ``[..., n, n]``.

    Raises:
        ValueError: If a determinant is not positive; under jit the factors are NaN.
    """
    k, a, other = _of_positive(g, _cartan)
    return k, a, other


def from_cartan(k: Matrix, a: Diagonal, other: Matrix) -> Matrix:
    """The product K diag(a) L of the factors of ``cartan``, ``[..., n, n]``."""
    return small.matmul(k * a[..., None, :], other)


def iwasawa(g: Matrix) -> tuple[Matrix, Diagonal, Matrix]:
    """G = K diag(a) N: a rotation, positive scales, an upper triangular matrix with ones.

    Args:
        g: Matrices ``[..., n, n]`` with positive determinant.

    Returns:
        K ``[..., n, n]``, a ``[..., n]`` and N ``[..., n, n]``, smooth in g.

    Raises:
        ValueError: If a determinant is not positive; under jit the factors are NaN.
    """
    k, a, upper = _of_positive(g, _iwasawa)
    return k, a, upper


def from_iwasawa(k: Matrix, a: Diagonal, upper: Matrix) -> Matrix:
    """The product K diag(a) N of the factors of ``iwasawa``, ``[..., n, n]``."""
    return small.matmul(k * a[..., None, :], upper)


def spd_log_density(s: Matrix) -> Float[Array, "..."]:
    """Log density of the measure on positive definite matrices that S -> A S A^T leaves invariant.

    It is det(S)^(-(n + 1) / 2) with respect to the product of dS_ij over i <= j. With S = g g^T,
    this and the Haar measure of the rotation in g = P R make the Haar measure of GL+(n).

    Args:
        s: Symmetric positive definite matrices ``[..., n, n]``.

    Example:
        >>> round(float(spd_log_density(2 * jnp.eye(3))), 4)  # -2 log 8
        -4.1589
    """
    s = floating(s)
    n = s.shape[-1]
    return -(n + 1) / 2 * jnp.linalg.slogdet(s)[1]


def polar_log_density(log_spd: Matrix) -> Float[Array, "..."]:
    """Log density of Haar measure with respect to dX dR, for g = exp(X) R with symmetric X.

    It is the sum of log(sinh(x_i - x_j) / (x_i - x_j)) over pairs of eigenvalues of X, computed as
    half the log determinant of sinh(ad X) / ad X without eigenvalues: smooth at zero. dX is the
    Lebesgue measure in an orthonormal basis, dR the Haar measure of total mass one. On GL+(n) it is
    ``spd_log_density`` of exp(2 X) in these coordinates, up to a constant.

    Args:
        log_spd: Symmetric matrices X ``[..., n, n]``; traceless for SL(n).
    """
    x = floating(log_spd)
    n, one = x.shape[-1], small.eye_like(x)
    left = x[..., :, None, :, None] * one[..., None, :, None, :]
    right = one[..., :, None, :, None] * x[..., None, :, None, :]
    bracket = (left - right).reshape(*x.shape[:-2], n * n, n * n)
    return jnp.linalg.slogdet(small.phi1(2 * bracket))[1] / 2


def _polar(g: Matrix) -> tuple[Matrix, Matrix]:
    rotation = _polar_rotation(g)
    spd = small.matmul(g, rotation.mT)
    return (spd + spd.mT) / 2, rotation


def _cartan(g: Matrix) -> tuple[Matrix, Diagonal, Matrix]:
    spd, rotation = _polar(g)
    a, k = (x[..., ::-1] for x in safe_eigh(spd))
    sign = jnp.sign(small.determinant(jax.lax.stop_gradient(k)))
    k = jnp.concatenate([k[..., :1] * sign[..., None, None], k[..., 1:]], -1)
    return k, a, small.matmul(k.mT, rotation)


def _iwasawa(g: Matrix) -> tuple[Matrix, Diagonal, Matrix]:
    with jax.default_matmul_precision("highest"):
        k, upper = jnp.linalg.qr(g)
    diagonal = jnp.diagonal(upper, axis1=-2, axis2=-1)
    sign = jnp.sign(jax.lax.stop_gradient(diagonal))
    a = diagonal * sign
    return k * sign[..., None, :], a, upper * (sign / a)[..., None]


def _of_positive(g: Matrix, decompose: Callable[[Matrix], tuple[Array, ...]]) -> tuple[Array, ...]:
    """The factors of matrices with positive determinant: else an error, or NaN under jit."""
    g = floating(g)
    if g.ndim < 2 or g.shape[-1] != g.shape[-2]:
        raise ValueError(f"got shape {g.shape}, expected square matrices [..., n, n]")
    factors, complete = _checked(decompose, g)
    if not isinstance(complete, Tracer) and not bool(complete):
        raise ValueError(
            "got a matrix whose determinant is not positive, expected one in GL+(n) or SL(n); "
            "negate a column first; under jit the result is NaN"
        )
    return factors


@functools.partial(jax.jit, static_argnums=0)
def _checked(
    decompose: Callable[[Matrix], tuple[Array, ...]], g: Matrix
) -> tuple[tuple[Array, ...], Bool[Array, ""]]:
    """The factors in at least float32, NaN where the determinant is not positive; whether it is."""
    wide = g.astype(at_least_float32(g.dtype))
    good = small.determinant(wide) > 0
    factors = []
    for x in decompose(wide):
        inside = good.reshape(*good.shape, *[1] * (x.ndim - good.ndim))
        factors.append(jnp.where(inside, x, jnp.nan).astype(g.dtype))
    return tuple(factors), good.all()


@jax.custom_jvp
def _polar_rotation(g: Matrix) -> Matrix:
    """The orthogonal factor by Newton's iteration X -> (X + X^-T) / 2, scaled by determinants."""

    def step(state: tuple[Matrix, Matrix, Array]) -> tuple[Matrix, Matrix, Array]:
        x, _, count = state
        scale = jnp.abs(small.determinant(x)) ** (-1 / g.shape[-1])
        x = x * jnp.where(count < 4, scale, 1.0)[..., None, None]
        return (x + small.inverse(x).mT) / 2, x, count + 1

    def unfinished(state: tuple[Matrix, Matrix, Array]) -> Bool[Array, ""]:
        x, before, count = state
        moved = jnp.abs(x - before).max(initial=0) > 10 * jnp.finfo(g.dtype).eps
        return (moved | (count < 5)) & (count < 30)

    return jax.lax.while_loop(unfinished, step, (g, jnp.zeros_like(g), jnp.int32(0)))[0]


@_polar_rotation.defjvp
def _polar_rotation_jvp(primals: tuple[Matrix], tangents: tuple[Matrix]) -> tuple[Matrix, Matrix]:
    rotation = _polar_rotation(*primals)
    return rotation, rotation_derivative(rotation, *primals, *tangents)


def rotation_derivative(rotation: Matrix, g: Matrix, dg: Matrix) -> Matrix:
    """The derivative of a rotation R for which R^T g is symmetric, along dg.

    It is R W with the antisymmetric W that solves W H + H W = R^T dg - dg^T R, where H = R^T g. It
    is zero where W is not determined.
    """
    group = SO(g.shape[-1])
    if not len(group.lie_algebra()):
        return jnp.zeros_like(dg)
    basis = jnp.asarray(group.lie_algebra(), g.dtype)
    spd = small.matmul(rotation.mT, g)
    spd = (spd + spd.mT) / 2
    # The matrix of W -> W H + H W in coordinates is symmetric.
    moved = small.matmul(basis, spd[..., None, :, :])
    system = jnp.einsum("...bij,aij->...ab", moved - moved.mT, basis, precision=HIGHEST)
    regular = (small.determinant(jax.lax.stop_gradient(system)) != 0)[..., None, None]
    solution = small.inverse(jnp.where(regular, system, small.eye_like(system)))
    rate = small.matmul(rotation.mT, dg)
    right = jnp.einsum("...ij,aij->...a", rate - rate.mT, basis, precision=HIGHEST)
    return small.matmul(rotation, group.hat(small.apply(jnp.where(regular, solution, 0.0), right)))
