"""Configurations of atoms with their labels: the form in which every reader returns data."""

import dataclasses
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from equinet.data.atoms._extxyz import Record, format_record, read_records
from equinet.data.atoms.elements import SYMBOLS
from equinet.data.atoms.neighbours import complete_cell, neighbour_list
from equinet.data.directory import DATA_SETS, data_file, missing_file
from equinet.data.extras import require as require_package

# Two atoms closer than this (in angstrom) are considered one atom that was written twice.
_SAME_POSITION = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Configuration:
    """One configuration of atoms and its labels, in float64.

    Attributes:
        numbers: Atomic numbers, ``[nodes]``.
        positions: Positions in angstrom, ``[nodes, 3]``.
        cell: Cell vectors in rows in angstrom, ``[3, 3]``, or None for a molecule.
        pbc: Directions in which the cell repeats; all False for a molecule.
        energy: Total energy in eV, or None.
        forces: Forces in eV/angstrom, ``[nodes, 3]``, or None.
        stress: Stress in eV/angstrom^3, ``[3, 3]``, positive under tension (as in ASE), or None.
        source: Origin of the configuration, for messages, such as
            ``"train.xyz configuration 17"`` (counted from 0).

    Raises:
        ValueError: If there are no atoms, a shape is wrong, or a number is NaN or infinite.

    >>> helium = Configuration(numbers=np.array([2]), positions=np.zeros((1, 3)), energy=-79.0)
    >>> helium.num_atoms, helium.forces is None
    (1, True)
    """

    numbers: Int[np.ndarray, "nodes"]
    positions: Float[np.ndarray, "nodes 3"]
    cell: Float[np.ndarray, "3 3"] | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)
    energy: float | None = None
    forces: Float[np.ndarray, "nodes 3"] | None = None
    stress: Float[np.ndarray, "3 3"] | None = None
    source: str = "configuration"

    def __post_init__(self) -> None:
        atoms = len(self.numbers)
        if atoms == 0:
            raise ValueError(f"{self.source}: has no atoms, expected at least one")
        if min(self.numbers) < 1 or max(self.numbers) >= len(SYMBOLS):
            raise ValueError(f"{self.source}: has an atomic number outside of 1 to 118")
        shapes = {"positions": (atoms, 3), "forces": (atoms, 3), "stress": (3, 3), "cell": (3, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            if np.shape(value) != shape:
                raise ValueError(
                    f"{self.source}: got {name} of shape {np.shape(value)}, expected {shape}"
                )
            if not np.isfinite(value).all():
                row = int(np.argmin(np.isfinite(value).all(axis=1)))
                whose = _name(self, row) if shape == (atoms, 3) else f"row {row}"
                raise ValueError(f"{self.source}: {name} of {whose} is NaN or infinite")
        if self.energy is not None and not np.isfinite(self.energy):
            raise ValueError(f"{self.source}: the energy is {self.energy}, expected finite")

    @property
    def num_atoms(self) -> int:
        """Number of atoms in the configuration."""
        return len(self.numbers)


def _name(configuration: Configuration, atom: int) -> str:
    return f"atom {atom} ({SYMBOLS[configuration.numbers[atom]]})"


def read_configurations(
    path: str | os.PathLike[str],
    *,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
    require: Collection[str] = ("energy", "forces"),
    molecule: Literal[True] | None = None,
) -> list[Configuration]:
    r"""Reads every configuration of a file in extended XYZ or any format that ASE reads.

    Args:
        path: The file, relative to the current folder; ``.xyz`` and ``.extxyz`` are read as
            extended XYZ, other files by ASE.
        energy_key: Key of the total energy in eV.
        forces_key: Key of the forces in eV/angstrom.
        stress_key: Key of the stress in eV/angstrom^3 (9 numbers, or 6 in Voigt order).
        require: The labels that every configuration must have.
        molecule: True to drop cell and periodicity (files of molecules that carry a box); None to
            keep the cell where a direction is periodic. A zero cell is a molecule in any case.

    Raises:
        FileNotFoundError: If there is no such file; for a known data set the message says where to
            get it.
        ValueError: If the file cannot be read or is truncated, or if a configuration has no atoms,
            lacks a required label, contains a NaN or has two atoms at one position. The message
            contains the file and the number of the configuration.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".xyz") as file:
    ...     _ = file.write("1\nProperties=species:S:1:pos:R:3 energy=-13.6\nH 0 0 0\n")
    ...     file.flush()
    ...     read_configurations(file.name, require=("energy",))[0].energy
    -13.6
    """
    path = Path(path).expanduser()
    keys = {"energy": energy_key, "forces": forces_key, "stress": stress_key}
    if unknown := set(require) - set(keys):
        raise ValueError(f"got require={sorted(unknown)}, expected among {', '.join(keys)}")
    if not path.exists():
        raise missing_file(path)
    configurations = []
    for index, record in enumerate(_records(path)):
        configuration = _configuration(
            record, keys, require, molecule, f"{path} configuration {index}"
        )
        _check_distances(configuration)
        configurations.append(configuration)
    if not configurations:
        raise ValueError(f"{path}: holds no configuration, expected at least one")
    return configurations


def read_data_set(
    name: str, file: str, directory: str | os.PathLike[str] | None = None, **options: Any
) -> list[Configuration]:
    """Reads a file of a known data set of molecules, with the keys of its labels.

    Args:
        name: ``"3bpa"``, ``"acac"`` or ``"rmd17"``.
        file: File without ``.xyz``, e.g. ``"train_300K"`` or ``"ethanol/train_01"``.
        directory: See ``data_directory``.
        **options: Further arguments of ``read_configurations``.

    Raises:
        FileNotFoundError: If the file is missing; the message says where to get it.
        ValueError: See ``data_directory`` and ``read_configurations``.
    """
    path = data_file(name, file, directory)
    return read_configurations(
        path, **{"energy_key": DATA_SETS[name].energy_key, "molecule": True, **options}
    )


def _records(path: Path) -> Iterator[Record]:
    if path.suffix in (".xyz", ".extxyz"):
        yield from read_records(path)
        return
    try:
        images = require_package("ase.io").iread(path, index=":")
        yield from map(_atoms_record, images)
    except ImportError:
        raise
    except Exception as error:  # ASE's readers raise anything on a malformed file.
        raise ValueError(
            f"{path}: ASE cannot read it ({type(error).__name__}: {error}), expected extended XYZ "
            "(.xyz, .extxyz) or a format of ASE"
        ) from error


def _atoms_record(atoms: Any) -> Record:
    """Converts an ``ase.Atoms`` to a record; results of its calculator become labels.

    >>> import ase
    >>> _atoms_record(ase.Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]])).numbers
    array([8, 1, 1])
    """
    results = dict(getattr(atoms.calc, "results", {}))
    return Record(
        numbers=np.asarray(atoms.numbers, np.int64),
        positions=np.array(atoms.positions, np.float64),
        cell=np.array(atoms.cell[:], np.float64),
        pbc=_directions(atoms.pbc),
        labels={**atoms.info, **atoms.arrays, **results},
    )


def from_atoms(
    atoms: Any, *, require: Collection[str] = (), molecule: Literal[True] | None = None
) -> Configuration:
    """Converts an ``ase.Atoms``; stored results of its calculator become labels.

    Args:
        atoms: The atoms; only stored results are used, nothing is computed.
        require: Labels that must be present, of ``"energy"``, ``"forces"`` and ``"stress"``.
        molecule: True to drop cell and periodicity.

    Raises:
        ValueError: As for ``read_configurations``, except for atoms at one position.

    >>> import ase
    >>> from_atoms(ase.Atoms("He")).source
    'He'
    """
    keys = {"energy": "energy", "forces": "forces", "stress": "stress"}
    source = atoms.get_chemical_formula() or "atoms"
    return _configuration(_atoms_record(atoms), keys, require, molecule, source)


def _configuration(
    record: Record,
    keys: Mapping[str, str],
    require: Collection[str],
    molecule: Literal[True] | None,
    source: str,
) -> Configuration:
    labels = {}
    for name, key in keys.items():
        if key in record.labels:
            labels[name] = _label(name, record.labels[key], f"{source}: the label {key!r}")
        elif name in require:
            present = ", ".join(map(repr, sorted(record.labels))) or "none"
            raise ValueError(
                f"{source}: has no {name} under the key {key!r}; its keys: {present}. "
                f"Name the right one by {name}_key, or leave the configuration out"
            )
    pbc = _directions(record.pbc)
    if molecule or not record.cell.any():
        pbc = (False, False, False)
    try:
        cell = complete_cell(record.cell, pbc) if any(pbc) else None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return Configuration(
        numbers=record.numbers,
        positions=record.positions,
        cell=cell,
        pbc=pbc,
        source=source,
        **labels,
    )


def _directions(pbc: Any) -> tuple[bool, bool, bool]:
    first, second, third = (bool(direction) for direction in pbc)
    return first, second, third


def _label(name: str, value: Any, what: str) -> Any:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is {value!r}, expected numbers") from error
    if name == "energy":
        if array.size != 1 or isinstance(value, bool):
            raise ValueError(f"{what} is {value!r}, expected one number")
        return float(array.reshape(()))
    if name == "stress" and array.size == 6:
        xx, yy, zz, yz, xz, xy = array.ravel()
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if name == "stress" and array.size == 9:
        return array.reshape(3, 3)
    return array


def _check_distances(configuration: Configuration) -> None:
    pair = _coinciding_atoms(configuration)
    if pair is not None:
        first, second = (_name(configuration, atom) for atom in pair)
        raise ValueError(
            f"{configuration.source}: {first} and {second} are at one position (closer than "
            f"{_SAME_POSITION} angstrom), expected distinct positions"
        )


def _coinciding_atoms(configuration: Configuration) -> tuple[int, int] | None:
    if not any(configuration.pbc) and configuration.num_atoms <= 64:
        # For a small molecule, computing all pairs is much faster than a neighbour list.
        differences = configuration.positions[:, None] - configuration.positions
        distances = np.linalg.norm(differences, axis=-1) + np.eye(configuration.num_atoms)
        first, second = np.divmod(int(np.argmin(distances)), configuration.num_atoms)
        return (first, second) if distances[first, second] < _SAME_POSITION else None
    # With a much shorter cutoff the neighbour list would create millions of empty boxes.
    close = neighbour_list(configuration.positions, 0.5, configuration.cell, configuration.pbc)
    for edge in np.nonzero(
        close.distances(configuration.positions, configuration.cell) < _SAME_POSITION
    )[0]:
        return int(close.receivers[edge]), int(close.senders[edge])
    return None


def write_configurations(
    path: str | os.PathLike[str], configurations: Iterable[Configuration]
) -> None:
    """Writes configurations as extended XYZ, from which the same float64 numbers are read.

    Args:
        path: The file, which is replaced if it exists.
        configurations: The configurations, one after the other.

    Raises:
        OSError: If the file cannot be written.

    >>> import tempfile
    >>> atom = Configuration(numbers=np.array([1]), positions=np.full((1, 3), 1 / 3), energy=-13.6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_configurations(f"{folder}/a.xyz", [atom])
    ...     again = read_configurations(f"{folder}/a.xyz", require=("energy",))[0]
    >>> bool((again.positions == atom.positions).all())
    True
    """
    Path(path).write_text(format_configurations(configurations), encoding="utf-8", newline="\n")


def format_configurations(configurations: Iterable[Configuration]) -> str:
    """Returns the text of an extended XYZ file from which the same float64 numbers are read.

    >>> atom = Configuration(numbers=np.array([1]), positions=np.zeros((1, 3)))
    >>> format_configurations([atom]).splitlines()[0]
    '1'
    """
    return "".join(
        format_record(
            numbers=configuration.numbers,
            positions=configuration.positions,
            cell=configuration.cell,
            pbc=configuration.pbc,
            energy=configuration.energy,
            forces=configuration.forces,
            stress=configuration.stress,
        )
        for configuration in configurations
    )
