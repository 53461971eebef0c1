"""The benchmark of tensor products: what it compares, what it refuses, rows of small cases."""

import functools
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from experiments.benchmarks import tensor_products as benchmark
from experiments.benchmarks.harness import sides
from experiments.benchmarks.harness.race import Ceilings, WorkerError
from experiments.benchmarks.peers import so3_jax, so3_reference

CEILINGS = Ceilings(gflops=100, gbytes_per_s=5)


@pytest.fixture(autouse=True)
def _promotion(monkeypatch: pytest.MonkeyPatch):
    """The peers need JAX's default promotion of shapes and types; the cases are small."""
    monkeypatch.setattr(benchmark, "CHANNELS", 2)
    monkeypatch.setattr(benchmark, "BATCH", 4)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def rows_of(kind: str, weights: str = "shared", peers: tuple[str, ...] = ()) -> list[dict]:
    case = benchmark.case_of(kind, 1, weights)
    return benchmark.measure_case(case, peers, [], sides.Budget(), CEILINGS, 1)


@functools.cache
def example() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[tuple[int, int, int]]]:
    """Inputs at lmax = 1, and the result of a product with twice the reference's scales."""
    case = {"lmax": 1, "channels": 2, "batch": 4, "weights": "rows"}
    data, paths = so3_reference.inputs_of(case), so3_reference.all_paths(1)
    _, found = so3_reference.product_reference(data, paths, 2 * data["weights"])
    return data, found | {"weights": 2 * found["weights"]}, paths


def test_counts_of_paths() -> None:
    assert [len(so3_reference.all_paths(lmax)) for lmax in (0, 1, 2, 4)] == [1, 5, 15, 65]


@pytest.mark.parametrize("name", ["output", "x", "y", "weights"])
def test_another_result_is_refused(name: str) -> None:
    data, found, paths = example()
    so3_reference.judge_product(found, data, paths)
    wrong = found[name] + 1e-2 * np.cos(np.arange(found[name].size)).reshape(found[name].shape)
    with pytest.raises(ValueError, match="another result"):
        so3_reference.judge_product(found | {name: wrong}, data, paths)


def test_a_sum_of_other_paths_is_refused() -> None:
    data, _, paths = example()
    _, found = so3_reference.product_reference(data, paths, np.ones((4, 5, 2)))
    so3_reference.judge_fixed(found, data, paths)
    with pytest.raises(ValueError, match="another result"):
        so3_reference.judge_fixed(found, data, so3_reference.natural_paths(1))


def test_rows_of_free_weights() -> None:
    pytest.importorskip("e3x")
    pytest.importorskip("cuequivariance_jax")
    rows = rows_of("clebsch_gordan", "shared", ("e3nn-jax", "cuequivariance-jax", "e3x"))
    assert [row.get("error") for row in rows] == [None] * 10
    names = ["equinet", "e3nn-jax", "cuequivariance-jax", "e3x", benchmark.HALF]
    assert [row["library"] for row in rows] == names * 2
    assert benchmark.fastest_peer(rows, 1) in names[1:4]
    assert benchmark.fastest_peer(rows, 2) == ""


def test_rows_of_weights_of_each_row() -> None:
    rows = rows_of("clebsch_gordan", "rows", ("e3nn-jax", "e3x"))  # e3x has no such weights
    assert [(row["library"], row["direction"], row.get("error")) for row in rows] == [
        ("equinet", "forward", None),
        ("e3nn-jax", "forward", None),
        ("equinet", "forward+backward", None),
        ("e3nn-jax", "forward+backward", None),
    ]
    assert rows[0]["case"]["weights"] == "rows"


@pytest.mark.filterwarnings("ignore:.*lpmn_values:DeprecationWarning")  # of e3nn-jax
def test_rows_of_the_grid() -> None:
    rows = rows_of("gaunt", "shared", ("e3nn-jax",))
    assert [row.get("error") for row in rows] == [None] * 6
    assert {row["library"] for row in rows} == {"equinet", "e3nn-jax", "e3nn-jax (fft)"}


