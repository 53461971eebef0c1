"""Contenders of one operation: built, compared with a reference, kept within a budget, timed.

A `Side` is what a library computes in this process; a `Start` makes a contender of it, or of a
worker, for one direction. `measure` starts them all, lets them race and gives the rows.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.harness.race import (
    ROOT,
    Ceilings,
    Contender,
    Jitted,
    Worker,
    WorkerError,
    peer_python,
    race,
)
from experiments.benchmarks.harness.rows import Row, case_text, version_of

DIRECTIONS = ("forward", "forward+backward")
LARGEST_SECONDS = 60.0
LARGEST_TEMPORARIES_MB = 8000.0
GROWTH, COMPILE_GROWTH = 6, 3  # the powers of lmax that time and compilation may grow by
LARGEST_RATIO = 2.0  # small cases say little about much larger ones
FEW = 4  # runs that must be possible
FEWEST_REPEATS = 5
THREADS = 2

Arrays = dict[str, np.ndarray]
Judge = Callable[[Arrays], None]
Start = Callable[[str], Contender]


@dataclasses.dataclass(frozen=True)
class Side:
    """What one library computes, in its own layout.

    Attributes:
        library: The word for the rows.
        function: What is timed.
        inputs: Its arguments.
        cotangent: Of its output.
        found: From the output and the gradients of the inputs (none in the direction forward) to
            the arrays that are compared, by name.
        version_of: The name under which pip knows the library; that of the rows if not given.
    """

    library: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    cotangent: Any
    found: Callable[..., Arrays]
    version_of: str | None = None


def found_in(
    feature: Callable[[Any], np.ndarray],
    weights: Callable[[Any], np.ndarray] | None,
    second: Callable[[Any], np.ndarray] | None = None,
    names: tuple[str, str, str] = ("x", "y", "weights"),
) -> Callable[..., Arrays]:
    """The arrays to compare, from a library's output and its gradients of three arguments.

    Args:
        feature: From its layout of a feature to equinet's: of the output and the first argument.
        weights: Likewise of the third argument; None if it is not compared.
        second: Likewise of the second argument, if it is no such feature.
        names: Of the arguments.
    """

    def found(output: Any, *gradients: Any) -> Arrays:
        named = {"output": feature(output)}
        if gradients:
            named |= {names[0]: feature(gradients[0]), names[1]: (second or feature)(gradients[1])}
        if gradients and weights is not None:
            named[names[2]] = weights(gradients[2])
        return named

    return found


class Budget:
    """Who was too slow, and so is not tried at a larger degree."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, ...], tuple[int, float, float]] = {}
        self._first: dict[tuple[tuple[str, ...], int], float] = {}

    def check(self, key: tuple[str, ...], alike: tuple[str, ...], lmax: int) -> None:
        """Refuses what is expected to take too long, from its time at a smaller degree.

        Args:
            key: The contender.
            alike: What it shares with others whose tables it finds ready-made: then its own
                seconds at the smaller degree say too little.
            lmax: The degree.

        Raises:
            WorkerError: If it is.
        """
        smaller, compiling, running = self._seconds.get(key, (lmax, 0.0, 0.0))
        if key in self._seconds:
            compiling = max(compiling, self._first.get((alike, smaller), 0.0))
        ratio = min(max(1.0, lmax / smaller), LARGEST_RATIO)
        expected = compiling * ratio**COMPILE_GROWTH + FEW * running * ratio**GROWTH
        if expected > LARGEST_SECONDS:
            raise WorkerError(
                f"left out: about {expected:.0f} s expected to compile and run it {FEW} times, "
                f"after {compiling:.3g} s and {running:.3g} s a run at lmax={smaller}"
            )

    def note(
        self,
        key: tuple[str, ...],
        alike: tuple[str, ...],
        lmax: int,
        compiling: float,
        running: float,
    ) -> None:
        """Keeps the seconds that a contender took to compile and for one run."""
        self._seconds[key] = (lmax, compiling, running)
        self._first[alike, lmax] = max(compiling, self._first.get((alike, lmax), 0.0))


def with_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """The output and the gradients of all arguments for a cotangent, the first argument."""

    def both(cotangent: Any, *arguments: Any) -> Any:
        output, backward = jax.vjp(function, *arguments)
        return output, backward(cotangent)

    return both


def start_side(side: Side, direction: str, judge: Judge) -> Contender:
    """Compiles one side for a direction and compares its result.

    Raises:
        WorkerError: If a comparison fails or the temporaries are too large.
    """
    version = version_of(side.version_of or side.library)
    function, inputs = side.function, side.inputs
    if direction != "forward":
        function, inputs = with_gradients(side.function), (side.cotangent, *side.inputs)
    contender = Jitted(side.library, function, inputs, version=version)
    temporaries = contender.facts["temp_mb"] or 0.0
    if temporaries > LARGEST_TEMPORARIES_MB:
        raise WorkerError(f"left out: {temporaries:.0f} MB of temporaries")
    result = contender.output()
    found = side.found(result) if direction == "forward" else side.found(result[0], *result[1])
    judged(judge, found)
    return contender


