"""Matrices and features made of blocks: what sums and products of reps are computed with."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.typing import Feature, Matrix


def kron(a: Matrix, b: Matrix) -> Matrix:
    """The Kronecker product of matrices whose batch axes broadcast; the index of ``a`` is slow.

    Example:
        >>> kron(jnp.eye(2), jnp.ones((5, 3, 3))).shape
        (5, 6, 6)
    """
    product = jnp.einsum("...ij,...kl->...ikjl", a, b, precision=jax.lax.Precision.HIGHEST)
    *batch, rows_a, rows_b, columns_a, columns_b = product.shape
    return product.reshape(*batch, rows_a * rows_b, columns_a * columns_b)


def block_diagonal(corner: Matrix, blocks: Sequence[tuple[int, Matrix]]) -> Matrix:
    """Copies of square blocks along the diagonal.

    Args:
        corner: An empty matrix ``[..., 0, 0]`` with the batch axes and dtype of the result.
        blocks: Pairs (copies, block ``[..., n, n]``) in order.

    Example:
        >>> block_diagonal(jnp.zeros((0, 0)), [(2, jnp.ones((1, 1))), (1, 5 * jnp.ones((1, 1)))])
        Array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 5.]], dtype=float32)
    """
    size = sum(copies * block.shape[-1] for copies, block in blocks)
    rows, start = [jnp.zeros((*corner.shape[:-2], 0, size), corner.dtype)], 0
    for copies, block in blocks:
        block = kron(jnp.eye(copies, dtype=block.dtype), block).astype(corner.dtype)
        block = jnp.broadcast_to(block, (*corner.shape[:-2], *block.shape[-2:]))
        stop = start + block.shape[-1]
        # Not by a scatter: jaxlib 0.12 miscompiles one that feeds a matrix product.
        sides = [(0, 0)] * (block.ndim - 1) + [(start, size - stop)]
        rows.append(jnp.pad(block, sides))
        start = stop
    return jnp.concatenate(rows, axis=-2)


def apply_to_copies(
    apply: Callable[[Feature], Feature], copies: int, x: Float[Array, "... copies*dim channels"]
) -> Float[Array, "... copies*dim channels"]:
    """Applies a map of the axis -2 to each of the copies stacked on it, as if they were channels.

    Example:
        >>> x = jnp.arange(4.0)[:, None]  # two copies of two entries
        >>> apply_to_copies(lambda x: x[::-1], 2, x)[:, 0]
        Array([1., 0., 3., 2.], dtype=float32)
    """
    if copies == 1:
        return apply(x)
    *batch, size, channels = x.shape
    dim = size // copies
    x = jnp.swapaxes(x.reshape(*batch, copies, dim, channels), -3, -2)
    y = apply(x.reshape(*batch, dim, copies * channels))
    y = y.reshape(*y.shape[:-1], copies, channels)
    return jnp.swapaxes(y, -3, -2).reshape(*y.shape[:-3], size, channels)
