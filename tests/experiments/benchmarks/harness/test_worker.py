import pathlib
import sys

import pytest

from experiments.benchmarks.harness.race import Worker, WorkerError
from experiments.benchmarks.harness.worker import load_setup, peak_rss_mb, time_calls

PYTHON = pathlib.Path(sys.executable)
GOOD = """
import os
from experiments.benchmarks.harness.worker import Prepared

print("a library that talks on stdout while it is imported")


def setup(case):
    print("and while it sets up")
    ballast = bytearray(case["ballast_mb"] * 1_000_000)
    ballast[::1000] = b"x" * len(ballast[::1000])
    steps = []
    checks = {"cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1}
    return Prepared(
        step=lambda: steps.append(print("and while it runs", len(ballast))),
        version="1.2",
        parameters=7,
        checks=checks,
    )
"""


def write(folder: pathlib.Path, text: str) -> pathlib.Path:
    file = folder / "fake_worker.py"
    file.write_text(text)
    return file


def test_worker_answers_and_ends(tmp_path: pathlib.Path) -> None:
    worker = Worker("fake", PYTHON, write(tmp_path, GOOD), {"ballast_mb": 300, "threads": 1})
    try:
        assert worker.facts["version"] == "1.2"
        assert worker.facts["parameters"] == 7
        assert worker.checks == {"cores": 1}
        times = worker.times(4)
        assert len(times) == 4
        assert all(seconds > 0 for seconds in times)
        assert 300 < worker.peak_mb() < 600
    finally:
        worker.close()
    assert worker._process.returncode == 0


def test_peak_memory_is_not_that_of_the_parent(tmp_path: pathlib.Path) -> None:
    ballast = bytearray(400_000_000)
    ballast[::1000] = b"x" * len(ballast[::1000])
    worker = Worker("fake", PYTHON, write(tmp_path, GOOD), {"ballast_mb": 0})
    try:
        assert worker.peak_mb() < 200 < peak_rss_mb()
    finally:
        worker.close()
    assert len(ballast) == 400_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def setup(case):\n    raise ValueError('unknown size')", "ValueError: unknown size"),
        ("import sys\nsys.stderr.write('last words')\nimport os; os._exit(3)", "ended: last words"),
        ("import time\ntime.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_worker_that_fails_says_why(tmp_path: pathlib.Path, text: str, message: str) -> None:
    timeout = 1 if "sleep" in text else 60
    with pytest.raises(WorkerError, match=message):
        Worker("fake", PYTHON, write(tmp_path, text), {}, timeout_s=timeout)


def test_a_missing_interpreter_is_not_installed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkerError, match="not installed"):
        Worker("fake", tmp_path / "bin" / "python", write(tmp_path, GOOD), {})


def test_load_setup_takes_the_function_of_the_file(tmp_path: pathlib.Path) -> None:
    setup = load_setup(str(write(tmp_path, "def setup(case):\n    return case")))
    assert setup({"size": "a"}) == {"size": "a"}


def test_time_calls_warms_up_once_and_repeats_fast_calls() -> None:
    calls: list[int] = []
    samples = time_calls(lambda: calls.append(1), 3)
    assert len(samples) == 3
    assert len(calls) > 3 + 1
