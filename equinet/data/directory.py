"""Where data sets lie on this machine, and where to get those that do not."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A public data set that equinet reads but does not ship.

    Attributes:
        folder: Its folder below the data directory.
        source: The public source to get it from.
        files: Its files as they are known in the field, without ``.xyz``.
        energy_key: Key under which its files hold the energy.
    """

    folder: str
    source: str
    files: tuple[str, ...]
    energy_key: str = "energy"


_TEMPERATURES = ("300K", "600K", "1200K")

DATA_SETS: Mapping[str, DataSet] = {
    "3bpa": DataSet(
        folder="3bpa",
        source="https://github.com/davkovacs/BOTNet-datasets, folder dataset_3BPA",
        files=(
            "train_300K",
            "train_mixedT",
            "iso_atoms",
            *(f"test_{temperature}" for temperature in _TEMPERATURES),
            *(f"test_dih_beta{angle}" for angle in (120, 150, 180)),
        ),
    ),
    "acac": DataSet(
        folder="acac",
        source="https://github.com/davkovacs/BOTNet-datasets, folder dataset_acac",
        files=(
            "train_300K",
            "train_600K",
            "isolated_atoms",
            "test_MD_300K",
            "test_MD_600K",
            "test_H_transfer",
            "test_dihedral",
        ),
    ),
    "rmd17": DataSet(
        folder="rmd17",
        source=(
            "https://github.com/divelab/AIRS, folder OpenMol/PACE/dataset/rmd17/xyz_data "
            "(from figshare, doi 10.6084/m9.figshare.12672038)"
        ),
        files=("<molecule>/train_01", "<molecule>/test_01"),
        energy_key="Energy",
    ),
}


def data_directory(config_value: str | os.PathLike[str] | None = None) -> Path:
    """Returns the directory of the data sets: the configured one, else ``EQUINET_DATA``.

    Raises:
        ValueError: If neither is given, or the directory does not exist.

    >>> data_directory(".")
    PosixPath('.')
    """
    name, value = "data_dir", config_value
    if not value:
        name, value = "EQUINET_DATA", os.environ.get("EQUINET_DATA")
    if not value:
        raise ValueError(
            "got no data directory, expected --config.data_dir=DIR or the environment variable "
            "EQUINET_DATA: the folder that holds " + ", ".join(f"{n}/" for n in DATA_SETS)
        )
    path = Path(value).expanduser()
    if not path.is_dir():
        raise ValueError(f"got {name}={str(value)!r}, expected an existing directory")
    return path


def data_file(
    name: str,
    file: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    must_exist: bool = True,
) -> Path:
    """Returns the path of a file of a known data set.

    Args:
        name: Data set: ``"3bpa"``, ``"acac"`` or ``"rmd17"``.
        file: File without ``.xyz``, e.g. ``"train_300K"`` or ``"ethanol/train_01"``.
        directory: See ``data_directory``.
        must_exist: False to get the path of a file that may be missing.

    Raises:
        ValueError: If the data set is unknown or there is no data directory.
        FileNotFoundError: If the file is missing; the message says where to get it.

    >>> data_file("rmd17", "ethanol/train_01", ".", must_exist=False).as_posix()
    'rmd17/ethanol/train_01.xyz'
    """
    if name not in DATA_SETS:
        raise ValueError(f"got the data set {name!r}, expected one of {', '.join(DATA_SETS)}")
    path = data_directory(directory) / DATA_SETS[name].folder / f"{file}.xyz"
    if must_exist and not path.is_file():
        raise missing_file(path)
    return path


def missing_file(
    path: str | os.PathLike[str], source: str | None = None, *, instead: str | None = None
) -> FileNotFoundError:
    """Returns the error for a missing data file, to be raised by readers.

    The message names the file, the folder in which it was looked for, the public source where it
    can be found, and the way to run without it.

    Args:
        path: Path of the file; relative paths start at the current folder.
        source: Where to get the file; for a file of ``DATA_SETS`` it is known.
        instead: What the user can do without the file, a clause such as "simulate the data with
            --config.data.source=simulate".

    >>> print(missing_file("train.npz", "https://example.org", instead="omit --data"))
    train.npz: no such file (looked for in the folder ...). Get it from https:..., or omit ...
    >>> print(missing_file("data/acac/train_300K.xyz"))
    data/acac/train_300K.xyz: no such file ... It belongs to the data set acac (train_300K, ...
    """
    path = Path(path)
    message = f"{path}: no such file (looked for in the folder {path.absolute().parent})"
    for name, known in DATA_SETS.items():
        if source is None and known.folder in path.parts[:-1]:
            message += f". It belongs to the data set {name} ({', '.join(known.files)})"
            source = f"{known.source}, and put it there, or name another data folder"
    actions = ([f"get it from {source}"] if source else []) + ([instead] if instead else [])
    if actions:
        advice = ", or ".join(actions)
        message += f". {advice[0].upper()}{advice[1:]}"
    return FileNotFoundError(message)
