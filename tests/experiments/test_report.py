import json
import pathlib
import sys
from typing import Any

import pytest

from equinet.training import load_config
from equinet.training.config import to_json
from experiments import report

TRAINING = {
    "command": "equinet train --config=configs/potential.py",
    "config": "potential",
    "seed": 0,
    "parameters": 106912,
    "metrics": {"force_mae_mev_per_angstrom": 16.54, "energy_mae_mev": 1.25},
    "equivariance_error": {"float32": 7e-6, "float64": 2.5e-14},
    "minutes": 1.5,
    "hardware": "2 cores",
    "curve": [[0.1, 60.0], [0.5, 25.0], [1.5, 16.5]],
    "curve_metric": "force MAE, meV/A",
}
TIMING = {
    "benchmark": "potential",
    "case": {"size": "small"},
    "library": "equinet",
    "direction": "train_step",
    "median_ms": 30.0,
    "p10_ms": 29.0,
    "p90_ms": 33.0,
    "compile_s": 2.0,
    "temp_mb": 50.0,
    "peak_mb": 900.0,
    "floor_ms": None,
    "ratio_to_equinet": 1.0,
    "parameters": 1000,
}
MISSING = {**{k: TIMING[k] for k in ("benchmark", "case", "direction")}, "library": "peer"}


@pytest.fixture
def folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[pathlib.Path]:
    made = [tmp_path / folder / "results" for folder in ("potentials", "benchmarks")]
    for folder in made:
        folder.mkdir(parents=True)
    monkeypatch.setattr(report, "HERE", tmp_path)
    monkeypatch.setattr(report, "PAGES", tmp_path / "docs")
    return made


