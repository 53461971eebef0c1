"""How long do the messages along the edges of a graph take?

    python -m experiments.benchmarks.edge_convolutions [--peers e3nn-jax,e3x] [--lmax 1 2 3 4 6]
        [--convolutions clebsch_gordan,so2,gaunt] [--json FILE]

2048 edges, 64 channels, degrees 0 to L, float32. Everything that depends on the edge's direction is
inside: spherical harmonics or Wigner matrices. The direction forward+backward gives the messages
and, for a random cotangent, the gradients of features, edge vectors, radial weights and weights.

- `clebsch_gordan`: the product with the harmonics, all paths that SO(3) allows, with a radial
  weight for every edge, path and channel; e3x makes these of 8 functions and shared weights.
- `so2`: rotate to the edge, mix degrees and channels for every order up to mmax, rotate back; part
  `wigner` is the rotations alone, part `gemm` the mixing matrices alone.
- `gaunt`: multiply on the sphere, with radial weights of the degrees.

Before the timing the messages and gradients of some edges are compared with plain forms in float64.
Where a library has several ways, its fastest in that direction is timed. The floor is that of the
mixing matrices for `so2`, and of the operations that our convolution states for the others.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equinet.reps import Irreps, spherical_harmonics
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.race import Ceilings, measure_ceilings
from experiments.benchmarks.harness.rows import OURS, Row, parser, report, some_of, write
from experiments.benchmarks.harness.sides import (
    Budget,
    Judge,
    Side,
    Start,
    found_in,
    measure,
    start_fastest,
    start_side,
    start_worker,
)
from experiments.benchmarks.peers import edges_jax
from experiments.benchmarks.peers.so2_reference import so2_inputs, so2_reference
from experiments.benchmarks.peers.so3_reference import (
    Arrays,
    all_paths,
    compare,
    fit_scales,
    natural_paths,
    product_reference,
    relative,
)

NAME = "edge_convolutions"
KINDS = ("clebsch_gordan", "so2", "gaunt")
PEERS = ("e3nn-jax", "e3x", "cuequivariance-jax", "fairchem-core")
DEGREES = (1, 2, 3, 4, 6)
EDGES, CHANNELS, CHECKED = 2048, 64, 4
TRUNCATED = 2  # the other mmax that is timed
CLASSES = {
    "clebsch_gordan": ("equinet.ops.edges", "ClebschGordanConvolution"),
    "so2": ("equinet.ops.edges", "SO2Convolution"),
    "gaunt": ("equinet.ops.edges", "GauntConvolution"),
}


def case_of(kind: str, lmax: int, mmax: int | None = None) -> dict[str, Any]:
    """What a row says about the case."""
    case = {"convolution": kind, "lmax": lmax, "channels": CHANNELS, "edges": EDGES}
    return case if mmax is None else case | {"mmax": mmax}


def our_convolution(case: dict[str, Any]) -> Any:
    """Our convolution of the case: every path of SO(3), or natural parity for Gaunt products.

    Raises:
        ValueError: If there is none.
    """
    kind, lmax = case["convolution"], case["lmax"]
    parities = [(-1) ** l if kind == "gaunt" else 1 for l in range(lmax + 1)]
    rep = Irreps([(1, (l, p)) for l, p in enumerate(parities)])
    module, name = CLASSES[kind]
    made = getattr(importlib.import_module(module), name, None) if find_spec(module) else None
    if made is None or not hasattr(made, "messages"):
        raise ValueError(f"equinet has no convolution {kind!r} with messages")
    if kind == "so2":
        return made(rep, rep, case["channels"], case["channels"], mmax=case["mmax"])
    if kind == "clebsch_gordan":
        return made(rep, rep, rep, method="aligned")
    return made(rep, rep, rep)


def our_messages(convolution: Any) -> Callable[..., Any]:
    """Features, vectors, radial weights and weights to messages, directions and all."""

    def function(x: jax.Array, vectors: jax.Array, radial: jax.Array, weights: Any) -> jax.Array:
        return convolution.messages(x, convolution.edge_features(vectors), radial, weights)

    return function


def our_side(case: dict[str, Any], data: Arrays, radial: np.ndarray, weights: Any) -> Side:
    """Our convolution with these radial weights, in its order of rows."""
    return Side(
        library=OURS,
        function=our_messages(our_convolution(case)),
        inputs=(*(jnp.asarray(a) for a in (data["x"], data["vectors"], radial)), weights),
        cotangent=jnp.asarray(data["cotangent"]),
        found=found_in(np.asarray, None, np.asarray, ("x", "vectors", "radial")),
    )


def path_inputs(case: dict[str, Any], rows: int) -> Arrays:
    """Features, edge vectors, cotangent and radial weights with that many rows."""
    rng = np.random.default_rng(0)
    edges, channels, dim = case["edges"], case["channels"], (case["lmax"] + 1) ** 2
    shapes = {
        "x": (edges, dim, channels),
        "vectors": (edges, 3),
        "cotangent": (edges, dim, channels),
        "weights": (edges, rows, channels),
    }
    return {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def judge_messages(
    found: Arrays, data: Arrays, weights: np.ndarray, paths: Sequence[tuple[int, int, int]]
) -> None:
    """Compares messages with the paths of features and harmonics, one factor for each path.

    Args:
        found: `output`, and the gradients `x`, `vectors` and `weights` if there are any.
        data: The inputs.
        weights: What the weights of the library amount to, `[edges, paths, channels]`.
        paths: The paths.

    Raises:
        ValueError: If they differ by more than rounding in float32.
    """
    lmax = max(path[2] for path in paths)
    first = {name: array[:CHECKED] for name, array in data.items()}
    found = {name: array[:CHECKED] for name, array in found.items()}
    with jax.enable_x64(True):
        vectors = jnp.asarray(first["vectors"], jnp.float64)
        y, pull = jax.vjp(functools.partial(spherical_harmonics, lmax), vectors)
        first["y"] = np.asarray(y)[..., None]
        couplings, _ = product_reference(first, paths)
        scales, error = fit_scales(found["output"], couplings, weights[:CHECKED], paths)
        scaled = weights[:CHECKED] * scales[:, None]
        _, expected = product_reference(first, paths, scaled)
        (gradient,) = pull(jnp.asarray(expected.pop("y").sum(-1)))
    expected |= {
        "vectors": np.asarray(gradient),
        "weights": expected["weights"] * scales[:, None],
    }
    errors = {n: relative(array, expected[n]) for n, array in found.items() if n in expected}
    compare({"paths": error} | errors)


def path_starts(case: dict[str, Any], peers: Sequence[str]) -> dict[str, Start]:
    """The Clebsch-Gordan convolutions: ours, and those of the peers."""
    lmax = case["lmax"]
    paths = all_paths(lmax)
    data = path_inputs(case, len(paths))

    def judge(found: Arrays, weights: np.ndarray | None = None) -> None:
        judge_messages(found, data, data["weights"] if weights is None else weights, paths)

    def ours() -> Side:
        own = our_paths(our_convolution(case))
        order = np.array([paths.index(path) for path in own])
        return our_side(case, data, data["weights"][:, order], None)

    starts: dict[str, Start] = {OURS: _start(ours, judge)}
    makes: dict[str, Callable[[], Side]] = {
        "e3nn-jax": lambda: edges_jax.e3nn_jax_messages(lmax, data),
        "cuequivariance-jax": lambda: edges_jax.cuequivariance_messages(lmax, data),
    }
    starts |= {name: _start(make, judge) for name, make in makes.items() if name in peers}
    if "e3x" in peers:
        amounting = functools.partial(edges_jax.e3x_weights, lmax, data)
        starts["e3x"] = _start(
            lambda: edges_jax.e3x_messages(lmax, data), lambda found: judge(found, amounting())
        )
    return starts


def our_paths(convolution: Any) -> list[tuple[int, int, int]]:
    """Degrees of feature, filter and result of every path; each degree is there once."""
    return [(path.second, path.first, path.result) for path in convolution.paths]


def gaunt_starts(case: dict[str, Any], peers: Sequence[str]) -> dict[str, Start]:
    """Our Gaunt convolution and e3nn-jax's grid, both with radial weights of all degrees."""
    lmax, paths = case["lmax"], natural_paths(case["lmax"])
    data = path_inputs(case, 3 * (lmax + 1))
    first, second, last = np.array(paths).T + np.array([[0], [lmax + 1], [2 * (lmax + 1)]])
    weights = data["weights"]
    amounting = weights[:, first] * weights[:, second] * weights[:, last]

    def judge(found: Arrays) -> None:
        named = {name: array for name, array in found.items() if name != "weights"}
        judge_messages(named, data, amounting, paths)

    starts: dict[str, Start] = {OURS: _start(lambda: our_side(case, data, weights, None), judge)}
    if "e3nn-jax" in peers:
        starts["e3nn-jax"] = lambda direction: start_fastest(
            [edges_jax.e3nn_jax_grid_messages(lmax, data, fft=fft) for fft in (False, True)],
            direction,
            judge,
        )
    return starts


