"""How long does a tensor product of features of degrees 0 to L take?

    python -m experiments.benchmarks.tensor_products [--peers e3nn-jax,e3x] [--lmax 1 2 3 4]
        [--products clebsch_gordan,gaunt,complete,cp] [--json FILE]

0..L x 0..L -> 0..L, channel by channel, 16 channels, batch 256, float32. The direction
forward+backward gives the output and, for a random cotangent, the gradients of both factors and of
the weights.

- `clebsch_gordan`: all paths that SO(3) allows, each with a free weight, shared by all rows or
  given for each row. e3x has half of the paths without pseudotensors: a row of its own.
- `gaunt`: weights of the degrees; e3nn-jax multiplies on its smallest exact grid.
- `complete`: the peers are the fastest Clebsch-Gordan peer at this L, and `e3x.FusedTensor`.
- `cp`: no peer has one. Part `natural parity` has the paths of a Gaunt product alone.

Before the timing every product is compared with one in float64 that takes a path after the other:
its output must be a sum of the paths (with the weights that were given, where they are free) and
its gradients those of that sum. What is too large or too slow is a row that says so. The floor is
that of the `flops` and `bytes_moved` that our product states, dense products of matrices by the
best algorithm known here, three times for forward+backward.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from equinet.ops.products import tensor_product
from equinet.reps import Irreps
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
    start_side,
    start_worker,
)
from experiments.benchmarks.peers import so3_jax
from experiments.benchmarks.peers.so3_reference import (
    LARGEST_ERROR,
    WHOLE_LMAX,
    Arrays,
    all_paths,
    inputs_of,
    judge_fixed,
    judge_product,
    natural_paths,
    take,
)

NAME = "tensor_products"
KINDS = ("clebsch_gordan", "gaunt", "complete", "cp")
PEERS = ("e3nn-jax", "e3nn", "cuequivariance-jax", "e3x")
DEGREES = (1, 2, 3, 4, 6, 8, 10, 12, 16)
CHANNELS, BATCH = 16, 256
HALF = "e3x (half of the paths)"
NATURAL = "natural parity"
SCALED = ("gaunt", "complete")  # whose growth from the one degree to the other is printed
FROM, TO = 4, 16


def case_of(kind: str, lmax: int, weights: str) -> dict[str, Any]:
    """What a row says about the case."""
    shape = {"channels": CHANNELS, "batch": BATCH}
    return {"product": kind, "lmax": lmax, **shape, "weights": weights}


def natural(kind: str, part: str | None) -> bool:
    """Whether the degrees have natural parity: a Gaunt product takes no other."""
    return kind == "gaunt" or part == NATURAL


def our_product(kind: str, lmax: int, part: str | None = None) -> Any:
    """Our product of that kind, with every path of SO(3) where it can have them.

    Degrees of even parity have all paths; those of natural parity have the even sums of degrees.
    """
    parities = [(-1) ** l if natural(kind, part) else 1 for l in range(lmax + 1)]
    rep = Irreps([(1, (l, p)) for l, p in enumerate(parities)])
    return tensor_product(kind, rep, rep, rep)


def our_side(product: Any, data: Arrays) -> Side:
    """Our product and the inputs."""
    return Side(
        library=OURS,
        function=product,
        inputs=tuple(jnp.asarray(data[name]) for name in ("x", "y", "weights")),
        cotangent=jnp.asarray(data["cotangent"]),
        found=found_in(np.asarray, np.asarray),
    )


def data_of(case: dict[str, Any], num_weights: int) -> Arrays:
    """The inputs; as many weights as a product has that is not one of free path weights."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(num_weights, case["channels"])).astype(np.float32)
    return inputs_of(case) | {"weights": weights}


def starts_of(make: Callable[[], Side], judge: Judge, case: dict[str, Any]) -> Start:
    """How a side is started: only the rows and channels that are compared go to the judge."""

    def start(direction: str) -> Any:
        return start_side(make(), direction, lambda found: judge(take(found, case)))

    return start


def free_starts(case: dict[str, Any], peers: Sequence[str]) -> dict[str, Start]:
    """Every product with free path weights, ours first."""
    lmax, data = case["lmax"], inputs_of(case)
    paths, whole = all_paths(lmax), lmax <= WHOLE_LMAX
    half = np.array([sum(path) % 2 == 0 for path in paths])
    few = data | {"weights": data["weights"][..., half, :]}

    def judge(found: Arrays) -> None:
        judge_product(found, take(data, case), paths, whole=whole)

    def judge_half(found: Arrays) -> None:
        judge_product(found, take(few, case), natural_paths(lmax), whole=whole)

    makes = {OURS: functools.partial(our_side, our_product("clebsch_gordan", lmax), data)}
    if "e3nn-jax" in peers:
        makes["e3nn-jax"] = functools.partial(so3_jax.e3nn_jax_product, lmax, data)
    if "cuequivariance-jax" in peers:
        makes["cuequivariance-jax"] = functools.partial(so3_jax.cuequivariance_product, lmax, data)
    if "e3x" in peers and case["weights"] == "shared":  # it has no others
        makes["e3x"] = functools.partial(so3_jax.e3x_product, lmax, data)
    starts = {name: starts_of(make, judge, case) for name, make in makes.items()}
    if "e3x" in starts:
        make = functools.partial(so3_jax.e3x_product, lmax, data, pseudotensors=False)
        starts[HALF] = starts_of(make, judge_half, case)
    if "e3nn" in peers:
        starts["e3nn"] = lambda direction: start_worker(
            "e3nn", "e3nn", "e3nn_worker.py", case | {"direction": direction}, judge
        )
    return starts


