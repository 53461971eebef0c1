"""Products of very many small matrices with rows of channels, fast in every order and mode.

A batch of matrices of ten rows is far from what a GEMM is made for, and on a CPU the library is
called once for each of them. Here the sum over the inner axis is written out, which vectorises over
the channels, and derivatives are operations of the same kind.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, mlir
from jaxtyping import Array, Float

from equinet.ops.outer import primitive

HIGHEST = jax.lax.Precision.HIGHEST
_WRITTEN_OUT = 64  # inner axis up to which sums are written out


def apply_maps(
    maps: Float[Array, "*rows a b"], x: Float[Array, "*rows b channels"], *, transpose: bool = False
) -> Float[Array, "*rows a channels"]:
    """A matrix of its own for every row of features; ``transpose``: its transpose.

    >>> apply_maps(jnp.ones((5, 2, 3)), jnp.ones((5, 3, 4)))[0, :, 0].tolist()
    [3.0, 3.0]
    """
    return _apply_p.bind(maps, x, transpose=transpose)


def apply_table(
    table: Float[np.ndarray, "a b"], x: Float[Array, "*rows b channels"]
) -> Float[Array, "*rows a channels"]:
    """One constant matrix for all rows of features.

    >>> apply_table(np.ones((2, 3)), jnp.ones((5, 3, 4)))[0, :, 0].tolist()
    [3.0, 3.0]
    """
    constant = jnp.asarray(table, x.dtype).reshape((1,) * (x.ndim - 2) + table.shape)
    return _apply_p.bind(constant, x, transpose=False)


def _apply(maps: Array, x: Array, *, transpose: bool) -> Array:
    words = "...ji,...jc->...ic" if transpose else "...ij,...jc->...ic"
    return jnp.einsum(words, maps, x, precision=HIGHEST)


def _apply_written_out(maps: Array, x: Array, *, transpose: bool) -> Array:
    size = x.shape[-2]
    if not 0 < size <= _WRITTEN_OUT:
        return _apply(maps, x, transpose=transpose)
    # Fused into the sum, whatever makes x would be computed once for each of its uses.
    maps, x = jax.lax.optimization_barrier((maps, x))
    wide = jnp.promote_types(x.dtype, jnp.float32)
    columns = (maps[..., j, :] if transpose else maps[..., :, j] for j in range(size))
    terms = (
        column[..., None].astype(wide) * x[..., j, None, :].astype(wide)
        for j, column in enumerate(columns)
    )
    return functools.reduce(jnp.add, terms).astype(x.dtype)


def _pair(y: Array, x: Array) -> Array:
    return jnp.einsum("...ic,...jc->...ij", y, x, precision=HIGHEST)


_apply_p = primitive("apply_maps", _apply)
_pair_p = primitive("pair_rows", _pair)
mlir.register_lowering(
    _apply_p, mlir.lower_fun(_apply_written_out, multiple_results=False), platform="cpu"
)
ad.defbilinear(
    _apply_p,
    lambda g, maps, x, transpose: _pair_p.bind(x, g) if transpose else _pair_p.bind(g, x),
    lambda g, maps, x, transpose: _apply_p.bind(maps, g, transpose=not transpose),
)
ad.defbilinear(
    _pair_p,
    lambda g, y, x: _apply_p.bind(g, x, transpose=False),
    lambda g, y, x: _apply_p.bind(g, y, transpose=True),
)
