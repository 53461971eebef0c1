from .config import load_config as load_config
from .loop import evaluate as evaluate
from .loop import load_best as load_best
from .loop import train as train
from .metrics import read_metrics as read_metrics
from .schema import build_section as build_section
from .settings import TrainingConfig as TrainingConfig
from .settings import default_training as default_training
from .task import Experiment as Experiment
from .task import Task as Task
from .task import load_task as load_task
from .workdir import load_model_spec as load_model_spec
from .workdir import load_run as load_run
from .workdir import read_config as read_config

__all__ = [
    "Experiment",
    "Task",
    "TrainingConfig",
    "build_section",
    "default_training",
    "evaluate",
    "load_best",
    "load_config",
    "load_model_spec",
    "load_run",
    "load_task",
    "read_config",
    "read_metrics",
    "train",
]
