"""The config of the potential task: every key, its type and its default."""

import dataclasses
from typing import Annotated, Any, Literal

from equinet.models import POTENTIALS, potential_class
from equinet.training import Choice, TaskConfig, section_of

_MEASURED = ("elements", "average_neighbours", "energy_scale", "reference_energies")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileDataConfig:
    """``config.data`` where the configurations are read from files.

    Attributes:
        source: Where the configurations come from: ``"files"``.
        train: The file to train on, ``"file.xyz"``, or a slice of it, ``"file.xyz@:400"``.
        validation: The file or slice on which the best model is selected.
        test: The file or slice on which the report is made.
        energy_key: Key of the energies in the files, whose values are in eV.
        forces_key: Key of the forces in the files, whose values are in eV/angstrom.
        stress_key: Key of the stresses in the files, whose values are in eV/angstrom^3.
        molecule: Whether the configurations are molecules, whose cell is dropped.
        isolated_atoms: A file with one atom a configuration, whose energies are the reference
            energies; they are fitted where this is empty.
        augment: Whether training graphs are rotated and reflected at random in each step. It
            concerns only networks whose energy is not exactly invariant, such as ponita.
    """

    source: Literal["files"] = "files"
    train: str = ""
    validation: str = ""
    test: str = ""
    energy_key: str = "energy"
    forces_key: str = "forces"
    stress_key: str = "stress"
    molecule: bool = True
    isolated_atoms: str = ""
    augment: bool = True

    def __post_init__(self) -> None:
        if not (self.train and self.validation and self.test):
            raise ValueError("data.source='files' needs data.train, data.validation and data.test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class XTBDataConfig:
    """``config.data`` where the configurations are made with GFN2-xTB.

    Attributes:
        source: Where the configurations come from: ``"xtb"``.
        smiles: The molecule, as a SMILES string.
        configurations: Number of configurations to train on, to select on and to test on.
        temperature_K: Temperature of the sampling in kelvin.
        spacing_fs: Time between two configurations of a trajectory in femtoseconds.
        equilibration_fs: Time before the first configuration in femtoseconds.
        num_trajectories: Number of independent trajectories.
        seed: Seed of geometries, velocities and noise.
        augment: Whether training graphs are rotated and reflected at random in each step. It
            concerns only networks whose energy is not exactly invariant, such as ponita.
    """

    source: Literal["xtb"] = "xtb"
    smiles: str = "CCO"
    configurations: tuple[int, int, int] = (500, 50, 100)
    temperature_K: float = 500.0
    spacing_fs: float = 50.0
    equilibration_fs: float = 300.0
    num_trajectories: int = 16
    seed: int = 0
    augment: bool = True

    def __post_init__(self) -> None:
        if min(self.configurations) < 1:
            raise ValueError(
                f"data.configurations: expected three numbers above 0, got {self.configurations}"
            )


DataConfig = XTBDataConfig | FileDataConfig


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """``config.loss``: weights of the three labels.

    The loss is the weighted sum of mean squares: of the energy error per root of the number of
    atoms, of the force components, and of the stress components.

    Attributes:
        energy: Weight of the energies (1/eV^2).
        forces: Weight of the forces ((angstrom/eV)^2).
        stress: Weight of the stress ((angstrom^3/eV)^2); 0 where the data have none.
    """

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.0


def _network_section(network: str) -> type[Any]:
    """The config section of a network: what its constructor takes and the data do not decide."""
    return section_of(potential_class(network), {"network": network}, omit=_MEASURED)


SOURCES = Choice("source", {"xtb": XTBDataConfig, "files": FileDataConfig})
NETWORKS = Choice(
    "network", {name: _network_section(name) for name in POTENTIALS}, _network_section
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PotentialConfig(TaskConfig):
    """The config of the potential task.

    Attributes:
        data_dir: Folder of the data sets; the environment variable EQUINET_DATA where it is empty.
        data: Where the configurations come from.
        model: The network, chosen by ``network``, and its own options.
        loss: The weights of the labels.
    """

    data_dir: str = ""
    data: Annotated[Any, SOURCES] = dataclasses.field(default_factory=SOURCES.default)
    model: Annotated[Any, NETWORKS] = dataclasses.field(default_factory=NETWORKS.default)
    loss: LossConfig = LossConfig()
