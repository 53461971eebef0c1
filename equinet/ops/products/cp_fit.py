r"""Offline fits of the factors of ``CPProduct``.

Run it as ``python -m equinet.ops.products.cp_fit --lmax 3``.
"""

import argparse
import dataclasses
import functools
import io
import json
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import scipy.linalg
from jaxtyping import Float

from equinet.files import atomic_file, cache_directory
from equinet.ops.products._paths import coupling_paths, path_degrees
from equinet.precision import read_only
from equinet.reps import Irreps, clebsch_gordan

Table = Float[np.ndarray, "dim dim dim"]
Factor = Float[np.ndarray, "dim rank"]
Factors = tuple[Factor, Factor, Factor]

KINDS = ("all", "even")
EXACT = 1e-10
# Ridge, pull and steps of every stage; then rounds that pull to the weights just reached, kept
# within a factor of RANGE of those wanted: the fit may choose weights, not make a path vanish.
SCHEDULE = ((3e-3, 1.0, 30), (3e-4, 1.0, 30), (3e-5, 0.3, 50), (3e-6, 0.1, 50))
ROUNDS, RANGE = 6, 1.5


@dataclasses.dataclass(frozen=True)
class Coupling:
    """One path of a stacked tensor: its degrees, where its block lies, and its table of norm 1."""

    degrees: tuple[int, int, int]
    table: Float[np.ndarray, "dim1 dim2 dim3"]

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Position of the block in the tensor of degrees 0, 1, ..., lmax."""
        first, second, third = (slice(l * l, (l + 1) ** 2) for l in self.degrees)
        return first, second, third

    @property
    def gaunt(self) -> float:
        r"""The weight :math:`\sqrt{\prod (2 l_i + 1)}\, C_{000}` that multiplies functions."""
        first, second, third = self.degrees
        norm = np.sqrt((2 * first + 1) * (2 * second + 1) * (2 * third + 1))
        return float(norm * self.table[first, second, third])


@functools.cache
def couplings(lmax: int, kind: str) -> tuple[Coupling, ...]:
    """All paths among the degrees 0, 1, ..., lmax: ``"all"``, or the paths of an even sum.

    Args:
        lmax: Largest degree.
        kind: ``"all"`` or ``"even"``.

    Returns:
        The paths, degrees of the first factor running slowest.

    Raises:
        ValueError: If the kind is unknown or the degree negative.

    >>> [len(couplings(lmax, "all")) for lmax in (1, 2, 3)], len(couplings(3, "even"))
    ([5, 15, 34], 23)
    """
    if kind not in KINDS or lmax < 0:
        raise ValueError(f"expected lmax >= 0 and a kind of {KINDS}, got {lmax} and {kind!r}")
    reps = (Irreps.spherical_harmonics(lmax, parity=1),) * 3
    triples = path_degrees(coupling_paths(*reps, even=kind == "even"), *reps)
    return tuple(Coupling(degrees, clebsch_gordan(*degrees)) for degrees in triples)


def stack(paths: Sequence[Coupling], weights: np.ndarray) -> Table:
    """The tensor whose block at each path is the weight times the coupling of norm 1."""
    dim = max(path.place[2].stop for path in paths)
    table = np.zeros((dim, dim, dim))
    for path, weight in zip(paths, weights, strict=True):
        table[path.place] = weight * path.table
    return table


def path_weights(table: Table, paths: Sequence[Coupling]) -> Float[np.ndarray, "paths"]:
    """Coefficients of the orthogonal projection onto the equivariant maps."""
    return np.array([np.vdot(path.table, table[path.place]) for path in paths])


def compose(factors: Factors) -> Table:
    """The tensor ``sum_r A_ir B_jr C_kr``.

    >>> compose((np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)))).tolist()[0]
    [[3.0, 3.0], [3.0, 3.0]]
    """
    first, second, third = factors
    return (first @ _pairs(second, third).T).reshape(len(first), len(second), len(third))


def residual(factors: Factors, kind: str) -> float:
    """Distance of the product of these factors to the equivariant maps, over its norm.

    >>> residual((np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))), "all")
    0.0
    """
    paths = couplings(int(np.sqrt(len(factors[0]))) - 1, kind)
    table = compose(factors)
    weights = path_weights(table, paths)
    return float(np.linalg.norm(table - stack(paths, weights)) / np.linalg.norm(weights))


def fit(
    lmax: int, kind: str, rank: int, *, seed: int = 0, iterations: int = 60, cg: int = 100
) -> Factors:
    r"""Factors of rank at most ``rank`` whose product is as equivariant as they can make it.

    Minimises, over the factors and over the weights of the paths,

    .. math:: \|T - \Pi T\|^2 + \epsilon \|\Pi T - M\|^2 + \rho (\|A\|^2 + \|B\|^2 + \|C\|^2),
              \quad T_{ijk} = \sum_r A_{ir} B_{jr} C_{kr}

    where :math:`\Pi` projects onto the span of the couplings. One weight is shared by all paths,
    so that any fixed ratio between them is as good, provided that none vanishes: M has weights one
    (kind ``"all"``) or the weights of the pointwise product of functions (``"even"``), and
    :math:`\epsilon` and the ridge :math:`\rho` decay. The ridge keeps the factors small, drives
    terms that are not needed to zero (they are removed) and breaks the swamps of alternating least
    squares; each step is a damped Gauss-Newton step, solved by conjugate gradients on Gram
    matrices that alternating least squares preconditions.

    Args:
        lmax: Largest degree.
        kind: ``"all"`` or ``"even"``.
        rank: Number of terms to start from.
        seed: Of the random start; the result is a function of the arguments.
        iterations: At most, in each round without ridge.
        cg: Conjugate gradient steps in one step.

    Returns:
        Three tables ``[(lmax + 1)**2, rank]``, of equal norms in each column.

    Raises:
        ValueError: If the rank is not positive.

    >>> factors = fit(1, "even", 7)
    >>> len(factors[0]), residual(factors, "even") < 1e-12
    (4, True)
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    paths = couplings(lmax, kind)
    first = np.array([path.gaunt if kind == "even" else 1.0 for path in paths])
    first /= np.exp(np.log(np.abs(first)).mean())
    dim, target = (lmax + 1) ** 2, first
    draw = np.random.default_rng(seed).normal(size=(3, dim, rank))
    draw *= (np.linalg.norm(target) / np.sqrt(rank * dim**3)) ** (1 / 3)
    factors: Factors = (draw[0], draw[1], draw[2])
    for ridge, pull, steps in (*SCHEDULE, *[(0.0, 0.1, iterations)] * ROUNDS):
        problem = _Problem(paths, stack(paths, target))
        factors = _balance(_descend(problem, factors, ridge, pull, steps, cg))
        if ridge < 1e-4:
            ratio = path_weights(compose(factors), paths) / first
            target = first * np.clip(ratio, 1 / RANGE, RANGE)
        if ridge == 0 and residual(factors, kind) < 1e-3:
            # Close to an exact solution nothing has to hold the weights any more; it is one with
            # the very weights wanted if all have been scaled alike.
            ratio = path_weights(compose(factors), paths) / first
            alike = np.ptp(ratio) < 0.01 * ratio.mean()
            problem = _Problem(paths, stack(paths, first * (ratio.mean() if alike else ratio)))
            pull = 1.0 if alike else 0.0
            return _balance(_descend(problem, factors, 0.0, pull, 4 * iterations, cg))
    return factors


