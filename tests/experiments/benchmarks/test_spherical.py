"""The benchmark of harmonics and Wigner matrices: rows of small cases, and what it refuses."""

import pathlib

import jax
import numpy as np
import pytest

from experiments.benchmarks import spherical as benchmark
from experiments.benchmarks.harness import sides


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    """Few vectors; e3nn-jax needs JAX's default promotion of shapes and types."""
    monkeypatch.setattr(benchmark, "VECTORS", 3)
    monkeypatch.setattr(benchmark, "ROTATIONS", 3)
    monkeypatch.setattr(
        benchmark, "ALGORITHMS", {name: [("recursive", "dense")] for name in sides.DIRECTIONS}
    )
    monkeypatch.setattr(sides, "peer_python", lambda name: pathlib.Path("no-such-folder") / name)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def rows_of(part: str) -> list[dict]:
    make = benchmark.harmonics_starts if part == "harmonics" else benchmark.wigner_starts
    starts = make(1, benchmark.PEERS)
    case = benchmark.case_of(part, 1)
    return sides.measure(benchmark.NAME, case, starts, sides.Budget(), repeats=1, part=part)


def test_rows_of_harmonics() -> None:
    rows = rows_of("harmonics")
    assert [(row["library"], row["direction"]) for row in rows if "error" not in row] == [
        (library, direction)
        for direction in sides.DIRECTIONS
        for library in ("equinet", "e3nn-jax")
    ]
    errors = [(row["library"], "not installed" in row["error"]) for row in rows if "error" in row]
    assert errors == [("sphericart", True)] * 2
    assert rows[-1]["case"] == {"lmax": 1, "vectors": 3, "dtype": "float32"}


def test_rows_of_wigner_matrices() -> None:
    rows = rows_of("wigner")
    assert [row.get("error") for row in rows] == [None] * 4
    assert {row["part"] for row in rows} == {"wigner"}


def test_another_result_is_a_row_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_other_vectors(function: object, cotangent: object, vectors: np.ndarray) -> object:
        return right(function, cotangent, vectors[..., ::-1])

    right = benchmark.in_float64
    monkeypatch.setattr(benchmark, "in_float64", of_other_vectors)
    rows = rows_of("harmonics")
    assert len(rows) == 6
    assert all("another result" in row["error"] for row in rows if row["library"] != "sphericart")


def test_tangents_forget_what_is_not_along_the_rotations() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(2, 3, 3)))[0]
    symmetric = rng.normal(size=(2, 3, 3))
    symmetric = symmetric + np.swapaxes(symmetric, 1, 2)
    gradient = rng.normal(size=(2, 3, 3))
    expected = benchmark.tangent(turn, gradient)
    np.testing.assert_allclose(benchmark.tangent(turn, gradient + turn @ symmetric), expected)


def test_the_command_refuses_degree_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--lmax", "0"])
    assert "expected 1 or more" in capsys.readouterr().err
