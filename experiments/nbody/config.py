"""The sections of a config of the n-body task: every key, its type and its default."""

import dataclasses
from typing import Literal

from equinet.ops.edges import CONVOLUTIONS
from equinet.ops.products import PRODUCTS

MODELS = ("egnn", "fa_gnn", "cg", "ponita")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: the systems, and which two times of them.

    Attributes:
        source: "file", or "simulate" to draw systems on the spot.
        file: Below the data directory: arrays ``loc_``, ``vel_`` and ``charges_`` of the parts
            ``train`` and ``valid``, and ``frames``.
        start_frame: Where positions and velocities are given.
        end_frame: Where positions are asked for.
        samples: Number of systems to train on. Of a file, the first ones.
        validation: Number of systems to select on. Of a file, the last ones of its ``train``.
        test: Number of systems to report on. Of a file, the first ones of its ``valid``.
        kind: Of simulated systems: "charged", "springs" or "gravity".
        bodies: Particles of a simulated system.
        every: Simulated steps between two frames.
        time_step: Of a simulated step.
        seed: Of simulated systems.
        augment: Whether training systems are turned, reflected and their charges exchanged at
            random: for networks that lack such a symmetry.
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
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        name: "egnn", "fa_gnn", "cg" or "ponita".
        channels: Features of a node; of "cg" the copies of every irrep, of "ponita" the features
            at every orientation.
        layers: Number of layers.
        stochastic: Of "fa_gnn": whether training draws one element of every frame. Validation and
            test take them all.
        hidden: Irreps of "cg" between the layers.
        lmax: Highest degree of the filters of "cg".
        correlation: Highest power of the sums over neighbours of "cg".
        product: Tensor product for these powers, a key of ``equinet.ops.products.PRODUCTS``.
        convolution: Of "cg", a word of ``equinet.ops.edges.CONVOLUTIONS``.
        orientations: Number of orientations of "ponita".
        basis: Size of the kernel basis of "ponita".
        degree: Degree of the polynomials of its invariants.
        widening: Width of the hidden layer of its blocks, in channels.
        variant: "separable" or "complete" kernels on a grid, or "edges": directions between
            particles, exactly equivariant.
    """

    name: Literal["egnn", "fa_gnn", "cg", "ponita"] = "egnn"
    channels: int = 64
    layers: int = 4
    stochastic: bool = True
    hidden: str = "0e+1o"
    lmax: int = 2
    correlation: int = 1
    product: str = "clebsch_gordan"
    convolution: str = "clebsch_gordan"
    orientations: int = 12
    basis: int = 64
    degree: int = 3
    widening: int = 4
    variant: Literal["separable", "complete", "edges"] = "separable"

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}: expected 1 or more, got {getattr(self, name)}")
        for name, words in (("product", PRODUCTS), ("convolution", CONVOLUTIONS)):
            if getattr(self, name) not in words:
                raise ValueError(
                    f"model.{name}: expected one of {', '.join(sorted(words))}, got "
                    f"{getattr(self, name)!r}"
                )


_POSITIVE = ("channels", "layers", "correlation", "orientations", "basis", "degree", "widening")
