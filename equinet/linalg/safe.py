"""Functions with a singular point, finite there to second order (the double-``where`` pattern)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_norm(
    x: Float[Array, "..."], axis: int = -1, keepdims: bool = False
) -> Float[Array, "..."]:
    """Euclidean norm whose first and second derivatives are zero, not NaN, at the zero vector.

    Args:
        x: Vectors along ``axis``.
        axis: Axis that is reduced.
        keepdims: Whether the reduced axis stays, with size one.

    Returns:
        ``sqrt(sum(x**2, axis))``.

    >>> import jax
    >>> float(safe_norm(jnp.array([3.0, 4.0])))
    5.0
    >>> jax.grad(safe_norm)(jnp.zeros(3)).tolist()
    [0.0, 0.0, 0.0]
    """
    squared = jnp.sum(x * x, axis=axis, keepdims=keepdims)
    is_zero = squared == 0
    # The inner where keeps the derivative of sqrt away from zero: where(p, 0, inf * 0) is NaN.
    return jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, squared)))


def safe_normalize(x: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
    """Unit vectors ``x / |x|``; the zero vector maps to zero with zero derivatives.

    >>> print(safe_normalize(jnp.array([0.0, 3.0, 4.0])))
    [0.  0.6 0.8]
    >>> print(safe_normalize(jnp.zeros(3)))
    [0. 0. 0.]
    """
    squared = jnp.sum(x * x, axis=axis, keepdims=True)
    is_zero = squared == 0
    inverse = jnp.where(is_zero, 0, 1 / jnp.sqrt(jnp.where(is_zero, 1, squared)))
    return x * inverse