def stored_ranks() -> dict[tuple[str, int], tuple[int, ...]]:
    """The stored ranks of each kind and largest degree, in the package and in the cache.

    >>> stored_ranks()["even", 1]
    (6,...)
    """
    names = [*_packaged().files, *(path.stem for path in _cache().glob("*_*_*.npy"))]
    found: dict[tuple[str, int], set[int]] = {}
    for name in names:
        kind, lmax, rank = name.split("_")
        found.setdefault((kind, int(lmax)), set()).add(int(rank))
    return {key: tuple(sorted(ranks)) for key, ranks in found.items()}


@functools.cache
def load_factors(kind: str, lmax: int, rank: int) -> Factors:
    """Stored factors of that kind, largest degree and rank, read-only.

    Raises:
        FileNotFoundError: If there are none: ``stored_ranks`` says which there are.

    >>> [factor.shape for factor in load_factors("even", 1, 6)]
    [(4, 6), (4, 6), (4, 6)]
    """
    name = f"{kind}_{lmax}_{rank}"
    table = _packaged()[name] if name in _packaged().files else np.load(_cache() / f"{name}.npy")
    return read_only(table[0]), read_only(table[1]), read_only(table[2])


def save_factors(kind: str, lmax: int, factors: Factors) -> Path:
    """Write factors to the cache, whole or not at all, and return the path of the file."""
    path = _cache() / f"{kind}_{lmax}_{factors[0].shape[1]}.npy"
    with atomic_file(path) as file:
        np.save(file, np.stack(factors))
    return path


