"""Eigenvectors of symmetric matrices, with derivatives that stay finite where eigenvalues meet."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.precision import HIGHEST, at_least_float32


def safe_eigh(
    matrix: Float[Array, "... d d"],
) -> tuple[Float[Array, "... d"], Float[Array, "... d d"]]:
    r"""Eigenvalues of symmetric matrices in descending order, and eigenvectors in columns.

    .. math:: dV = V\, (F \circ V^\top dC\, V), \qquad F_{ij} = \frac{1}{\lambda_j - \lambda_i}

    for eigenvalues that differ by more than :math:`10\, d\, \epsilon\, \max_k |\lambda_k|`, where
    :math:`\epsilon` is the unit of rounding; :math:`F_{ij} = 0` for closer ones, whose eigenvectors
    are arbitrary within their plane and have no derivative. Derivatives of every order and mode are
    exact for eigenvalues that differ, and finite where some are equal.

    Args:
        matrix: Matrices ``[..., d, d]``; only their symmetric part counts.

    Returns:
        Eigenvalues ``[..., d]`` and orthogonal matrices ``[..., d, d]``, column i belonging to the
        eigenvalue i.

    >>> values, vectors = safe_eigh(jnp.diag(jnp.array([1.0, 3.0])))
    >>> values.tolist(), bool(jnp.isfinite(jax.jacobian(safe_eigh)(jnp.eye(2))[1]).all())
    ([3.0, 1.0], True)
    """
    wide = matrix.astype(at_least_float32(matrix.dtype))
    values, vectors = _eigh((wide + wide.mT) / 2)
    return values.astype(matrix.dtype), vectors.astype(matrix.dtype)


@jax.custom_jvp
def _eigh(symmetric: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(symmetric)
    return values[..., ::-1], vectors[..., ::-1]


@_eigh.defjvp
def _eigh_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    values, vectors = _eigh(primals[0])
    inner = jnp.matmul(vectors.mT, tangents[0], precision=HIGHEST)
    inner = jnp.matmul(inner, vectors, precision=HIGHEST)
    gap = values[..., None, :] - values[..., :, None]
    unit = 10 * values.shape[-1] * float(jnp.finfo(values.dtype).eps)
    largest = jnp.abs(values).max(-1, initial=0)[..., None, None]
    # Not gap / (gap^2 + epsilon^2): its slope 1 / epsilon^2 at zero, which is there on the diagonal
    # always, cancels in forward mode and swamps the result in reverse mode.
    distinct = jnp.abs(gap) > unit * largest
    factor = jnp.where(distinct, 1 / jnp.where(distinct, gap, 1), 0)
    change = jnp.matmul(vectors, factor * inner, precision=HIGHEST)
    return (values, vectors), (jnp.diagonal(inner, axis1=-2, axis2=-1), change)
