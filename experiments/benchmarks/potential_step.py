"""How long is one training step of a potential on energies and forces?

    python -m experiments.benchmarks.potential_step [--peers mace-torch,nequix] [--sizes mace,...]

Forward, forces by differentiation, mean squared error of both, gradient of the parameters and
Adam, float32, on 5 molecules of 27 atoms with 3478 directed edges within 5 angstrom. Every peer is
met at its own sizes, and at each of them by an equinet potential of that size (`EQUINET_SIZES`).
Each library runs in a process of its own, so that the peak memory is its own too.
"""

from __future__ import annotations

import math
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from flax import nnx

from equinet.data.atoms import Configuration, batches, symbols_of, to_graph
from equinet.models import Potential
from equinet.ops.graphs import GraphBatch
from experiments.benchmarks.harness.race import Worker, WorkerError, peer_python, race
from experiments.benchmarks.harness.rows import OURS, Row, parser, report, some_of

MOLECULES, ATOMS, CUTOFF, EDGES, THREADS = 5, 27, 5.0, 3478, 2
COMPOSITION = (1,) * 12 + (6,) * 12 + (7,) * 2 + (8,)

# library -> its environment below .peers, its worker, its sizes
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mace-torch": ("mace", "mace_torch_worker.py", ("mace",)),
    "nequip": ("nequip", "nequip_worker.py", ("nequip-4x1", "nequip-2x2")),
    "nequix": ("nequix", "nequix_worker.py", ("nequix-2", "nequix-4")),
}
LARGEST_SLOPE_ERROR = 0.02

# The peer's size -> `equinet.models.Potential` of that size. nequix-4 has 32 channels: the common
# divisor of its multiplicities, what is unequal goes into the irreps.
EQUINET_SIZES: dict[str, dict[str, Any]] = {
    "mace": {
        "layers": 2,
        "lmax": 3,
        "channels": 64,
        "hidden": "0e+1o",
        "correlation": 3,
        "radial_hidden": (64, 64, 64),
    },
    "nequip-4x1": {
        "layers": 4,
        "lmax": 1,
        "channels": 32,
        "hidden": "0e+0o+1e+1o",
        "correlation": 1,
        "gate": True,
        "radial_hidden": (128,),
    },
    "nequip-2x2": {
        "layers": 2,
        "lmax": 2,
        "channels": 64,
        "hidden": "0e+1o+2e",
        "correlation": 1,
        "gate": True,
        "radial_hidden": (128,),
    },
    "nequix-2": {
        "layers": 2,
        "lmax": 3,
        "channels": 64,
        "hidden": "0e+1o",
        "correlation": 1,
        "gate": True,
        "radial_hidden": (64, 64, 64),
    },
    "nequix-4": {
        "layers": 4,
        "lmax": 3,
        "channels": 32,
        "hidden": "4x0e+2x1o+2e+3o",
        "correlation": 1,
        "gate": True,
        "radial_hidden": (64, 64, 64),
    },
}


