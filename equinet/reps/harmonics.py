"""Real spherical harmonics in e3nn's convention, as polynomials: smooth wherever the vector is."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.linalg import safe_normalize
from equinet.precision import floating, read_only


@functools.lru_cache(256)
def legendre_recurrence(
    l: int,
) -> tuple[Float[np.ndarray, "l"], Float[np.ndarray, "l"], float]:
    """Coefficients of the associated Legendre functions of degree ``l``, normalised.

    Returns:
        The a and b of ``P[l, m] = a[m] z P[l-1, m] - b[m] r^2 P[l-2, m]`` for the orders m < l, and
        ``P[l, l]``. The sum over m of the squared harmonics is then 2 l + 1.

    References:
        Holmes and Featherstone, J. Geodesy 76, 279 (2002), eq. 11.
    """
    m = np.arange(l)
    a = np.sqrt((4 * l * l - 1) / (l * l - m * m))
    b = a * np.sqrt(np.maximum((l - 1) ** 2 - m * m, 0) / max(4 * (l - 1) ** 2 - 1, 1))
    diagonal = math.prod(math.sqrt((2 * k + 1) / (2 * k)) for k in range(1, l + 1))
    return read_only(a), read_only(b), diagonal * (math.sqrt(2) if l else 1.0)


def _azimuthal(xp: Any, x: Any, y: Any, lmax: int) -> tuple[list, list]:
    """Real and imaginary parts of ``(x + iy)^m`` for m = 0..lmax."""
    cosines, sines = [xp.ones_like(x)], [xp.zeros_like(x)]
    for _ in range(lmax):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(x * s + y * c)
    return cosines, sines


def _polar(xp: Any, z: Any, r2: Any, lmax: int) -> dict[tuple[int, int], Any]:
    """Associated Legendre factors ``r^(l-m) P[l, m]``, so that sum over m of Y^2 is 2l + 1."""
    table: dict[tuple[int, int], Any] = {}
    for l in range(lmax + 1):
        a, b, diagonal = legendre_recurrence(l)
        for m in range(l):
            table[l, m] = float(a[m]) * z * table[l - 1, m]
            if l > m + 1:
                table[l, m] -= float(b[m]) * (r2 * table[l - 2, m])
        table[l, l] = xp.full_like(z, diagonal)
    return table


def spherical_harmonics(
    lmax: int, vectors: Float[Array, "... 3"], *, normalize: bool = True
) -> Float[Array, "... ({lmax}+1)**2"]:
    r"""Real spherical harmonics :math:`Y_{lm}` of degrees 0 to ``lmax``.

    Component normalisation: :math:`\sum_m Y_{lm}(\hat r)^2 = 2l+1`, so each component has mean
    square one over the sphere. Order and signs are e3nn's: the polar axis is y and
    :math:`Y_1(\hat r) = \sqrt 3\,(x, y, z)`. Legendre and azimuthal recurrences in Cartesian
    coordinates: no angle is formed, so that every derivative is finite everywhere.

    Args:
        lmax: Highest degree, at least 0.
        vectors: Directions, ``[..., 3]``.
        normalize: If true the vectors are divided by their length first, and the zero vector gives
            ``Y_0 = 1`` and zero for every other degree. If false the result is the solid
            harmonics :math:`|r|^l Y_{lm}(\hat r)`.

    Returns:
        ``[..., (lmax+1)**2]``, degree after degree, m from -l to l.

    Raises:
        ValueError: If ``lmax`` is negative or the last axis is not 3.

    References:
        Normalised Legendre recurrence: Holmes and Featherstone, J. Geodesy 76, 279 (2002), eq. 11.

    >>> print(spherical_harmonics(1, jnp.array([0.0, 0.0, 2.0])).round(4))
    [1.     0.     0.     1.7321]
    """
    vectors = floating(vectors)
    if lmax < 0:
        raise ValueError(f"lmax must be at least 0, got {lmax}")
    if vectors.shape[-1] != 3:
        raise ValueError(f"vectors must have 3 components on the last axis, got {vectors.shape}")
    if normalize:
        vectors = safe_normalize(vectors)
    # Fused into the recurrences, the division would be done once for every component.
    columns = jax.lax.optimization_barrier(tuple(vectors[..., i] for i in range(3)))
    return jnp.stack(_solid_harmonics(jnp, lmax, columns), axis=-1)


def spherical_harmonics_table(
    lmax: int, vectors: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, "points harmonics"]:
    """The spherical harmonics of ``spherical_harmonics`` as a float64 numpy table.

    Args:
        lmax: Highest degree.
        vectors: Unit vectors ``[points, 3]``; for other lengths the result is the solid harmonics.

    >>> from equinet.reps import spherical_harmonics_table
    >>> spherical_harmonics_table(1, np.array([[0.0, 0.0, 1.0]])).round(4).tolist()
    [[1.0, 0.0, 0.0, 1.7321]]
    """
    columns = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    return np.stack(_solid_harmonics(np, lmax, columns), axis=-1)


def _solid_harmonics(xp: Any, lmax: int, columns: Any) -> list[Any]:
    # e3nn's y is the polar axis, and (z, x) span the plane of the azimuth.
    y, z, x = columns
    # Not 1.0 even for unit vectors: the zero vector must give zero for every degree but 0.
    r2 = x * x + y * y + z * z
    cosines, sines = _azimuthal(xp, x, y, lmax)
    polar = _polar(xp, z, r2, lmax)
    rows = []
    for l in range(lmax + 1):
        rows += [sines[m] * polar[l, m] for m in range(l, 0, -1)]
        rows += [cosines[m] * polar[l, m] for m in range(l + 1)]
    return rows
