"""The config of the point-cloud task: every key, its type and its default."""

import dataclasses
from typing import Annotated, Any, Literal

from equinet.models import PONITA, PointNet
from equinet.training import Choice, TaskConfig, section_of


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the clouds.

    Attributes:
        set: "shapes", eight solids in any orientation, to be classified; or "airplanes", whose
            rotation from a common pose is to be predicted.
        file: The file of the airplanes below the data directory: an array ``points``,
            ``[clouds, 1024, 3]``, all in the same pose.
        points: Number of points of a cloud; of the airplanes, some of theirs.
        samples: Clouds to train on.
        validation: Clouds to select on, rotated as the training clouds are.
        test: Clouds to report on, rotated by any rotation.
        turns: How training clouds are rotated, anew in every step: "none", "upright" about
            the vertical axis, or "all" by any rotation.
        noise: Standard deviation of the displacement of the points of shapes.
        seed: Seed of the shapes and of the rotations of the test.
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


_POINT_NET: dict[str, Any] = {"omit": ("dim",)}


@dataclasses.dataclass(frozen=True)
class FrameConfig(section_of(PointNet, {"name": "fa_point_net"}, **_POINT_NET)):
    """The network of "fa_point_net".

    Attributes:
        stochastic: Whether training draws one element of every frame.
    """

    stochastic: bool = True


@dataclasses.dataclass(frozen=True)
class PonitaConfig(
    section_of(
        PONITA,
        {"name": "ponita"},
        omit=("variant", "average_neighbours", "cutoff", "resolution"),
        defaults={"layers": 2, "basis": 32},
    )
):
    """The network of "ponita".

    Attributes:
        orientations: Number of orientations: 4, 6, 8, 12, 20 or 30.
    """

    orientations: int = 12


NETWORKS = Choice(
    "name",
    {
        "point_net": section_of(PointNet, {"name": "point_net"}, **_POINT_NET),
        "fa_point_net": FrameConfig,
        "mds_point_net": section_of(PointNet, {"name": "mds_point_net"}, **_POINT_NET),
        "ponita": PonitaConfig,
    },
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointCloudConfig(TaskConfig):
    """The config of the point-cloud task.

    Attributes:
        data_dir: Folder of the data sets; the environment variable EQUINET_DATA where it is empty.
        data: The clouds.
        model: The network: "point_net", which has no symmetry; "fa_point_net", the same averaged
            over principal axes; "mds_point_net", the same on coordinates made from distances, for
            shapes alone; "ponita", on positions and orientations.
    """

    data_dir: str = ""
    data: DataConfig = DataConfig()
    model: Annotated[Any, NETWORKS] = dataclasses.field(default_factory=NETWORKS.default)