@functools.cache
def _packaged() -> np.lib.npyio.NpzFile:
    data = resources.files("equinet.ops.products").joinpath("cp_factors.npz").read_bytes()
    return np.load(io.BytesIO(data))


def _cache() -> Path:
    return cache_directory() / "cp"


@dataclasses.dataclass(frozen=True)
class _Problem:
    paths: tuple[Coupling, ...]
    target: Table

    def defect(self, factors: Factors, pull: float) -> Table:
        """The error of the tensor, its equivariant part shortened to ``pull`` times."""
        error = compose(factors) - self.target
        if pull == 1:
            return error
        return error - (1 - pull) * stack(self.paths, path_weights(error, self.paths))

    def cost(self, factors: Factors, ridge: float, pull: float) -> float:
        error = compose(factors) - self.target
        weights = path_weights(error, self.paths)
        square = np.vdot(error, error) if pull == 1 else 0.0
        if pull < 1:
            rest = error - stack(self.paths, weights)
            square = np.vdot(rest, rest) + pull * (weights @ weights)
        return float(square + ridge * sum(np.vdot(u, u) for u in factors))

    def slopes(self, factors: Factors) -> Float[np.ndarray, "paths entries"]:
        """Derivatives of the weights of the paths with respect to all entries."""
        dims = [u.shape for u in factors]
        found = [np.zeros((len(self.paths), *shape)) for shape in dims]
        for index, path in enumerate(self.paths):
            parts = [u[place] for u, place in zip(factors, path.place, strict=True)]
            for rows, place, slope in zip(
                found, path.place, _contract(path.table, *parts), strict=True
            ):
                rows[index, place] = slope
        return np.concatenate([rows.reshape(len(self.paths), -1) for rows in found], 1)


def _descend(
    problem: _Problem, factors: Factors, ridge: float, pull: float, steps: int, cg: int
) -> Factors:
    """Levenberg-Marquardt steps until they gain nothing."""
    damping, gains = 1e-2, []
    cost = problem.cost(factors, ridge, pull)
    floor = 1e-30 * float(np.vdot(problem.target, problem.target))
    for _ in range(steps):
        move, promised = _step(problem, factors, ridge, pull, damping, cg)
        there = tuple(u + step for u, step in zip(factors, move, strict=True))
        after = problem.cost(there, ridge, pull)  # type: ignore[arg-type]
        if not after < cost:
            damping *= 4
            if damping > 1e4:
                break
            continue
        ratio = (cost - after) / max(promised, 1e-300)
        damping = max(damping / 3, 1e-13) if ratio > 0.75 else damping * (2 if ratio < 0.25 else 1)
        gains.append((cost - after) / cost)
        factors, cost = there, after  # type: ignore[assignment]
        if cost < floor or (len(gains) > 10 and max(gains[-10:]) < 1e-4):
            break
    return factors


