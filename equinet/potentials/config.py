"""The sections of a config of the potential task: every key, its type and its default."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: where the configurations come from.

    Attributes:
        source: ``"xtb"`` makes configurations with GFN2-xTB, ``"files"`` reads them.
        train: Files: what to train on, ``"file.xyz"`` or a slice of it, ``"file.xyz@:400"``.
        validation: Files: what the best model is chosen on.
        test: Files: what the report is made on.
        energy_key: Key of the energies in the files (eV).
        forces_key: Key of the forces in the files (eV/angstrom).
        stress_key: Key of the stresses in the files (eV/angstrom^3).
        molecule: Files: whether the configurations are molecules whose cell is dropped.
        isolated_atoms: File of single atoms, whose energies are the references; else fitted.
        smiles: Xtb: the molecule.
        configurations: Xtb: number of configurations to train on, to select on and to test on.
        temperature_K: Xtb: temperature of the sampling in kelvin.
        spacing_fs: Xtb: time between two configurations of a trajectory in femtoseconds.
        equilibration_fs: Xtb: time before the first configuration in femtoseconds.
        num_trajectories: Xtb: number of independent trajectories.
        seed: Xtb: of geometries, velocities and noise.
        augment: Whether every graph that is trained on is turned by an element of O(3), another
            each time, if the energy of the network is not invariant under all of them anyway.
    """

    source: Literal["xtb", "files"] = "xtb"
    train: str = ""
    validation: str = ""
    test: str = ""
    energy_key: str = "energy"
    forces_key: str = "forces"
    stress_key: str = "stress"
    molecule: bool = True
    isolated_atoms: str = ""
    smiles: str = "CCO"
    configurations: tuple[int, int, int] = (500, 50, 100)
    temperature_K: float = 500.0
    spacing_fs: float = 50.0
    equilibration_fs: float = 300.0
    num_trajectories: int = 16
    seed: int = 0
    augment: bool = True

    def __post_init__(self) -> None:
        if self.source == "files" and not (self.train and self.validation and self.test):
            raise ValueError("data.source='files' needs data.train, data.validation and data.test")
        if min(self.configurations) < 1:
            raise ValueError(
                f"data.configurations: expected three numbers above 0, got {self.configurations}"
            )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: which network, and what it takes that is not measured.

    A network gets the words that it has; the others count for nothing.

    Attributes:
        network: ``"irreps"`` is ``equinet.models.potential.Potential``, ``"ponita"`` is
            ``equinet.models.orientation_potential.OrientationPotential``.
        cutoff: Of both: radius of the neighbourhood in angstrom.
        channels: Of both.
        layers: Of both.
        lmax: Irreps, as all down to ``chunk_bytes``: see ``Potential``.
        basis: Ponita, as all below: see ``OrientationPotential``.
    """

    network: Literal["irreps", "ponita"] = "irreps"
    cutoff: float = 5.0
    channels: int = 32
    layers: int = 2
    lmax: int = 2
    hidden: str | None = None
    correlation: int = 2
    gate: bool = False
    product: str = "clebsch_gordan"
    convolution: str = "clebsch_gordan"
    radial_basis: str = "bessel"
    num_radial: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    radial_degree: int = 16
    readout_hidden: int = 16
    chunk_bytes: int | None = None
    basis: int = 32
    degree: int = 3
    orientations: int = 12
    resolution: int | None = None
    widening: int = 4
    variant: Literal["separable", "positions"] = "separable"


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """``config.loss``: weights of the three labels.

    The loss is the weighted sum of mean squares: of the energy error per root of the number of
    atoms, of the force components, and of the stress components.

    Attributes:
        energy: Weight of the energies, 1/eV^2.
        forces: Weight of the forces, (angstrom/eV)^2.
        stress: Weight of the stress, (angstrom^3/eV)^2; 0 where the data have none.
    """

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.0
