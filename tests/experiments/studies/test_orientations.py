"""The error by orientations: which rotations are exact, what the others cost, files and words."""

import json
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equinet.ops.orientations import POLYHEDRA, Grid, polyhedron
from equinet.training import load_config, train
from experiments import report
from experiments.studies import orientations

FEW, MANY = 6, 40
BOTH = ("scalars", "vectors")
CONFIGS = Path(__file__).parents[3] / "configs"
TINY = {
    "model.channels": "4",
    "model.layers": "1",
    "model.basis": "4",
    "model.orientations": "4",
    "data.source": "simulate",
    "data.samples": "6",
    "data.validation": "3",
    "data.test": "4",
    "data.every": "2",
    "training.steps": "3",
    "training.batch_size": "2",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
    "training.checkpoint_every": "3",
}


def measured(*variants: str) -> list[dict[str, Any]]:
    """Two tiny networks of these variants on few clouds of few points."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orientations, "VARIANTS", variants)
        patch.setattr(orientations, "SIZES", {"channels": 4, "basis": 4, "layers": 1})
        patch.setattr(orientations, "POINTS", 3)
        patch.setattr(orientations, "TURNS", 4)
        patch.setattr(orientations, "LARGEST_COMPLETE", FEW)
        return orientations.untrained([FEW, MANY], clouds=2, seeds=2)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return measured("separable", "edges", "positions")


def errors(rows: list[dict[str, Any]], model: str) -> dict[str, float]:
    (row,) = (row for row in rows if row["model"] == model)
    return row["equivariance_error"]


def assert_only_own_are_exact(found: dict[str, float]) -> None:
    for output in BOTH:
        assert found[f"own, {output}"] < 1e-13
        assert found[f"random, {output}"] > 1e-3


def test_every_variant_has_its_grids(rows: list[dict[str, Any]]) -> None:
    assert [row["model"] for row in rows] == [
        "separable, fibonacci 6",
        "separable, fibonacci 40",
        "separable, octahedron 6",
        "edges",
        "positions",
    ]


def test_exact_under_the_rotations_of_the_grid_alone(rows: list[dict[str, Any]]) -> None:
    assert_only_own_are_exact(errors(rows, "separable, octahedron 6"))


@pytest.mark.slow
def test_complete_kernels_up_to_a_size() -> None:
    rows = measured("complete")
    assert [row["model"] for row in rows] == ["complete, fibonacci 6", "complete, octahedron 6"]
    assert_only_own_are_exact(errors(rows, "complete, octahedron 6"))


def test_exact_under_all_rotations_without_a_grid(rows: list[dict[str, Any]]) -> None:
    assert max(errors(rows, "edges").values()) < 1e-13
    assert list(errors(rows, "edges")) == ["random, scalars", "random, vectors"]
    assert list(errors(rows, "positions")) == ["random, scalars"]
    assert errors(rows, "positions")["random, scalars"] < 1e-13


def test_more_orientations_less_error(rows: list[dict[str, Any]]) -> None:
    few, many = (errors(rows, f"separable, fibonacci {size}") for size in (FEW, MANY))
    for output in BOTH:
        assert 0 < many[f"random, {output}"] < few[f"random, {output}"] / 3


def test_what_a_row_says(rows: list[dict[str, Any]]) -> None:
    row = rows[2]
    stated = {"grid": "octahedron", "orientations": 6, "networks": 2, "clouds": 2}
    assert stated.items() <= row.items()
    assert (row["config"], row["variant"]) == ("untrained", "separable")
    assert row["command"] == "python -m experiments.studies.orientations"
    keys = [f"{rotations}, {output}" for rotations in ("random", "own") for output in BOTH]
    assert list(row["equivariance_error"]) == list(row["deviation"]) == keys
    assert row["deviation"]["random, scalars"] > 0  # two networks, not one twice
    assert (rows[-1]["grid"], rows[-1]["orientations"]) == (None, None)


def test_errors_of_functions_whose_errors_are_known() -> None:
    """Half a turn about z: x and the length of a vector's x change by twice their size."""
    turns = np.broadcast_to(np.diag([-1.0, -1.0, 1.0]), (2, 3, 3, 3))
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2, 4, 3)), np.ones((2, 4, 1)), np.zeros((2, 4, 3, 1))
    inputs[2][..., 0, 0] = rng.normal(size=(2, 4))

    def run(factor: float, positions: Any, scalars: Any, vectors: Any) -> tuple[Any, Any]:
        return positions[..., :1] + factor * scalars, np.abs(vectors) * factor + vectors

    found = orientations.errors(run, [0.0, 1e9], turns, inputs)  # type: ignore[arg-type]
    assert found["scalars"] == pytest.approx([2, 0], abs=1e-6)
    assert found["vectors"] == pytest.approx([0, 2], abs=1e-6)
    without = orientations.errors(lambda *a: (run(*a)[0], a[3][..., :0]), [0.0], turns, inputs)  # type: ignore
    assert list(without) == ["scalars"]