def _step(
    problem: _Problem, factors: Factors, ridge: float, pull: float, damping: float, cg: int
) -> tuple[list[np.ndarray], float]:
    """The damped Gauss-Newton step, and the decrease of the cost that it promises."""
    shapes = [u.shape for u in factors]
    splits = np.cumsum([u.size for u in factors])[:-1]
    grams = [u.T @ u for u in factors]
    weights = [grams[1] * grams[2], grams[0] * grams[2], grams[0] * grams[1]]
    slopes = problem.slopes(factors) if pull < 1 else None
    solvers = [
        scipy.linalg.cho_factor(w + (ridge + damping) * np.eye(len(w)), check_finite=False)
        for w in weights
    ]

    def parts(p: np.ndarray) -> list[np.ndarray]:
        return [a.reshape(s) for a, s in zip(np.split(p, splits), shapes, strict=True)]

    def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([a.ravel() for a in arrays])

    def precondition(r: np.ndarray) -> np.ndarray:
        solved = [
            scipy.linalg.cho_solve(solver, a.T, check_finite=False).T
            for solver, a in zip(solvers, parts(r), strict=True)
        ]
        return flat(solved)

    def curvature(p: np.ndarray) -> np.ndarray:
        moves = parts(p)
        mixed = [m.T @ u for m, u in zip(moves, factors, strict=True)]
        result = []
        for n, u in enumerate(factors):
            a, b = (n + 1) % 3, (n + 2) % 3
            result.append(moves[n] @ weights[n] + u @ (mixed[a] * grams[b] + mixed[b] * grams[a]))
        total = flat(result) + ridge * p
        return total if slopes is None else total - (1 - pull) * (slopes.T @ (slopes @ p))

    start = flat(_contract(problem.defect(factors, pull), *factors)) + ridge * flat(factors)
    move, r = np.zeros_like(start), -start
    z = precondition(r)
    p, old = z, r @ z
    first = old
    for _ in range(cg):
        q = curvature(p) + damping * p
        length = old / (p @ q)
        move, r = move + length * p, r - length * q
        z = precondition(r)
        new = r @ z
        if new < 1e-8 * first:
            break
        p, old = z + new / old * p, new
    return parts(move), float(-2 * (start @ move) - move @ curvature(move))


def _contract(table: np.ndarray, first: Factor, second: Factor, third: Factor) -> Factors:
    """The tensor against each two of the factors: the derivative of ``<table, compose>``."""
    d1, d2, d3 = table.shape
    right = (table.reshape(d1 * d2, d3) @ third).reshape(d1, d2, -1)
    left = (first.T @ table.reshape(d1, d2 * d3)).reshape(-1, d2, d3)
    return (
        (right * second).sum(1),
        (right * first[:, None]).sum(0),
        np.matmul(second.T[:, None, :], left)[:, 0].T,
    )


def _pairs(second: Factor, third: Factor) -> np.ndarray:
    """Khatri-Rao product, ``[dim2 * dim3, rank]``."""
    return (second[:, None, :] * third[None]).reshape(-1, second.shape[1])


def _balance(factors: Factors) -> Factors:
    """Columns of equal norm in the three factors, without those that have died."""
    norms = np.array([np.linalg.norm(u, axis=0) for u in factors])
    alive = norms.prod(0) > 1e-9 * norms.prod(0).max()
    common = np.cbrt(norms[:, alive].prod(0))
    pairs = zip(factors, norms, strict=True)
    first, second, third = (u[:, alive] / n[alive] * common for u, n in pairs)
    return first, second, third


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit factors and keep the best in the cache, where ``CPProduct`` finds them."""
    parser = argparse.ArgumentParser(
        prog="python -m equinet.ops.products.cp_fit", description=main.__doc__
    )
    parser.add_argument("--lmax", type=int, required=True, help="largest degree")
    parser.add_argument("--kind", choices=KINDS, default="even", help="which paths")
    parser.add_argument("--rank", type=int, help="terms to start from; 7 lmax^2 if absent")
    parser.add_argument("--seeds", type=int, default=1, help="starts; the best is kept")
    parser.add_argument("--iterations", type=int, default=60, help="steps in each last round")
    options = parser.parse_args(arguments)
    rank = options.rank or 7 * options.lmax**2
    starts = [
        fit(options.lmax, options.kind, rank, seed=seed, iterations=options.iterations)
        for seed in range(options.seeds)
    ]
    errors = [residual(factors, options.kind) for factors in starts]
    best = starts[int(np.argmin(errors))]
    path = save_factors(options.kind, options.lmax, best)
    report = {"rank": best[0].shape[1], "residual": min(errors), "path": str(path)}
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
