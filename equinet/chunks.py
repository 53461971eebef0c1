"""The one place that decides how large a block of work is: blocks in cache run at GEMM speed."""

import math
from collections.abc import Callable
from typing import Any

import jax

# Bytes of temporaries in flight for one block. A CPU core's share of the last-level cache; on an
# accelerator the blocks only bound memory, and large ones keep it busy.
_WORKING_SET = {"cpu": 16 * 2**20, "gpu": 256 * 2**20, "tpu": 64 * 2**20}


def rows_per_chunk(rows: int, bytes_per_row: int, limit: int | None = None) -> int:
    """Largest divisor of ``rows`` whose block stays within the working set of the default backend.

    Args:
        rows: Number of independent rows (nodes, edges, channels).
        bytes_per_row: Temporaries that one row needs.
        limit: Working set in bytes instead of the backend's own.

    Returns:
        A divisor of ``rows``, at least 1.

    >>> rows_per_chunk(136, 131072, limit=2**21)
    8
    >>> rows_per_chunk(136, 1, limit=2**21)
    136
    """
    budget = limit or _WORKING_SET.get(jax.default_backend(), _WORKING_SET["gpu"])
    most = max(1, budget // max(1, bytes_per_row))
    if most >= rows:
        return rows
    divisors = (d for i in range(1, math.isqrt(rows) + 1) if rows % i == 0 for d in (i, rows // i))
    return max(d for d in divisors if d <= most)


def map_chunks(function: Callable[..., Any], chunk: int, *arrays: Any) -> Any:
    """Apply ``function`` to consecutive blocks of ``chunk`` rows and join the results.

    The blocks run one after another (``jax.lax.map``), and the backward pass recomputes each block
    instead of storing its temporaries, to every order of differentiation.

    Args:
        function: Takes and returns trees of arrays whose leading axis has ``chunk`` rows.
        chunk: Rows of one block; divides the leading axis.
        *arrays: Trees of arrays with one common leading axis.

    Returns:
        What ``function`` would return on the whole arrays.

    >>> import jax.numpy as jnp
    >>> map_chunks(lambda x: 2 * x, 2, jnp.arange(4)).tolist()
    [0, 2, 4, 6]
    """
    rows = jax.tree.leaves(arrays)[0].shape[0]
    if rows == chunk:
        return function(*arrays)
    blocks = jax.tree.map(lambda x: x.reshape(rows // chunk, chunk, *x.shape[1:]), arrays)
    results = jax.lax.map(jax.checkpoint(lambda block: function(*block)), blocks)
    return jax.tree.map(lambda x: x.reshape(rows, *x.shape[2:]), results)
