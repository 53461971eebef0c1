"""Rows and channels as one batch axis: features as ``[dim, batch]``.

A constant linear map of the components is then one matrix product.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.primitives import repeat_rows
from equinet.ops.products._base import at_rank
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


def map_batch(
    kernel: Callable[..., Float[Array, "dim_out batch"]],
    bytes_per_entry: int,
    *features: Float[Array, "... dim channels"],
) -> Float[Array, "... dim_out channels"]:
    """Applies a function of components to features, in blocks of rows that stay in cache.

    Args:
        kernel: Takes one ``[dim, batch]`` array for each feature and treats every entry of the
            batch by itself.
        bytes_per_entry: Bytes of the temporaries of one row and channel.
        *features: Broadcast against each other over rows and channels.

    Returns:
        ``[..., dim_out, channels]``.

    >>> map_batch(lambda x, y: x[:1] * y, 8, jnp.ones((5, 3, 2)), jnp.ones((1, 1))).shape
    (5, 1, 2)
    """
    rows = jnp.broadcast_shapes(*(x.shape[:-2] for x in features))
    channels = max(x.shape[-1] for x in features)
    count = math.prod(rows)
    flat = [
        jnp.broadcast_to(x, (*rows, x.shape[-2], channels)).reshape(count, x.shape[-2], channels)
        for x in features
    ]

    def some_rows(*block: Array) -> Array:
        z = kernel(*(x.swapaxes(0, 1).reshape(x.shape[1], -1) for x in block))
        return z.reshape(z.shape[0], -1, channels).swapaxes(0, 1)

    z = map_chunks(some_rows, rows_per_chunk(count, bytes_per_entry * channels), *flat)
    return z.reshape(*rows, *z.shape[1:])


def weigh_copies(
    rep: Irreps, x: Float[Array, "... dim channels"], weights: Float[Array, "... copies channels"]
) -> Float[Array, "... dim channels"]:
    """Multiplies every copy of an irrep by its weight.

    >>> weigh_copies(Irreps("0e+1o"), jnp.ones((4, 1)), jnp.array([[2.0], [3.0]]))[:, 0].tolist()
    [2.0, 3.0, 3.0, 3.0]
    """
    rows = [
        jnp.broadcast_to(
            weights[..., i : i + 1, :], (*weights.shape[:-2], 2 * b.l + 1, weights.shape[-1])
        )
        for i, b in enumerate(blocks(rep))
    ]
    spread = jnp.concatenate(rows, axis=-2).astype(x.dtype)
    if spread.ndim == 2 and x.ndim > 2:
        spread = repeat_rows(spread, math.prod(x.shape[:-2])).reshape(x.shape[:-2] + spread.shape)
    rank = max(x.ndim, spread.ndim)
    return at_rank(x, rank) * at_rank(spread, rank)
