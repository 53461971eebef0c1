"""How long does it take to find all equivariant linear maps, and to apply them?

    python -m experiments.benchmarks.equivariant_linear [--peers emlp] [--groups O,S] [--small]

Maps T(2) -> T(2) for n to 100 and T(2) -> T(3) for n to 30. Part `basis`: from nothing but loaded
libraries to the basis, caches emptied. Part `apply`: 64 channels, batch 32, float32; the direction
forward+backward gives the output and the gradients of input and weights. Contenders are EMLP where
it runs, and one dense matrix, made from the basis at every call, where it fits. The floor is one
read and one write of input and output. Before the timing the spans and the results are compared.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equinet import groups
from equinet.reps import EquivariantBasis, Tensor, equivariant_basis
from equinet.reps.bases import basis as basis_module
from equinet.reps.bases.isotypic import isotypes
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.race import (
    Ceilings,
    Contender,
    Jitted,
    Worker,
    WorkerError,
    measure_ceilings,
    peer_python,
    race,
)
from experiments.benchmarks.harness.rows import (
    OURS,
    Row,
    parser,
    report,
    some_of,
    version_of,
    write,
)
from experiments.benchmarks.harness.worker import peak_rss_mb, time_calls

BATCH, CHANNELS = 32, 64
GROUPS = ("O", "SO", "Sp", "S")
SIZES = {(2, 2): (3, 4, 6, 8, 10, 20, 50, 100), (2, 3): (3, 4, 5, 6, 10, 20, 30)}
EMLP_BASIS = {(2, 2): (3, 4, 6, 8), (2, 3): (3,)}
EMLP_APPLY = {(2, 2): (4, 6), (2, 3): (3,)}
LARGEST_DENSE = 2**26  # entries of the matrix with its channels
LARGEST_COMPARED = 10**5  # entries of a basis that a worker sends back
LARGEST_SPAN_ERROR = 1e-2  # EMLP solves to 1e-5 in float32, and to 1e-3 for Sp(4)
CPU_SECONDS_PER_ROW = 10


class Timed:
    """A Python function of this process as a contender.

    Args:
        library: The word for the rows.
        function: What is timed.
    """

    def __init__(self, library: str, function: Callable[[], object]) -> None:
        self.library, self._function = library, function
        self.facts: dict[str, Any] = {"version": version_of(library)}

    def times(self, repeats: int) -> list[float]:
        """Seconds per call."""
        return time_calls(self._function, repeats)

    def peak_mb(self) -> float:
        """Of this whole process."""
        return peak_rss_mb()


def make_basis(*, group: str, n: int, inputs: int, outputs: int) -> EquivariantBasis:
    """The basis with every cache emptied before: reps, diagrams and maps are made anew."""
    for cached in (basis_module._basis, basis_module.pure_maps, isotypes):
        cached.cache_clear()
    made = getattr(groups, group)(n)
    return equivariant_basis(Tensor(made, inputs), Tensor(made, outputs))


def case_of(group: str, n: int, inputs: int, outputs: int) -> dict[str, Any]:
    """What a row says about the case."""
    return {"group": group, "n": n, "inputs": inputs, "outputs": outputs}


def span_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest part of an orthonormal basis that lies outside of the span of another."""
    q, _ = np.linalg.qr(ours.reshape(len(ours), -1).T)
    p, _ = np.linalg.qr(theirs.reshape(len(theirs), -1).T)
    return float(np.abs(p - q @ (q.T @ p)).max(initial=0.0))


def start_emlp(case: dict[str, Any], part: str) -> Worker:
    """EMLP in its environment, its basis compared with ours.

    Raises:
        WorkerError: It is not installed, does not run, or finds other maps.
    """
    file = pathlib.Path(__file__).parent / "peers" / "emlp_worker.py"
    options = {"part": part, "batch": BATCH, "channels": CHANNELS, "compare": LARGEST_COMPARED}
    worker = Worker("emlp", peer_python("emlp"), file, case | options)
    if part == "basis":
        basis = make_basis(**case)
        found = worker.checks["dim"]
        theirs = worker.checks.pop("basis", None)
        error = 0.0
        if theirs is not None and found == basis.dim and found:
            error = span_error(basis.dense(), np.asarray(theirs))
        if found != basis.dim or error > LARGEST_SPAN_ERROR:
            worker.close()
            raise WorkerError(f"finds {found} maps at {error:.1e} from our {basis.dim}")
    return worker


