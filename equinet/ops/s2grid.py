"""Quadrature on the sphere."""

import functools

import numpy as np
from jaxtyping import Float


@functools.cache
def gauss_legendre_grid(
    degree: int,
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points"]]:
    """Points and weights that integrate every spherical harmonic up to ``degree`` exactly.

    Gauss-Legendre nodes along the polar axis times equispaced azimuths:
    ``(degree // 2 + 1) * (degree + 1)`` points. The weights sum to one, so the integral is a mean
    over the sphere.

    Args:
        degree: Highest degree of the integrand, at least 0.

    Returns:
        Unit vectors (polar axis y, as e3nn has it) and weights, read-only float64.

    Raises:
        ValueError: If ``degree`` is negative.

    >>> points, weights = gauss_legendre_grid(2)
    >>> points.shape, bool(np.allclose(weights @ points**2, 1 / 3))
    ((6, 3), True)
    """
    if degree < 0:
        raise ValueError(f"degree must be at least 0, got {degree}")
    cosines, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    azimuths = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    height, angle = np.meshgrid(cosines, azimuths, indexing="ij")
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], -1).reshape(-1, 3)
    weights = np.repeat(weights / (2 * (degree + 1)), degree + 1)
    points.flags.writeable = weights.flags.writeable = False
    return points, weights
