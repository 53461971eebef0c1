"""Graphs of configurations with the neighbours within a cutoff, the elements of a batch."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from equinet.data.atoms.configurations import Configuration
from equinet.data.atoms.elements import species_index
from equinet.data.atoms.neighbours import Neighbours, neighbour_list


@dataclasses.dataclass(frozen=True, eq=False)
class Slots:
    """The edges of one graph as a table with one row per atom and one slot per neighbour.

    An empty slot contains its own atom and column, so that it is its own opposite.

    Attributes:
        senders: Index of the neighbour in each slot, ``[nodes, degree]``.
        columns: Column of the opposite edge in the row of its receiver, ``[nodes, degree]``.
        shifts: Lattice translation of each neighbour, ``[nodes, degree, 3]``.
        mask: False for empty slots, ``[nodes, degree]``.
    """

    senders: Int[np.ndarray, "nodes degree"]
    columns: Int[np.ndarray, "nodes degree"]
    shifts: Int[np.ndarray, "nodes degree 3"]
    mask: Bool[np.ndarray, "nodes degree"]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """One configuration as a graph, as numpy arrays in float64.

    Attributes:
        positions: Positions in angstrom, ``[nodes, 3]``.
        species: Index of each atom's element among the elements of the model, ``[nodes]``.
        neighbours: All directed edges shorter than the cutoff.
        cutoff: The cutoff in angstrom.
        cell: Cell vectors in rows in angstrom, zeros for a molecule, ``[3, 3]``.
        energy: Label in eV, or None: the total energy, or its difference to the references after
            ``subtract_references``.
        forces: Label in eV/angstrom, ``[nodes, 3]``, or None.
        stress: Label in eV/angstrom^3, ``[3, 3]``, or None.
        source: Origin of the configuration, for messages.
    """

    positions: Float[np.ndarray, "nodes 3"]
    species: Int[np.ndarray, "nodes"]
    neighbours: Neighbours
    cutoff: float
    cell: Float[np.ndarray, "3 3"]
    energy: float | None = None
    forces: Float[np.ndarray, "nodes 3"] | None = None
    stress: Float[np.ndarray, "3 3"] | None = None
    source: str = "graph"

    @property
    def num_nodes(self) -> int:
        """Number of atoms in the graph."""
        return len(self.species)

    @property
    def num_edges(self) -> int:
        """Number of directed edges, two for every pair of neighbours."""
        return self.neighbours.num_edges

    @property
    def degree(self) -> int:
        """Largest number of neighbours of an atom in the graph."""
        return self.slots.mask.shape[1]

    @functools.cached_property
    def centred(self) -> Float[np.ndarray, "nodes 3"]:
        """Positions minus their mean in angstrom, whose cast to float32 rounds distances least."""
        return self.positions - self.positions.mean(axis=0)

    @functools.cached_property
    def slots(self) -> Slots:
        """The edges as a table of neighbours with ``degree`` columns; computed once."""
        edges, nodes = self.neighbours, self.num_nodes
        counts = np.bincount(edges.receivers, minlength=nodes)
        column = np.arange(edges.num_edges) - (np.cumsum(counts) - counts)[edges.receivers]
        shape = (nodes, int(counts.max(initial=0)))
        at = (edges.receivers, column)
        senders = np.broadcast_to(np.arange(nodes, dtype=np.int32)[:, None], shape).copy()
        columns = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape).copy()
        shifts = np.zeros((*shape, 3), np.int32)
        mask = np.zeros(shape, np.bool_)
        senders[at], columns[at] = edges.senders, column[edges.reverse]
        shifts[at], mask[at] = edges.shifts, True
        return Slots(senders, columns, shifts, mask)


def to_graph(
    configuration: Configuration,
    *,
    cutoff: float,
    elements: Sequence[str | int],
    allow_isolated: bool = True,
) -> Graph:
    """Builds the graph of a configuration with all neighbours within the cutoff.

    Args:
        configuration: The configuration.
        cutoff: Cutoff in angstrom.
        elements: The elements of the model, in its order; symbols or atomic numbers.
        allow_isolated: False to reject a configuration in which no atom has a neighbour.

    Raises:
        ValueError: If an element is not among ``elements``, the cutoff is not positive, or
            ``allow_isolated`` is False and there is no edge.

    >>> oh = Configuration(numbers=np.array([8, 1]), positions=np.array([[0.0, 0, 0], [0, 0, 1]]))
    >>> graph = to_graph(oh, cutoff=2.0, elements=("H", "O"))
    >>> graph.species, graph.num_edges, graph.degree
    (array([1, 0], dtype=int32), 2, 1)
    """
    graph = Graph(
        positions=configuration.positions,
        species=species_index(configuration.numbers, elements, source=configuration.source),
        neighbours=neighbour_list(
            configuration.positions, cutoff, configuration.cell, configuration.pbc
        ),
        cutoff=cutoff,
        cell=np.zeros((3, 3)) if configuration.cell is None else configuration.cell,
        energy=configuration.energy,
        forces=configuration.forces,
        stress=configuration.stress,
        source=configuration.source,
    )
    if not allow_isolated and graph.num_edges == 0:
        raise ValueError(_no_edge(configuration, cutoff))
    return graph


def to_graphs(
    configurations: Iterable[Configuration],
    *,
    cutoff: float,
    elements: Sequence[str | int],
    allow_isolated: bool = False,
) -> list[Graph]:
    """Builds the graphs of training data; a configuration without any edge is rejected.

    Args:
        configurations: The configurations.
        cutoff: Cutoff in angstrom.
        elements: The elements of the model, in its order; symbols or atomic numbers.
        allow_isolated: True to accept configurations in which no atom has a neighbour.

    Raises:
        ValueError: As for ``to_graph``.

    >>> far = Configuration(numbers=np.array([2, 2]), positions=np.array([[0.0, 0, 0], [0, 0, 5]]))
    >>> to_graphs([far], cutoff=3.0, elements=("He",))
    Traceback (most recent call last):
    ValueError: configuration: no atom has a neighbour within the cutoff of 3.0 angstrom; ...
    """
    return [
        to_graph(configuration, cutoff=cutoff, elements=elements, allow_isolated=allow_isolated)
        for configuration in configurations
    ]


def _no_edge(configuration: Configuration, cutoff: float) -> str:
    message = (
        f"{configuration.source}: no atom has a neighbour within the cutoff of {cutoff} angstrom; "
    )
    if configuration.num_atoms == 1 and not any(configuration.pbc):
        return message + (
            "a single atom cannot be trained on: give it as an isolated-atom reference energy"
        )
    for factor in (2, 4, 8, 16):
        wider = neighbour_list(
            configuration.positions, factor * cutoff, configuration.cell, configuration.pbc
        )
        if wider.num_edges:
            shortest = wider.distances(configuration.positions, configuration.cell).min()
            return (
                message
                + f"its shortest distance is {shortest:.2f} angstrom: choose a larger cutoff"
            )
    return message + "choose a larger cutoff, or check that the positions are in angstrom"
