"""The recurrence of Chebyshev polynomials."""

import jax.numpy as jnp
from jaxtyping import Array


def chebyshev_polynomials(x: Array, count: int) -> list[Array]:
    """The polynomials T_0, T_1, ... at x, at least two.

    >>> [float(value) for value in chebyshev_polynomials(jnp.array(0.5), 3)]
    [1.0, 0.5, -0.5]
    """
    rows = [jnp.ones_like(x), x]
    for _ in range(count - 2):
        rows.append(2 * x * rows[-1] - rows[-2])
    return rows
