"""The benchmark of edge convolutions: its plain forms, the peers' messages, rows of small cases."""

import jax
import numpy as np
import pytest

from equinet.groups import SO
from equinet.reps import wigner_matrices
from experiments.benchmarks import edge_convolutions as benchmark
from experiments.benchmarks.harness import sides
from experiments.benchmarks.harness.race import Ceilings
from experiments.benchmarks.peers import so2_reference
from experiments.benchmarks.peers.so3_reference import block

CEILINGS = Ceilings(gflops=100, gbytes_per_s=5)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    """Few edges; the peers need JAX's default promotion of shapes and types."""
    monkeypatch.setattr(benchmark, "EDGES", 5)
    monkeypatch.setattr(benchmark, "CHANNELS", 4)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def rows_of(starts: dict[str, sides.Start], case: dict, part: str = "messages") -> list[dict]:
    others = {name: start for name, start in starts.items() if name != "equinet"}
    return sides.measure(benchmark.NAME, case, others, sides.Budget(), repeats=1, part=part)


@pytest.mark.slow
def test_the_plain_so2_convolution_is_equivariant(x64: None) -> None:
    case = benchmark.case_of("so2", 2, 1)
    data = so2_reference.so2_inputs(case)
    turn = np.asarray(SO(3).sample(jax.random.key(0)), np.float64)
    turns = [np.asarray(d) for d in wigner_matrices(2, turn)]

    def turned(x: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [np.einsum("ij,ejc->eic", d, x[:, block(l)]) for l, d in enumerate(turns)], 1
        )

    found = so2_reference.so2_reference(data, 2, 1)
    moved = {"x": turned(data["x"]), "vectors": data["vectors"] @ turn.T}
    moved["cotangent"] = turned(data["cotangent"])
    again = so2_reference.so2_reference(data | moved, 2, 1)
    np.testing.assert_allclose(again["output"], turned(found["output"]), atol=1e-12)
    np.testing.assert_allclose(again["x"], turned(found["x"]), atol=1e-12)
    np.testing.assert_allclose(again["vectors"], found["vectors"] @ turn.T, atol=1e-12)
    wrong = so2_reference.so2_reference(data | moved | {"vectors": data["vectors"]}, 2, 1)
    assert np.abs(wrong["output"] - turned(found["output"])).max() > 0.1


def test_vectors_are_turned_to_the_polar_axis() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    turns = so2_reference.to_polar_axis(np, vectors)
    np.testing.assert_allclose(
        turns @ np.swapaxes(turns, 1, 2), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-12
    )
    along = np.einsum("eij,ej->ei", turns, vectors)
    np.testing.assert_allclose(along[:, [0, 2]], 0, atol=1e-12)
    assert (along[:, 1] > 0).all()


def test_messages_of_all_paths() -> None:
    pytest.importorskip("e3x")
    pytest.importorskip("cuequivariance_jax")
    case = benchmark.case_of("clebsch_gordan", 1)
    rows = rows_of(benchmark.path_starts(case, ["e3nn-jax", "e3x", "cuequivariance-jax"]), case)
    assert [row.get("error") for row in rows] == [None] * 6
    assert {row["part"] for row in rows} == {"messages"}


@pytest.mark.filterwarnings("ignore:.*lpmn_values:DeprecationWarning")  # of e3nn-jax
@pytest.mark.slow
def test_messages_on_the_grid() -> None:
    case = benchmark.case_of("gaunt", 1)
    rows = rows_of(benchmark.gaunt_starts(case, ["e3nn-jax"]), case)
    assert [(row["library"], row.get("error")) for row in rows] == [("e3nn-jax", None)] * 2


def test_messages_of_other_weights_are_refused() -> None:
    case = benchmark.case_of("gaunt", 1)
    paths = benchmark.natural_paths(1)
    data = benchmark.path_inputs(case, len(paths))
    found = {"output": data["cotangent"]}
    with pytest.raises(ValueError, match="another result"):
        benchmark.judge_messages(found, data, data["weights"], paths)


def test_the_matrices_alone() -> None:
    case = benchmark.case_of("so2", 2, 2)
    data = so2_reference.so2_inputs(case)
    rows, matrices = benchmark.mixed(data)
    assert [matrix.shape for matrix in matrices] == [(12, 12), (16, 16), (8, 8)]
    assert [x.shape for x in benchmark.mix(rows, matrices)] == [(5, 12), (5, 16), (5, 8)]
    starts = benchmark.so2_starts(case, ["fairchem-core"], "gemm")
    assert list(starts) == ["equinet"]
    work = benchmark.work_of(case)
    assert work is not None
    found = sides.measure(
        benchmark.NAME, case, starts, sides.Budget(), repeats=1, work=work, ceilings=CEILINGS
    )
    assert [row.get("error") for row in found] == [None, None]
    assert found[0]["floor_ms"] == pytest.approx(max(2e-8 * 5 * (144 + 256 + 64), 2e-7 * work[1]))
    assert found[1]["floor_ms"] == pytest.approx(3 * found[0]["floor_ms"])


def test_a_convolution_that_does_not_exist_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark.CLASSES, "gaunt", ("equinet.ops.edges", "Missing"))
    case = benchmark.case_of("gaunt", 1)
    rows = benchmark.measure_case(case, [], sides.Budget(), CEILINGS, 1)
    assert [(row["library"], "no convolution" in row["error"]) for row in rows] == [
        ("equinet", True)
    ] * 2


def test_the_command_refuses_degree_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--lmax", "0"])
    assert "expected 1 or more" in capsys.readouterr().err
