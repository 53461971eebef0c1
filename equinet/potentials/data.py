"""The data of the potential task: three splits, read from files or sampled here."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from equinet.data import data_directory
from equinet.data.atoms import (
    Configuration,
    isolated_atom_energies,
    read_configurations,
    sample_molecule,
)
from equinet.groups import O
from equinet.potentials.config import DataConfig, FileDataConfig, XTBDataConfig
from equinet.precision import HIGHEST
from equinet.training.progress import Progress


@dataclasses.dataclass(frozen=True)
class Splits:
    """Configurations to train on, to choose the best model on, and to report on."""

    train: list[Configuration]
    validation: list[Configuration]
    test: list[Configuration]


def load_splits(config: DataConfig, data_dir: str) -> Splits:
    """The three splits.

    Args:
        config: What to read or to make.
        data_dir: Directory of the data sets; ``EQUINET_DATA`` if empty.

    Raises:
        ValueError: If a file is malformed or a slice is empty.
        FileNotFoundError: If a file is missing.
    """
    if isinstance(config, XTBDataConfig):
        return _generated(config)
    cache: dict[Path, list[Configuration]] = {}
    parts = (config.train, config.validation, config.test)
    return Splits(*(read_part(part, config, data_dir, cache) for part in parts))


def read_part(
    part: str,
    config: FileDataConfig,
    data_dir: str,
    cache: dict[Path, list[Configuration]] | None = None,
) -> list[Configuration]:
    """The configurations of ``"file.xyz@start:stop"``.

    A relative path is looked for in the current folder first, then in the data folder.
    """
    cache = {} if cache is None else cache
    name, _, selection = part.partition("@")
    path = _find_file(name, data_dir)
    if path not in cache:
        cache[path] = read_file(path, config)
    configurations = cache[path][_slice(selection, part)] if selection else cache[path]
    if not configurations:
        raise ValueError(f"{part}: selects no configuration; the file has {len(cache[path])}")
    return configurations


def read_file(path: Path, config: DataConfig) -> list[Configuration]:
    """All configurations of a file, with the keys of the config, or the default ones."""
    if isinstance(config, XTBDataConfig):
        name = str(path)
        config = FileDataConfig(train=name, validation=name, test=name)
    return read_configurations(
        path,
        energy_key=config.energy_key,
        forces_key=config.forces_key,
        stress_key=config.stress_key,
        molecule=True if config.molecule else None,
    )


def reference_energies(config: DataConfig, data_dir: str) -> Mapping[str, float] | None:
    """Energies of the isolated atoms, or None where they are to be fitted."""
    if isinstance(config, XTBDataConfig) or not config.isolated_atoms:
        return None
    path = _find_file(config.isolated_atoms, data_dir)
    return isolated_atom_energies(path, energy_key=config.energy_key)


def rotated(batch: Mapping[str, Any], key: Array) -> dict[str, Any]:
    r"""Every graph and its labels transformed by a random element of O(3), one for each graph.

    .. math:: x \mapsto g x, \quad F \mapsto g F, \quad \sigma \mapsto g \sigma g^T

    Positions, cell and forces are vectors, the stress is a matrix; lattice translations in units
    of the cell do not change.

    Args:
        batch: As ``equinet.data.atoms.collate`` makes it, every array ``[shards, ...]``.
        key: Random key of the elements.
    """
    graph, labels = batch["graph"], dict(batch["labels"])
    elements = O(3).sample(key, graph.graph_mask.shape, graph.positions.dtype)
    of_nodes = jax.vmap(lambda elements, index: elements[index])(elements, graph.graph_index)

    def act(elements: Array, vectors: Array) -> Array:
        return jnp.einsum("...ab,...b->...a", elements, vectors, precision=HIGHEST)

    of_rows = elements[:, :, None]  # one for each row of a matrix
    positions, cell = act(of_nodes, graph.positions), act(of_rows, graph.cell)
    half = act(of_rows, labels["stress"])
    labels["forces"] = act(of_nodes, labels["forces"])
    labels["stress"] = act(of_rows, jnp.swapaxes(half, -1, -2))
    return {
        **batch,
        "graph": dataclasses.replace(graph, positions=positions, cell=cell),
        "labels": labels,
    }


def _generated(config: XTBDataConfig) -> Splits:
    train, validation, test = config.configurations
    count = train + validation + test
    with Progress(count, unit="configuration") as progress:
        configurations = sample_molecule(
            config.smiles,
            num_configurations=count,
            temperature_K=config.temperature_K,
            spacing_fs=config.spacing_fs,
            equilibration_fs=config.equilibration_fs,
            num_trajectories=config.num_trajectories,
            seed=config.seed,
            progress=lambda done, total: progress.show(done, "made with GFN2-xTB"),
        )
    # Trajectories follow one another, so the test configurations come from other ones.
    return Splits(
        configurations[:train],
        configurations[train : train + validation],
        configurations[train + validation :],
    )


def _find_file(name: str, data_dir: str) -> Path:
    """A file by its absolute path, from the current folder, or else from the data folder."""
    path = Path(name).expanduser()
    if path.is_absolute() or path.is_file():
        return path
    if data_dir or os.environ.get("EQUINET_DATA"):
        return data_directory(data_dir) / path
    raise FileNotFoundError(
        f"no file {name} in the current folder {Path.cwd()}, and no data folder is named "
        "(--config.data_dir=FOLDER or the environment variable EQUINET_DATA)"
    )


def _slice(text: str, part: str) -> slice:
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return slice(int(start) if start else None, int(stop) if stop else None)
    except ValueError:
        raise ValueError(f"{part}: expected FILE or FILE@START:STOP, got {text!r}") from None
