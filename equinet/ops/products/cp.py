"""The CP-decomposed tensor product: all paths at once in three matrix products."""

import dataclasses
import functools
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from equinet.ops.products._base import ProductBase, at_rank, check_no_copies
from equinet.ops.products._paths import (
    Path,
    blocks,
    coupling_paths,
    path_degrees,
    spread_copies,
    variance_scales,
)
from equinet.ops.products.cp_fit import EXACT, KINDS, Factors, load_factors, residual, stored_ranks
from equinet.precision import HIGHEST, read_only
from equinet.reps import Irreps, clebsch_gordan, so3_generators

_LARGEST = 2**22
"""Size of a coupling table beyond which only stored decompositions are used."""


@dataclasses.dataclass(frozen=True)
class CPProduct(ProductBase):
    r"""Tensor product by a canonical polyadic decomposition of all coupling tables together.

    .. math:: z = A \big((B^T x) \odot (C^T y)\big), \qquad
              \sum_r A_{kr} B_{ir} C_{jr} \approx a_{l_3} \sum_{paths} g_{path}
              C^{l_1 l_2 l_3}_{ijk}

    with R columns in each factor: ``2 R (dim1 + dim2 + dim_out)`` operations instead of one small
    contraction a path. All paths share one weight a channel, so the number of parameters does not
    depend on the degree. The ratios g between paths are fixed: ``path_weights``. Where the parities
    admit odd sums :math:`l_1 + l_2 + l_3` they are near one. Where they admit only even sums, as
    for natural parity, they are those of the pointwise product of functions: the fit then ends in
    the smallest known cubature formulas of degree :math:`3 l_{max}` on the sphere, 6, 18, 32, 58,
    82 and 123 points for :math:`l_{max}` 1 to 6, all exact: ``GauntProduct`` with one weight. The
    scale :math:`a_l` gives outputs of variance one.

    Where the factors are exact to rounding, so is the equivariance; otherwise the error of the fit
    breaks it, by ``equivariance_error``.

    Attributes:
        rep1: Irreps of the first factor, each degree at most once.
        rep2: Irreps of the second factor, with the same restriction.
        rep_out: Irreps of the result, with the same restriction.
        rank: None: the smallest exact rank stored for the degree, or without one the largest up to
            :math:`7 l_{max}^2`; ``"exact"``: the smallest exact one or an error; or a stored rank.

    Raises:
        ValueError: If a degree occurs twice, the parities admit neither all paths nor exactly those
            of an even sum, no path exists, or no factors are stored for the degree or the rank.

    References:
        Lin et al., Tensor Decomposition Networks, arXiv:2507.01131 (2025): rank
        :math:`7 l_{max}^2` and the shared weight, with factors trained by gradient descent. Exact
        decompositions: ours.

    >>> product = CPProduct(Irreps("0e+1o"), Irreps("0e+1o"), Irreps("0e+1o"))
    >>> product(jnp.ones((5, 4, 8)), jnp.ones((5, 4, 8))).shape, product.terms
    ((5, 4, 8), 6)
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps
    rank: int | Literal["exact"] | None = None

    def _check(self) -> None:
        for name in ("rep1", "rep2", "rep_out"):
            check_no_copies("CP product", name, getattr(self, name), degree_only=True)
        if self.paths:
            _factors(self.rep1, self.rep2, self.rep_out, self.rank)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The triples of copies of irreps that it couples, with fixed ratios."""
        return coupling_paths(self.rep1, self.rep2, self.rep_out)

    @property
    def num_weights(self) -> int:
        """Number of weights of a channel: one, which all paths share."""
        return 1

    @property
    def terms(self) -> int:
        """Rank of the decomposition: the number of columns R of the factors."""
        return _factors(self.rep1, self.rep2, self.rep_out, self.rank)[0].shape[1]

    @property
    def equivariance_error(self) -> float:
        """Largest ``|f(Dx, Dy) - D f(x, y)| / RMS f`` over random rotations, inversions and inputs.

        Measured in float64 with Gaussian inputs when it is first asked for. A sample, not a proof.
        """
        return _measured_error(self.rep1, self.rep2, self.rep_out, self.rank)

    @property
    def path_weights(self) -> tuple[float, ...]:
        """The weight of each path, as ``ClebschGordanProduct`` counts them (ones are its own).

        >>> rep = Irreps("0e+1e")
        >>> [round(weight, 2) for weight in CPProduct(rep, rep, rep).path_weights]
        [1.02, 0.98, 0.98, 0.98, 1.04]
        """
        table = _compose(_factors(self.rep1, self.rep2, self.rep_out, self.rank))
        found = _project(table, self.rep1, self.rep2, self.rep_out)[1]
        into = np.bincount([path.result for path in self.paths])
        degrees = [block.l for block in blocks(self.rep_out)]
        return tuple(
            float(w * np.sqrt(into[path.result] / (2 * degrees[path.result] + 1)))
            for w, path in zip(found, self.paths, strict=True)
        )

    @property
    def flops(self) -> int:
        """Floating-point operations for one row and channel, by three matrix products."""
        return self.terms * (2 * (self.rep1.dim + self.rep2.dim + self.rep_out.dim) + 1)

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        first, second, back = (
            jnp.asarray(table, x.dtype)
            for table in _factors(self.rep1, self.rep2, self.rep_out, self.rank)
        )
        z = _map(back, _map(first.T, x) * _map(second.T, y))
        if weights is None:
            return z
        rank = max(z.ndim, weights.ndim)
        return at_rank(z, rank) * at_rank(weights, rank)


