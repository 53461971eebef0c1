"""Kronecker products and block-diagonal matrices with batch axes."""

from collections.abc import Sequence

import jax.numpy as jnp

from equinet.precision import HIGHEST
from equinet.typing import Matrix


def kron(a: Matrix, b: Matrix) -> Matrix:
    """The Kronecker product of matrices whose batch axes broadcast.

    Args:
        a: Matrices ``[..., i, j]``, whose indices vary slowly in the result.
        b: Matrices ``[..., k, l]``.

    Returns:
        Matrices ``[..., i * k, j * l]``.

    Example:
        >>> kron(jnp.eye(2), jnp.ones((5, 3, 3))).shape
        (5, 6, 6)
    """
    product = jnp.einsum("...ij,...kl->...ikjl", a, b, precision=HIGHEST)
    *batch, rows_a, rows_b, columns_a, columns_b = product.shape
    return product.reshape(*batch, rows_a * rows_b, columns_a * columns_b)


def block_diagonal(corner: Matrix, blocks: Sequence[tuple[int, Matrix]]) -> Matrix:
    """Copies of square blocks along the diagonal.

    Args:
        corner: An empty matrix ``[..., 0, 0]`` with the batch axes and dtype of the result.
        blocks: Pairs (copies, block ``[..., n, n]``) in order.

    Returns:
        Matrices ``[..., d, d]``, d the sum of copies times n.

    Example:
        >>> block_diagonal(jnp.zeros((0, 0)), [(2, jnp.ones((1, 1))), (1, 5 * jnp.ones((1, 1)))])
        Array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 5.]], dtype=float32)
    """
    batch, dtype = corner.shape[:-2], corner.dtype
    size = sum(copies * block.shape[-1] for copies, block in blocks)
    rows, start = [jnp.zeros((*batch, 0, size), dtype)], 0
    for copies, block in blocks:
        if copies != 1:
            block = kron(jnp.eye(copies, dtype=block.dtype), block)
        block = jnp.broadcast_to(block.astype(dtype), (*batch, *block.shape[-2:]))
        stop = start + block.shape[-1]
        # Not by a scatter: jaxlib 0.12 miscompiles one that feeds a matrix product.
        sides = [(0, 0)] * (block.ndim - 1) + [(start, size - stop)]
        rows.append(jnp.pad(block, sides))
        start = stop
    return jnp.concatenate(rows, axis=-2)
