"""The Gaunt tensor product: multiply signals on the sphere."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet._sharding import keep_sharding
from equinet.groups import SO
from equinet.ops.products._base import (
    ProductBase,
    check_feature,
    check_no_copies,
    irreps_of_one_group,
)
from equinet.ops.products._batch import map_batch, weigh_copies
from equinet.ops.products._gaunt_coefficients import gaunt_scale, split_weights
from equinet.ops.products._gaunt_fourier import multiply_fourier
from equinet.ops.products._gaunt_grid import (
    degree_of,
    grid_flops,
    multiply_grid,
    multiply_separable,
    signal_bytes,
)
from equinet.ops.products._paths import (
    Path,
    blocks,
    coupling_paths,
)
from equinet.precision import floating
from equinet.reps import Irreps

_METHODS = ("auto", "grid", "separable", "fft")
_SEPARABLE_FROM = {"cpu": 70, "gpu": 70, "tpu": 70}
"""Sum of the degrees from which the separable transforms are taken, by backend.

On a CPU of two cores the grid takes 0.7 of their time at a sum of 60, forward and backward, and
1.1 times at 78 (16 channels, 256 rows). The other backends were not measured.
"""


@dataclasses.dataclass(frozen=True)
class GauntProduct(ProductBase):
    r"""Product of two features as functions on the sphere.

    .. math:: z_{lm} = a_l \int_{S^2} \Big(\sum x_{l_1 m_1} Y_{l_1 m_1}\Big)
              \Big(\sum y_{l_2 m_2} Y_{l_2 m_2}\Big)\, Y_{lm}

    It is a Clebsch-Gordan product whose path weights are the Gaunt coefficients; the learned
    weights belong to the degrees of the two factors and of the result. It has the paths with even
    :math:`l_1 + l_2 + l_3` only, and irreps of natural parity :math:`(-1)^l` only; for SO(3) all
    irreps are allowed. The scale :math:`a_l` gives outputs of variance one.

    Attributes:
        rep1: Irreps of the first factor, each degree at most once, of parity (-1)^l.
        rep2: Irreps of the second factor, with the same restriction.
        rep_out: Irreps of the result, with the same restriction.
        method: How the integral is computed; all methods are exact up to rounding. ``"grid"``:
            matrix products give the values at Lebedev points on half of the sphere, of even and
            odd degrees apart; O(L^4). ``"separable"``: a Legendre transform for every order and a
            Fourier transform of the azimuth on a Gauss-Legendre grid; O(L^3). ``"fft"``:
            polynomials in two angles by fast Fourier transforms; O(L^3). ``"auto"``: ``"grid"``
            below a sum of degrees that depends on the backend, ``"separable"`` from there.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice, no path exists, or the method
            is unknown.

    References:
        Luo, Chen, Krishnapriyan, arXiv:2401.10216 (2024); on a grid: Xie, Daigavane, Kotak, Smidt,
        The Price of Freedom, arXiv:2506.13523 (2025).

    >>> product = GauntProduct(Irreps("0e+1o"), Irreps("0e+1o"), Irreps("0e+1o+2e"))
    >>> product(jnp.ones((5, 4, 8)), jnp.ones((5, 4, 8))).shape, len(product.paths)
    ((5, 9, 8), 5)
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps
    method: str = "auto"

    def _check(self) -> None:
        for name in ("rep1", "rep2", "rep_out"):
            _check_natural(name, getattr(self, name))
        if self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {_METHODS}")

    def _no_path(self) -> str:
        return (
            f"{self.rep1} x {self.rep2} has no Gaunt path into {self.rep_out}: the triangle "
            "rule and an even sum of the degrees are needed"
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The triples of copies of irreps that it couples, with fixed ratios."""
        return coupling_paths(self.rep1, self.rep2, self.rep_out, even=True)

    @property
    def num_weights(self) -> int:
        """Number of weights of a channel: one for each degree of the factors and of the result."""
        return sum(len(blocks(rep)) for rep in (self.rep1, self.rep2, self.rep_out))

    @property
    def flops(self) -> int:
        """Operations for one row and channel by the grid: three transforms and the products."""
        degree = degree_of(self.rep1, self.rep2, self.rep_out)
        return grid_flops(degree, self.rep1.dim + self.rep2.dim + self.rep_out.dim)

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        reps = (self.rep1, self.rep2, self.rep_out)
        if weights is None:
            return self._multiply(x, y)
        first, second, last = split_weights(weights, reps)
        z = self._multiply(weigh_copies(self.rep1, x, first), weigh_copies(self.rep2, y, second))
        return weigh_copies(self.rep_out, z, last)

    def _multiply(self, x: Array, y: Array) -> Array:
        reps = (self.rep1, self.rep2, self.rep_out)
        method = self.method
        if method == "auto":
            limit = _SEPARABLE_FROM.get(jax.default_backend(), _SEPARABLE_FROM["gpu"])
            method = "grid" if degree_of(*reps) < limit else "separable"
        kernels: dict[str, Callable[..., Array]] = {
            "grid": multiply_grid,
            "separable": multiply_separable,
            "fft": multiply_fourier,
        }
        kernel = functools.partial(kernels[method], reps)
        scale = gaunt_scale(self.rep1, self.rep2, self.rep_out)
        scaled = functools.partial(_scaled, kernel, scale)
        return map_batch(scaled, signal_bytes(reps, x), x, y)


@dataclasses.dataclass(frozen=True)
class ManyBodyGauntProduct:
    r"""Product of any number of features as functions on the sphere, on one grid.

    .. math:: z_{lm} = \int_{S^2} \prod_\nu F_{x_\nu}\, Y_{lm}

    One transform for each factor and one for the result, on a grid that is exact for all of them:
    equal to repeated Gaunt products whose intermediate results keep every degree.

    Attributes:
        reps: Irreps of the factors, each degree at most once, of parity (-1)^l.
        rep_out: Irreps of the result, with the same restriction.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice, or there is no factor.

    References:
        Luo, Chen, Krishnapriyan, arXiv:2401.10216 (2024), section 3.3.

    >>> power = ManyBodyGauntProduct((Irreps("0e+1o"),) * 3, Irreps("0e+1o"))
    >>> power(*[jnp.ones((5, 4, 8))] * 3).shape
    (5, 4, 8)
    """

    reps: tuple[Irreps, ...]
    rep_out: Irreps

    def __post_init__(self) -> None:
        if not self.reps:
            raise ValueError("a product needs at least one factor, got none")
        *reps, rep_out = irreps_of_one_group(*self.reps, self.rep_out)
        for i, rep in enumerate(reps):
            _check_natural(f"reps[{i}]", rep)
        _check_natural("rep_out", rep_out)
        object.__setattr__(self, "reps", tuple(reps))
        object.__setattr__(self, "rep_out", rep_out)

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: the quadrature is exact, so zero."""
        return 0.0

    def __call__(self, *factors: Float[Array, "... dim channels"]) -> Float[Array, "..."]:
        """Multiply the features, one ``[..., rep.dim, channels]`` for each rep.

        Raises:
            ValueError: If their number or a shape does not fit.
        """
        if len(factors) != len(self.reps):
            raise ValueError(f"got {len(factors)} factors for {len(self.reps)} reps")
        for i, (x, rep) in enumerate(zip(factors, self.reps, strict=True)):
            check_feature(f"factors[{i}]", x, rep)
        factors = tuple(floating(x) for x in factors)
        lead = jnp.broadcast_shapes(*(x.shape[:-2] for x in factors))
        channels = max(x.shape[-1] for x in factors)
        if channels == 0 or any(size == 0 for size in lead):
            return jnp.zeros((*lead, self.rep_out.dim, channels), factors[0].dtype)
        reps = (*self.reps, self.rep_out)

        def multiply(*factors: Array) -> Array:
            kernel = functools.partial(multiply_grid, reps)
            return map_batch(kernel, signal_bytes(reps, factors[0]), *factors)

        return keep_sharding(multiply, *factors, ndim=len(lead) + 2)


def _check_natural(name: str, rep: Irreps) -> None:
    """Refuses irreps that are no functions on the sphere.

    Args:
        name: Name of the argument.
        rep: The irreps. For SO(3), where parities say nothing, any degrees are allowed.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice.
    """
    check_no_copies("Gaunt product", name, rep)
    wrong = any(block.p != (-1) ** block.l for block in blocks(rep))
    if wrong and rep.group.linear_group != SO(3):
        raise ValueError(
            f"a Gaunt product takes functions on the sphere, which have parity (-1)^l; {name} is "
            f"{rep}. Use product='clebsch_gordan' instead, or 'complete'"
        )


def _scaled(kernel: Callable[..., Array], scale: np.ndarray, *factors: Array) -> Array:
    return kernel(*factors) * jnp.asarray(scale, factors[0].dtype)
