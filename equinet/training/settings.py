"""The engine's own section of a config, `config.training`: keys, defaults, ranges."""

import dataclasses
import math
from typing import Any, Literal

from ml_collections import ConfigDict

from equinet.training.schema import build_section, did_you_mean


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The engine's own section, `config.training`; README of every number a run is made of.

    Attributes:
        steps: Optimiser steps of the whole run.
        batch_size: Examples in a global batch, over all devices and processes.
        seed: Of the order of the examples and of the random numbers of the loss.
        optimizer: "adam", "adamw" (decoupled decay), "amsgrad", "lion" or "sgd".
        learning_rate: At the peak of the schedule.
        schedule: After a linear warm-up, from the peak to `final_fraction` of it at the last step.
        warmup_steps: Steps from zero to the peak.
        final_fraction: Learning rate at the last step over the peak ("constant" ignores it).
        weight_decay: Decoupled, times the learning rate, on arrays of two axes or more.
        beta1: Decay of the first moment (the momentum of "sgd").
        beta2: Decay of the second moment.
        epsilon: Added to the root of the second moment.
        gradient_clip_norm: Global norm to which gradients are clipped; None clips nothing.
        ema_decay: Of the averaged parameters that are validated and kept; None averages nothing.
        log_every: Steps between two records of the training loss.
        validate_every: Steps between two validations.
        checkpoint_every: Steps between two checkpoints.
        keep_checkpoints: How many of the latest checkpoints stay.
        mesh: Pairs (axis, devices); -1 once for all that are left. One axis is "data".
        parameter_axis: Mesh axis over which parameters, their average and the optimiser's state
            are split, in memory evenly, in use along their last axis where it divides; None copies.
        distributed: Several processes: call `jax.distributed.initialize` first.
        max_minutes: Wall-clock budget of one invocation: it stops with a checkpoint to resume.
        read_threads: Threads that read and collate batches ahead of the step; 0 for none.
        prefetch: Batches held ready.
    """

    steps: int = 1000
    batch_size: int = 8
    seed: int = 0
    optimizer: Literal["adam", "adamw", "amsgrad", "lion", "sgd"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "linear", "exponential", "constant"] = "cosine"
    warmup_steps: int = 0
    final_fraction: float = 0.01
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    gradient_clip_norm: float | None = None
    ema_decay: float | None = 0.999
    log_every: int = 50
    validate_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    mesh: tuple[tuple[str, int], ...] = (("data", -1),)
    parameter_axis: str | None = None
    distributed: bool = False
    max_minutes: float | None = None
    read_threads: int = 2
    prefetch: int = 4

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, name, "a number above 0", value)
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, "0 or more", value)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "0 <= x < 1", value)
        if self.ema_decay is not None:
            _require(0 < self.ema_decay < 1, "ema_decay", "0 < x < 1 or None", self.ema_decay)
        lowest = 0 if self.schedule != "exponential" else 1e-12
        fraction = self.final_fraction
        _require(lowest <= fraction <= 1, "final_fraction", f"{lowest} <= x <= 1", fraction)
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError(
                f"config.training.weight_decay: got {self.weight_decay} with optimizer='adam', "
                "which decays nothing: set config.training.optimizer='adamw'"
            )
        self._check_mesh()

    def _check_mesh(self) -> None:
        names = [name for name, _ in self.mesh]
        sizes = [size for _, size in self.mesh]
        good = "data" in names and len(set(names)) == len(names) and sizes.count(-1) <= 1
        good = good and all(size == -1 or size > 0 for size in sizes)
        rule = 'pairs like (("data", -1),) with distinct axes, one of them "data", one -1 at most'
        _require(good, "mesh", rule, self.mesh)
        if self.parameter_axis is not None:
            rule = f"None or one of the mesh axes {names}"
            _require(self.parameter_axis in names, "parameter_axis", rule, self.parameter_axis)


_POSITIVE = ("steps", "batch_size", "learning_rate", "epsilon", "gradient_clip_norm", "log_every")
_POSITIVE += ("validate_every", "checkpoint_every", "keep_checkpoints", "max_minutes", "prefetch")
_NOT_NEGATIVE = ("seed", "warmup_steps", "weight_decay", "read_threads")


def _require(condition: bool, name: str, rule: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"config.training.{name}: expected {rule}, got {value!r}")


def default_training(**changes: Any) -> ConfigDict:
    """The section `config.training` with its defaults and the `changes` of one experiment.

    >>> default_training(steps=20_000, ema_decay=None).steps
    20000
    """
    config = ConfigDict(dataclasses.asdict(TrainingConfig()))
    for name, value in changes.items():
        if name not in config:
            raise ValueError(f"unknown key config.training.{name}: {did_you_mean(name, config)}")
        with config.ignore_type():
            config[name] = value
    return config


def training_config(config: Any) -> TrainingConfig:
    """The engine's section of a config, checked.

    Raises:
        ValueError: An unknown key, a wrong type or a value out of range.
    """
    return build_section(TrainingConfig, config.training, "config.training")
