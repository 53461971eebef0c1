"""Quadrature for functions that reflections change at most in sign: a part of the sphere is enough.

The inversion and the rotations by pi about the axes change a harmonic at most in its sign. Sorted
by these signs, its character, the values at one point of each orbit tell those at all, and of the
products of characters each gives one: with every doubling of the group the transforms take half the
operations, and twice as many, smaller matrix products.
"""

import functools

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import lebedev_rule

from equinet.ops.klein import characters
from equinet.ops.s2grid import gauss_legendre_grid
from equinet.reps import Irreps

LARGEST_LEBEDEV = 131
MIRRORS = np.array([[-1, -1, -1], [-1, 1, -1], [1, -1, -1]])
"""Generators of the groups: the inversion and the rotations by pi about y and x."""
FOLDS = ((12, 1), (44, 2), (LARGEST_LEBEDEV, 3))
"""Up to which degree which number of generators is the fastest, measured on a CPU."""


def fold_bits(degree: int) -> int:
    """How many generators fold the grid of this degree.

    >>> fold_bits(6), fold_bits(24), fold_bits(200)
    (1, 2, 3)
    """
    return next((bits for largest, bits in FOLDS if degree <= largest), 3)


@functools.cache
def folded_grid(
    degree: int, bits: int | None = None
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points"]]:
    """One point of each orbit of a grid that is exact up to ``degree``.

    Lebedev's points, two thirds as many as those of a Gauss-Legendre grid; beyond his largest
    degree a Gauss-Legendre grid.

    Args:
        degree: Highest degree of the integrand, at least 0.
        bits: Number of generators; by default `fold_bits` of the degree.

    Returns:
        Unit vectors (polar axis y) and weights that sum to one, read-only float64.

    Raises:
        ValueError: If ``degree`` is negative.

    References:
        Lebedev and Laikov, Doklady Mathematics 59, 477 (1999).

    >>> points, weights = folded_grid(4)
    >>> points.shape, bool(np.allclose(weights @ points**4, 1 / 5))
    ((7, 3), True)
    """
    bits = fold_bits(degree) if bits is None else bits
    points, weights = _symmetric_grid(degree)
    signs = np.ones((1, 3), int)
    for mirror in MIRRORS[:bits]:
        signs = np.concatenate([signs, signs * mirror])
    # The first of an orbit in the order of rounded coordinates stands for all of them.
    orbits = np.round(points[:, None] * signs, 9) + 0.0
    order = np.lexsort(np.moveaxis(orbits, -1, 0)[::-1], axis=-1)
    first = np.take_along_axis(orbits, order[:, :1, None], axis=1)[:, 0]
    _, kept, orbit = np.unique(first, axis=0, return_index=True, return_inverse=True)
    points, weights = points[kept], np.bincount(orbit.reshape(-1), weights)
    points.flags.writeable = weights.flags.writeable = False
    return points, weights


def fold_characters(rep: Irreps, degree: int) -> Int[np.ndarray, "dim"]:
    """The character of every component: a bit for its sign under each generator.

    >>> fold_characters(Irreps("0e+1o"), 20).tolist()  # one and x, y, z
    [0, 3, 1, 3]
    """
    kinds = characters(rep)
    return (kinds // 4 + 2 * (kinds % 4)) % 2 ** fold_bits(degree)


def _symmetric_grid(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """A grid that all generators map onto itself."""
    if degree < 0:
        raise ValueError(f"degree must be at least 0, got {degree}")
    for exact in range(degree | 1, LARGEST_LEBEDEV + 1, 2):
        try:
            points, weights = lebedev_rule(exact)
        except NotImplementedError:  # not every degree has a rule
            continue
        return np.ascontiguousarray(points.T), weights / weights.sum()
    # An odd degree has an even number of azimuths, of which one is zero.
    return gauss_legendre_grid(degree | 1)
