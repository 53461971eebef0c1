"""How long does it take to count all layers of a Cayley graph?

    python -m experiments.benchmarks.cayley [--peers cayleypy] [--cases lrx-10,...]

The whole search, from the generators to the last layer. Starting the process and its imports does
not count; compilation does, and is stated apart: ours compiles afresh at every run. cayleypy meets
us with each of its searches that can take the graph. `temp MB` is what a search adds to the memory
that a process has after its imports. Layers are compared with the published ones before the timing.
"""

from __future__ import annotations

import math
import pathlib
import sys
from typing import Any

from experiments.benchmarks.harness.race import Worker, WorkerError, peer_python, race
from experiments.benchmarks.harness.rows import OURS, Row, parser, report, some_of

THREADS = 2

# library of the rows -> its environment below .peers, its worker, its search
PEERS = {
    "cayleypy": ("cayleypy", "cayleypy_worker.py", "bfs"),
    "cayleypy bfs_numpy": ("cayleypy", "cayleypy_worker.py", "bfs_numpy"),
    "cayleypy bfs_bitmask": ("cayleypy", "cayleypy_worker.py", "bfs_bitmask"),
}
# case -> family, n, number of states, diameter
CASES: dict[str, tuple[str, int | None, int, int]] = {
    "lrx-10": ("lrx", 10, math.factorial(10), 45),
    "lrx-11": ("lrx", 11, math.factorial(11), 55),
    "cube222_htm": ("cube222_htm", None, 3_674_160, 11),
    "cube222_qtm": ("cube222_qtm", None, 3_674_160, 14),
}


def libraries_of(case: str, peers: list[str]) -> list[str]:
    """Ours, and the searches of the chosen peers that can take the case.

    cayleypy's other searches need a state that fits in 64 bits, which the stickers of a cube do
    not.

    >>> libraries_of("cube222_htm", ["cayleypy"])
    ['equinet', 'cayleypy']
    """
    chosen = [name for name, entry in PEERS.items() if entry[0] in peers]
    return [OURS, *(name for name in chosen if CASES[case][1] or PEERS[name][2] == "bfs")]


def case_of(case: str) -> dict[str, Any]:
    """What a row says about the case."""
    return {"case": case, "states": CASES[case][2], "threads": THREADS}


def verify(case: str, layers: list[int], expected: list[int] | None) -> None:
    """Judges the layers that a worker found before the timing.

    Raises:
        ValueError: They do not add up to the order of the group, are too many or too few, or
            differ from those that another library found.
    """
    _, _, order, diameter = CASES[case]
    if sum(layers) != order or len(layers) != diameter + 1:
        raise ValueError(
            f"got {sum(layers)} states in {len(layers)} layers, expected {order} in {diameter + 1}"
        )
    if expected is not None and layers != expected:
        raise ValueError(f"got layers {layers}, expected {expected}")


def start(library: str, case: str, expected: list[int] | None) -> Worker:
    """A worker of this library on this case, checked and ready to be timed.

    Raises:
        WorkerError: It is not installed, its set-up fails or a check does.
    """
    folder = pathlib.Path(__file__).parent / "peers"
    family, n, _, _ = CASES[case]
    inputs: dict[str, Any] = {**case_of(case), "family": family, "n": n}
    if library == OURS:
        python, file = pathlib.Path(sys.executable), folder / "cayley_worker.py"
    else:
        environment, name, inputs["search"] = PEERS[library]
        python, file = peer_python(environment), folder / name
    worker = Worker(library, python, file, inputs)
    try:
        verify(case, worker.checks["layers"], expected)
    except ValueError as error:
        worker.close()
        raise WorkerError(str(error)) from None
    return worker


def measure(case: str, libraries: list[str], *, repeats: int) -> list[Row]:
    """One case: every library that can be started, in turn; the others become rows that say why."""
    head = {"benchmark": "cayley", "case": case_of(case), "direction": "all_layers"}
    workers: list[Worker] = []
    failed: list[Row] = []
    for library in libraries:
        expected = workers[0].checks["layers"] if workers else None
        try:
            workers.append(start(library, case, expected))
        except WorkerError as error:
            failed.append({**head, "library": library, "part": None, "error": str(error)})
    try:
        rows = race(workers, **head, repeats=repeats, rounds=repeats)
    finally:
        for worker in workers:
            worker.close()
    return rows + failed


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: every chosen peer in each of the chosen cases, against ours."""
    peers = sorted({environment for environment, _, _ in PEERS.values()})
    option_parser = parser((__doc__ or "").splitlines()[0], peers)
    option_parser.set_defaults(repeats=3)  # cayleypy takes up to a minute for one
    option_parser.add_argument(
        "--cases", type=some_of(list(CASES)), default=list(CASES), metavar="a,b"
    )
    chosen = option_parser.parse_args(arguments)
    rows: list[Row] = []
    for case in chosen.cases:
        rows += measure(case, libraries_of(case, chosen.peers), repeats=chosen.repeats)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
