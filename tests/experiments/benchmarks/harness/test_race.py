import doctest
import json
import pathlib
import types
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.harness import race as harness
from experiments.benchmarks.harness import rows

NAMES = ["benchmark", "case", "library", "version", "direction", "part"]
NUMBERS = ["median_ms", "p10_ms", "p90_ms", "compile_s", "temp_mb", "peak_mb", "floor_ms"]
KEYS = [*NAMES, *NUMBERS, "ratio_to_equinet"]


class Scripted:
    """A contender that takes the seconds it is told, and notes its turns."""

    def __init__(self, library: str, seconds: float, turns: list[str], fails_at: int = 10**9):
        self.library, self.facts = library, {"version": "1", "compile_s": None}
        self._seconds, self._turns, self._left = seconds, turns, fails_at

    def times(self, repeats: int) -> list[float]:
        self._left -= 1
        if self._left < 0:
            raise harness.WorkerError("out of memory")
        self._turns.append(self.library)
        return [self._seconds] * repeats

    def peak_mb(self) -> float:
        return 12.5


def race(contenders: list[Any], **options: Any) -> list[rows.Row]:
    head = {"benchmark": "op", "case": {"lmax": 2}, "direction": "forward"}
    return harness.race(contenders, **head, **options)


def test_contenders_take_turns_and_ratios_are_to_ours() -> None:
    turns: list[str] = []
    contenders = [Scripted("equinet", 0.002, turns), Scripted("peer", 0.006, turns)]
    ours, peer = race(contenders, repeats=6, rounds=3, floor_ms=0.5)
    assert turns == ["equinet", "peer"] * 3
    assert list(ours)[: len(KEYS)] == KEYS
    assert ours["ratio_to_equinet"] == 1
    assert peer["ratio_to_equinet"] == pytest.approx(3)
    assert peer["median_ms"] == pytest.approx(6)
    assert peer["peak_mb"] == 12.5
    assert peer["floor_ms"] == 0.5


def test_without_ours_there_is_no_ratio() -> None:
    (peer,) = race([Scripted("peer", 0.006, [])])
    assert peer["ratio_to_equinet"] is None


def test_a_contender_that_fails_becomes_a_row_and_the_others_go_on() -> None:
    turns: list[str] = []
    contenders = [Scripted("equinet", 0.002, turns), Scripted("peer", 0.006, turns, fails_at=1)]
    ours, peer = race(contenders, repeats=4, rounds=4)
    assert turns.count("equinet") == 4
    assert ours["library"] == "equinet"
    assert (peer["library"], peer["error"]) == ("peer", "out of memory")


def test_jitted_computes_and_is_timed() -> None:
    def chain(x: jnp.ndarray) -> jnp.ndarray:
        return jnp.sin(jnp.matmul(x, x)).sum()

    x = np.eye(64, dtype=np.float32)
    contender = harness.Jitted("equinet", chain, [x], version="0")
    assert float(contender.output()) == pytest.approx(64 * np.sin(1.0), rel=1e-5)
    assert len(contender.times(3)) == 3
    assert contender.facts["compile_s"] > 0
    assert contender.facts["temp_mb"] >= 0
    assert contender.peak_mb() > 10


@pytest.mark.parametrize(
    ("analysis", "expected"),
    [(types.SimpleNamespace(temp_size_in_bytes=2_500_000), 2.5), (None, None)],
)
def test_temporaries_are_in_megabytes(analysis: Any, expected: float | None) -> None:
    compiled = types.SimpleNamespace(memory_analysis=lambda: analysis)
    assert harness.temporaries_mb(compiled) == expected


def test_version_is_looked_up() -> None:
    contender = harness.Jitted("numpy", lambda x: x + x, [np.ones(2, np.float32)])
    assert contender.facts["version"] == np.__version__


def test_ceilings_and_floors() -> None:
    ceilings = harness.measure_ceilings(size=64, megabytes=1, repeats=2)
    assert ceilings.gflops > 0
    assert ceilings.gbytes_per_s > 0
    known = harness.Ceilings(gflops=100.0, gbytes_per_s=10.0)
    assert known.floor_ms(flops=4e9, bytes_moved=2e8) == pytest.approx(40)
    assert known.floor_ms(flops=1e9, bytes_moved=2e8) == pytest.approx(20)


def test_arguments() -> None:
    words = rows.parser("a benchmark", ["mace-torch", "nequix"])
    assert words.parse_args([]).peers == ["mace-torch", "nequix"]
    chosen = words.parse_args(["--peers", "nequix", "--json", "a.jsonl", "--repeats", "3"])
    assert (chosen.peers, chosen.json, chosen.repeats) == (["nequix"], pathlib.Path("a.jsonl"), 3)


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        rows.parser("a benchmark", ["nequix"]).parse_args(["--peers", "nequix,schnet"])
    assert stop.value.code == 2
    assert "got ['schnet'], expected some of ['nequix']" in capsys.readouterr().err


def test_report_prints_a_table_and_writes_lines(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = race([Scripted("equinet", 0.002, []), Scripted("peer", 0.006, [], fails_at=0)])
    file = tmp_path / "results" / "op.jsonl"
    rows.report(measured, file)
    printed = capsys.readouterr().out
    assert "op: lmax=2" in printed
    assert printed.endswith("\nall, peer, forward: not measured: out of memory\n")
    assert [json.loads(line) for line in file.read_text().splitlines()] == measured


@pytest.mark.parametrize("module", [harness, rows])
def test_doctests(module: Any) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
