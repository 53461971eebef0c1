"""Committed results as tables and figures: `python -m experiments.report <name> [--figure FILE]`.

With `--add WORKDIR` a finished training becomes a row of `experiments/results/<name>.jsonl` first,
in place of one of the same command and note.

Reads `experiments/results/<name>.jsonl` (trainings: the run's JSON line plus minutes, hardware and
perhaps `curve`, pairs of minutes and a metric) and `experiments/benchmarks/results/<name>.jsonl`
(timings), whichever are there. The tables go to stdout as markdown; the figure, where matplotlib is
installed, beside the results: errors against `samples` if the trainings have them, else curves, and
accuracies against the strength of a deformation where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from equinet.files import write_atomically
from equinet.training import load_config, read_config
from equinet.training.config import flatten
from experiments.benchmarks.harness.rows import case_text, markdown, short, table

HERE = pathlib.Path(__file__).parent
FOLDERS = (HERE / "results", HERE / "benchmarks" / "results")
COLUMNS = (
    "library",
    "config",
    "model",
    "samples",
    "training_systems",
    "equation",
    "training_flows",
    "group",
    "training_images",
    "seed",
    "steps",
    "parameters",
    "minutes",
    "step_ms",
    "peak_memory_mb",
)
LAST_COLUMNS = ("atoms_per_second", "hardware", "note")
CURVE_METRICS = (
    "force_rmse_mev_per_angstrom",
    "position_mse",
    "accuracy",
    "rollout_relative_l2",
)
SAMPLES_METRIC = "relative_rmse"
STRENGTHS = "accuracy_against_strength"


def read(file: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file.

    Raises:
        ValueError: A line is not a JSON object.
    """
    rows = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{file}, line {number}: got {line[:40]!r}, expected a JSON object")
        rows.append(row)
    return rows


def training_row(workdir: pathlib.Path, note: str) -> dict[str, Any]:
    """The row of a finished training: its result, minutes, hardware and learning curve.

    Raises:
        FileNotFoundError: The training has no result yet.
    """
    result = json.loads((workdir / "result.json").read_text())
    records = read(workdir / "metrics.jsonl")
    logged = {name for record in records for name in record}
    metric = next((name for name in CURVE_METRICS if name in logged), None)
    curve, seconds = [], 0.0
    for record in records:
        seconds = record.get("seconds", seconds)
        if metric in record:
            curve.append([round(seconds / 60, 2), float(f"{record[metric]:.4g}")])
    kept = {name: value for name, value in result.items() if name != "workdir"}
    return {
        **kept,
        "command": _command(workdir, result["config"]),
        "minutes": round(result["seconds"] / 60, 1),
        **_step_ms(records),
        "hardware": f"{os.cpu_count()} cores" if result["device"] == "cpu" else result["device"],
        "note": note,
        "curve": curve,
        "curve_metric": f"validation {metric}",
    }


