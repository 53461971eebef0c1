"""What every benchmark shares: contenders that take turns, this machine's ceilings.

A contender is anything that can run a number of repeats and give back seconds: a jitted function of
this process (`Jitted`) or a worker of another environment (`Worker`, see `worker.py`). `race` lets
them take turns, so that a change in the machine's load meets all of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.harness.rows import OURS, Row, version_of
from experiments.benchmarks.harness.worker import peak_rss_mb, time_calls

ROOT = pathlib.Path(__file__).resolve().parents[3]


class WorkerError(RuntimeError):
    """A worker failed or ended; the message is its own."""


class Contender(Protocol):
    """Something that can be timed.

    Attributes:
        library: The word given to `--peers`, or "equinet".
        facts: What its rows state beside the times: version, compile_s, temp_mb, parameters.
    """

    library: str
    facts: dict[str, Any]

    def times(self, repeats: int) -> list[float]:
        """Seconds per call, `repeats` of them, after one that is not counted."""
        ...

    def peak_mb(self) -> float:
        """Peak resident memory of the process so far, in 10^6 bytes."""
        ...


class Jitted:
    """A JAX function of this process, compiled on construction.

    Its `peak_mb` is that of the whole process: contenders that must be compared in memory run as
    workers.

    Args:
        library: The word for the rows.
        function: The function to time; jitted here.
        inputs: Its arguments.
        version: Version of the library; looked up by its name if not given.
    """

    def __init__(
        self,
        library: str,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        *,
        version: str | None = None,
    ) -> None:
        begin = time.perf_counter()
        self._compiled = jax.jit(function).lower(*inputs).compile()
        compile_s = time.perf_counter() - begin
        self._inputs = tuple(inputs)
        self.library = library
        self.facts = {
            "version": version or version_of(library),
            "compile_s": compile_s,
            "temp_mb": temporaries_mb(self._compiled),
        }

    def output(self) -> Any:
        """What the compiled function returns for the inputs."""
        return jax.block_until_ready(self._compiled(*self._inputs))

    def times(self, repeats: int) -> list[float]:
        """Seconds per call, `repeats` of them, after one that is not counted."""
        return time_calls(self.output, repeats)

    def peak_mb(self) -> float:
        """Peak resident memory of this whole process so far, in 10^6 bytes."""
        return peak_rss_mb()


class Worker:
    """A library in a process and an environment of its own, driven over a pipe.

    It sits blocked on the pipe while another contender runs.

    Args:
        library: The word for the rows.
        python: The interpreter of its environment.
        file: Defines `setup`; see `worker.py`.
        case: The case, as JSON.
        timeout_s: The longest that one answer may take.

    Raises:
        WorkerError: The process cannot be started, the set-up fails or takes too long.
    """

    def __init__(
        self,
        library: str,
        python: pathlib.Path,
        file: pathlib.Path,
        case: Mapping[str, Any],
        *,
        timeout_s: float = 900,
    ) -> None:
        self.library = library
        self._timeout_s = timeout_s
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        threads = str(case.get("threads", os.cpu_count()))
        settings = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        settings |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        try:
            self._process = subprocess.Popen(
                [python, "-m", "experiments.benchmarks.harness.worker", file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=os.environ | settings,
                cwd=ROOT,
            )
        except OSError as error:
            self._log.close()
            raise WorkerError(f"not installed: {error.strerror} (make peers)") from None
        try:
            self.facts = self._ask({"command": "setup", "case": dict(case)})
        except WorkerError:
            self.close()
            raise
        self.checks: dict[str, Any] = self.facts.pop("checks")

    def times(self, repeats: int) -> list[float]:
        """Seconds per call, `repeats` of them, after one that is not counted."""
        return self._ask({"command": "run", "repeats": repeats})["times_s"]

    def peak_mb(self) -> float:
        """Peak resident memory of the worker's process so far, in 10^6 bytes."""
        return self._ask({"command": "memory"})["peak_mb"]

    def close(self) -> None:
        """Asks the process to end, and ends it if it does not."""
        try:
            self._process.communicate(b'{"command": "quit"}\n', timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise WorkerError("the worker has no pipe")
        try:
            stdin.write((json.dumps(message) + "\n").encode())
            stdin.flush()
            if not select.select([stdout], [], [], self._timeout_s)[0]:
                self._process.kill()
                raise WorkerError(f"no answer within {self._timeout_s:g} s")
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            self._log.seek(0)
            last = self._log.read().strip().splitlines()[-1:] or ["no message"]
            raise WorkerError(f"the worker ended: {last[0]}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"].splitlines()[0])
        return answer


