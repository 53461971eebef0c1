"""The training engine: config, mesh, step, loop, checkpoints. It knows no task.

Names are loaded when they are first used: a config that only asks for `default_training` needs
neither orbax nor grain.
"""

import importlib
from typing import TYPE_CHECKING, Any

from equinet.training.config import load_config as load_config
from equinet.training.schema import build_section as build_section
from equinet.training.settings import TrainingConfig as TrainingConfig
from equinet.training.settings import default_training as default_training

if TYPE_CHECKING:
    from equinet.training.loop import evaluate as evaluate
    from equinet.training.loop import load_best as load_best
    from equinet.training.loop import train as train
    from equinet.training.metrics import read_metrics as read_metrics
    from equinet.training.task import Experiment as Experiment
    from equinet.training.task import Task as Task
    from equinet.training.task import load_task as load_task
    from equinet.training.workdir import load_model_spec as load_model_spec
    from equinet.training.workdir import load_run as load_run
    from equinet.training.workdir import read_config as read_config

_LAZY = {
    "evaluate": "loop",
    "load_best": "loop",
    "train": "loop",
    "read_metrics": "metrics",
    "Experiment": "task",
    "Task": "task",
    "load_task": "task",
    "load_model_spec": "workdir",
    "load_run": "workdir",
    "read_config": "workdir",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
