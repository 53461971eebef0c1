"""Polynomial features of invariants, and Chebyshev interpolation on the unit disc."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops._chebyshev import chebyshev_polynomials
from equinet.precision import read_only


@functools.cache
def monomials(variables: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Indices of the variables in the product that is each polynomial feature, degree by degree.

    >>> monomials(2, 2)
    ((0,), (1,), (0, 0), (0, 1), (1, 1))
    """
    return tuple(
        factors
        for d in range(1, degree + 1)
        for factors in itertools.combinations_with_replacement(range(variables), d)
    )


def polynomial_features(
    x: Float[Array, "... variables"], degree: int
) -> Float[Array, "... features"]:
    """All monomials of degree 1 to ``degree``, each once, in the order of ``monomials``.

    Args:
        x: Variables on the last axis.
        degree: Highest degree, at least 1.

    Returns:
        ``[..., features]`` with ``binomial(variables + degree, degree) - 1`` features.

    Raises:
        ValueError: If the degree is less than one.

    >>> polynomial_features(jnp.array([2.0, 3.0]), 2).tolist()
    [2.0, 3.0, 4.0, 6.0, 9.0]
    """
    if degree < 1:
        raise ValueError(f"the degree of polynomial features must be at least 1, got {degree}")
    made: dict[tuple[int, ...], Array] = {}
    for factors in monomials(x.shape[-1], degree):
        last = x[..., factors[-1]]
        made[factors] = made[factors[:-1]] * last if len(factors) > 1 else last
    return jnp.stack(list(made.values()), axis=-1)


@functools.cache
def disc_nodes(
    degree: int, half: bool
) -> tuple[Float[np.ndarray, "nodes 2"], Float[np.ndarray, "polynomials nodes"]]:
    """Sample points of the unit disc, and the matrix from values there to coefficients.

    The matrix fits the coefficients of ``disc_polynomials`` by least squares over the sample
    points, which are dense at the rim. The fit of a polynomial of this degree is exact.

    Args:
        degree: Total degree of the polynomials.
        half: Whether to sample only the half disc where the second coordinate is not negative.

    Returns:
        Sample points ``[nodes, 2]`` and matrix ``[polynomials, nodes]``, read-only float64.
    """
    rings, rays = degree + 3, 2 * degree + 5
    radii = np.sin((np.arange(rings) + 0.5) * np.pi / (2 * rings))
    if half:
        angles = (np.arange(rays) + 0.5) * np.pi / rays
    else:
        angles = 2 * np.pi * np.arange(rays) / rays
    waves = np.stack([np.cos(angles), np.sin(angles)], -1)
    nodes = (radii[:, None, None] * waves).reshape(-1, 2)
    u, v = _standard(nodes, half)
    table = np.polynomial.chebyshev.chebvander2d(u, v, [degree, degree])
    matrix = np.linalg.pinv(table[:, [i * (degree + 1) + j for i, j in _pairs(degree)]])
    return read_only(nodes), read_only(matrix)


def disc_polynomials(
    x: Float[Array, "... 2"], degree: int, *, half: bool
) -> Float[Array, "... polynomials"]:
    r"""Products of Chebyshev polynomials :math:`T_i(u)\, T_j(v)`, :math:`i + j \le` degree.

    Args:
        x: Points (u, v) of the unit disc, ``[..., 2]``.
        degree: Total degree, at least 1.
        half: Whether v is in [0, 1]; then :math:`T_j(2 v - 1)`.

    Returns:
        ``[..., (degree + 1) * (degree + 2) / 2]``.

    >>> disc_polynomials(jnp.array([0.5, 1.0]), 1, half=True).tolist()
    [1.0, 1.0, 0.5]
    """
    u, v = _standard(x, half)
    first, second = (chebyshev_polynomials(t, degree + 1) for t in (u, v))
    return jnp.stack([first[i] * second[j] for i, j in _pairs(degree)], axis=-1)


def _standard(x: Array | np.ndarray, half: bool) -> tuple:
    return x[..., 0], 2 * x[..., 1] - 1 if half else x[..., 1]


def _pairs(degree: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
