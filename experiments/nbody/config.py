"""The config of the n-body task: every key, its type and its default."""

import dataclasses
from typing import Annotated, Any, Literal

from equinet.models import EGNN, PONITA, ParticleIrreps, frame_averaged_gnn
from equinet.training import Choice, TaskConfig, section_of


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the systems, and which two times of them.

    Attributes:
        source: "file" reads systems, "simulate" computes them.
        file: The file below the data directory: arrays ``loc_``, ``vel_`` and ``charges_`` of the
            parts ``train`` and ``valid``, and ``frames``.
        start_frame: The frame at which positions and velocities are given.
        end_frame: The frame at which positions are predicted.
        samples: Number of systems to train on; of a file, the first ones.
        validation: Number of systems to select on; of a file, the last ones of its ``train``.
        test: Number of systems to report on; of a file, the first ones of its ``valid``.
        kind: The interaction of simulated systems: "charged", "springs" or "gravity".
        bodies: Number of particles of a simulated system.
        every: Number of simulated steps between two frames.
        time_step: Time of a simulated step, in the unit of the data.
        seed: Seed of the simulated systems.
        augment: Whether training systems are transformed by random elements of O(3) and the signs
            of their charges exchanged: for networks that lack such a symmetry.
    """

    source: Literal["file", "simulate"] = "file"
    file: str = "nbody/charged5.npz"
    start_frame: int = 30
    end_frame: int = 40
    samples: int = 2700
    validation: int = 300
    test: int = 2000
    kind: Literal["charged", "springs", "gravity"] = "charged"
    bodies: int = 5
    every: int = 100
    time_step: float = 1e-3
    seed: int = 0
    augment: bool = False

    def __post_init__(self) -> None:
        if min(self.samples, self.validation, self.test) < 1:
            raise ValueError(
                "data.samples, data.validation and data.test: expected numbers above 0, got "
                f"{self.samples}, {self.validation} and {self.test}"
            )
        if not 0 <= self.start_frame < self.end_frame:
            raise ValueError(
                "data.start_frame and data.end_frame: expected 0 <= start < end, got "
                f"{self.start_frame} and {self.end_frame}"
            )
        if min(self.bodies, self.every) < 1 or self.time_step <= 0:
            raise ValueError(
                "data.bodies, data.every and data.time_step: expected numbers above 0, got "
                f"{self.bodies}, {self.every} and {self.time_step}"
            )


@dataclasses.dataclass(frozen=True)
class FrameConfig(
    section_of(frame_averaged_gnn, {"name": "fa_gnn"}, omit=("dim",), rename={"hidden": "channels"})
):
    """The network of "fa_gnn".

    Attributes:
        stochastic: Whether training draws one element of every frame. Validation and test average
            over all elements.
    """

    stochastic: bool = True


@dataclasses.dataclass(frozen=True)
class PonitaConfig(
    section_of(
        PONITA,
        {"name": "ponita"},
        defaults={"channels": 32, "basis": 32, "widening": 2, "length": 4.0}
        | {"average_neighbours": 5.0},
    )
):
    """The network of "ponita".

    Attributes:
        orientations: Number of orientations, where ``variant`` uses a grid of them.
    """

    orientations: int = 12


NETWORKS = Choice(
    "name",
    {
        "egnn": section_of(
            EGNN,
            {"name": "egnn"},
            omit=("edges_in", "scalars_out"),
            rename={"hidden": "channels"},
        ),
        "fa_gnn": FrameConfig,
        "cg": section_of(ParticleIrreps, {"name": "cg"}),
        "ponita": PonitaConfig,
    },
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NBodyConfig(TaskConfig):
    """The config of the n-body task.

    Attributes:
        data_dir: Folder of the data sets; the environment variable EQUINET_DATA where it is empty.
        data: The systems, and the two times.
        model: The network, chosen by ``name``, and its own options.
    """

    data_dir: str = ""
    data: DataConfig = DataConfig()
    model: Annotated[Any, NETWORKS] = dataclasses.field(default_factory=NETWORKS.default)
