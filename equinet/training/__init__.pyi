from .config import complete_config as complete_config
from .config import load_config as load_config
from .loop import evaluate as evaluate
from .loop import load_best as load_best
from .loop import train as train
from .machine import keep_freed_memory as keep_freed_memory
from .metrics import read_metrics as read_metrics
from .schema import Choice as Choice
from .schema import did_you_mean as did_you_mean
from .sections import ConfigKey as ConfigKey
from .sections import constructor_arguments as constructor_arguments
from .sections import describe_config as describe_config
from .sections import section_of as section_of
from .settings import TaskConfig as TaskConfig
from .settings import TrainingConfig as TrainingConfig
from .task import Experiment as Experiment
from .task import Task as Task
from .task import load_task as load_task
from .tasks import array_experiment as array_experiment
from .tasks import count_parameters as count_parameters
from .tasks import in_both_precisions as in_both_precisions
from .tasks import masked_mean as masked_mean
from .tasks import predict as predict
from .tasks import split_shards as split_shards
from .workdir import load_model_spec as load_model_spec
from .workdir import load_run as load_run
from .workdir import read_config as read_config

__all__ = [
    "Choice",
    "ConfigKey",
    "Experiment",
    "Task",
    "TaskConfig",
    "TrainingConfig",
    "array_experiment",
    "complete_config",
    "constructor_arguments",
    "count_parameters",
    "describe_config",
    "did_you_mean",
    "evaluate",
    "in_both_precisions",
    "keep_freed_memory",
    "load_best",
    "load_config",
    "load_model_spec",
    "load_run",
    "load_task",
    "masked_mean",
    "predict",
    "read_config",
    "read_metrics",
    "section_of",
    "split_shards",
    "train",
]
