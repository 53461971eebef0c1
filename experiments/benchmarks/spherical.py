"""How long do spherical harmonics of many vectors, and Wigner matrices of many rotations, take?

    python -m experiments.benchmarks.spherical [--peers sphericart,e3nn-jax] [--lmax 1 2 3 6 10]

Part `harmonics`: all degrees to lmax of 100,000 vectors. Part `wigner`: the matrices of all degrees
to lmax of 10,000 rotations; ours take rotation matrices, e3nn-jax takes these or Euler angles.
Float32. The direction forward+backward gives the values and, for a fixed cotangent, the gradient of
the vectors or of the rotations. Where a library has several ways to a result, the fastest of them
in that direction is timed. Before the timing values and gradients are compared with ours in
float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np

from equinet.reps import spherical_harmonics, wigner_matrices
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.rows import OURS, Row, parser, report, some_of, write
from experiments.benchmarks.harness.sides import (
    Arrays,
    Budget,
    Side,
    Start,
    measure,
    start_fastest,
    start_side,
    start_worker,
    with_gradients,
)
from experiments.benchmarks.peers.so3_reference import compare, relative, vectors_of

NAME = "spherical"
PEERS = ("sphericart", "e3nn-jax")
PARTS = ("harmonics", "wigner")
DEGREES = (1, 2, 3, 6, 10)
VECTORS, ROTATIONS, CHECKED = 100_000, 10_000, 100
LARGEST_ERROR = 1e-4
# Of e3nn_jax.spherical_harmonics; with others the backward pass takes minutes or does not exist.
ALGORITHMS: dict[str, list[tuple[str, ...] | None]] = {
    "forward": [None, ("recursive", "dense"), ("recursive", "sparse")],
    "forward+backward": [None, ("recursive", "dense"), ("recursive", "dense", "custom_jvp")],
}


def in_float64(function: Callable[..., Any], cotangent: Any, argument: np.ndarray) -> Any:
    """Values and gradient of the first entries in float64, as numpy."""
    with jax.enable_x64(True):
        double = functools.partial(np.asarray, dtype=np.float64)
        arrays = jax.tree.map(lambda a: jnp.asarray(double(a)[:CHECKED]), (cotangent, argument))
        return jax.tree.map(np.asarray, jax.jit(with_gradients(function))(*arrays))


def harmonics_starts(lmax: int, peers: Sequence[str]) -> dict[str, Start]:
    """Ours, e3nn-jax and sphericart on the same vectors."""
    case = {"lmax": lmax, "vectors": VECTORS, "checked": CHECKED}
    vectors, cotangent = vectors_of(case)
    irreps = e3nn_jax.s2_irreps(lmax)
    ours = functools.partial(spherical_harmonics, lmax)
    values, (gradient,) = in_float64(ours, cotangent, vectors)

    def theirs(algorithm: Any, vectors: jax.Array) -> jax.Array:
        return e3nn_jax.spherical_harmonics(irreps, vectors, True, algorithm=algorithm).array

    def side(library: str, function: Callable[..., Any]) -> Side:
        return Side(
            library=library,
            function=function,
            inputs=(jnp.asarray(vectors),),
            cotangent=jnp.asarray(cotangent),
            found=_named("output", "gradient"),
        )

    def judge(found: Arrays) -> None:
        expected = {"output": values, "gradient": gradient}
        errors = {
            name: relative(a[:CHECKED], expected[name.split(",")[0]]) for name, a in found.items()
        }
        compare(errors, LARGEST_ERROR)

    def start_e3nn_jax(direction: str) -> Any:
        ways = [functools.partial(theirs, way) for way in ALGORITHMS[direction]]
        return start_fastest([side("e3nn-jax", way) for way in ways], direction, judge)

    starts: dict[str, Start] = {OURS: lambda d: start_side(side(OURS, ours), d, judge)}
    if "e3nn-jax" in peers:
        starts["e3nn-jax"] = start_e3nn_jax
    if "sphericart" in peers:
        starts["sphericart"] = lambda direction: start_worker(
            "sphericart", "e3nn", "sphericart_worker.py", case | {"direction": direction}, judge
        )
    return starts


def _named(*names: str) -> Callable[..., Arrays]:
    """Names for an output and the gradients that may follow."""
    return lambda *arrays: {n: np.asarray(a) for n, a in zip(names, arrays, strict=False)}


def wigner_starts(lmax: int, peers: Sequence[str]) -> dict[str, Start]:
    """Ours from matrices; e3nn-jax from matrices or from angles, whichever is faster."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0.1, 3.0, size=(ROTATIONS, 3)).astype(np.float32)
    cotangent = tuple(
        rng.normal(size=(ROTATIONS, 2 * l + 1, 2 * l + 1)).astype(np.float32)
        for l in range(lmax + 1)
    )
    irreps = [e3nn_jax.Irrep(l, 1) for l in range(lmax + 1)]

    def rotations(angles: jax.Array) -> jax.Array:
        return e3nn_jax.angles_to_matrix(*(angles[..., i] for i in range(3)))

    def from_angles(angles: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(
            ir.D_from_angles(angles[..., 0], angles[..., 1], angles[..., 2]) for ir in irreps
        )

    def from_matrices(matrices: jax.Array) -> tuple[jax.Array, ...]:
        turns = e3nn_jax.matrix_to_angles(matrices)
        return tuple(ir.D_from_angles(*turns) for ir in irreps)

    def ours(matrices: jax.Array) -> tuple[jax.Array, ...]:
        return wigner_matrices(lmax, matrices)

    def of_angles(angles: jax.Array) -> tuple[jax.Array, ...]:
        return ours(rotations(angles))

    matrices = np.asarray(jax.jit(rotations)(angles))
    values, (gradient,) = in_float64(of_angles, cotangent, angles)
    _, (ambient,) = in_float64(ours, cotangent, matrices)
    expected = {"angles": gradient, "matrices": tangent(matrices[:CHECKED], ambient)}

    def side(library: str, function: Callable[..., Any], name: str) -> Side:
        def found(output: Any, *gradients: Any) -> Arrays:
            named = {f"degree {l}": np.asarray(array[:CHECKED]) for l, array in enumerate(output)}
            for array in gradients:
                first = np.asarray(array[:CHECKED])
                named[name] = first if name == "angles" else tangent(matrices[:CHECKED], first)
            return named

        return Side(
            library=library,
            function=function,
            inputs=(jnp.asarray(angles if name == "angles" else matrices),),
            cotangent=tuple(jnp.asarray(array) for array in cotangent),
            found=found,
        )

    def judge(found: Arrays) -> None:
        known = expected | {f"degree {l}": array for l, array in enumerate(values)}
        compare({name: relative(a, known[name]) for name, a in found.items()}, LARGEST_ERROR)

    sides = [side("e3nn-jax", from_angles, "angles"), side("e3nn-jax", from_matrices, "matrices")]
    starts: dict[str, Start] = {OURS: lambda d: start_side(side(OURS, ours, "matrices"), d, judge)}
    if "e3nn-jax" in peers:
        starts["e3nn-jax"] = lambda direction: start_fastest(sides, direction, judge)
    return starts


def tangent(matrices: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The part of a gradient along the rotations, the only one that all formulas share."""
    pulled = np.swapaxes(matrices, -1, -2) @ gradient
    return pulled - np.swapaxes(pulled, -1, -2)


def case_of(part: str, lmax: int) -> dict[str, Any]:
    """What a row says about the case."""
    count = {"vectors": VECTORS} if part == "harmonics" else {"rotations": ROTATIONS}
    return {"lmax": lmax, **count, "dtype": "float32"}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: both parts at every degree."""
    option_parser = parser((__doc__ or "").splitlines()[0], PEERS)
    option_parser.add_argument("--lmax", type=int, nargs="+", default=list(DEGREES), metavar="L")
    option_parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), metavar="a,b")
    chosen = option_parser.parse_args(arguments)
    if min(chosen.lmax) < 1:
        option_parser.error(f"got --lmax {min(chosen.lmax)}, expected 1 or more")
    keep_freed_memory()
    rows: list[Row] = []
    budget = Budget()
    for part in chosen.parts:
        make = harmonics_starts if part == "harmonics" else wigner_starts
        for lmax in sorted(set(chosen.lmax)):
            case, starts = case_of(part, lmax), make(lmax, chosen.peers)
            rows += measure(NAME, case, starts, budget, repeats=chosen.repeats, part=part)
            if chosen.json is not None:  # a run that is cut off keeps what it has measured
                write(rows, chosen.json)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