def fixed_starts(
    case: dict[str, Any], peers: Sequence[str], fastest: str, part: str | None
) -> dict[str, Start]:
    """A product of fewer weights than paths, and its peers.

    Args:
        case: The case.
        peers: Those that were asked for.
        fastest: The Clebsch-Gordan peer that stands against the complete product.
        part: None, or the restriction to natural parity.
    """
    kind, lmax = case["product"], case["lmax"]
    product = our_product(kind, lmax, part)
    data = data_of(case, product.num_weights)
    paths = natural_paths(lmax) if natural(kind, part) else all_paths(lmax)

    def judge(found: Arrays, largest: float = LARGEST_ERROR) -> None:
        judge_fixed(found, take(data, case), paths, largest=largest)

    # What an approximate product states is a bound in the norm of all couplings.
    ours = functools.partial(judge, largest=max(LARGEST_ERROR, 10 * product.equivariance_error))
    starts = {OURS: starts_of(lambda: our_side(product, data), ours, case)}
    if kind == "gaunt" and "e3nn-jax" in peers:
        for fft in (False, True):
            make = functools.partial(so3_jax.e3nn_jax_grid, lmax, data, fft=fft)
            starts["e3nn-jax (fft)" if fft else "e3nn-jax"] = starts_of(make, judge, case)
    if kind == "complete":
        starts |= {fastest: free_starts(case, peers)[fastest]} if fastest else {}
        if "e3x" in peers:
            make = functools.partial(so3_jax.e3x_fused, lmax, data)
            starts["e3x.FusedTensor"] = starts_of(make, judge, case)
    return starts


def fastest_peer(rows: Sequence[Row], lmax: int) -> str:
    """The Clebsch-Gordan peer of all paths that was fastest at this degree; empty if none was."""
    times = {
        row["library"]: row["median_ms"]
        for row in rows
        if row["case"]["lmax"] == lmax
        and row["case"]["product"] == "clebsch_gordan"
        and row["case"]["weights"] == "shared"
        and row["direction"] == "forward+backward"
        and row["library"] not in (OURS, HALF)
        and "error" not in row
    }
    return min(times, key=lambda name: times[name], default="")


def work_of(product: Any) -> tuple[float, float] | None:
    """Operations and bytes of the whole batch, where the product states them."""
    if not hasattr(product, "flops"):
        return None
    return BATCH * CHANNELS * product.flops, BATCH * CHANNELS * product.bytes_moved


def growth(rows: Sequence[Row]) -> list[str]:
    """The power of L by which the time of our products grows, one line for each."""
    lines = []
    for kind in SCALED:
        for direction in ("forward", "forward+backward"):
            times = {
                row["case"]["lmax"]: row["median_ms"]
                for row in rows
                if (row["case"]["product"], row["direction"]) == (kind, direction)
                and row["library"] == OURS
                and "error" not in row
            }
            if FROM in times and TO in times:
                power = math.log(times[TO] / times[FROM]) / math.log(TO / FROM)
                lines.append(f"{kind}, {direction}: L^{power:.2f} from L = {FROM} to {TO}")
    return lines


def measure_case(
    case: dict[str, Any],
    peers: Sequence[str],
    before: Sequence[Row],
    budget: Budget,
    ceilings: Ceilings,
    repeats: int,
) -> list[Row]:
    """The rows of one case; one row alone for a product that we do not have."""
    kind, lmax = case["product"], case["lmax"]
    rows: list[Row] = []
    for part in (None, NATURAL) if kind == "cp" else (None,):
        try:
            product = our_product(kind, lmax, part)
        except ValueError as error:
            head = {"benchmark": NAME, "case": case, "direction": "forward", "part": part}
            rows.append({**head, "library": OURS, "error": str(error)})
            continue
        if kind == "clebsch_gordan":
            starts = free_starts(case, peers)
        else:
            starts = fixed_starts(case, peers, fastest_peer(before, lmax), part)
        options: dict[str, Any] = {"repeats": repeats, "work": work_of(product)}
        rows += measure(NAME, case, starts, budget, part=part, ceilings=ceilings, **options)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: every product at every degree."""
    option_parser = parser((__doc__ or "").splitlines()[0], PEERS)
    option_parser.add_argument("--lmax", type=int, nargs="+", default=list(DEGREES), metavar="L")
    option_parser.add_argument(
        "--products", type=some_of(KINDS), default=list(KINDS), metavar="a,b"
    )
    chosen = option_parser.parse_args(arguments)
    if min(chosen.lmax) < 1:
        option_parser.error(f"got --lmax {min(chosen.lmax)}, expected 1 or more")
    keep_freed_memory()
    ceilings, budget = measure_ceilings(), Budget()
    rows: list[Row] = []
    for lmax in sorted(set(chosen.lmax)):
        for kind in chosen.products:
            for weights in ("shared", "rows") if kind == "clebsch_gordan" else ("shared",):
                case = case_of(kind, lmax, weights)
                rows += measure_case(case, chosen.peers, rows, budget, ceilings, chosen.repeats)
                if chosen.json is not None:  # a run that is cut off keeps what it has measured
                    write(rows, chosen.json)
    report(rows, chosen.json)
    sys.stdout.write("".join(f"{line}\n" for line in growth(rows)))


if __name__ == "__main__":
    main()