def basis_rows(case: dict[str, Any], peers: Sequence[str], repeats: int) -> list[Row]:
    """The time to obtain the basis."""
    head = {"benchmark": "equivariant_linear", "case": case, "direction": "plan", "part": "basis"}
    contenders: list[Contender] = [Timed(OURS, lambda: make_basis(**case))]
    rows: list[Row] = []
    orders = (case["inputs"], case["outputs"])
    worker = None
    if "emlp" in peers and case["n"] in EMLP_BASIS[orders]:
        try:
            worker = start_emlp(case, "basis")
            contenders.append(worker)
            repeats = max(1, min(repeats, int(CPU_SECONDS_PER_ROW / worker.facts["compile_s"])))
        except WorkerError as error:
            rows.append({**head, "library": "emlp", "error": str(error)})
    try:
        return race(contenders, **head, repeats=repeats, rounds=min(repeats, 3)) + rows
    finally:
        if worker is not None:
            worker.close()


def apply_rows(
    case: dict[str, Any], peers: Sequence[str], ceilings: Ceilings, repeats: int
) -> list[Row]:
    """The time to apply the maps, forward and with gradients."""
    basis = make_basis(**case)
    rng = np.random.default_rng(0)
    size_in, size_out = basis.rep_in.dim, basis.rep_out.dim
    x = jnp.asarray(rng.normal(size=(BATCH, size_in, CHANNELS)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(basis.dim, CHANNELS, CHANNELS)), jnp.float32)
    moved = 4 * BATCH * CHANNELS * (size_in + size_out)
    contestants: dict[str, Callable[..., Any]] = {OURS: basis.apply}
    if size_in * size_out * CHANNELS**2 <= LARGEST_DENSE:
        contestants["dense matrix"] = functools.partial(dense_apply, basis.dense())
    rows = []
    for direction, wrap in (("forward", lambda f: f), ("forward+backward", with_gradients)):
        part = "apply" if direction == "forward" else "apply and gradient"
        head = {"benchmark": "equivariant_linear", "case": case, "direction": direction}
        jitted = [
            Jitted(name, wrap(f), [x, weights], version=version_of(OURS))
            for name, f in contestants.items()
        ]
        for other in jitted[1:]:
            compare(jitted[0].output(), other.output())
        contenders: list[Contender] = [*jitted]
        worker = None
        orders = (case["inputs"], case["outputs"])
        if "emlp" in peers and case["n"] in EMLP_APPLY[orders]:
            try:
                worker = start_emlp(case, part)
                contenders.append(worker)
            except WorkerError as error:
                rows.append({**head, "library": "emlp", "part": "apply", "error": str(error)})
        floor = ceilings.floor_ms(bytes_moved=moved)
        try:
            rows += race(contenders, **head, part="apply", repeats=repeats, floor_ms=floor)
        finally:
            if worker is not None:
                worker.close()
    return rows


def compare(ours: Any, theirs: Any) -> None:
    """Judges outputs and gradients before the timing.

    Raises:
        AssertionError: They differ by more than rounding in float32.
    """
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(b).max()))


def dense_apply(table: np.ndarray, x: jax.Array, weights: jax.Array) -> jax.Array:
    """Through the matrix of all indices and channels."""
    maps = jnp.asarray(table, x.dtype)
    kernel = jnp.einsum("boi,bcd->icod", maps, weights)
    columns, channels_in, rows, channels_out = kernel.shape
    flat = kernel.reshape(columns * channels_in, rows * channels_out)
    return (x.reshape(len(x), -1) @ flat).reshape(len(x), rows, channels_out)


def with_gradients(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """The output and, for the output as cotangent, the gradients of all arguments."""

    def both(*arguments: jax.Array) -> Any:
        y, backward = jax.vjp(function, *arguments)
        return y, backward(y)

    return both


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: every group at every size."""
    option_parser = parser((__doc__ or "").splitlines()[0], ["emlp"])
    option_parser.set_defaults(repeats=10)
    option_parser.add_argument(
        "--groups", type=some_of(GROUPS), default=list(GROUPS), metavar="a,b"
    )
    option_parser.add_argument("--small", action="store_true", help="n to 10 alone")
    chosen = option_parser.parse_args(arguments)
    keep_freed_memory()
    ceilings = measure_ceilings()
    rows: list[Row] = []
    for orders, sizes in SIZES.items():
        for group in chosen.groups:
            for n in sizes:
                if (group == "Sp" and n % 2) or (chosen.small and n > 10):
                    continue
                case = case_of(group, n, *orders)
                if not make_basis(**case).dim:
                    continue  # no equivariant map exists but zero: there is nothing to time
                rows += basis_rows(case, chosen.peers, chosen.repeats)
                rows += apply_rows(case, chosen.peers, ceilings, chosen.repeats)
                if chosen.json is not None:  # a run that is cut off keeps what it has measured
                    write(rows, chosen.json)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