def so2_starts(case: dict[str, Any], peers: Sequence[str], part: str) -> dict[str, Start]:
    """Our SO(2) convolution and that of fairchem, with the same matrices; all of it or a part."""
    lmax, mmax = case["lmax"], case["mmax"]
    data = so2_inputs(case)
    expected = so2_reference(data, lmax, mmax) if part == "messages" else {}

    def judge(found: Arrays) -> None:
        errors = {
            name: relative(array[:CHECKED], expected[name.split(",")[0]])
            for name, array in found.items()
        }
        compare(errors or {"nothing": 0.0})

    def messages() -> Side:
        weights = our_matrices(our_convolution(case), data["matrices"])
        return our_side(case, data, data["radial"], weights)

    def rotations() -> Side:
        return alone(our_convolution(case).edge_features, jnp.asarray(data["vectors"]))

    def gemm() -> Side:
        return alone(mix, *mixed(data))

    make = {"messages": messages, "wigner": rotations, "gemm": gemm}[part]
    starts: dict[str, Start] = {OURS: _start(make, judge)}
    if "fairchem-core" in peers and part != "gemm":
        options = case | {"part": "all" if part == "messages" else part}
        starts["fairchem-core"] = lambda direction: start_worker(
            "fairchem-core",
            "fairchem",
            "fairchem_worker.py",
            options | {"direction": direction},
            judge,
        )
    return starts