def _step_ms(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median milliseconds of a step, without what came before the first record: compilation."""
    rates = sorted(r["steps_per_second"] for r in records[1:] if r.get("steps_per_second"))
    return {"step_ms": round(1e3 / rates[len(rates) // 2], 2)} if rates else {}


def _command(workdir: pathlib.Path, source: str) -> str:
    """The command that repeats a training; where the data lie is for everyone to say."""
    command = f"equinet train --config={source}"
    if not (workdir / "config.json").exists():
        return command
    used, defaults = flatten(read_config(workdir)), flatten(load_config(source))
    changes = {k: v for k, v in used.items() if v != defaults[k] and k != "data_dir"}
    return " ".join([command, *(shlex.quote(f"--config.{k}={v}") for k, v in changes.items())])


def add(workdir: pathlib.Path, file: pathlib.Path, note: str) -> None:
    """Writes a finished training into a file of results, once."""
    row = training_row(workdir, note)
    rows = read(file) if file.exists() else []
    kept = [r for r in rows if (r.get("command"), r.get("note")) != (row["command"], row["note"])]
    write_atomically(file, "".join(json.dumps(r) + "\n" for r in [*kept, row]))


def trainings_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each training; a column for whatever at least one of them states."""
    flat = [
        {
            **{name: row[name] for name in COLUMNS if name in row},
            **row.get("metrics", {}),
            **{f"equivariance {k}": v for k, v in row.get("equivariance_error", {}).items()},
            **{f"weight {k}": v for k, v in row.get("penalty_weights", {}).items()},
            **{name: row[name] for name in LAST_COLUMNS if name in row},
        }
        for row in rows
    ]
    names = list(dict.fromkeys(name for row in flat for name in row))
    order = [name for name in names if name not in LAST_COLUMNS]
    order += [name for name in LAST_COLUMNS if name in names]
    return markdown([order, *([_cell(row.get(name)) for name in order] for row in flat)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else short(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "-" if value is None else str(value)


def draw(trainings: Sequence[dict[str, Any]], timings: Sequence[dict[str, Any]], axes: Any) -> None:
    """Draws learning curves if there are any, else the medians of the timings as bars."""
    curves = [row for row in trainings if row.get("curve")]
    for row in curves:
        minutes, values = zip(*row["curve"], strict=True)
        axes.plot(minutes, values, marker=".", label=row.get("library", row.get("config")))
    if curves:
        metric = curves[0].get("curve_metric", "metric")
        scale = "linear" if metric.endswith("accuracy") else "log"
        axes.set(xlabel="minutes", ylabel=metric, yscale=scale)
        axes.legend()
        return
    timings = [row for row in timings if "error" not in row]
    names = [row["case"].get("size") or case_text(row["case"]) for row in timings]
    labels = [f"{name} {row['library']}" for name, row in zip(names, timings, strict=True)]
    axes.barh(labels, [row["median_ms"] for row in timings])
    axes.set(xlabel="ms, median", xscale="log")
    axes.invert_yaxis()


def draw_samples(rows: Sequence[dict[str, Any]], figure: Any) -> None:
    """Draws the error against the number of samples, a panel a problem and a line a model."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    panels = figure.subplots(1, len(problems), squeeze=False)[0]
    for problem, axes in zip(problems, panels, strict=True):
        here = [row for row in rows if row["problem"] == problem]
        for model in dict.fromkeys(row["model"] for row in here):
            points = sorted(
                (row["samples"], row["metrics"][SAMPLES_METRIC])
                for row in here
                if row["model"] == model
            )
            axes.plot(*zip(*points, strict=True), marker="o", label=model)
        axes.set(title=problem, xlabel="training samples", xscale="log", yscale="log")
    panels[0].set_ylabel(f"test {SAMPLES_METRIC}")
    panels[0].legend()


def draw_strengths(rows: Sequence[dict[str, Any]], axes: Any) -> None:
    """Draws the accuracy against the strength of the deformation, a line for each training."""
    for row in rows:
        axes.plot(*zip(*row[STRENGTHS], strict=True), marker="o", label=row["config"])
    axes.set(xlabel="strength of the deformation", ylabel="test accuracy")
    axes.legend()


def save_figure(
    trainings: Sequence[dict[str, Any]], timings: Sequence[dict[str, Any]], file: pathlib.Path
) -> bool:
    """Writes the figure; False without matplotlib, or if there is nothing to draw."""
    scaling = [row for row in trainings if "samples" in row]
    if not any(row.get("curve") for row in trainings) and not timings and not scaling:
        return False
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if scaling:
        width = 3 * len({row["problem"] for row in scaling})
        figure = Figure(figsize=(max(width, 4), 3.2), layout="constrained")
        draw_samples(scaling, figure)
    elif deformed := [row for row in trainings if STRENGTHS in row]:
        figure = Figure(figsize=(11, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw(trainings, timings, left)
        draw_strengths(deformed, right)
    else:
        figure = Figure(figsize=(7, max(4.0, 0.3 * len(timings))), layout="constrained")
        draw(trainings, timings, figure.add_subplot())
    figure.savefig(file)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives back its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a task or a benchmark, as its file of results is called")
    parser.add_argument("--figure", type=pathlib.Path, help="default: <name>.svg by the results")
    parser.add_argument("--add", type=pathlib.Path, metavar="WORKDIR", help="a finished training")
    parser.add_argument("--note", default="", help="what else the row should say")
    chosen = parser.parse_args(arguments)
    if chosen.add:
        FOLDERS[0].mkdir(exist_ok=True)
        add(chosen.add, FOLDERS[0] / f"{chosen.name}.jsonl", chosen.note)
    files = [folder / f"{chosen.name}.jsonl" for folder in FOLDERS]
    found = [file for file in files if file.exists()]
    if not found:
        known = sorted(file.stem for folder in FOLDERS for file in folder.glob("*.jsonl"))
        sys.stderr.write(f"no results for {chosen.name!r}, expected one of {known}\n")
        return 2
    trainings, timings = ([*read(file)] if file.exists() else [] for file in files)
    tables = [trainings_table(trainings)] if trainings else []
    sys.stdout.write("\n\n".join(tables + ([table(timings)] if timings else [])) + "\n")
    figure = chosen.figure or found[0].with_suffix(".svg")
    if save_figure(trainings, timings, figure):
        sys.stderr.write(f"figure: {figure}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
