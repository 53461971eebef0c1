"""Where numbers go while a run is under way: metrics.jsonl and TensorBoard."""

import importlib
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equinet.files import write_atomically


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy scalars and arrays unpacked, NaN and infinity as null.

    >>> plain({"loss": np.float32(0.5), "error": float("nan")})
    {'loss': 0.5, 'error': None}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)


class MetricsWriter:
    """One JSON object a line in metrics.jsonl, and TensorBoard files where tensorboardX is there.

    Args:
        workdir: The folder of the run.
        step: The step at which the run goes on: records after it are dropped, so that a
            resumed run repeats none.
        active: False on every process but the first, where nothing is written.
    """

    def __init__(self, workdir: Path, step: int, active: bool = True) -> None:
        self._path, self._active, self._board = workdir / "metrics.jsonl", active, None
        if not active:
            return
        records = [record for record in read_metrics(workdir) if record["step"] <= step]
        write_atomically(self._path, "".join(json.dumps(record) + "\n" for record in records))
        if importlib.util.find_spec("tensorboardX"):
            board = importlib.import_module("tensorboardX")
            self._board = board.SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Appends one record: the step, its kind ("train", "validation") and the values."""
        if not self._active:
            return
        record = {"step": step, "kind": kind, **plain(values)}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flushes the TensorBoard files."""
        if self._board is not None:
            self._board.close()


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The records of the metrics.jsonl in a workdir; a last line cut by a kill is left out.

    Args:
        workdir: Folder of a training.

    Returns:
        Dictionaries with "step", "kind" ("train" or "validation") and the values of that step.
    """
    path = Path(workdir) / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
