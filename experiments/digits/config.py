"""The sections of a config of the image task: every key, its type and its default."""

import dataclasses
from typing import Literal

from equinet.groups import SL, SO, Cyclic, Dihedral, GLPlus, Group, Scalings, Similitudes

GROUPS: dict[str, Group] = {
    "gl": GLPlus(2),
    "sl": SL(2),
    "so": SO(2),
    "similitudes": Similitudes(2),
    "scalings": Scalings(2),
    "p4": Cyclic(4),
    "p4m": Dihedral(4),
    "c8": Cyclic(8),
    "cnn": Cyclic(1),
}
"""The groups by the words of configs; "cnn" has translations alone."""

CHANNELS: dict[str, int] = {word: 24 for word in GROUPS} | {
    "p4": 36,
    "p4m": 30,
    "c8": 30,
    "cnn": 42,
}
"""Widths at which the networks have about 42,000 parameters, the other words being the defaults."""

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Of the affine maps on which accuracy is reported; 1 is the recipe of affNIST."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the images.

    Attributes:
        set: "digits", those that come with scikit-learn, or "mnist".
        enlarge: How many times more pixels the digits get along both axes.
        size: Height and width of the square in whose middle the digits are put.
        samples: Images to train on.
        validation: Images to select on; centred, as those to train on.
        test: Images to report on, centred and deformed.
        draws: Affine maps of every test image.
        seed: Of the maps.
    """

    set: Literal["digits", "mnist"] = "digits"
    enlarge: int = 2
    size: int = 24
    samples: int = 1000
    validation: int = 200
    test: int = 597
    draws: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("enlarge", "size", "samples", "validation", "test", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name}: expected 1 or more, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        group: A key of ``GROUPS``.
        channels: Width of the network.
        blocks: Number of convolutions after the lifting.
        radius: Of the kernels, in pixels; a whole number for finite groups.
        downsampling: Pixels averaged after the lifting and after the first blocks.
        form: Of the convolutions: "full", "separable" or "depthwise".
        count: Samples of a group that is not finite.
        scale: How far they reach: the norm of log P, or its standard deviation; translated samples
            reach that much farther.
        density: "ball" or "normal".
        points: "random", "low_discrepancy", "equispaced" or "translated".
        support: Radius of the kernels in the group; 0 for no bound.
        draws: Samplings that an evaluation averages over; those of finite groups differ in where
            averaged blocks of pixels begin.
        boundary: Of the images: "zeros" beyond their edges, or "periodic".
        basis: Of the kernels of places, if the group is not finite: "sines" or "splines".
        kernel_width: Hidden width of the kernel networks.
        frequency: Of the kernel networks.
    """

    group: str = "gl"
    channels: int = 24
    blocks: int = 3
    radius: float = 2.0
    downsampling: tuple[int, ...] = (2, 2)
    form: Literal["full", "separable", "depthwise"] = "separable"
    count: int = 8
    scale: float = 0.2
    density: Literal["ball", "normal"] = "ball"
    points: Literal["random", "low_discrepancy", "equispaced", "translated"] = "translated"
    support: float = 0.0
    draws: int = 4
    boundary: Literal["zeros", "periodic"] = "periodic"
    basis: Literal["sines", "splines"] = "splines"
    kernel_width: int = 16
    frequency: float = 3.0

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(
                f"model.group: expected one of {', '.join(GROUPS)}, got {self.group!r}"
            )
        for name in ("channels", "count", "draws", "kernel_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}: expected 1 or more, got {getattr(self, name)}")
        for name in ("blocks", "radius", "support"):
            if getattr(self, name) < 0:
                raise ValueError(f"model.{name}: expected 0 or more, got {getattr(self, name)}")
