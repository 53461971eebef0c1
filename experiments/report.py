"""Committed results as tables and figures: `python -m experiments.report NAME`.

The rows of an experiment are JSON lines in `experiments/<folder>/results/<name>.jsonl`: of a
training its result, minutes, hardware and learning curve (`curve`, pairs of minutes and a metric);
of a benchmark the timings. The command prints their tables as markdown and writes nothing, unless
it is told to:

- `--add WORKDIR` shows a finished training among the committed rows.
- `--figure FILE` writes the figure, where matplotlib is installed: errors against `samples` if the
  trainings have them, else learning curves, and accuracies against the strength of a deformation.
- `--write` is for the project's own results: it keeps the added row, in place of one with the same
  command and note, and writes the figure beside the rows, the README of the folder and its page of
  the documentation, `docs/results/rows_<folder>.md`. `--all --write` does so for all experiments.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from equinet.files import write_atomically
from equinet.training import did_you_mean, load_config, read_config
from equinet.training.config import flatten
from experiments.benchmarks.harness.rows import case_text, markdown, short, table

HERE = pathlib.Path(__file__).parent
PAGES = HERE.parent / "docs" / "results"
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
QUESTIONS = {
    "potentials": "Energies and forces of molecules, with every tensor product and convolution.",
    "studies": "Smaller questions: grids of orientations, and samples of a group.",
}
LAST_COLUMNS = ("atoms_per_second", "hardware", "note")
CURVE_METRICS = (
    "force_rmse_mev_per_angstrom",
    "position_mse",
    "accuracy",
    "rollout_relative_l2",
)
SAMPLES_METRIC = "relative_rmse"
STRENGTHS = "accuracy_against_strength"


def row_files() -> dict[str, pathlib.Path]:
    """The files of committed rows by name."""
    return {file.stem: file for file in sorted(HERE.glob("*/results/*.jsonl"))}


def rows_file(name: str, folder: str | None = None) -> pathlib.Path:
    """The file of the rows called `name`.

    Args:
        name: The name of the file, such as "nbody".
        folder: The folder of a new file below `experiments/`; one that is called `name`, if absent.

    Raises:
        ValueError: There are no such rows, nor such a folder.
    """
    known = row_files()
    if name in known:
        return known[name]
    if not (HERE / (folder or name)).is_dir():
        raise ValueError(f"no results for {name!r}: {did_you_mean(name, known)}")
    return HERE / (folder or name) / "results" / f"{name}.jsonl"


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
    """The median time of a step in milliseconds, without the steps before the first record."""
    rates = sorted(r["steps_per_second"] for r in records[1:] if r.get("steps_per_second"))
    return {"step_ms": round(1e3 / rates[len(rates) // 2], 2)} if rates else {}


def _command(workdir: pathlib.Path, source: str) -> str:
    """The command that repeats a training, without the folder of the data."""
    command = f"equinet train --config={source}"
    if not (workdir / "config.json").exists():
        return command
    used, defaults = flatten(read_config(workdir)), flatten(load_config(source))
    changes = {k: v for k, v in used.items() if v != defaults.get(k) and k != "data_dir"}
    return " ".join([command, *(shlex.quote(f"--config.{k}={v}") for k, v in changes.items())])


def merged(rows: Sequence[dict[str, Any]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with a new one in place of those with the same command and note."""
    key = (row.get("command"), row.get("note"))
    return [*(r for r in rows if (r.get("command"), r.get("note")) != key), row]


def write_rows(rows: Sequence[dict[str, Any]], file: pathlib.Path) -> None:
    """Writes a file of rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, "".join(json.dumps(row) + "\n" for row in rows))


def trainings_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each training; a column for every key that at least one of them has."""
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
        from matplotlib import rc_context
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
    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": file.stem}):  # the same rows give the same file
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    return True


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as tables of markdown: one of trainings, one of timings."""
    trainings, timings = _split(rows)
    parts = [trainings_table(trainings)] if trainings else []
    return "\n\n".join(parts + ([table(timings)] if timings else []))


def _split(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    timed = [row for row in rows if "benchmark" in row]
    return [row for row in rows if "benchmark" not in row], timed


def write_pages(folder: pathlib.Path) -> None:
    """Writes the README of an experiment and its page of the documentation from its rows."""
    write_atomically(folder / "README.md", page(folder, "results/"))
    PAGES.mkdir(parents=True, exist_ok=True)
    link = pathlib.Path(os.path.relpath(folder / "results", PAGES)).as_posix() + "/"
    write_atomically(PAGES / f"rows_{folder.name}.md", page(folder, link))


def page(folder: pathlib.Path, link: str) -> str:
    """The page of an experiment: its question, and for each file of rows figure, table, commands.

    Args:
        folder: The folder of the experiment.
        link: The path of its results from where the page lies.
    """
    lines = [f"# All rows of {folder.name.replace('_', ' ')}", "", question(folder), ""]
    for file in sorted((folder / "results").glob("*.jsonl")):
        rows = read(file)
        lines += [f"## {file.stem}", ""]
        if file.with_suffix(".svg").exists():
            lines += [f"![The rows of {file.stem} as a figure]({link}{file.stem}.svg)", ""]
        lines += [tables(rows), ""]
        commands = list(dict.fromkeys(row["command"] for row in rows if row.get("command")))
        if commands:
            lines += ["The commands of these rows:", "", "```sh", *commands, "```", ""]
    lines += [
        f"This page is made from the rows by `python -m experiments.report --all --write`; do not "
        f"edit it. The rows are in `experiments/{folder.name}/results/`.",
    ]
    return "\n".join(lines) + "\n"


def question(folder: pathlib.Path) -> str:
    """The question of an experiment: the first line of the docstring of its task or package."""
    for file in (folder / "task.py", folder / "__init__.py"):
        if file.exists() and (text := ast.get_docstring(ast.parse(file.read_text()))):
            return text.splitlines()[0]
    return QUESTIONS.get(folder.name, f"Results of {folder.name}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="the name of a file of rows")
    parser.add_argument("--all", action="store_true", help="every file of rows")
    parser.add_argument("--figure", type=pathlib.Path, help="write the figure to this file")
    parser.add_argument("--add", type=pathlib.Path, metavar="WORKDIR", help="a finished training")
    parser.add_argument("--note", default="", help="what else the added row should say")
    parser.add_argument("--write", action="store_true", help="change the project's own results")
    options = parser.parse_args(arguments)
    if (options.name is None) != options.all or (options.all and (options.add or options.figure)):
        parser.error("give either a NAME or --all, which takes neither --add nor --figure")
    try:
        files = list(row_files().values()) if options.all else [rows_file(options.name)]
        for file in files:
            _report(file, options)
        if options.write:
            for folder in sorted({file.parents[1] for file in files} - {HERE / "benchmarks"}):
                write_pages(folder)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _report(file: pathlib.Path, options: argparse.Namespace) -> None:
    """Prints the tables of one file of rows, and writes what the options ask for."""
    rows = read(file) if file.exists() else []
    if options.add:
        rows = merged(rows, training_row(options.add, options.note))
        if options.write:
            write_rows(rows, file)
    sys.stdout.write(tables(rows) + "\n")
    trainings, timings = _split(rows)
    figure = options.figure
    if figure is None and options.write and (trainings or file.with_suffix(".svg").exists()):
        figure = file.with_suffix(".svg")  # many timings are a table, not a figure
    if figure is not None and save_figure(trainings, timings, figure):
        sys.stderr.write(f"figure: {figure}\n")


if __name__ == "__main__":
    sys.exit(main())
