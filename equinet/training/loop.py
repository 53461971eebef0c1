"""Train a config in a workdir from wherever it stands; evaluate what came out."""

import time
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from equinet.training.checkpoint import Checkpoints
from equinet.training.interruption import Interruption
from equinet.training.machine import keep_freed_memory, machine
from equinet.training.mesh import initialize_distributed, to_host
from equinet.training.metrics import plain
from equinet.training.run import Run, load_arrays
from equinet.training.settings import TaskConfig
from equinet.training.state import FlatModel, named_arrays
from equinet.training.workdir import Workdir, load_run, read_origin


def train(
    config: TaskConfig, workdir: str | Path, *, source: str = "", progress: bool | None = None
) -> dict[str, Any]:
    """Trains, or resumes what the workdir holds, or returns the result of a finished run.

    Args:
        config: What `load_config` returned.
        workdir: Folder of the run.
        source: The config's name in the result, "configs/x.py:argument".
        progress: A bar on stderr; None where stderr is a terminal.

    Returns:
        The result that is also in result.json; "status" is "finished", or "stopped" with the
        "reason" ("SIGTERM", "SIGINT", "max_minutes") where the same call goes on later.

    Raises:
        ValueError: The config or the workdir is wrong.
        FloatingPointError: A loss or gradient was not finite.
        OSError: A checkpoint could not be written.
    """
    began = time.monotonic()
    keep_freed_memory()
    settings = config.training
    initialize_distributed(settings)
    folder = Workdir(workdir, config, source, writes=jax.process_index() == 0)
    try:
        result = folder.result(settings.steps)
        if result is not None:
            return result
        run = Run(config, settings, folder, progress)
        try:
            minutes = settings.max_minutes
            reason = _run_steps(run, None if minutes is None else began + 60 * minutes)
            report = {} if reason else run.finish()
            result = _result(run, source, reason, report)
        finally:
            run.close()
        return plain(result) if reason else folder.write_result(result)
    finally:
        folder.close()


def evaluate(workdir: str | Path, data: str | None = None) -> dict[str, Any]:
    """The report of the task on the best model of a workdir.

    Args:
        workdir: Folder of a training.
        data: A file to evaluate on; the task's own test split where it is None.

    Raises:
        FileNotFoundError: The folder is not of a training, or has no model yet.
    """
    began = time.monotonic()
    config, task = load_run(workdir)
    report = task.evaluate(config, Path(workdir), data)
    name = read_origin(workdir)["config"]
    head = {"command": "evaluate", "config": name, "workdir": str(workdir)}
    tail = {"seconds": round(time.monotonic() - began, 3), **machine()}
    return plain({**head, "data": data, "metrics": {}, "equivariance_error": {}, **report, **tail})


def load_best(workdir: str | Path, model: nnx.Module) -> dict[str, Any]:
    """Writes the parameters of the best validation into `model`, built anew by the task.

    Returns:
        {"step": ..., "value": the selection metric, "metrics": all of that validation}.

    Raises:
        FileNotFoundError: The workdir has no best model yet.
        ValueError: The model has other arrays than the one that was trained.
    """
    folder = Path(workdir) / "best"
    checkpoints = Checkpoints(folder) if folder.is_dir() else None
    steps = checkpoints.steps() if checkpoints else []
    if checkpoints is None or not steps:
        raise FileNotFoundError(f"no trained model in {folder}: train until the first validation")
    flat = FlatModel(model)
    params, rest = flat.split(model)
    like = to_host(named_arrays({"params": params, "rest": rest}))
    arrays, meta = checkpoints.restore(steps[-1], like)
    checkpoints.close()
    load_arrays(flat, model, arrays)
    return meta


def _run_steps(run: Run, deadline: float | None) -> str:
    with Interruption(deadline) as interruption:
        while run.done < run.settings.steps:
            agree = run.advance()
            reason = interruption.reason(agree)
            if reason and run.done < run.settings.steps:
                run.save()
                return reason
    return ""


def _result(run: Run, source: str, reason: str, report: dict[str, Any]) -> dict[str, Any]:
    status = {"status": "stopped", "reason": reason} if reason else {"status": "finished"}
    return {
        "command": "train",
        "config": source,
        "workdir": str(run.folder.path),
        **status,
        "steps": run.done,
        "metrics": {},
        "equivariance_error": {},
        **run.summary(),
        **report,
        **machine(),
    }
