"""The sections of a config of the point-cloud task: every key, its type and its default."""

import dataclasses
from typing import Literal

MODELS = ("point_net", "fa_point_net", "mds_point_net", "ponita")
SETS = ("shapes", "airplanes")
TURNS = ("none", "upright", "all")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the clouds.

    Attributes:
        set: "shapes", eight solids drawn on the spot, to be classified however they are turned; or
            "airplanes", of which the turn itself is asked for.
        file: Of the airplanes, below the data directory: an array ``points``,
            ``[clouds, 1024, 3]``, all in the same pose.
        points: Points of a cloud; of the airplanes some of theirs.
        samples: Clouds to train on.
        validation: Clouds to select on; turned as those to train on.
        test: Clouds to report on; turned by any rotation.
        turns: How training clouds are turned, anew in every step: "none", "upright" about the
            vertical axis, or "all" by any rotation.
        noise: Displacement of the points of shapes.
        seed: Of the shapes and of the turns of the test.
    """

    set: Literal["shapes", "airplanes"] = "shapes"
    file: str = "rotations/airplanes_1024.npz"
    points: int = 128
    samples: int = 2000
    validation: int = 400
    test: int = 1000
    turns: Literal["none", "upright", "all"] = "upright"
    noise: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.points, self.samples, self.validation, self.test)
        if min(sizes) < 1 or self.noise < 0:
            raise ValueError(
                "data.points, samples, validation and test: expected numbers above 0 and noise of "
                f"0 or more, got {sizes} and {self.noise}"
            )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        name: "point_net", which knows no rotations; "fa_point_net", the same averaged over
            principal axes; "mds_point_net", the same on coordinates made from distances, only for
            shapes; "ponita", on positions and orientations.
        channels: Width of the hidden layers.
        stochastic: Of "fa_point_net": whether training draws one element of every frame.
        layers: Of "ponita".
        orientations: Of "ponita": 4, 6, 8, 12, 20 or 30.
        basis: Of "ponita", functions of the kernel basis.
    """

    name: Literal["point_net", "fa_point_net", "mds_point_net", "ponita"] = "fa_point_net"
    channels: int = 64
    stochastic: bool = True
    layers: int = 2
    orientations: int = 12
    basis: int = 32

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "basis"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}: expected 1 or more, got {getattr(self, name)}")
