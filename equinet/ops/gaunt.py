"""The Gaunt tensor product: multiply two signals on the sphere."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.clebsch_gordan import HIGHEST, Path, blocks, check_factors
from equinet.ops.s2grid import gauss_legendre_grid
from equinet.ops.spherical_harmonics import spherical_harmonics
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class GauntProduct:
    r"""Product of two features as functions on the sphere.

    .. math:: z_{lm} = a_l \int_{S^2} \Big(\sum x_{l_1 m_1} Y_{l_1 m_1}\Big)
              \Big(\sum y_{l_2 m_2} Y_{l_2 m_2}\Big)\, Y_{lm}

    on a Gauss-Legendre grid that integrates the three degrees exactly: two transforms to the grid,
    one pointwise product, one transform back. It is a Clebsch-Gordan product whose path weights
    are the Gaunt coefficients; what can be learned are weights per degree of the two factors and
    of the result. Only paths with even :math:`l_1 + l_2 + l_3` exist in it, and only natural parity
    :math:`(-1)^l`. The scale :math:`a_l` gives outputs of variance one.

    Attributes:
        rep1: Irreps of the first factor, each degree at most once, of natural parity.
        rep2: Irreps of the second factor, likewise.
        rep_out: Irreps of the result, likewise.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice, or no path exists.

    References:
        Luo, Chen, Krishnapriyan, arXiv:2401.10216 (2024); on a grid: Xie, Daigavane, Kotak, Smidt,
        The Price of Freedom, ICML 2025.

    >>> product = GauntProduct(Irreps("0e+1o"), Irreps("0e+1o"), Irreps("0e+1o+2e"))
    >>> product(jnp.ones((5, 4, 8)), jnp.ones((5, 4, 8))).shape, len(product.paths)
    ((5, 9, 8), 5)
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps

    def __post_init__(self) -> None:
        for name in ("rep1", "rep2", "rep_out"):
            rep = Irreps(getattr(self, name))
            object.__setattr__(self, name, rep)
            kinds = [(block.l, block.p) for block in blocks(rep)]
            if any(p != (-1) ** l for l, p in kinds) or len(set(kinds)) < len(kinds):
                raise ValueError(
                    f"a Gaunt product takes functions on the sphere: each degree at most once and "
                    f"of parity (-1)^l; {name} is {rep}. Use product='clebsch_gordan' instead"
                )
        if not self.paths:
            raise ValueError(f"{self.rep1} x {self.rep2} has no Gaunt path into {self.rep_out}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The triples of blocks that it contains, with fixed ratios."""
        return tuple(
            Path(i, j, k)
            for i, a in enumerate(blocks(self.rep1))
            for j, b in enumerate(blocks(self.rep2))
            for k, c in enumerate(blocks(self.rep_out))
            if abs(a.l - b.l) <= c.l <= a.l + b.l and (a.l + b.l + c.l) % 2 == 0
        )

    @property
    def num_weights(self) -> int:
        """One weight for each degree of the factors and of the result."""
        return sum(len(blocks(rep)) for rep in (self.rep1, self.rep2, self.rep_out))

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: the quadrature is exact, so zero."""
        return 0.0

    def __call__(
        self,
        x: Float[Array, "... dim1 channels"],
        y: Float[Array, "... dim2 channels"],
        weights: Float[Array, "... num_weights channels"] | None = None,
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply two features.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels]``.
            weights: Weights of the degrees of x, of y and of the result, one after the other,
                ``[num_weights, channels]`` or ``[..., num_weights, channels]``; ones if absent.

        Returns:
            ``[..., rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_factors(self, x, y, weights)
        rank = max(x.ndim, y.ndim, 0 if weights is None else weights.ndim)
        x, y = (a.reshape((1,) * (rank - a.ndim) + a.shape) for a in (x, y))
        first, second, back = (
            jnp.asarray(table, x.dtype) for table in _tables(self.rep1, self.rep2, self.rep_out)
        )
        if weights is not None:
            spread = weights[..., _owners(self.rep1, self.rep2, self.rep_out), :].astype(x.dtype)
            w1, w2, w3 = jnp.split(spread, (self.rep1.dim, self.rep1.dim + self.rep2.dim), axis=-2)
            x, y = _times(x, w1), _times(y, w2)
        signal = _transform(first, x) * _transform(second, y)
        z = _transform(back, signal)
        return z if weights is None else _times(z, w3)


def _transform(table: Array, x: Array) -> Array:
    return jnp.einsum("pm,...mc->...pc", table, x, precision=HIGHEST)


def _times(x: Array, weights: Array) -> Array:
    return x * weights.reshape((1,) * (x.ndim - weights.ndim) + weights.shape)


@functools.cache
def _owners(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> np.ndarray:
    """Row of the weights for every component of the three reps."""
    degrees = [2 * block.l + 1 for rep in (rep1, rep2, rep_out) for block in blocks(rep)]
    return np.repeat(np.arange(len(degrees), dtype=np.int32), degrees)


@functools.cache
def _tables(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[np.ndarray, ...]:
    """To the grid for both factors, and back with quadrature weights and scale."""
    degrees = [max(block.l for block in blocks(rep)) for rep in (rep1, rep2, rep_out)]
    points, quadrature = gauss_legendre_grid(sum(degrees))
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        harmonics = np.asarray(spherical_harmonics(max(degrees), jnp.asarray(points)))
    first, second, back = (
        np.concatenate([harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in blocks(rep)], axis=1)
        for rep in (rep1, rep2, rep_out)
    )
    couplings = np.einsum("p,pi,pj,pk->ijk", quadrature, first, second, back, optimize=True)
    power = (couplings**2).sum((0, 1))
    scale = np.concatenate([np.full(2 * b.l + 1, power[b.slice].mean()) for b in blocks(rep_out)])
    scale = np.where(scale > 1e-20, scale, 1) ** -0.5
    return first, second, (back * quadrature[:, None] * scale).T
