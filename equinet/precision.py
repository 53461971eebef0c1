"""The precision of products, promotion of dtypes, and protection of cached tables."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from equinet.typing import DTypeLike

HIGHEST = jax.lax.Precision.HIGHEST


def read_only(table: np.ndarray) -> np.ndarray:
    """Protects a cached table from being written to.

    Args:
        table: Any numpy array; it is changed in place and returned.
    """
    table.setflags(write=False)
    return table


def floating(x: ArrayLike) -> Array:
    """An array of floats: integers and booleans become JAX's default float type.

    Args:
        x: Any array; floating and complex dtypes are kept.

    Example:
        >>> floating([1, 2]).dtype
        dtype('float32')
    """
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def at_least_float32(dtype: DTypeLike) -> np.dtype:
    """The dtype in which matrices of this dtype are factorised or compared.

    Args:
        dtype: A floating dtype; float64 stays, every other one becomes float32.
    """
    return np.dtype(np.float64 if jnp.dtype(dtype) == np.float64 else np.float32)
