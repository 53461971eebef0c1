"""What a task gives to the engine, and how the engine finds the task a config names."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from flax import nnx
from jaxtyping import Array, Float, PyTree
from ml_collections import ConfigDict

from equinet.training.schema import did_you_mean


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One scientific question, ready to train.

    Attributes:
        model: The initialised model; its ``nnx.Param`` leaves are trained.
        model_spec: JSON from which the task rebuilds the model without the data.
        train: Random access to the training examples.
        collate: (examples of the GLOBAL batch, shard numbers to build) -> numpy arrays with a
            leading axis of one entry a shard number. Called from several threads; returns new
            arrays every time.
        loss: (model, batch with leading shard axis, random key) -> scalar, named scalars.
        validate: The model's metrics on the selection split.
        test: The final report, `{"metrics": {...}, "equivariance_error": {...}, ...}`.
        selection: The metric of `validate` of which the lowest is kept.
        items: Atoms (or what `item_name` says) in a numpy batch, for the throughput.
        item_name: What `items` counts, in the plural.
    """

    model: nnx.Module
    model_spec: Mapping[str, Any]
    train: Sequence[Any]
    collate: Callable[[Sequence[Any], range], PyTree]
    loss: Callable[[nnx.Module, PyTree, Array], tuple[Float[Array, ""], dict[str, Array]]]
    validate: Callable[[nnx.Module], dict[str, float]]
    test: Callable[[nnx.Module], dict[str, Any]]
    selection: str
    items: Callable[[PyTree], int]
    item_name: str = "examples"


class Task(Protocol):
    """A class named by `config.task = "module:Class"`, made without arguments."""

    def build(self, config: ConfigDict, *, shards: int) -> Experiment:
        """The experiment of a config, for batches of `shards` shards."""
        ...

    def evaluate(self, config: ConfigDict, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report of a trained model on its test split, or on the file `data`."""
        ...


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
    return getattr(module, class_name)()