def test_rows_of_both_parities() -> None:
    rows = rows_of("cp")
    assert [(row["part"], row.get("error")) for row in rows] == [
        (part, None) for part in (None, benchmark.NATURAL) for _ in sides.DIRECTIONS
    ]


def test_a_library_that_is_not_installed_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuequivariance_jax", None)
    rows = rows_of("clebsch_gordan", "shared", ("cuequivariance-jax",))
    assert ["not installed" in row.get("error", "") for row in rows] == [True, False] * 2


def test_the_fused_product_has_these_paths() -> None:
    pytest.importorskip("e3x")
    case = benchmark.case_of("complete", 1, "shared")
    data = benchmark.data_of(case, 3)
    judge = functools.partial(
        so3_reference.judge_fixed, data=data, paths=so3_reference.all_paths(1)
    )
    for direction in sides.DIRECTIONS:
        sides.start_side(so3_jax.e3x_fused(1, data), direction, judge)


def test_a_product_that_does_not_exist_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(kind: str, lmax: int, part: str | None) -> None:
        raise ValueError("no such product")

    monkeypatch.setattr(benchmark, "our_product", missing)
    (row,) = rows_of("complete")
    assert (row["library"], row["error"]) == ("equinet", "no such product")


def test_a_missing_environment_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "peer_python", lambda name: pathlib.Path("no-such-folder") / name)
    rows = rows_of("clebsch_gordan", "rows", ("e3nn",))
    assert ["not installed" in row.get("error", "") for row in rows] == [True, False] * 2


def test_the_budget_looks_ahead() -> None:
    budget, alike = sides.Budget(), ("library",)
    budget.check(("a",), alike, 4)
    budget.note(("a",), alike, 4, 1.0, 1.0)
    budget.check(("a",), alike, 5)
    with pytest.raises(WorkerError, match=r"about 264 s expected .* at lmax=4"):
        budget.check(("a",), alike, 8)
    budget.check(("b",), alike, 8)


def test_the_budget_knows_of_tables_that_another_case_has_made() -> None:
    """The second case of a library compiles fast where it finds the tables of the first."""
    budget, alike = sides.Budget(), ("library", "product", "forward")
    for case, compiling in (("shared", 20.0), ("rows", 1.0)):
        budget.note((case,), alike, 4, compiling, 0.0)
    for case in ("shared", "rows"):
        budget.check((case,), alike, 5)
        with pytest.raises(WorkerError, match="after 20 s"):
            budget.check((case,), alike, 8)
    budget.note(("rows",), ("other",), 4, 1.0, 0.0)
    budget.check(("rows",), ("other",), 8)


def test_growth_is_that_of_our_products() -> None:
    times = {4: 1.0, 8: 3.0, 16: 16.0}
    rows = [
        {
            "case": {"product": "gaunt", "lmax": lmax},
            "library": library,
            "direction": "forward",
            "median_ms": factor * time,
        }
        for lmax, time in times.items()
        for library, factor in (("equinet", 1.0), ("e3nn-jax", float(lmax)))
    ]
    assert benchmark.growth(rows) == ["gaunt, forward: L^2.00 from L = 4 to 16"]


def test_the_command_writes_as_it_goes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = {"benchmark": benchmark.NAME, "direction": "forward", "part": None}

    def one(case: dict, *_: object) -> list[dict]:
        return [{**head, "case": case, "library": "equinet", "error": "left out"}]

    monkeypatch.setattr(benchmark, "measure_case", one)
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda: CEILINGS)
    file = tmp_path / "rows.jsonl"
    benchmark.main(["--lmax", "2", "1", "--products", "clebsch_gordan,cp", "--json", str(file)])
    cases = [json.loads(line)["case"] for line in file.read_text().splitlines()]
    assert [(c["product"], c["lmax"], c["weights"]) for c in cases] == [
        (kind, lmax, weights)
        for lmax in (1, 2)
        for kind, weights in (
            ("clebsch_gordan", "shared"),
            ("clebsch_gordan", "rows"),
            ("cp", "shared"),
        )
    ]
    with pytest.raises(SystemExit):
        benchmark.main(["--lmax", "0"])
    assert "expected 1 or more" in capsys.readouterr().err
