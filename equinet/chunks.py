"""Sizes of blocks of work: blocks that fit the cache run faster, and memory stays bounded."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from equinet._sharding import vary_alike

# Bytes of temporaries of one block. On a CPU a core's share of the last-level cache; on an
# accelerator the blocks only bound the memory, and large ones keep the device busy.
_WORKING_SET = {"cpu": 16 * 2**20, "gpu": 256 * 2**20, "tpu": 64 * 2**20}
# Bytes of temporaries of one block for chains of small products, which gain from a core's cache.
_CORE_CACHE = {"cpu": 2**20, "gpu": 256 * 2**20, "tpu": 64 * 2**20}


def rows_per_chunk(
    rows: int, bytes_per_row: int, limit: int | None = None, *, in_core: bool = False
) -> int:
    """Rows of one block that stays within the working set of the default backend.

    The result is the largest divisor of ``rows`` that fits, unless blocks of almost twice that size
    fit too: then the blocks have equal sizes, and `map_chunks` fills the last one up.

    Args:
        rows: Number of independent rows (nodes, edges, channels).
        bytes_per_row: Bytes of the temporaries of one row.
        limit: Working set in bytes; the value of the default backend if absent.
        in_core: Whether blocks should fit the cache of one core instead of the shared cache.

    Returns:
        A number of rows, at least 1; all rows where there are none, or where a size is symbolic
        (`jax.export` with symbolic shapes), since the number of blocks must be a constant.

    >>> rows_per_chunk(136, 131072, limit=2**21)
    8
    >>> rows_per_chunk(136, 1, limit=2**21)
    136
    >>> rows_per_chunk(137, 131072, limit=2**21)
    16
    """
    if any(map(jax.export.is_symbolic_dim, (rows, bytes_per_row))):
        return rows
    sizes = _CORE_CACHE if in_core else _WORKING_SET
    budget = limit or sizes.get(jax.default_backend(), sizes["gpu"])
    most = max(1, budget // max(1, bytes_per_row))
    if most >= rows:
        return rows
    divisors = (d for i in range(1, math.isqrt(rows) + 1) if rows % i == 0 for d in (i, rows // i))
    largest = max(d for d in divisors if d <= most)
    return largest if 2 * largest >= most else -(-rows // -(-rows // most))


def map_chunks(function: Callable[..., Any], chunk: int, *arrays: Any) -> Any:
    """Applies ``function`` to consecutive blocks of ``chunk`` rows and joins the results.

    The blocks run one after another (``jax.lax.map``), and the backward pass recomputes each block
    instead of storing its temporaries, to every order of differentiation.

    Args:
        function: Takes and returns trees of arrays whose leading axis has ``chunk`` rows.
        chunk: Rows of one block; the last block is filled up with copies of the last row.
        *arrays: Trees of arrays with one common leading axis.

    Returns:
        The result of ``function`` for the whole arrays.

    >>> map_chunks(lambda x: 2 * x, 2, jnp.arange(5)).tolist()
    [0, 2, 4, 6, 8]
    """
    rows = jax.tree.leaves(arrays)[0].shape[0]
    if rows == chunk:
        return function(*arrays)
    count = -(-rows // chunk)

    def split(x: jax.Array) -> jax.Array:
        if count * chunk > rows:
            fill = jnp.broadcast_to(x[-1:], (count * chunk - rows, *x.shape[1:]))
            x = jnp.concatenate([x, fill])
        return x.reshape(count, chunk, *x.shape[1:])

    blocks = jax.tree.map(split, arrays)
    results = jax.lax.map(jax.checkpoint(lambda block: function(*block)), blocks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:rows], results)


def sum_chunks(function: Callable[..., jax.Array], chunk: int, *arrays: jax.Array) -> jax.Array:
    """Sums the results of ``function`` for consecutive blocks of ``chunk`` rows.

    Args:
        function: Takes arrays of at most ``chunk`` rows.
        chunk: Rows of one block; the last may be shorter.
        *arrays: Arrays with one common leading axis.

    >>> sum_chunks(lambda x: jnp.sum(x**2), 2, jnp.arange(5)).item()
    30
    """
    rows = arrays[0].shape[0]
    if rows is chunk or rows <= chunk:
        return function(*arrays)
    count = rows // chunk
    blocks = [x[: count * chunk].reshape(count, chunk, *x.shape[1:]) for x in arrays]
    shape = jax.eval_shape(function, *(x[0] for x in blocks))
    (start,) = vary_alike(jnp.zeros(shape.shape, shape.dtype), like=arrays)
    total, _ = jax.lax.scan(lambda sum, block: (sum + function(*block), None), start, blocks)
    if count * chunk == rows:
        return total
    return total + function(*(x[count * chunk :] for x in arrays))
