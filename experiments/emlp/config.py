"""The sections of a config of the EMLP task: every key, its type and its default."""

import dataclasses
from typing import Literal

PROBLEMS = ("inertia", "scattering", "o5", "inertia_soft")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: what is drawn.

    Attributes:
        problem: The function to learn.
        samples: Number of samples to train on.
        validation: Number of samples to select on.
        test: Number of samples to report on.
        seed: Of all three.
        epsilon: Weight of the term along z of "inertia_soft".
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
    """``config.penalty``: soft equivariance of "inertia_soft"; other problems do not look at it.

    Attributes:
        weights: First weights of the penalties of O(3) and of the planes xy, yz and xz.
        warmup_steps: Steps before the least penalties are looked for.
        adjust_step: The step at which the weights are adjusted, once.
        power: How strongly.
    """

    weights: tuple[float, float, float, float] = (0.0, 1.0, 1.0, 1.0)
    warmup_steps: int = 1000
    adjust_step: int = 1500
    power: float = 1.0
