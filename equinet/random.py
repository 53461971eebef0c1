"""Normal numbers whose shape costs no compilation: parameters, group elements, random inputs."""

import math

import jax
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array

from equinet.typing import Key, Shape

# Draws are rounded up to powers of two between these; what is larger is drawn as it is.
_FEWEST, _MOST = 2**10, 2**22


def normal(key: Key, shape: Shape, dtype: DTypeLike = float) -> Array:
    """Standard normal numbers, equal to those of ``jax.random.normal``.

    XLA compiles ``jax.random.normal`` anew for every shape, which takes most of the time in which a
    model is made. Outside of ``jit`` this function draws a power of two of numbers and keeps the
    first ones: with JAX's default generator a number depends on the key and its index alone.

    Args:
        key: A random key.
        shape: The shape of the result.
        dtype: The floating dtype of the result.

    >>> import jax, jax.numpy as jnp
    >>> key = jax.random.key(0)
    >>> bool(jnp.all(normal(key, (3, 5)) == jax.random.normal(key, (3, 5))))
    True
    """
    count = math.prod(shape)
    if isinstance(key, Tracer) or count > _MOST:
        # On one axis, which XLA compiles ten times faster than five.
        return jax.random.normal(key, (count,), dtype).reshape(shape)
    drawn = jax.random.normal(key, (max(_FEWEST, 1 << (count - 1).bit_length()),), dtype)
    if isinstance(drawn, Tracer):  # of a key that is known inside of a trace
        return drawn[:count].reshape(shape)
    # `jnp.asarray` and `jnp.array` would compile for every shape.
    return jax.device_put(np.asarray(drawn)[:count].reshape(shape), may_alias=False)
