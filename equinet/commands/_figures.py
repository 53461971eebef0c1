"""The figures of a training: learning curves, and what its task draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equinet.data.extras import require
from equinet.training import load_run, read_metrics

_FORMATS = ("png", "svg")
_NOT_METRICS = ("step", "kind", "seconds", "steps_per_second")


def draw_figures(
    workdir: str, folder: Path, *, data: str | None = None, predict: bool = True
) -> list[str]:
    """Draws the figures of a training and writes each as PNG and SVG.

    Args:
        workdir: Folder of the training.
        folder: Where to write, made if it is missing.
        data: A file to predict for; None for the test split.
        predict: Whether the task draws its own figures, for which it predicts.

    Returns:
        The paths of the files.

    Raises:
        FileNotFoundError: The workdir is not of a training.
        ImportError: matplotlib is not installed.
    """
    require("matplotlib", "plots").use("agg")
    config, task = load_run(workdir)
    figures = {}
    records = read_metrics(Path(workdir))
    if records:
        figures["learning_curves"] = learning_curves(records)
    if predict:
        figures |= task.figures(config, Path(workdir), data)
    if not figures:
        raise FileNotFoundError(f"{workdir} holds no metrics yet: nothing to draw")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for name in figures for kind in _FORMATS]
    for path in paths:
        figures[path.stem].savefig(path, bbox_inches="tight", dpi=150)
    return [str(path) for path in paths]


def learning_curves(records: Sequence[dict[str, Any]]) -> Any:
    """One panel for the training loss and one for each metric of the validation.

    Args:
        records: What `equinet.training.read_metrics` returned.

    Returns:
        A matplotlib figure.
    """
    panels = {"training loss": _points(records, "train", "loss")}
    for name in _metric_names(records):
        panels[name] = _points(records, "validation", name)
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = require("matplotlib.figure", "plots").Figure(figsize=(4 * columns, 3 * rows))
    for index, (name, (steps, values)) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot(steps, values, marker="." if name != "training loss" else None)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_xlabel("step")
        if values and min(values) > 0:
            axes.set_yscale("log")
    figure.tight_layout()
    return figure


def _metric_names(records: Sequence[dict[str, Any]]) -> list[str]:
    names = {
        name: None
        for record in records
        if record["kind"] == "validation"
        for name in record
        if name not in _NOT_METRICS
    }
    return list(names)


def _points(
    records: Sequence[dict[str, Any]], kind: str, name: str
) -> tuple[list[int], list[float]]:
    chosen = [r for r in records if r["kind"] == kind and r.get(name) is not None]
    return [r["step"] for r in chosen], [r[name] for r in chosen]
