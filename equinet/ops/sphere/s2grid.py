"""Quadrature on the sphere, and transforms between harmonics and values on a grid."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.precision import HIGHEST, read_only
from equinet.reps import spherical_harmonics_table

_METHODS = ("dense", "separable")


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
    return read_only(points), read_only(weights)


@dataclasses.dataclass(frozen=True)
class S2Grid:
    r"""Functions on the sphere, by coefficients of harmonics or by values at points.

    .. math:: f(p) = \sum_{lm} x_{lm} Y_{lm}(p), \qquad
              x_{lm} = \sum_p w_p\, f(p)\, Y_{lm}(p)

    in the component normalisation of ``spherical_harmonics``, on the points of
    ``gauss_legendre_grid``. The quadrature is exact up to ``degree``: the coefficients of degree l
    are exact for a function without harmonics beyond ``degree - l``, and what lies beyond is folded
    into them (aliasing).

    Both transforms cost :math:`O(L^4)` as one matrix product (``"dense"``), and :math:`O(L^3)` as a
    Legendre transform for every order m followed by a real Fourier transform of the azimuth
    (``"separable"``). Measured on a CPU, there and back on a grid of degree ``6 L + 3`` with 16
    channels: dense is twice as fast at L = 2, both are even at 6, separable is twice as fast at 10
    and 3.6 times at 16.

    Attributes:
        degree: Highest degree that the quadrature integrates exactly.
        method: ``"dense"`` or ``"separable"``; equal up to rounding.

    Raises:
        ValueError: If the degree is negative or the method is unknown.

    References:
        Driscoll and Healy, Adv. Appl. Math. 15, 202 (1994).

    >>> grid = S2Grid(4)
    >>> x = jnp.ones((5, 9, 8))
    >>> values = grid.to_grid(x)
    >>> values.shape, bool(jnp.allclose(grid.from_grid(values, 2), x, atol=1e-5))
    ((5, 15, 8), True)
    """

    degree: int
    method: str = "dense"

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {_METHODS}")
        _ = self.points  # raises where the degree is negative

    @property
    def points(self) -> Float[np.ndarray, "points 3"]:
        """Unit vectors, one latitude after the other; read-only float64."""
        return gauss_legendre_grid(self.degree)[0]

    @property
    def weights(self) -> Float[np.ndarray, "points"]:
        """Weights of the quadrature; they sum to one."""
        return gauss_legendre_grid(self.degree)[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of latitudes and of azimuths."""
        return self.degree // 2 + 1, self.degree + 1

    @property
    def num_points(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def has_antipodes(self) -> bool:
        """Whether the antipode of every point is one too: inversion is then exact, aliased or not.

        >>> S2Grid(4).has_antipodes, S2Grid(5).has_antipodes
        (False, True)
        """
        return self.degree % 2 == 1

    def to_grid(
        self, x: Float[Array, "... harmonics channels"]
    ) -> Float[Array, "... points channels"]:
        """Values at the points.

        Args:
            x: Coefficients of degrees 0 to lmax, ``[..., (lmax+1)**2, channels]``.

        Returns:
            ``[..., points, channels]``.

        Raises:
            ValueError: If ``(lmax+1)**2`` is not the size of axis -2, or ``from_grid`` could not
                recover the coefficients.
        """
        lmax = math.isqrt(x.shape[-2]) - 1 if x.ndim > 1 else -1
        if lmax < 0 or (lmax + 1) ** 2 != x.shape[-2]:
            raise ValueError(f"x must have shape [..., (lmax+1)**2, channels], got {x.shape}")
        self.check(lmax)
        if self.method == "dense":
            table = jnp.asarray(_harmonics(self.degree, lmax), x.dtype)
            return jnp.einsum("pk,...kc->...pc", table, x, precision=HIGHEST)
        legendre, fourier = (jnp.asarray(t, x.dtype) for t in _separated(self.degree, lmax))
        x = _by_order(x, lmax)
        rings = jnp.einsum("mlt,...lmc->...tmc", legendre, x, precision=HIGHEST)
        values = jnp.einsum("am,...tmc->...tac", fourier, rings, precision=HIGHEST)
        return values.reshape(*values.shape[:-3], self.num_points, values.shape[-1])

    def from_grid(
        self, values: Float[Array, "... points channels"], lmax: int
    ) -> Float[Array, "... ({lmax}+1)**2 channels"]:
        """Coefficients up to ``lmax`` of a function given at the points.

        Args:
            values: ``[..., points, channels]``.
            lmax: Highest degree that is asked for.

        Returns:
            ``[..., (lmax+1)**2, channels]``.

        Raises:
            ValueError: If the number of points is another, or the grid is too coarse for ``lmax``:
                its degree must be at least ``2 * lmax``.
        """
        self.check(lmax)
        if values.ndim < 2 or values.shape[-2] != self.num_points:
            raise ValueError(
                f"values must have shape [..., {self.num_points}, channels] on a grid of degree "
                f"{self.degree}, got {values.shape}"
            )
        if self.method == "dense":
            table = _harmonics(self.degree, lmax) * self.weights[:, None]
            return jnp.einsum(
                "pk,...pc->...kc", jnp.asarray(table, values.dtype), values, precision=HIGHEST
            )
        legendre, fourier = _separated(self.degree, lmax)
        legendre = jnp.asarray(legendre * self.weights[:: self.shape[1]], values.dtype)
        fourier = jnp.asarray(fourier, values.dtype)
        values = values.reshape(*values.shape[:-2], *self.shape, values.shape[-1])
        rings = jnp.einsum("am,...tac->...tmc", fourier, values, precision=HIGHEST)
        x = jnp.einsum("mlt,...tmc->...lmc", legendre, rings, precision=HIGHEST)
        rows = [x[..., l, lmax - l : lmax + l + 1, :] for l in range(lmax + 1)]
        return jnp.concatenate(rows, axis=-2)

    def check(self, lmax: int) -> None:
        """Refuse degrees that the grid does not carry from harmonics to values and back.

        Raises:
            ValueError: If ``lmax`` is negative or ``degree < 2 * lmax``.

        >>> S2Grid(5).check(3)
        Traceback (most recent call last):
        ValueError: grid too coarse: for lmax=3 a grid of degree 6 is needed, got degree 5
        """
        if lmax < 0:
            raise ValueError(f"lmax must be at least 0, got {lmax}")
        if self.degree < 2 * lmax:
            raise ValueError(
                f"grid too coarse: for lmax={lmax} a grid of degree {2 * lmax} is needed, got "
                f"degree {self.degree}"
            )


def _by_order(x: Array, lmax: int) -> Array:
    """Degrees and orders as separate axes, ``[..., lmax + 1, 2 * lmax + 1, channels]``."""
    rest = ((0, 0),) * (x.ndim - 2)
    rows = jnp.split(x, [l * l for l in range(1, lmax + 1)], axis=-2)
    padded = [jnp.pad(row, (*rest, (lmax - l,) * 2, (0, 0))) for l, row in enumerate(rows)]
    return jnp.stack(padded, axis=-3)


@functools.cache
def _harmonics(degree: int, lmax: int) -> Float[np.ndarray, "points harmonics"]:
    points, _ = gauss_legendre_grid(degree)
    return read_only(spherical_harmonics_table(lmax, points))


@functools.cache
def _separated(degree: int, lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Legendre functions ``[orders, degrees, latitudes]`` and waves ``[azimuths, orders]``."""
    table = _harmonics(degree, lmax)[:: degree + 1]  # at azimuth zero every wave is one
    orders = np.arange(-lmax, lmax + 1)
    legendre = np.zeros((2 * lmax + 1, lmax + 1, degree // 2 + 1))
    for l in range(lmax + 1):
        for m in range(-l, l + 1):
            legendre[lmax + m, l] = table[:, l * l + l + abs(m)]
    angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    phases = np.outer(angles, orders)
    fourier = np.where(orders < 0, -np.sin(phases), np.cos(phases))
    return read_only(legendre), read_only(fourier)
