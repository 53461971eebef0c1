"""The engine's own section of a config, `config.training`: keys, defaults, ranges."""

import dataclasses
import math
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The keys of the engine, ``config.training``.

    Attributes:
        steps: Number of optimiser steps of the whole run.
        batch_size: Number of examples in a global batch, over all devices and processes.
        seed: Seed of the initial parameters, the order of the examples and the random keys of the
            loss.
        optimizer: "adam", "adamw" (decoupled weight decay), "amsgrad", "lion" or "sgd".
        learning_rate: Learning rate at the peak of the schedule.
        schedule: Decay of the learning rate after a linear warm-up, from the peak to
            ``final_fraction`` of it at the last step.
        warmup_steps: Duration of the linear warm-up in steps.
        final_fraction: Learning rate at the last step divided by the peak; "constant" ignores it.
        weight_decay: Decoupled weight decay, times the learning rate, of arrays with two axes or
            more.
        beta1: Decay of the first moment, or the momentum of "sgd".
        beta2: Decay of the second moment.
        epsilon: Number that is added to the root of the second moment.
        gradient_clip_norm: Global norm to which gradients are clipped; None for no clipping.
        ema_decay: Decay of the moving average of the parameters, which is validated and kept; None
            for no average.
        log_every: Interval between two records of the training loss in steps.
        validate_every: Interval between two validations in steps.
        checkpoint_every: Interval between two checkpoints in steps.
        keep_checkpoints: Number of latest checkpoints that are kept.
        mesh: Pairs of an axis and its number of devices; -1, at most once, stands for all that are
            left. One axis is "data".
        parameter_axis: Axis of the mesh over which parameters, their average and the state of the
            optimiser are split, in memory evenly, in use along their last axis where it divides;
            None for a copy on every device.
        distributed: Whether the run has several processes, so that `jax.distributed.initialize`
            must be called first.
        max_minutes: Time limit of one invocation in minutes; then it saves a checkpoint from which
            the same command resumes. None for no limit.
        read_threads: Number of threads that read and collate batches ahead of the step; 0 for none.
        prefetch: Number of batches that are kept ready.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The keys that every config has; a task adds its own in a subclass.

    Attributes:
        task: The class of the task, ``"module:Class"``.
        training: The keys of the engine: optimiser, schedule, checkpoints and devices.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class LineConfig(TaskConfig):
    ...     width: int = 16
    >>> LineConfig().training.steps
    1000
    """

    task: str = ""
    training: TrainingConfig = TrainingConfig()