def molecules(
    *, count: int = MOLECULES, atoms: int = ATOMS, edges: int = EDGES, seed: int = 0
) -> np.ndarray:
    """Positions `[count, atoms, 3]` in angstrom with `edges` directed edges within the cutoff.

    Points in a ball that keep apart from one another, scaled so that the cutoff falls halfway
    between the last pair that counts and the first that does not.
    """
    rng = np.random.default_rng(seed)
    clusters = np.stack([_cluster(rng, atoms) for _ in range(count)])
    first, second = np.triu_indices(atoms, 1)
    distances = np.sort(np.linalg.norm(clusters[:, first] - clusters[:, second], axis=-1).ravel())
    return clusters * (2 * CUTOFF / (distances[edges // 2 - 1] + distances[edges // 2]))


def _cluster(rng: np.random.Generator, atoms: int, closest: float = 0.4) -> np.ndarray:
    points: list[np.ndarray] = []
    while len(points) < atoms:
        point = rng.uniform(-1, 1, 3)
        apart = all(np.linalg.norm(point - other) > closest for other in points)
        if apart and np.linalg.norm(point) < 1:
            points.append(point)
    return np.stack(points)


def case_of(size: str) -> dict[str, Any]:
    """What a row says about the case."""
    return {
        "size": size,
        "molecules": MOLECULES,
        "atoms": ATOMS,
        "edges": EDGES,
        "cutoff": CUTOFF,
        "dtype": "float32",
        "threads": THREADS,
    }


def inputs_of(size: str, *, seed: int = 0) -> dict[str, Any]:
    """The case with its positions, atomic numbers and labels, as every worker gets it."""
    rng = np.random.default_rng(seed)
    numbers = [rng.permutation(COMPOSITION).tolist() for _ in range(MOLECULES)]
    return case_of(size) | {
        "numbers": numbers,
        "positions": molecules(seed=seed).tolist(),
        "energy": rng.normal(size=MOLECULES).tolist(),
        "forces": rng.normal(size=(MOLECULES, ATOMS, 3)).tolist(),
    }


def equinet_case(case: dict[str, Any]) -> tuple[Potential, GraphBatch, int]:
    """Our side of a case: the potential, the batch as a training pads it, and its edges."""
    configurations = [
        Configuration(numbers=np.asarray(numbers), positions=np.asarray(positions))
        for numbers, positions in zip(case["numbers"], case["positions"], strict=True)
    ]
    elements = symbols_of(np.ravel(case["numbers"]))
    graphs = [
        to_graph(configuration, cutoff=case["cutoff"], elements=elements)
        for configuration in configurations
    ]
    edges = sum(graph.num_edges for graph in graphs)
    batch = next(batches(graphs, len(graphs)))["graph"]
    model = Potential(
        elements,
        cutoff=case["cutoff"],
        average_neighbours=edges / sum(graph.num_nodes for graph in graphs),
        rngs=nnx.Rngs(0),
        **EQUINET_SIZES[case["size"]],
    )
    return model, jax.tree.map(lambda array: array[0], batch), edges


def verify(checks: dict[str, Any]) -> None:
    """Judges what a worker found before the timing.

    Raises:
        ValueError: A shape, the number of edges, the forces or the gradient is not as expected.
    """
    expected = {"energy_shape": [MOLECULES], "force_shape": [MOLECULES * ATOMS, 3], "edges": EDGES}
    for name, value in expected.items():
        if checks[name] != value:
            raise ValueError(f"{name}: got {checks[name]}, expected {value}")
    if not checks["slope_error"] < LARGEST_SLOPE_ERROR:
        raise ValueError(
            f"forces are not -dE/dx: got a relative error of {checks['slope_error']:.2g}, "
            f"expected less than {LARGEST_SLOPE_ERROR}"
        )
    if not (math.isfinite(checks["gradient_norm"]) and checks["gradient_norm"] > 0):
        raise ValueError(f"gradient: got norm {checks['gradient_norm']}, expected a positive one")


def start(library: str, size: str) -> Worker:
    """A worker of this library at this size, checked and ready to be timed.

    Raises:
        WorkerError: It is not installed, its set-up fails or a check does.
    """
    folder = pathlib.Path(__file__).parent / "peers"
    if library == OURS:
        python, file = pathlib.Path(sys.executable), folder / "equinet_worker.py"
    else:
        environment, name, _ = PEERS[library]
        python, file = peer_python(environment), folder / name
    worker = Worker(library, python, file, inputs_of(size))
    try:
        verify(worker.checks)
    except ValueError as error:
        worker.close()
        raise WorkerError(str(error)) from None
    return worker


def measure(size: str, libraries: list[str], *, repeats: int) -> list[Row]:
    """One size: every library that can be started, in turn; the others become rows that say why."""
    head = {"benchmark": "potential_step", "case": case_of(size), "direction": "train_step"}
    workers, failed = [], []
    for library in libraries:
        try:
            workers.append(start(library, size))
        except WorkerError as error:
            failed.append({**head, "library": library, "part": None, "error": str(error)})
    try:
        rows = race(workers, **head, repeats=repeats)
    finally:
        for worker in workers:
            worker.close()
    return rows + failed


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: every chosen peer at each of its chosen sizes, against ours."""
    sizes = [size for _, _, own in PEERS.values() for size in own]
    option_parser = parser((__doc__ or "").splitlines()[0], list(PEERS))
    option_parser.add_argument("--sizes", type=some_of(sizes), default=sizes, metavar="a,b")
    chosen = option_parser.parse_args(arguments)
    pairs = [(peer, s) for peer in chosen.peers for s in PEERS[peer][2] if s in chosen.sizes]
    if not pairs:
        option_parser.error(f"got --sizes {chosen.sizes}, expected a size of {chosen.peers}")
    rows: list[Row] = []
    for peer, size in pairs:
        rows += measure(size, [OURS, peer], repeats=chosen.repeats)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
