"""The benchmark of equivariant linear maps: what it compares, and rows without a peer."""

import numpy as np
import pytest

from experiments.benchmarks import equivariant_linear as benchmark
from experiments.benchmarks.harness.race import Ceilings, WorkerError


def test_the_basis_is_made_anew_every_time() -> None:
    case = benchmark.case_of("S", 5, 2, 2)
    first, second = benchmark.make_basis(**case), benchmark.make_basis(**case)
    assert first is not second
    assert first.dim == 15


def test_span_error() -> None:
    table = benchmark.make_basis(group="O", n=3, inputs=2, outputs=2).dense()
    assert benchmark.span_error(table, table[::-1] + table[:1]) < 1e-12
    wrong = table.copy()
    wrong[0, 0, 1] += 1
    assert benchmark.span_error(table, wrong) > 0.1


def test_rows_of_one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "BATCH", 2)
    monkeypatch.setattr(benchmark, "CHANNELS", 2)

    def missing(case: object, part: str) -> None:
        raise WorkerError("not installed")

    monkeypatch.setattr(benchmark, "start_emlp", missing)
    case = benchmark.case_of("SO", 4, 2, 2)
    rows = benchmark.basis_rows(case, ["emlp"], 1)
    rows += benchmark.apply_rows(case, ["emlp"], Ceilings(gflops=100, gbytes_per_s=5), 1)
    found = [(row["library"], row["direction"], "error" in row) for row in rows]
    assert found == [
        ("equinet", "plan", False),
        ("emlp", "plan", True),
        ("emlp", "forward", True),
        ("equinet", "forward", False),
        ("dense matrix", "forward", False),
        ("emlp", "forward+backward", True),
        ("equinet", "forward+backward", False),
        ("dense matrix", "forward+backward", False),
    ]


def test_wrong_results_stop_the_comparison() -> None:
    benchmark.compare((np.ones(3), np.ones(2)), (np.ones(3), np.ones(2)))
    with pytest.raises(AssertionError):
        benchmark.compare(np.ones(3), np.ones(3) + 1e-2)