def our_matrices(convolution: Any, matrices: Sequence[np.ndarray]) -> tuple[jax.Array, ...]:
    """The matrices of all orders as our convolution takes them: input first."""
    return tuple(
        jnp.asarray(np.swapaxes(matrix, 1, 2).reshape(shape))
        for matrix, shape in zip(matrices, convolution.weight_shapes, strict=True)
    )


def alone(function: Callable[..., Any], *inputs: Any) -> Side:
    """A part of our convolution, with ones as cotangent and nothing to compare."""
    ones = jax.tree.map(
        lambda shape: jnp.ones(shape.shape, shape.dtype), jax.eval_shape(function, *inputs)
    )
    return Side(library=OURS, function=function, inputs=inputs, cotangent=ones, found=lambda *_: {})


def mixed(data: dict[str, Any]) -> tuple[list[jax.Array], list[jax.Array]]:
    """What the matrices of every order are multiplied with, and they: one product for each |m|.

    The components m and -m stand side by side, with the real form of the complex matrix.
    """
    rows, matrices = [], []
    for matrix in data["matrices"]:
        first, last = matrix[0], matrix[-1]
        real = first if len(matrix) == 1 else np.block([[first, -last], [last, first]])
        matrices.append(jnp.asarray(real.T))
        rows.append(jnp.ones((len(data["x"]), len(real)), jnp.float32))
    return rows, matrices


def mix(rows: list[jax.Array], matrices: list[jax.Array]) -> list[jax.Array]:
    """One product of matrices for each |m|."""
    return [
        jnp.matmul(x, matrix, precision="highest") for x, matrix in zip(rows, matrices, strict=True)
    ]


def _start(make: Callable[[], Side], judge: Judge) -> Start:
    return lambda direction: start_side(make(), direction, judge)


def work_of(case: dict[str, Any]) -> tuple[float, float] | None:
    """Operations and bytes of the direction forward, where they are known."""
    edges, channels, dim = case["edges"], case["channels"], (case["lmax"] + 1) ** 2
    features = 4.0 * edges * channels * dim
    if case["convolution"] == "so2":
        widths = [(1 if m == 0 else 2) * (case["lmax"] + 1 - m) for m in range(case["mmax"] + 1)]
        flops = sum(2.0 * edges * (width * channels) ** 2 for width in widths)
        return flops, 2 * features
    try:
        convolution = our_convolution(case)
        return edges * channels * convolution.flops, edges * channels * convolution.bytes_moved
    except (AttributeError, ValueError):
        return None


def measure_case(
    case: dict[str, Any], peers: Sequence[str], budget: Budget, ceilings: Ceilings, repeats: int
) -> list[Row]:
    """The rows of one case, of all its parts."""
    kind = case["convolution"]
    options: dict[str, Any] = {"repeats": repeats, "ceilings": ceilings, "work": work_of(case)}
    if kind != "so2":
        starts = (path_starts if kind == "clebsch_gordan" else gaunt_starts)(case, peers)
        return measure(NAME, case, starts, budget, part="messages", **options)
    rows = []
    for part in ("messages", "gemm", "wigner"):
        starts = so2_starts(case, peers, part)
        if part == "wigner":
            options["work"] = None
        rows += measure(NAME, case, starts, budget, part=part, **options)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: every convolution at every degree."""
    option_parser = parser((__doc__ or "").splitlines()[0], PEERS)
    option_parser.add_argument("--lmax", type=int, nargs="+", default=list(DEGREES), metavar="L")
    option_parser.add_argument(
        "--convolutions", type=some_of(KINDS), default=list(KINDS), metavar="a,b"
    )
    chosen = option_parser.parse_args(arguments)
    if min(chosen.lmax) < 1:
        option_parser.error(f"got --lmax {min(chosen.lmax)}, expected 1 or more")
    keep_freed_memory()
    ceilings, budget = measure_ceilings(), Budget()
    rows: list[Row] = []
    for lmax in sorted(set(chosen.lmax)):
        for kind in chosen.convolutions:
            for mmax in sorted({lmax, min(lmax, TRUNCATED)}) if kind == "so2" else [None]:
                case = case_of(kind, lmax, mmax)
                rows += measure_case(case, chosen.peers, budget, ceilings, chosen.repeats)
                if chosen.json is not None:  # a run that is cut off keeps what it has measured
                    write(rows, chosen.json)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