def _map(table: Array, x: Array) -> Array:
    return jnp.einsum("pm,...mc->...pc", table, x, precision=HIGHEST)


def _kind(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> str:
    """Which of the stored tensors has exactly the paths that the parities admit."""
    reps = rep1, rep2, rep_out
    wanted = coupling_paths(*reps)
    if wanted == coupling_paths(*reps, even=True, parity=False):
        return "even"
    if wanted == coupling_paths(*reps, parity=False):
        return "all"
    raise ValueError(
        f"a CP product holds all paths (every parity even) or exactly those of even l1 + l2 + l3 "
        f"(parity (-1)^l); {rep1} x {rep2} into {rep_out} admits others. "
        "Use product='clebsch_gordan' instead"
    )


@functools.cache
def _factors(rep1: Irreps, rep2: Irreps, rep_out: Irreps, rank: int | str | None) -> Factors:
    """B, C and A: rows of the stored factors, the result scaled to variance one."""
    reps = (rep1, rep2, rep_out)
    kind, lmax = _kind(*reps), max(block.l for rep in reps for block in blocks(rep))
    small = rep1.dim * rep2.dim * rep_out.dim <= _LARGEST
    trivial = _by_fibres(*reps) if small else None
    terms = trivial[0].shape[1] if trivial else _LARGEST
    chosen = None
    stored = _choose(kind, lmax, rank, terms)
    if stored is not None:
        first, second, third = (
            np.concatenate([u[b.l**2 : (b.l + 1) ** 2] for b in blocks(rep)])
            for u, rep in zip(load_factors(kind, *stored), reps, strict=True)
        )
        alive = np.all([np.linalg.norm(u, axis=0) > 1e-12 for u in (first, second, third)], axis=0)
        chosen = (first[:, alive], second[:, alive], third[:, alive])
    if chosen is None or (not isinstance(rank, int) and terms <= chosen[0].shape[1]):
        chosen = trivial
    assert chosen is not None
    first, second, third = chosen
    scales = variance_scales(rep_out, coupling_paths(*reps), _project(_compose(chosen), *reps)[1])
    third = third * spread_copies(rep_out, scales)
    first, second, third = (read_only(np.ascontiguousarray(u)) for u in (first, second, third))
    return first, second, third


def _choose(kind: str, lmax: int, rank: int | str | None, trivial: int) -> tuple[int, int] | None:
    """Degree and rank of the stored factors to use; None where the trivial ones do."""
    known = stored_ranks()
    degrees = sorted(l for k, l in known if k == kind and l >= lmax)
    if rank is not None and rank != "exact" and (not isinstance(rank, int) or rank < 1):
        raise ValueError(f"rank must be a positive number, 'exact' or None, got {rank!r}")
    if isinstance(rank, int):
        for l in degrees:
            if rank in known[kind, l]:
                return l, rank
        have = {l: known[kind, l] for l in degrees}
        raise ValueError(
            f"no factors of rank {rank} for {kind} paths to degree {lmax}; ranks by degree: {have}."
            " Fit them: python -m equinet.ops.products.cp_fit "
            f"--kind {kind} --lmax {lmax} --rank {rank}"
        )
    for l in degrees:
        exact = [r for r in known[kind, l] if _is_exact(kind, l, r)]
        if exact:
            return l, min(exact)
        close = [r for r in known[kind, l] if r <= 7 * l * l]
        if rank is None and close:
            return l, max(close)
    if trivial <= 7 * lmax * lmax or lmax == 0:
        return None
    ships = {k: sorted(l for name, l in known if name == k) for k in KINDS}
    raise ValueError(
        f"no {'exact ' if rank else ''}factors of {kind} paths to degree {lmax}; degrees stored: "
        f"{ships}. Fit them: python -m equinet.ops.products.cp_fit --kind {kind} --lmax {lmax}"
        f", or use product='{'gaunt' if kind == 'even' else 'clebsch_gordan'}'"
    )


@functools.cache
def _is_exact(kind: str, lmax: int, rank: int) -> bool:
    return residual(load_factors(kind, lmax, rank), kind) < EXACT


def _couplings(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> list[tuple]:
    """For every path the entries of the product's tensor and the coupling of norm one."""
    reps = rep1, rep2, rep_out
    paths = coupling_paths(*reps)
    places = [
        (blocks(rep1)[p.first].slice, blocks(rep2)[p.second].slice, blocks(rep_out)[p.result].slice)
        for p in paths
    ]
    tables = [clebsch_gordan(*degrees) for degrees in path_degrees(paths, *reps)]
    return list(zip(places, tables, strict=True))


def _project(
    table: np.ndarray, rep1: Irreps, rep2: Irreps, rep_out: Irreps
) -> tuple[np.ndarray, list[float]]:
    """The nearest equivariant map and its weights of the couplings of norm one."""
    nearest, weights = np.zeros_like(table), []
    for place, coupling in _couplings(rep1, rep2, rep_out):
        weights.append(float(np.vdot(coupling, table[place])))
        nearest[place] = weights[-1] * coupling
    return nearest, weights


def _by_fibres(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> Factors:
    """The decomposition with one term for each pair of components of two factors that meet.

    Short where a rep is small: scalars of the result need one term for each component of a factor.
    """
    table = np.zeros((rep1.dim, rep2.dim, rep_out.dim))
    for place, coupling in _couplings(rep1, rep2, rep_out):
        table[place] = coupling
    pairs = [np.argwhere(np.abs(table).sum(axis) > 0) for axis in range(3)]
    axis = min(range(3), key=lambda n: len(pairs[n]))
    a, b = (n for n in range(3) if n != axis)
    rows = pairs[axis]
    found: list[np.ndarray] = [np.empty(0)] * 3
    found[a], found[b] = (
        np.eye(table.shape[a])[:, rows[:, 0]],
        np.eye(table.shape[b])[:, rows[:, 1]],
    )
    found[axis] = np.moveaxis(table, axis, 0)[:, rows[:, 0], rows[:, 1]]
    return found[0], found[1], found[2]


def _compose(factors: Factors) -> np.ndarray:
    first, second, third = factors
    return np.einsum("ir,jr,kr->ijk", first, second, third, optimize=True)


@functools.cache
def _measured_error(
    rep1: Irreps, rep2: Irreps, rep_out: Irreps, rank: int | str | None, samples: int = 32
) -> float:
    factors, rng = _factors(rep1, rep2, rep_out, rank), np.random.default_rng(0)

    def multiply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ factors[0] * (y @ factors[1])) @ factors[2].T

    x, y = (rng.normal(size=(256, rep.dim)) for rep in (rep1, rep2))
    z, worst = multiply(x, y), 0.0
    for index in range(samples):
        axis = rng.normal(size=3)
        axis *= rng.uniform(0, np.pi) / np.linalg.norm(axis)
        d1, d2, d3 = (_action(rep, axis, index % 2 == 1) for rep in (rep1, rep2, rep_out))
        worst = max(worst, np.abs(multiply(x @ d1.T, y @ d2.T) - z @ d3.T).max())
    return float(worst / np.sqrt((z**2).mean()))


def _action(rep: Irreps, axis: np.ndarray, invert: bool) -> np.ndarray:
    """The matrix of a rotation vector on all irreps, after the inversion where that is asked for.

    The exponential is taken by eigenvalues, which are whole numbers: it is orthogonal to rounding.
    """
    angle, matrix = np.linalg.norm(axis), np.zeros((rep.dim, rep.dim))
    for b in blocks(rep):
        generator = np.tensordot(axis / angle, so3_generators(b.l), 1)
        values, vectors = np.linalg.eigh(1j * generator)
        phases = np.exp(-1j * angle * np.round(values))
        rotation = ((vectors * phases) @ vectors.conj().T).real
        matrix[b.slice, b.slice] = b.p * rotation if invert else rotation
    return matrix