def test_rotations_of_a_grid_move_it_onto_itself() -> None:
    for name in POLYHEDRA:
        points = polyhedron(name).points
        turns = orientations.own_turns(polyhedron(name), 3)
        assert turns.shape == (3, orientations.TURNS, 3, 3)
        moved = np.einsum("ctij,kj->ctki", turns, points)
        assert np.abs(moved - points).max(axis=(2, 3)).min() > 0.1
        distances = np.abs(moved[..., None, :] - points).max(-1).min(-1)
        assert distances.max() < 1e-9
    assert len(orientations.random_turns(3)) == 3


def test_grids_of_a_variant() -> None:
    kinds = [grid and grid.kind for grid in orientations.grids_of("separable", [5, 8, 12])]
    assert kinds == ["fibonacci"] * 3 + ["cube", "icosahedron"]
    largest = orientations.LARGEST_COMPLETE
    found = orientations.grids_of("complete", [5, largest, largest + 1])
    assert max(grid.size for grid in found if grid) == largest
    assert Grid("fibonacci", 5) in found


def test_the_command_writes_rows_table_and_figure(
    rows: list[dict[str, Any]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []
    monkeypatch.setattr(report, "rows_file", lambda name, folder: tmp_path / f"{name}.jsonl")
    monkeypatch.setattr(orientations, "FITTED_FROM", 4)
    monkeypatch.setattr(orientations, "untrained", lambda *a: asked.append(a) or rows)
    words = ["--orientations", "40", "6", "6", "--clouds", "2", "--seeds", "3"]
    assert orientations.main(words) == 0
    assert asked == [([6, 40], 2, 3)]
    assert report.read(tmp_path / "orientations.jsonl") == rows
    printed = capsys.readouterr().out
    assert "| separable, fibonacci 40 " in printed
    assert "scalars: error about" in printed
    assert "vectors: error about" in printed
    pytest.importorskip("matplotlib")
    assert "<svg" in (tmp_path / "orientations.svg").read_text()


def test_the_fitted_power() -> None:
    sizes = [4, 12, 24, 96]
    found = orientations.fitted_power(sizes, [9.0, *(3.0 * size**-1.5 for size in sizes[1:])])
    assert found == pytest.approx((3, -1.5))
    assert orientations.fitted_power(sizes[:2], [1.0, 1.0]) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--orientations", "12", "3"], "got --orientations 3, expected 4 or more"),
        (["--clouds", "0"], "got --clouds 0, expected 1 or more"),
        (["--seeds", "-1"], "got --seeds -1, expected 1 or more"),
        (["--orientations", "many"], "invalid int value: 'many'"),
        (["--trained", "no-such-folder"], "no-such-folder"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orientations.main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_training_of_another_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(f"{CONFIGS}/nbody.py:egnn", [])
    monkeypatch.setattr(orientations, "load_run", lambda workdir: (config, None))
    assert orientations.main(["--trained", "run"]) == 2
    assert "got a training of 'egnn'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_trained_network_on_other_grids(tmp_path: pathlib.Path) -> None:
    config = load_config(f"{CONFIGS}/nbody.py:ponita", list(TINY.items()))
    train(config, tmp_path / "run")
    rows = orientations.trained(tmp_path / "run", [FEW, MANY], 2)
    assert [row["model"] for row in rows] == ["separable, octahedron 6", "separable, fibonacci 40"]
    assert {row["config"] for row in rows} == {"trained"}
    octahedron, fibonacci = (row["equivariance_error"] for row in rows)
    assert octahedron["own, vectors"] < 1e-12
    assert 0 < fibonacci["random, vectors"] < octahedron["random, vectors"]
    assert json.loads(json.dumps(rows)) == rows
