"""Rows and channels as lanes: features as ``[dim, lanes]``, so that constant maps are one GEMM."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.primitives import repeat_rows
from equinet.ops.products.paths import blocks
from equinet.reps import Irreps


def map_lanes(
    kernel: Callable[..., Float[Array, "dim_out lanes"]],
    lane_bytes: int,
    *features: Float[Array, "... dim channels"],
) -> Float[Array, "... dim_out channels"]:
    """Apply a kernel on components and lanes to features, in blocks of rows that stay in cache.

    Args:
        kernel: Takes one ``[dim, lanes]`` array for each feature; every lane on its own.
        lane_bytes: Temporaries that one lane needs.
        *features: Broadcast against each other over rows and channels.

    Returns:
        ``[..., dim_out, channels]``.

    >>> map_lanes(lambda x, y: x[:1] * y, 8, jnp.ones((5, 3, 2)), jnp.ones((1, 1))).shape
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
        lanes = (x.swapaxes(0, 1).reshape(x.shape[1], -1) for x in block)
        z = kernel(*lanes)
        return z.reshape(z.shape[0], -1, channels).swapaxes(0, 1)

    z = map_chunks(some_rows, rows_per_chunk(count, lane_bytes * channels), *flat)
    return z.reshape(*rows, *z.shape[1:])


def weigh_degrees(
    rep: Irreps, x: Float[Array, "... dim channels"], weights: Float[Array, "... blocks channels"]
) -> Float[Array, "... dim channels"]:
    """Every block of irreps times its weight.

    >>> weigh_degrees(Irreps("0e+1o"), jnp.ones((4, 1)), jnp.array([[2.0], [3.0]]))[:, 0].tolist()
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
    x, spread = (a.reshape((1,) * (rank - a.ndim) + a.shape) for a in (x, spread))
    return x * spread
