"""Eigenvectors of symmetric matrices, with derivatives that stay finite where eigenvalues meet."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def safe_eigh(
    matrix: Float[Array, "... d d"],
) -> tuple[Float[Array, "... d"], Float[Array, "... d d"]]:
    r"""Eigenvalues, the largest first, and eigenvectors in columns.

    .. math:: dV = V\, (F \circ V^\top dC\, V), \qquad
              F_{ij} = \frac{\lambda_j - \lambda_i}{(\lambda_j - \lambda_i)^2 + \epsilon^2}

    with :math:`\epsilon` a unit of rounding of the largest eigenvalue: the exact derivative where
    eigenvalues differ by more, and finite where they meet, where there is none.

    Args:
        matrix: Symmetric; only the symmetric part counts.

    >>> values, vectors = safe_eigh(jnp.diag(jnp.array([1.0, 3.0])))
    >>> values.tolist(), bool(jnp.isfinite(jax.jacobian(safe_eigh)(jnp.eye(2))[1]).all())
    ([3.0, 1.0], True)
    """
    values, vectors = jnp.linalg.eigh((matrix + jnp.swapaxes(matrix, -1, -2)) / 2)
    return values[..., ::-1], vectors[..., ::-1]


@safe_eigh.defjvp
def _safe_eigh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple, tuple]:
    values, vectors = safe_eigh(primals[0])
    change = (tangents[0] + jnp.swapaxes(tangents[0], -1, -2)) / 2
    inner = jnp.matmul(jnp.swapaxes(vectors, -1, -2), change, precision=jax.lax.Precision.HIGHEST)
    inner = jnp.matmul(inner, vectors, precision=jax.lax.Precision.HIGHEST)
    gap = values[..., None, :] - values[..., :, None]
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(values)), axis=-1)[..., None, None]
    tiny = jnp.finfo(values.dtype).tiny ** 0.25
    width = jnp.broadcast_to(jnp.finfo(values.dtype).eps * largest + tiny, gap.shape)
    factor = gap / (gap * gap + width * width)
    turned = jnp.matmul(vectors, factor * inner, precision=jax.lax.Precision.HIGHEST)
    return (values, vectors), (jnp.diagonal(inner, axis1=-2, axis2=-1), turned)
