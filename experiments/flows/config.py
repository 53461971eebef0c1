"""The config of the task of flows: every key, its type and its default."""

import dataclasses
import math
from typing import Annotated, Any, Literal

from equinet.models import FNO
from equinet.training import Choice, TaskConfig, section_of

CHANNELS = {"fno": 20, "gfno_p4": 10, "gfno_p4m": 7}
"""The networks, and the widths at which they have the same number of parameters."""

# Values of an equation where the config names none. The amplitude is the factor of the initial
# vorticity, whose eddies turn over in a few units of time, or the deviation of height and velocity
# from a layer of depth 1.
DEFAULTS: dict[str, dict[str, float]] = {
    "navier_stokes": {
        "viscosity": 1e-4,
        "amplitude": 25.0,
        "interval": 0.5,
        "time_step": 0.02,
    },
    "shallow_water": {
        "viscosity": 1e-3,
        "amplitude": 0.1,
        "interval": 0.05,
        "time_step": 0.004,
    },
}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the flows.

    Attributes:
        equation: "navier_stokes" (vorticity) or "shallow_water" (height and velocity).
        forcing: The forcing of vorticity: "pinwheel", which keeps the rotations of the square,
            "none", "cosines", which breaks its reflections, or FNO's "diagonal", which breaks all.
        rotation: Twice the angular velocity of shallow water; other than 0 it breaks reflections.
        viscosity: The viscosity; None for 1e-4, for shallow water 1e-3.
        amplitude: The amplitude of the initial fields; None for the default of the equation.
        size: Size of the images along an axis in pixels.
        transfer: Size of images on which the trained network is tested as well in pixels; 0 for no
            such test.
        solver: Cells along an axis that the solver uses.
        interval: Time between two frames; None for 0.5, for shallow water 0.05.
        time_step: Largest time step of the solver; None for 0.02, for shallow water 0.004.
        frames_in: Frames that a network is given.
        frames_out: Frames after these, predicted one after the other.
        samples: Flows to train on.
        validation: Flows to select on.
        test: Flows to report on.
        teacher_forcing: Whether training predicts one frame, after true ones that start anywhere
            in the flow; else all ``frames_out`` of a flow, each after those predicted before.
        seed: Seed of the flows.
        cache: Folder in which the flows are kept; they are simulated anew where it is empty.
    """

    equation: Literal["navier_stokes", "shallow_water"] = "navier_stokes"
    forcing: Literal["none", "pinwheel", "cosines", "diagonal"] = "pinwheel"
    rotation: float = 0.0
    viscosity: float | None = None
    amplitude: float | None = None
    size: int = 64
    transfer: int = 128
    solver: int = 128
    interval: float | None = None
    time_step: float | None = None
    frames_in: int = 10
    frames_out: int = 10
    samples: int = 100
    validation: int = 20
    test: int = 40
    teacher_forcing: bool = True
    seed: int = 0
    cache: str = ""

    def __post_init__(self) -> None:
        for name in ("frames_in", "frames_out", "samples", "validation", "test", "size"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name}: expected 1 or more, got {getattr(self, name)}")
        if self.solver < max(self.size, 8) or self.transfer < 0:
            raise ValueError(
                "data.size, data.solver and data.transfer: expected a solver of at least 8 cells "
                f"and of those of the images, got {self.size}, {self.solver} and {self.transfer}"
            )
        for name in DEFAULTS[self.equation]:
            if not 0 < self.value(name) < math.inf:
                raise ValueError(f"data.{name}: expected a number above 0, got {self.value(name)}")
        if self.value("time_step") > self.value("interval"):
            raise ValueError(
                "data.time_step: expected no more than data.interval="
                f"{self.value('interval')}, got {self.value('time_step')}"
            )

    def value(self, name: str) -> float:
        """A number of the equation: the value of the config, or the default of the equation."""
        given = getattr(self, name)
        return DEFAULTS[self.equation][name] if given is None else given


def _section(name: str) -> type[Any]:
    """The section of a network: all that FNO takes, with the default "auto" for ``place``."""
    base = section_of(
        FNO, {"name": name}, omit=("place", "method"), defaults={"channels": CHANNELS[name]}
    )

    @dataclasses.dataclass(frozen=True)
    class Section(base):
        """The network.

        Attributes:
            place: What tells the network the position of a pixel: "none", "cosines", "distance",
                or "auto" for "cosines" where there is a forcing.
        """

        place: Literal["auto", "none", "cosines", "distance"] = "auto"

    return Section


NETWORKS = Choice("name", {name: _section(name) for name in CHANNELS})


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowConfig(TaskConfig):
    """The config of the task of flows.

    Attributes:
        data: The flows.
        model: The network: ``name`` is "fno", or G-FNO: "gfno_p4" for rotations by pi/2,
            "gfno_p4m" for reflections too.
    """

    data: DataConfig = DataConfig()
    model: Annotated[Any, NETWORKS] = dataclasses.field(default_factory=NETWORKS.default)

    def __post_init__(self) -> None:
        grids = [size for size in (self.data.size, self.data.transfer) if size]
        if min(grids) < 2 * self.model.modes - 1:
            raise ValueError(
                f"model.modes: expected {(min(grids) + 1) // 2} or less for images of {min(grids)} "
                f"pixels along an axis, got {self.model.modes}"
            )
