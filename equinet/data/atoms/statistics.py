"""Statistics of training data that scale and shift a potential, in float64."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from equinet.data.atoms.configurations import read_configurations
from equinet.data.atoms.elements import SYMBOLS, atomic_number
from equinet.data.atoms.graphs import Graph


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of training data by which a potential is normalised.

    Attributes:
        elements: Symbols of the elements, in the order of the model.
        reference_energies: Energy of each element in eV.
        energy_per_atom: Mean over configurations of (energy - references) / atoms, in eV.
        energy_rms_per_atom: Standard deviation of (energy - references) / atoms, in eV.
        force_rms: Root mean square of the force components in eV/angstrom; None without forces.
        average_neighbours: Mean number of neighbours of an atom.
    """

    elements: tuple[str, ...]
    reference_energies: tuple[float, ...]
    energy_per_atom: float
    energy_rms_per_atom: float
    force_rms: float | None
    average_neighbours: float


def measure(
    graphs: Sequence[Graph],
    elements: Sequence[str | int],
    reference_energies: Mapping[str, float] | None = None,
) -> Statistics:
    """Measures the statistics of training graphs.

    Args:
        graphs: Graphs with total energies and optionally forces.
        elements: The elements that the graphs were built with.
        reference_energies: Energy of an isolated atom of each element in eV; None to fit them.

    Raises:
        ValueError: If there is no graph, one has no energy, or a reference is missing.

    >>> from equinet.data.atoms import Configuration, to_graph
    >>> helium = Configuration(numbers=np.array([2]), positions=np.zeros((1, 3)), energy=-79.0)
    >>> measure([to_graph(helium, cutoff=3.0, elements=("He",))], ("He",)).reference_energies
    (-79.0,)
    """
    symbols = tuple(SYMBOLS[atomic_number(element)] for element in elements)
    if reference_energies is None:
        references = fit_references(graphs, len(symbols))
    else:
        references = _given_references(reference_energies, symbols)
    atoms = np.array([graph.num_nodes for graph in graphs])
    residual = (_energies(graphs) - _composition(graphs, len(symbols)) @ references) / atoms
    forces = [graph.forces.ravel() for graph in graphs if graph.forces is not None]
    return Statistics(
        elements=symbols,
        reference_energies=tuple(references.tolist()),
        energy_per_atom=float(residual.mean()),
        energy_rms_per_atom=float(residual.std()),
        force_rms=float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else None,
        average_neighbours=float(sum(graph.num_edges for graph in graphs) / atoms.sum()),
    )


def _energies(graphs: Sequence[Graph]) -> Float[np.ndarray, "graphs"]:
    if not graphs:
        raise ValueError("got no graphs, expected at least one")
    for graph in graphs:
        if graph.energy is None:
            raise ValueError(f"{graph.source}: has no energy, expected one in every configuration")
    return np.array([graph.energy for graph in graphs], np.float64)


def _composition(graphs: Sequence[Graph], elements: int) -> Float[np.ndarray, "graphs elements"]:
    counts = [np.bincount(graph.species, minlength=elements) for graph in graphs]
    return np.array(counts, np.float64)


def fit_references(graphs: Sequence[Graph], elements: int) -> Float[np.ndarray, "elements"]:
    r"""Fits one energy per element to the total energies by least squares.

    .. math:: \min_\epsilon \sum_m \Big( E_m - \sum_z n_{m z}\, \epsilon_z \Big)^2

    where n counts the atoms of each element. If the compositions do not determine the solution (as
    in a data set of one molecule), the one of least norm is returned: the sum over the molecule is
    the mean energy, but the energy of a single element has no physical meaning.

    Args:
        graphs: Graphs with total energies in eV.
        elements: Number of elements of the model.

    Returns:
        The energy of each element in eV, ``[elements]``.

    Raises:
        ValueError: If there is no graph or one has no energy.
    """
    energies = _energies(graphs)
    return np.linalg.lstsq(_composition(graphs, elements), energies, rcond=None)[0]


def _given_references(
    energies: Mapping[str, float], elements: Sequence[str]
) -> Float[np.ndarray, "elements"]:
    """Arranges given energies of isolated atoms in the order of the elements of the model.

    Raises:
        ValueError: If the energy of an element is missing.

    >>> _given_references({"H": -13.6, "O": -2041.8}, ("O", "H"))
    array([-2041.8,   -13.6])
    """
    if missing := [symbol for symbol in elements if symbol not in energies]:
        raise ValueError(
            f"got reference energies for {', '.join(energies) or 'no element'}, but not for "
            f"{', '.join(missing)}; add them, or leave all out to fit them"
        )
    return np.array([energies[symbol] for symbol in elements], np.float64)


def isolated_atom_energies(
    path: str | os.PathLike[str], *, energy_key: str = "energy"
) -> dict[str, float]:
    """Reads the energies of isolated atoms from a file with one configuration per element.

    Args:
        path: A file that ``read_configurations`` reads, with one atom in each configuration.
        energy_key: Key of the total energy in eV.

    Returns:
        The energy of each element in eV, by its symbol.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, has several atoms in a configuration, or an
            element twice.
    """
    energies: dict[str, float] = {}
    for configuration in read_configurations(path, energy_key=energy_key, require=("energy",)):
        symbol = SYMBOLS[configuration.numbers[0]]
        if configuration.num_atoms != 1:
            raise ValueError(
                f"{configuration.source}: has {configuration.num_atoms} atoms, expected one"
            )
        if symbol in energies:
            raise ValueError(
                f"{configuration.source}: is {symbol} once more, expected each element once"
            )
        assert configuration.energy is not None
        energies[symbol] = configuration.energy
    return energies


def subtract_references(graphs: Sequence[Graph], references: Sequence[float]) -> list[Graph]:
    """Subtracts the reference energies of the elements from the labels, in float64.

    In float32 a total energy of -17660 eV has a rounding unit of 2 meV. A model is therefore
    trained on the difference, and the references are added again in float64.

    Args:
        graphs: Graphs, whose energies may be None.
        references: Energy of each element in eV, in the order of the model.

    >>> from equinet.data.atoms import Configuration, to_graph
    >>> helium = Configuration(numbers=np.array([2]), positions=np.zeros((1, 3)), energy=-79.0)
    >>> graph = to_graph(helium, cutoff=3.0, elements=("He",))
    >>> subtract_references([graph], [-78.0])[0].energy
    -1.0
    """
    table = np.asarray(references, np.float64)
    return [
        graph
        if graph.energy is None
        else dataclasses.replace(graph, energy=float(graph.energy - table[graph.species].sum()))
        for graph in graphs
    ]
