"""The sections of a config of the task of flows: every key, its type and its default."""

import dataclasses
import math
from typing import Literal

MODELS = ("fno", "gfno_p4", "gfno_p4m")
EQUATIONS = ("navier_stokes", "shallow_water")

# Of an equation, where the config names none. Amplitudes: factor of the initial vorticity, which
# then turns in a few units of time; deviation of height and velocity from a layer of depth 1.
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
        forcing: Of vorticity: "pinwheel", which keeps the symmetry of the square, "none",
            "cosines", which breaks its reflections, or FNO's "diagonal", which breaks all.
        rotation: Of shallow water, twice the angular velocity; other than 0 it breaks reflections.
        viscosity: None for 1e-4, of shallow water 1e-3.
        amplitude: Of the start; None for the equation's own.
        size: Pixels along an axis.
        transfer: Pixels at which the trained network is tested as well; 0 for no such test.
        solver: Cells along an axis that the solver uses.
        interval: Time between two frames; None for 0.5, of shallow water 0.05.
        time_step: Of the solver, at most; None for 0.02, of shallow water 0.004.
        frames_in: Frames that a network sees.
        frames_out: Frames after these, predicted one after the other.
        samples: Flows to train on.
        validation: Flows to select on.
        test: Flows to report on.
        teacher_forcing: Whether training predicts one frame, after true ones that start anywhere
            in the flow; else all ``frames_out`` of a flow, each after those predicted before.
        seed: Of the flows.
        cache: Directory in which the flows are kept; "" makes them anew.
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
        """A number of the equation: that of the config, or its default."""
        given = getattr(self, name)
        return DEFAULTS[self.equation][name] if given is None else given


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        name: "fno", or G-FNO: "gfno_p4" for quarter turns, "gfno_p4m" for reflections too.
        channels: Of the features inside, for each element of the group.
        modes: Modes of the kernels in every direction.
        layers: Number of blocks.
        place: What tells the network where a pixel is: "none", "cosines", "distance", or "auto"
            for cosines where there is a forcing.
    """

    name: Literal["fno", "gfno_p4", "gfno_p4m"] = "gfno_p4"
    channels: int = 10
    modes: int = 12
    layers: int = 4
    place: Literal["auto", "none", "cosines", "distance"] = "auto"

    def __post_init__(self) -> None:
        for name in ("channels", "modes", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}: expected 1 or more, got {getattr(self, name)}")
