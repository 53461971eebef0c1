"""What a task gives to the engine, and how the engine finds the task that a config names."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree

from equinet.training.schema import did_you_mean
from equinet.training.settings import TaskConfig


def real_examples(batch: Mapping[str, Any]) -> int:
    """The number of examples of a batch that are no padding, by its ``"mask"``."""
    return int(np.sum(batch["mask"]))


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A model, its data and its metrics, ready to train.

    Attributes:
        model: The initialised model; its ``nnx.Param`` leaves are trained.
        train: Random access to the training examples.
        collate: (examples of the GLOBAL batch, shard numbers to build) -> numpy arrays with a
            leading axis of one entry a shard number. Called from several threads; returns new
            arrays every time.
        loss: (model, batch with leading shard axis, random key) -> scalar, named scalars.
        validate: The model's metrics on the split on which the best model is selected.
        test: The final report, `{"metrics": {...}, "equivariance_error": {...}, ...}`.
        selection: The metric of `validate` of which the lowest value is kept.
        items: Number of atoms (or what `item_name` says) in a numpy batch, for the throughput;
            by default the sum of its ``"mask"``.
        item_name: What `items` counts, in the plural.
        model_spec: JSON from which the task rebuilds the model without the data.
    """

    model: nnx.Module
    train: Sequence[Any]
    collate: Callable[[Sequence[Any], range], PyTree]
    loss: Callable[[Any, Any, Array], tuple[Float[Array, ""], dict[str, Array]]]
    validate: Callable[[Any], dict[str, float]]
    test: Callable[[Any], dict[str, Any]]
    selection: str
    items: Callable[[Any], int] = real_examples
    item_name: str = "examples"
    model_spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Task:
    """What a config trains, named by `config.task = "module:Class"` and made without arguments.

    A subclass sets `Config` and defines `build`. The page *Add a task* of the documentation shows
    a complete one.

    Attributes:
        Config: The dataclass of the config, a subclass of `TaskConfig`.
    """

    Config: ClassVar[type[TaskConfig]] = TaskConfig

    def build(self, config: Any, *, shards: int) -> Experiment:
        """The experiment of a config.

        Args:
            config: A `Config`.
            shards: The number of shards of each batch.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no build(config, *, shards)")

    def evaluate(self, config: Any, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report of a trained model, by default that of `Experiment.test`.

        Args:
            config: A `Config`.
            workdir: Folder of the training.
            data: A file to evaluate on; None: the test split of the task.

        Raises:
            ValueError: A file is given, and the task reads none.
        """
        from equinet.training.loop import load_best

        if data is not None:
            raise ValueError(
                f"{type(self).__name__} evaluates on its own test split and reads no file, got "
                f"{data!r}: leave out --data"
            )
        experiment = self.build(config, shards=1)
        load_best(workdir, experiment.model)
        return experiment.test(experiment.model)

    def figures(self, config: Any, workdir: Path, data: str | None) -> dict[str, Any]:
        """What `equinet plot` draws beside the learning curves; by default nothing.

        Args:
            config: A `Config`.
            workdir: Folder of the training.
            data: A file to predict for; None: the test split of the task.

        Returns:
            Figures of matplotlib by name; the name becomes that of the files.
        """
        return {}


def load_task(name: str) -> Task:
    """The task named by "module:Class".

    Raises:
        ValueError: There is no such module or class in it.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise ValueError(f'config.task: expected "module.of.task:Class", got {name!r}')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the task is there; something that it imports is not
        raise ValueError(
            f"config.task: no module {error.name!r} for {name!r}: expected it beside the config "
            "file, below the root of its project or installed"
        ) from error
    if not hasattr(module, class_name):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        hint = did_you_mean(class_name, classes)
        raise ValueError(f"config.task: no class {class_name!r} in {module_name}: {hint}")
    task = getattr(module, class_name)
    if not isinstance(task, type) or not issubclass(task, Task):
        raise ValueError(
            f"config.task: expected a subclass of equinet.training.Task, got {name!r}, which is "
            f"{task!r}"
        )
    return task()
