"""All folds of a graph config, one training each.

Run it as `python -m experiments.graphs.folds <set>-<model>`.

Other options are overrides as for `equinet train`: `--config.model.hops=2`. Folds that are finished
are not trained again. The mean and the standard deviation over the folds become a row of the file
that `--results` names, in place of one with the same command and note.
"""

import argparse
import json
import math
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from equinet.training import load_config, train
from experiments.graphs.data import read_graph_set
from experiments.report import HERE, merged, read, training_row, write_rows

CONFIG = "configs/graphs.py"  # below the root of the project, as rows name it


class Stopped(RuntimeError):
    """A fold was stopped, by a signal or because its time was up."""


def summary(rows: Sequence[dict[str, Any]], command: str, note: str) -> dict[str, Any]:
    """One row of the results of all folds: mean and sample standard deviation of every score.

    Counts of pairs do not depend on the fold and are those of the first.

    Raises:
        ValueError: If there are no rows.

    >>> fold = {"metrics": {"accuracy": 0.5, "pairs": 3}, "minutes": 1.0, "equivariance_error": {}}
    >>> other = {**fold, "metrics": {"accuracy": 1.0, "pairs": 3}}
    >>> row = summary([fold, other], "command", "")
    >>> row["metrics"]
    {'accuracy': 0.75, 'accuracy_std': 0.3536, 'pairs': 3}
    >>> row["folds"], row["minutes"]
    (2, 2.0)
    """
    if not rows:
        raise ValueError("expected at least one finished fold, got none")
    metrics: dict[str, float] = {}
    for name, first in rows[0]["metrics"].items():
        if isinstance(first, int):
            metrics[name] = first
            continue
        values = [row["metrics"][name] for row in rows]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1))
        metrics[name] = round(mean, 4)
        metrics[f"{name}_std"] = round(spread, 4)
    errors: dict[str, float] = {}
    for row in rows:
        for kind, value in row["equivariance_error"].items():
            errors[kind] = max(errors.get(kind, 0.0), value)
    kept = ("config", "set", "model", "seed", "steps", "parameters", "hardware")
    return {
        "command": command,
        **{name: rows[0][name] for name in kept if name in rows[0]},
        "metrics": metrics,
        "equivariance_error": errors,
        "folds": len(rows),
        "minutes": round(sum(row["minutes"] for row in rows), 1),
        "note": note,
    }


def run(
    name: str,
    overrides: Sequence[tuple[str, str]],
    folds: Sequence[int] | None,
    workdir: pathlib.Path,
) -> list[dict[str, Any]]:
    """Trains the folds one after another and returns their rows; None: all folds of the set.

    Raises:
        Stopped: If a fold was stopped; it goes on when this is called again.
    """
    source = f"{HERE.parent / CONFIG}:{name}"
    config = load_config(source, overrides)
    graphs = read_graph_set(config.data.set, config.data_dir or None)
    rows = []
    for fold in range(len(graphs.folds)) if folds is None else folds:
        # Pairs are counted once: the random networks do not depend on the fold.
        once = [] if not rows else [("data.inits", "0")]
        config = load_config(source, [*overrides, ("data.fold", str(fold)), *once])
        folder = workdir / f"{name}-{fold}"
        result = train(config, folder, source=source)
        if result["status"] != "finished":
            raise Stopped(f"fold {fold} stopped, no row written; the same command goes on")
        rows.append(training_row(folder, ""))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives back its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="<set>-<model>, as in configs/graphs.py")
    parser.add_argument("--folds", type=int, nargs="+", help="default: all")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/graphs"))
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("runs/graphs.jsonl"))
    parser.add_argument("--note", default="", help="what else the row should say")
    chosen, rest = parser.parse_known_args(arguments)
    try:
        overrides = [_override(text) for text in rest]
        rows = run(chosen.name, overrides, chosen.folds, chosen.workdir)
        shown = [text for text in rest if not text.startswith("--config.data_dir=")]
        folds = ["--folds", *map(str, chosen.folds)] if chosen.folds else []
        command = shlex.join(
            ["python", "-m", "experiments.graphs.folds", chosen.name, *folds, *shown]
        )
        row = summary(rows, command, chosen.note) | {"config": f"{CONFIG}:{chosen.name}"}
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Stopped as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 1
    file = chosen.results
    write_rows(merged(read(file) if file.exists() else [], row), file)
    sys.stdout.write(json.dumps(row) + "\n")
    return 0


def _override(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.startswith("--config.") or not equals:
        raise ValueError(f"got the option {text!r}, expected --config.<section>.<key>=<value>")
    return name.removeprefix("--config."), value


if __name__ == "__main__":
    sys.exit(main())
