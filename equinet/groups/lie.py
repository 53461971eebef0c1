"""Rules that hold in every group of matrices: adjoint, Jacobians of exp, logarithm.

Coordinates are those of the basis ``lie_algebra()``; in the micro Lie theory of J. Solà, J. Deray
and D. Atchuthan (arXiv 1812.01537) the tangent at g is on the right: g exp(dv).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from equinet.groups import small
from equinet.typing import Matrix

if TYPE_CHECKING:
    from equinet.groups.group import MatrixLieGroup


@functools.cache
def dual_basis(group: MatrixLieGroup) -> Float[np.ndarray, "d n n"]:
    """Matrices whose inner products with a Lie algebra element are its coordinates."""
    basis = group.lie_algebra()
    flat = basis.reshape(len(basis), group.matrix_dim**2)
    dual = np.linalg.pinv(flat).T.reshape(basis.shape)
    dual.setflags(write=False)
    return dual


@functools.cache
def structure_constants(group: MatrixLieGroup) -> Float[np.ndarray, "d d d"]:
    """The table c with [b_i, b_j] = sum over k of c[i, k, j] b_k."""
    basis = group.lie_algebra()
    product = np.einsum("iab,jbc->ijac", basis, basis)
    table = np.einsum("ijab,kab->ikj", product - product.swapaxes(0, 1), dual_basis(group))
    table[np.abs(table) < 1e-14] = 0
    table.setflags(write=False)
    return table


def ad(group: MatrixLieGroup, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
    """The matrix of the bracket with the element of coordinates v."""
    table = jnp.asarray(structure_constants(group), v.dtype)
    return jnp.einsum("...i,ikj->...kj", v, table, precision=small.HIGHEST)


def adjoint(group: MatrixLieGroup, g: Matrix) -> Float[Array, "... d d"]:
    """The matrix of v -> vee(g hat(v) g^-1)."""
    basis = jnp.asarray(group.lie_algebra(), g.dtype)
    dual = jnp.asarray(dual_basis(group), g.dtype)
    turned = small.matmul(
        small.matmul(g[..., None, :, :], basis), group.inverse(g)[..., None, :, :]
    )
    return jnp.einsum("...jab,kab->...kj", turned, dual, precision=small.HIGHEST)


def left_jacobian(group: MatrixLieGroup, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
    """(exp(ad) - 1) / ad."""
    return small.phi1(ad(group, v))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_coordinates(group: MatrixLieGroup, g: Matrix) -> Float[Array, "... d"]:
    """Coordinates of the principal logarithm; NaN where there is none."""
    return group.vee(group._logarithm(g))


@log_coordinates.defjvp
def _log_jvp(
    group: MatrixLieGroup, primals: tuple[Matrix], tangents: tuple[Matrix]
) -> tuple[Float[Array, "... d"], Float[Array, "... d"]]:
    """The inverse of the right Jacobian, applied to vee(g^-1 dg).

    Differentiating through the iterations would cost more and be less exact.
    """
    (g,), (dg,) = primals, tangents
    v = log_coordinates(group, g)
    step = group.vee(small.matmul(group.inverse(g), dg))
    return v, small.apply(group.right_jacobian_inverse(v), step)


def check_member(group: MatrixLieGroup, g: Matrix) -> None:
    """Raises where a concrete ``g`` is not in the group."""
    if isinstance(g, Tracer):
        return
    atol = 10 * float(jnp.finfo(g.dtype).eps) ** 0.5
    if not bool(group.contains(g, atol).all()):
        raise ValueError(
            f"got a matrix that is not in {group} (up to {atol:.0e}); contains(g) tells which"
        )


def check_log(group: MatrixLieGroup, v: Float[Array, "... d"]) -> None:
    """Raises where the concrete coordinates of a logarithm are not finite."""
    if not isinstance(v, Tracer) and not bool(jnp.isfinite(v).all()):
        raise ValueError(
            f"got an element of {group} without a real principal logarithm (an eigenvalue is "
            "negative, or it lies off the identity component); under jit the result is NaN"
        )
