"""Graphs: a frame together with its neighbours within a cutoff, ready to be put into a batch."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from equinet.data.atoms.elements import species_index
from equinet.data.atoms.frames import Frame
from equinet.data.atoms.neighbours import Neighbours, neighbour_list


@dataclasses.dataclass(frozen=True, eq=False)
class Slots:
    """The edges of one graph as a table with one row per atom and one slot per neighbour.

    An empty slot names its own atom and column, so that it is its own opposite.

    Attributes:
        senders: Neighbour in each slot, ``[nodes, degree]``.
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
    """One frame as a graph, in numpy and float64.

    Attributes:
        positions: Positions in angstrom, ``[nodes, 3]``.
        species: Index of each atom's element in the model's table, ``[nodes]``.
        neighbours: All directed edges shorter than the cutoff.
        cutoff: The cutoff in angstrom.
        cell: Cell vectors in rows, zeros for a molecule, ``[3, 3]``.
        energy: Label in eV, or None: the total energy, or what ``subtract_references`` left of it.
        forces: Label in eV/angstrom, ``[nodes, 3]``, or None.
        stress: Label in eV/angstrom^3, ``[3, 3]``, or None.
        source: Where the frame comes from, for messages.
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
        """Number of atoms."""
        return len(self.species)

    @property
    def num_edges(self) -> int:
        """Number of directed edges."""
        return self.neighbours.num_edges

    @property
    def degree(self) -> int:
        """Largest number of neighbours of an atom."""
        return self.slots.mask.shape[1]

    @functools.cached_property
    def centred(self) -> Float[np.ndarray, "nodes 3"]:
        """Positions without their mean: distances survive a cast to float32 unharmed."""
        return self.positions - self.positions.mean(axis=0)

    @functools.cached_property
    def slots(self) -> Slots:
        """The edges as a table of neighbours; computed once."""
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
    frame: Frame,
    *,
    cutoff: float,
    elements: Sequence[str | int],
    allow_isolated: bool = True,
) -> Graph:
    """Builds the graph of a frame.

    Args:
        frame: The frame.
        cutoff: Cutoff in angstrom.
        elements: The elements that the model knows, in its order; symbols or atomic numbers.
        allow_isolated: False to refuse a frame in which no atom has a neighbour.

    Raises:
        ValueError: If an element is not known, the cutoff is not positive, or ``allow_isolated``
            is False and there is no edge.

    >>> frame = Frame(numbers=np.array([8, 1]), positions=np.array([[0.0, 0, 0], [0, 0, 1]]))
    >>> graph = to_graph(frame, cutoff=2.0, elements=("H", "O"))
    >>> graph.species, graph.num_edges, graph.degree
    (array([1, 0], dtype=int32), 2, 1)
    """
    graph = Graph(
        positions=frame.positions,
        species=species_index(frame.numbers, elements, source=frame.source),
        neighbours=neighbour_list(frame.positions, cutoff, frame.cell, frame.pbc),
        cutoff=cutoff,
        cell=np.zeros((3, 3)) if frame.cell is None else frame.cell,
        energy=frame.energy,
        forces=frame.forces,
        stress=frame.stress,
        source=frame.source,
    )
    if not allow_isolated and graph.num_edges == 0:
        raise ValueError(_no_edge(frame, cutoff))
    return graph


def to_graphs(
    frames: Iterable[Frame],
    *,
    cutoff: float,
    elements: Sequence[str | int],
    allow_isolated: bool = False,
) -> list[Graph]:
    """Builds the graphs of training data: a frame without any edge teaches nothing and is refused.

    Raises:
        ValueError: As for ``to_graph``.

    >>> far = Frame(numbers=np.array([2, 2]), positions=np.array([[0.0, 0, 0], [0, 0, 5]]))
    >>> to_graphs([far], cutoff=3.0, elements=("He",))
    Traceback (most recent call last):
    ValueError: frame: no atom has a neighbour within the cutoff of 3.0 angstrom; ...
    """
    return [
        to_graph(frame, cutoff=cutoff, elements=elements, allow_isolated=allow_isolated)
        for frame in frames
    ]


def _no_edge(frame: Frame, cutoff: float) -> str:
    message = f"{frame.source}: no atom has a neighbour within the cutoff of {cutoff} angstrom; "
    if frame.num_atoms == 1 and not any(frame.pbc):
        return message + (
            "a single atom is no training frame: give it as an isolated-atom reference energy"
        )
    for factor in (2, 4, 8, 16):
        wider = neighbour_list(frame.positions, factor * cutoff, frame.cell, frame.pbc)
        if wider.num_edges:
            shortest = wider.distances(frame.positions, frame.cell).min()
            return (
                message
                + f"its shortest distance is {shortest:.2f} angstrom: choose a larger cutoff"
            )
    return message + "choose a larger cutoff, or check that the positions are in angstrom"