def start_fastest(sides: Sequence[Side], direction: str, judge: Judge) -> Contender:
    """The fastest of a library's ways to the same result in this direction; all are compared.

    Raises:
        WorkerError: If a comparison fails or the temporaries are too large.
    """
    contenders = [start_side(side, direction, judge) for side in sides]
    return min(contenders, key=lambda contender: min(contender.times(3)))


def start_worker(
    library: str, environment: str, file: str, case: Mapping[str, Any], judge: Judge
) -> Worker:
    """A library in an environment of its own, its result compared.

    Raises:
        WorkerError: It is not installed, fails, takes too long or gives another result.
    """
    path = ROOT / "experiments" / "benchmarks" / "peers" / file
    words = dict(case) | {"threads": THREADS}
    worker = Worker(library, peer_python(environment), path, words, timeout_s=4 * LARGEST_SECONDS)
    try:
        judged(judge, {name: np.asarray(array) for name, array in worker.checks.items()})
    except WorkerError:
        worker.close()
        raise
    return worker


def judged(judge: Judge, found: Arrays) -> None:
    """A comparison that fails is a failure of the contender.

    Raises:
        WorkerError: If it fails.
    """
    try:
        judge(found)
    except ValueError as error:
        raise WorkerError(str(error)) from None


def measure(
    benchmark: str,
    case: Mapping[str, Any],
    starts: Mapping[str, Start],
    budget: Budget,
    *,
    repeats: int,
    part: str | None = None,
    directions: Sequence[str] = DIRECTIONS,
    work: tuple[float, float] | None = None,
    ceilings: Ceilings | None = None,
) -> list[Row]:
    """The rows of one case; who cannot be started is a row that says why.

    Args:
        benchmark: The name of the benchmark.
        case: The case; its `lmax` is what the budget looks at.
        starts: Who takes part, ours first.
        budget: Kept from case to case.
        repeats: Fewer where the contenders are slow.
        part: The part of the operation.
        directions: What is timed.
        work: Floating point operations and bytes of the direction forward; three times for
            forward+backward.
        ceilings: Of this machine.
    """
    rows: list[Row] = []
    for direction in directions:
        head = {"benchmark": benchmark, "case": dict(case), "direction": direction, "part": part}
        contenders: list[Contender] = []
        seconds = 0.0
        for library, start in starts.items():
            try:
                contender, once = _started(
                    start, direction, _key(library, case, part), case, budget
                )
                contenders.append(contender)
                seconds += once
            except ImportError as error:
                first = f"not installed: pip install -e '.[peers]' ({error})"
                rows.append({**head, "library": library, "error": first})
            except (WorkerError, ValueError, MemoryError, jax.errors.JaxRuntimeError) as error:
                first = (str(error).splitlines() or [type(error).__name__])[0]
                rows.append({**head, "library": library, "error": first})
        fitting = int(min(repeats, LARGEST_SECONDS / (2 * seconds))) if seconds else repeats
        times = 1 if direction == "forward" else 3
        floor = None
        if work is not None and ceilings is not None:
            floor = ceilings.floor_ms(flops=times * work[0], bytes_moved=times * work[1])
        fitting = max(min(repeats, FEWEST_REPEATS), fitting)
        try:
            rows += race(
                contenders, **head, repeats=fitting, rounds=min(5, fitting), floor_ms=floor
            )
        finally:
            for contender in contenders:
                if isinstance(contender, Worker):
                    contender.close()
    return rows


def _key(library: str, case: Mapping[str, Any], part: str | None) -> tuple[str, ...]:
    rest = case_text({name: value for name, value in case.items() if name != "lmax"})
    return (library, rest, part or "")


def _started(
    start: Start, direction: str, key: tuple[str, ...], case: Mapping[str, Any], budget: Budget
) -> tuple[Contender, float]:
    """A contender within the budget, and the seconds of one call."""
    key = (*key, direction)
    alike = (key[0], str(case.get("product", "")), direction)
    budget.check(key, alike, case["lmax"])
    begin = time.perf_counter()
    contender = start(direction)
    compiling = contender.facts.get("compile_s") or time.perf_counter() - begin
    once = min(contender.times(1))
    budget.note(key, alike, case["lmax"], compiling, once)
    if once > LARGEST_SECONDS / 10:
        if isinstance(contender, Worker):
            contender.close()
        raise WorkerError(f"left out: one call takes {once:.3g} s")
    return contender, once
