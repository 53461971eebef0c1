"""Maps of features that are applied to each of several copies."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.typing import Feature


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
