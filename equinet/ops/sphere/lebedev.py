"""Quadrature on half of the sphere, for functions that are even or odd under inversion.

A harmonic of degree l changes under inversion by the sign :math:`(-1)^l`: the values of the even
and of the odd part at one of two antipodes tell those at both. Transforms of the two parts take
half the operations of one on the whole sphere. More reflections save more operations, but cost more
passes over the values: on a CPU that was slower at every degree to 48.
"""

import functools

import numpy as np
from jaxtyping import Float
from scipy.integrate import lebedev_rule

from equinet.ops.sphere.s2grid import gauss_legendre_grid
from equinet.precision import read_only

_LARGEST_LEBEDEV = 131


@functools.cache
def hemisphere_grid(
    degree: int,
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points"]]:
    """One point of each pair of antipodes of a grid that is exact up to ``degree``.

    The points are Lebedev's, about two thirds as many as on a Gauss-Legendre grid. Beyond the
    largest Lebedev degree, 131, they form a Gauss-Legendre grid.

    Args:
        degree: Highest degree of the integrand, an even function; at least 0.

    Returns:
        Unit vectors (polar axis y) and weights that sum to one, read-only float64.

    Raises:
        ValueError: If ``degree`` is negative.

    References:
        Lebedev and Laikov, Doklady Mathematics 59, 477 (1999).

    >>> points, weights = hemisphere_grid(4)
    >>> points.shape, bool(np.allclose(weights @ points**4, 1 / 5))
    ((7, 3), True)
    """
    points, weights = _symmetric_grid(degree)
    # Signs of rounded coordinates, the first that is not zero: one half of the sphere is positive.
    signs = np.sign(np.round(points, 9))
    half = np.sign(signs @ [9, 3, 1]) > 0
    return read_only(points[half]), read_only(2 * weights[half])


def _symmetric_grid(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """A grid that inversion maps onto itself."""
    if degree < 0:
        raise ValueError(f"degree must be at least 0, got {degree}")
    for exact in range(degree | 1, _LARGEST_LEBEDEV + 1, 2):
        try:
            points, weights = lebedev_rule(exact)
        except NotImplementedError:  # not every degree has a rule
            continue
        return np.ascontiguousarray(points.T), weights / weights.sum()
    return gauss_legendre_grid(degree | 1)  # an even number of azimuths
