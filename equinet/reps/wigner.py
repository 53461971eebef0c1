"""Wigner matrices as polynomials in the rotation matrix: no angles, so no singular points."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.reps.clebsch_gordan import clebsch_gordan

HIGHEST = jax.lax.Precision.HIGHEST


def wigner_d(l: int, rotation: Float[Array, "... 3 3"]) -> Float[Array, "... {2*l+1} {2*l+1}"]:
    """The matrix by which a rotation acts on degree ``l``, in the real basis of e3nn.

    A polynomial of degree ``l`` in the entries of ``rotation``: every derivative is finite, at the
    identity and at rotations by pi too. A reflection gets the parity of the spherical harmonics,
    (-1)^l times the matrix of the rotation that is left without the inversion.

    Args:
        l: The degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        Orthogonal matrices of the same dtype. For several degrees of one rotation
        ``wigner_matrices`` shares the work.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> turn = jnp.asarray([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> wigner_d(2, turn).shape, bool(jnp.allclose(wigner_d(1, turn), turn))
        ((5, 5), True)
    """
    return wigner_matrices(l, rotation)[l]


def wigner_matrices(
    lmax: int, rotation: Float[Array, "... 3 3"]
) -> tuple[Float[Array, "..."], ...]:
    r"""The Wigner matrices of all degrees 0 to ``lmax``, each from the one before.

    .. math:: D^l = (2l+1)\, C^T (D^{l-1} \otimes R)\, C, \qquad C = C^{(l-1), 1, l}

    The cost grows as ``lmax**4`` and is that of matrix products with constant tables.

    Args:
        lmax: The largest degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        A tuple whose entry ``l`` has the shape ``[..., 2*l+1, 2*l+1]``.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> [d.shape for d in wigner_matrices(2, jnp.eye(3))]
        [(1, 1), (3, 3), (5, 5)]
    """
    rotation = jnp.asarray(rotation)
    if lmax < 0:
        raise ValueError(f"the degree must be an integer >= 0, got {lmax}")
    if rotation.shape[-2:] != (3, 3):
        raise ValueError(f"rotations must have the shape [..., 3, 3], got {rotation.shape}")
    matrices = [jnp.ones((*rotation.shape[:-2], 1, 1), rotation.dtype), rotation]
    for l in range(2, lmax + 1):
        table = jnp.asarray(_step(l), rotation.dtype)
        product = jnp.einsum("...ij,jbn->...ibn", matrices[-1], table, precision=HIGHEST)
        product = jnp.einsum("...ab,...ibn->...ian", rotation, product, precision=HIGHEST)
        matrices.append(jnp.einsum("iam,...ian->...mn", table, product, precision=HIGHEST))
    return tuple(matrices[: lmax + 1])


def wigner_table(
    l: int, rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n {2*l+1} {2*l+1}"]:
    """The same by numpy, for tables: float64, nothing to compile.

    >>> wigner_table(2, np.eye(3)[None]).shape
    (1, 5, 5)
    """
    matrices = np.ones((len(rotations), 1, 1))
    for k in range(1, l + 1):
        step = _step(k)
        product = np.tensordot(matrices, step, axes=(2, 0))
        product = np.einsum("nab,nibk->nkia", rotations, product)
        matrices = np.tensordot(product, step, axes=((2, 3), (0, 1))).swapaxes(1, 2)
    return matrices


@functools.cache
def _step(l: int) -> Float[np.ndarray, "{2*l-1} 3 {2*l+1}"]:
    """The isometry from degree ``l`` into the product of degrees ``l - 1`` and 1."""
    table = math.sqrt(2 * l + 1) * clebsch_gordan(l - 1, 1, l)
    table.setflags(write=False)
    return table