def peer_python(environment: str) -> pathlib.Path:
    """The interpreter of a peer's environment, which `make peers` builds."""
    return ROOT / ".peers" / environment / "bin" / "python"


def temporaries_mb(compiled: Any) -> float | None:
    """XLA's temporaries of a compiled function in 10^6 bytes; None where XLA does not tell."""
    analysis = compiled.memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes / 1e6


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What this machine can do at best, measured: float32 GFLOP/s and GB/s of read plus write."""

    gflops: float
    gbytes_per_s: float

    def floor_ms(self, *, flops: float = 0.0, bytes_moved: float = 0.0) -> float:
        """Least milliseconds for this many operations and this much memory traffic.

        Examples:
            >>> Ceilings(gflops=100.0, gbytes_per_s=10.0).floor_ms(flops=1e9, bytes_moved=2e8)
            20.0
        """
        return 1e-6 * max(flops / self.gflops, bytes_moved / self.gbytes_per_s)


def measure_ceilings(*, size: int = 2048, megabytes: int = 256, repeats: int = 5) -> Ceilings:
    """Best of `repeats`: a float32 matrix product, and one read plus one write of a large array."""
    matrix = jnp.ones((size, size), jnp.float32)
    array = jnp.ones((megabytes * 250_000,), jnp.float32)
    product = Jitted("jax", lambda a: jnp.matmul(a, a, precision="highest"), [matrix])
    copy = Jitted("jax", lambda a: a + jnp.float32(1), [array])
    return Ceilings(
        gflops=2e-9 * size**3 / min(product.times(repeats)),
        gbytes_per_s=2e-9 * array.nbytes / min(copy.times(repeats)),
    )


def race(
    contenders: Sequence[Contender],
    *,
    benchmark: str,
    case: Mapping[str, Any],
    direction: str,
    part: str | None = None,
    repeats: int = 20,
    rounds: int = 5,
    floor_ms: float | None = None,
) -> list[Row]:
    """Times the contenders in turn and gives one row for each.

    Every round runs every contender once, `repeats / rounds` times each. `ratio_to_equinet` is the
    contender's median over ours. A contender that fails becomes a row with its error.
    """
    samples: dict[str, list[float]] = {c.library: [] for c in contenders}
    head = {"benchmark": benchmark, "case": dict(case), "direction": direction, "part": part}
    failed: list[Row] = []
    racing = list(contenders)
    for _ in range(rounds):
        for contender in tuple(racing):
            try:
                samples[contender.library] += contender.times(-(-repeats // rounds))
            except WorkerError as error:
                racing.remove(contender)
                failed.append({**head, "library": contender.library, "error": str(error)})
    ours = [s for c in racing if c.library == OURS for s in samples[OURS]]
    rows = []
    for contender in racing:
        p10, median, p90 = np.percentile(samples[contender.library], [10, 50, 90])
        rows.append(
            {
                "benchmark": benchmark,
                "case": dict(case),
                "library": contender.library,
                "version": contender.facts.get("version"),
                "direction": direction,
                "part": part,
                "median_ms": 1e3 * float(median),
                "p10_ms": 1e3 * float(p10),
                "p90_ms": 1e3 * float(p90),
                "compile_s": contender.facts.get("compile_s"),
                "temp_mb": contender.facts.get("temp_mb"),
                "peak_mb": contender.peak_mb(),
                "floor_ms": floor_ms,
                "ratio_to_equinet": float(median / np.median(ours)) if ours else None,
                "parameters": contender.facts.get("parameters"),
            }
        )
    return rows + failed
