"""The config of the EMLP task: every key, its type and its default."""

import dataclasses
from typing import Literal

from equinet.training import TaskConfig

PROBLEMS = ("inertia", "scattering", "o5", "inertia_soft")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: what is drawn.

    Attributes:
        problem: The function to learn.
        samples: Number of samples to train on.
        validation: Number of samples to select on.
        test: Number of samples to report on.
        seed: Seed of all samples.
        epsilon: Weight of the term along z in "inertia_soft".
    """

    problem: Literal["inertia", "scattering", "o5", "inertia_soft"] = "inertia"
    samples: int = 1000
    validation: int = 2000
    test: int = 5000
    seed: int = 0
    epsilon: float = 0.3

    def __post_init__(self) -> None:
        if min(self.samples, self.validation, self.test) < 1:
            raise ValueError(
                "data.samples, data.validation and data.test: expected numbers above 0, got "
                f"{self.samples}, {self.validation} and {self.test}"
            )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        name: "equivariant", or "mlp" with as many parameters.
        channels: Channels of every term of the hidden rep of the equivariant network.
        layers: Hidden layers of either.
    """

    name: Literal["equivariant", "mlp"] = "equivariant"
    channels: int = 16
    layers: int = 2

    def __post_init__(self) -> None:
        if min(self.channels, self.layers) < 1:
            raise ValueError(
                "model.channels and model.layers: expected numbers above 0, got "
                f"{self.channels} and {self.layers}"
            )


@dataclasses.dataclass(frozen=True)
class PenaltyConfig:
    """``config.penalty``: soft equivariance, which the problem "inertia_soft" uses.

    Attributes:
        weights: Initial weights of the penalties of O(3) and of the planes xy, yz and xz.
        warmup_steps: Number of steps before the smallest penalties are recorded.
        adjust_step: The step at which the weights are adjusted, once.
        power: Exponent of the adjustment.
    """

    weights: tuple[float, float, float, float] = (0.0, 1.0, 1.0, 1.0)
    warmup_steps: int = 1000
    adjust_step: int = 1500
    power: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EMLPConfig(TaskConfig):
    """The config of the EMLP task.

    Attributes:
        data: The function to learn and its samples.
        model: The network.
        penalty: Soft equivariance, where the problem is "inertia_soft".
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    penalty: PenaltyConfig = PenaltyConfig()

    def __post_init__(self) -> None:
        if self.data.problem != "inertia_soft" and self.penalty != PenaltyConfig():
            raise ValueError(
                "config.penalty has no effect with data.problem="
                f"{self.data.problem}: it belongs to data.problem=inertia_soft"
            )
