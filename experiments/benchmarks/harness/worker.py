"""The worker's end of a benchmark: one library, in a process and an environment of its own.

`python -m experiments.benchmarks.harness.worker FILE` answers JSON messages, one a
line, on stdin and stdout: `{"command": "setup", "case": {...}}`,
`{"command": "run", "repeats": n}`,
`{"command": "memory"}` and `{"command": "quit"}`. FILE defines `setup(case) -> Prepared`; whatever
it or its library prints goes to stderr. This file needs the standard library alone, because it runs
in the environments of the peers.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

SHORTEST_SAMPLE_S = 2e-3


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One case, built and ready to be timed.

    Attributes:
        step: Does the work once and returns when it is done.
        version: Version of the library.
        parameters: Number of trained numbers, where there are any.
        compile_s: Seconds of compilation, where there is a compiler.
        temp_mb: Temporary memory of the compiled function in 10^6 bytes, where it is known.
        checks: What was found before the timing; the driver compares and judges it.
    """

    step: Callable[[], object]
    version: str
    parameters: int | None = None
    compile_s: float | None = None
    temp_mb: float | None = None
    checks: dict[str, Any] = dataclasses.field(default_factory=dict)


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in 10^6 bytes.

    Linux hands `ru_maxrss` of the parent on to a child, so there it is read from `/proc`.
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def time_calls(step: Callable[[], object], repeats: int) -> list[float]:
    """Seconds per call of `step`, `repeats` times.

    One call that is not counted goes first: another contender has had the caches meanwhile. It also
    says how many calls make a sample that the clock can resolve.
    """
    begin = time.perf_counter()
    step()
    once = time.perf_counter() - begin
    calls = max(1, math.ceil(SHORTEST_SAMPLE_S / max(once, 1e-9)))
    samples = []
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        samples.append((time.perf_counter() - begin) / calls)
    return samples


def limit_threads(threads: int) -> None:
    """Keeps this process on `threads` cores, where the system can; libraries are imported later."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def load_setup(file: str) -> Callable[[dict[str, Any]], Prepared]:
    """The `setup` that a worker's file defines."""
    spec = importlib.util.spec_from_file_location("benchmark_worker", file)
    if spec is None or spec.loader is None:
        raise ValueError(f"got {file!r}, expected a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.setup


def _answer(message: dict[str, Any], state: dict[str, Prepared], file: str) -> dict[str, Any]:
    command = message["command"]
    if command == "setup":
        limit_threads(message["case"].get("threads", os.cpu_count() or 1))
        prepared = state["prepared"] = load_setup(file)(message["case"])
        shown = [field.name for field in dataclasses.fields(prepared) if field.name != "step"]
        return {name: getattr(prepared, name) for name in shown}
    if command == "run":
        return {"times_s": time_calls(state["prepared"].step, message["repeats"])}
    if command == "memory":
        return {"peak_mb": peak_rss_mb()}
    raise ValueError(f"got command {command!r}, expected setup, run, memory or quit")


def serve(file: str) -> None:
    """Answers the driver until it says quit or closes the pipe.

    What goes wrong is answered as `{"error": "..."}`.

    Args:
        file: Defines `setup`; loaded when the first case comes.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    state: dict[str, Prepared] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if message["command"] == "quit":
            return
        try:
            answer = _answer(message, state, file)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    # One module, whether it is the command or imported by a worker's file.
    from experiments.benchmarks.harness.worker import serve as serve_imported

    serve_imported(sys.argv[1])