def write(folder: pathlib.Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_trainings_and_timings_are_tables(
    folders: list[pathlib.Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"config": "other", "metrics": {"accuracy": 0.5}}
    timed = [TIMING, {**MISSING, "error": "not installed"}]
    write(folders[0], "potential.jsonl", [TRAINING, other, *timed])
    assert report.main(["potential"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    cells = dict(zip(head, (c.strip() for c in lines[2].strip("|").split("|")), strict=True))
    assert cells["force_mae_mev_per_angstrom"] == "16.5"
    assert cells["equivariance float64"] == "2.5e-14"
    assert cells["parameters"] == "106,912"
    assert cells["accuracy"] == "-"
    assert head[-1] == "hardware"
    assert any("equinet" in line and "30.0" in line for line in lines)
    assert any("peer" in line and "not installed" in line for line in lines)


@pytest.mark.parametrize("which", [0, 1])
def test_figure(folders: list[pathlib.Path], tmp_path: pathlib.Path, which: int) -> None:
    pytest.importorskip("matplotlib")
    write(folders[which], "potential.jsonl", [[TRAINING, TIMING][which]])
    assert report.main(["potential", "--figure", str(tmp_path / "figure.svg")]) == 0
    first = (tmp_path / "figure.svg").read_text()
    assert "<svg" in first
    assert report.main(["potential", "--figure", str(tmp_path / "figure.svg")]) == 0
    assert (tmp_path / "figure.svg").read_text() == first
    assert not list(folders[which].glob("*.svg"))
    assert report.main(["potential", "--write"]) == 0
    assert (folders[which] / "potential.svg").exists() == (which == 0)


def test_without_matplotlib_there_are_still_tables(
    folders: list[pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write(folders[0], "potential.jsonl", [TRAINING])
    assert report.main(["potential"]) == 0
    assert "16.5" in capsys.readouterr().out
    assert not (folders[0] / "potential.svg").exists()


def test_an_unknown_name_names_the_known_ones(
    folders: list[pathlib.Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folders[0], "potential.jsonl", [TRAINING])
    assert report.main(["potentail"]) == 2
    assert "did you mean potential" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{", "[1]"])
def test_a_malformed_line_is_named(
    folders: list[pathlib.Path], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[0] / "potential.jsonl").write_text(json.dumps(TRAINING) + "\n" + line + "\n")
    assert report.main(["potential"]) == 2
    assert "potential.jsonl, line 2" in capsys.readouterr().err


def test_a_finished_training_becomes_a_row(tmp_path):
    result = {"config": "configs/x.py", "workdir": "/somewhere", "seconds": 90.0, "device": "cpu"}
    (tmp_path / "result.json").write_text(json.dumps(result | {"metrics": {"a": 1.0}}))
    records = [
        {"step": 1, "kind": "train", "seconds": 30.0},
        {"step": 1, "kind": "validation", report.CURVE_METRICS[0]: 5.0},
        {"step": 2, "kind": "train", "seconds": 60.0},
        {"step": 2, "kind": "validation", report.CURVE_METRICS[0]: 4.0},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(lines)
    row = report.training_row(tmp_path, "a note")
    assert row["curve"] == [[0.5, 5.0], [1.0, 4.0]]
    assert (row["minutes"], row["note"]) == (1.5, "a note")
    assert row["command"] == "equinet train --config=configs/x.py"
    assert "workdir" not in row


def test_accuracies_against_strength(folders, tmp_path):
    pytest.importorskip("matplotlib")
    row = TRAINING | {report.STRENGTHS: [[0.0, 0.9], [1.0, 0.7]], "config": "affnist.py:gl"}
    write(folders[0], "affnist.jsonl", [row])
    assert report.main(["affnist", "--figure", str(tmp_path / "figure.svg")]) == 0
    assert "strength of the deformation" in (tmp_path / "figure.svg").read_text()


SCALING = [
    {"problem": "o5", "model": model, "samples": n, "metrics": {"relative_rmse": error}}
    for model, n, error in (("equivariant", 100, 0.1), ("equivariant", 1000, 0.01), ("mlp", 100, 1))
]


def test_errors_against_samples(folders, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    weighted = SCALING[0] | {"penalty_weights": {"O_xy(2)": 0.5}}
    write(folders[0], "emlp.jsonl", [weighted, *SCALING[1:]])
    assert report.main(["emlp", "--figure", str(tmp_path / "figure.svg")]) == 0
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    lines = capsys.readouterr().out.splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert head[:2] == ["model", "samples"]
    assert "weight O_xy(2)" in head


def test_a_row_is_added_once_with_what_was_overridden(folders, tmp_path):
    root = pathlib.Path(__file__).parents[2]
    source = str(root / "configs/emlp.py:inertia_soft")
    config = load_config(source, [("data.samples", "50"), ("penalty.weights", "(0., 1., 1., 2.)")])
    (tmp_path / "config.json").write_text(to_json(config))
    result = {"config": source, "seconds": 6.0, "device": "cpu", "metrics": {}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "emlp").mkdir()
    add = ["emlp", "--add", str(tmp_path), "--note"]
    for note in ("a", "a", "b"):
        assert report.main([*add, note, "--write"]) == 0
    rows = report.read(tmp_path / "emlp/results/emlp.jsonl")
    assert [row["note"] for row in rows] == ["a", "b"]
    changes = "--config.data.samples=50 '--config.penalty.weights=(0.0, 1.0, 1.0, 2.0)'"
    assert rows[0]["command"] == f"equinet train --config={source} {changes}"


def test_the_rows_of_the_project_are_not_rewritten(folders, tmp_path, capsys):
    """A user's run is shown among the rows; without --write nothing is written."""
    write(folders[0], "potential.jsonl", [TRAINING])
    run = tmp_path / "run"
    run.mkdir()
    source = str(pathlib.Path(__file__).parents[2] / "configs/emlp.py:o5")
    result = {"config": source, "seconds": 6.0, "device": "cpu", "metrics": {"of_the_user": 1.0}}
    (run / "result.json").write_text(json.dumps(result))
    (run / "metrics.jsonl").write_text("")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert report.main(["potential", "--add", str(run)]) == 0
    assert "of_the_user" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_pages_are_made_from_the_rows(folders, tmp_path):
    write(folders[0], "potential.jsonl", [TRAINING])
    assert report.main(["--all", "--write"]) == 0
    readme = (tmp_path / "potentials/README.md").read_text()
    assert "## potential" in readme
    assert TRAINING["command"] in readme
    page = (tmp_path / "docs/rows_potentials.md").read_text()
    assert page == readme.replace("](results/", "](../potentials/results/")


def test_the_committed_pages_are_those_of_the_rows():
    """`python -m experiments.report --all --write` would change no page."""
    folders = {file.parents[1] for file in report.row_files().values()}
    for folder in sorted(folders - {report.HERE / "benchmarks"}):
        assert (folder / "README.md").read_text() == report.page(folder, "results/"), (
            "run python -m experiments.report --all --write"
        )
