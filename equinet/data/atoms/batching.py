"""Batches of graphs: padded to slots and distributed over shards, with few distinct shapes."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from equinet.data.atoms.graphs import Graph
from equinet.ops.graphs import GraphBatch


@dataclasses.dataclass(frozen=True)
class Budget:
    """The size to which every shard of a batch is padded; each budget takes one compilation.

    Attributes:
        nodes: Number of atoms in a shard.
        degree: Number of neighbour slots of each atom.
        graphs: Number of graphs in a shard.

    Raises:
        ValueError: If a size is not positive.

    >>> Budget(nodes=8, degree=4, graphs=1).edges
    32
    """

    nodes: int
    degree: int
    graphs: int

    def __post_init__(self) -> None:
        if min(self.nodes, self.degree, self.graphs) < 1:
            raise ValueError(f"got {self}, expected at least one of each")

    @property
    def edges(self) -> int:
        """Number of edge slots in a shard, ``nodes * degree``."""
        return self.nodes * self.degree

    @classmethod
    def covering(cls, graphs: Sequence[Graph], batch_size: int, shards: int = 1) -> "Budget":
        """Returns the smallest rounded budget that holds any batch of a data set.

        It suits graphs of similar sizes. If sizes differ widely, ``collate`` without a budget pads
        less and compiles more often.

        Args:
            graphs: All graphs of the data set.
            batch_size: Number of graphs in a batch, over all shards.
            shards: Number of shards in all processes.

        Raises:
            ValueError: If there are no graphs, or batch size or shards are not positive.
        """
        if not graphs or batch_size < 1 or shards < 1:
            raise ValueError(
                f"got {len(graphs)} graphs, batch_size={batch_size}, shards={shards}, expected at "
                "least one of each"
            )
        slots = -(-batch_size // shards)
        sizes = sorted((graph.num_nodes for graph in graphs), reverse=True)
        degree = max(graph.degree for graph in graphs)
        return cls(_multiple(sum(sizes[:slots]), 8), _round_degree(degree), slots)


def _multiple(size: int, step: int) -> int:
    return max(step, -(-size // step) * step)


def _round_degree(degree: int) -> int:
    return _multiple(degree, 2 if degree <= 32 else 4)


def round_up(nodes: int, degree: int, graphs: int) -> Budget:
    """Rounds sizes up to a budget such that few distinct budgets occur.

    The number of nodes is rounded to a multiple of 8 and to one of at most eight sizes per factor
    of two (the padding is below one eighth for 64 nodes and more), the degree to a multiple of 4
    (of 2 below 8).

    >>> round_up(135, 26, 5)
    Budget(nodes=144, degree=28, graphs=5)
    """
    step = max(8, 2 ** (max(nodes - 1, 1).bit_length() - 4))
    return Budget(_multiple(nodes, step), _multiple(degree, 2 if degree < 8 else 4), max(graphs, 1))


def deal(sizes: Sequence[int], shards: int) -> list[list[int]]:
    """Distributes graphs over shards such that the shards have similar numbers of atoms.

    The graphs are assigned in descending order of size, to the shards in ascending order, then in
    descending order, and so on.

    Args:
        sizes: Number of atoms of every graph.
        shards: Number of shards.

    Returns:
        The ascending indices of the graphs of each shard.

    Raises:
        ValueError: If ``shards`` is not positive.

    >>> deal([3, 9, 5, 1], 2)
    [[1, 3], [0, 2]]
    """
    if shards < 1:
        raise ValueError(f"got shards={shards}, expected at least one")
    order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    indices: list[list[int]] = [[] for _ in range(shards)]
    for position, index in enumerate(order):
        sweep, shard = divmod(position, shards)
        indices[shard if sweep % 2 == 0 else shards - 1 - shard].append(index)
    return [sorted(of_shard) for of_shard in indices]


def collate(
    graphs: Sequence[Graph],
    which_shards: Sequence[int],
    *,
    shards: int,
    budget: Budget | None = None,
    dtype: Any = np.float32,
) -> dict[str, Any]:
    """Builds a padded batch of graphs as numpy arrays.

    The graphs of the *global* batch are distributed over all shards (``deal``). Only
    ``which_shards`` are built, and every process pads to the same budget. The mean position of each
    graph is subtracted in float64 before the cast.

    Args:
        graphs: All graphs of the global batch.
        which_shards: The shards to build.
        shards: Number of shards in all processes.
        budget: Size of a shard; None for the size of the largest shard, rounded by ``round_up``.
        dtype: Type of the float arrays.

    Returns:
        ``{"graph": GraphBatch, "labels": {...}, "weights": {...}}``, every array with the leading
        axis ``len(which_shards)``. The labels are ``energy`` ``[graphs]`` in eV, ``forces``
        ``[nodes, 3]`` in eV/angstrom and ``stress`` ``[graphs, 3, 3]`` in eV/angstrom^3. Their
        weights ``[graphs]``, ``[nodes]``, ``[graphs]`` are 1 where the label is given, else 0.

    Raises:
        ValueError: If a shard does not fit into the budget, or a shard does not exist.

    >>> from equinet.data.atoms import Configuration, to_graph
    >>> oh = Configuration(numbers=np.array([8, 1]), positions=np.array([[0.0, 0, 0], [0, 0, 1]]))
    >>> graph = to_graph(oh, cutoff=2.0, elements=("H", "O"))
    >>> collate([graph] * 3, range(2), shards=2)["graph"].positions.shape
    (2, 8, 3)
    """
    indices = deal([graph.num_nodes for graph in graphs], shards)
    if any(not 0 <= shard < shards for shard in which_shards):
        raise ValueError(f"got which_shards={list(which_shards)}, expected among 0 to {shards - 1}")
    of_shards = [[graphs[index] for index in of_shard] for of_shard in indices]
    needs = [_need(of_shard) for of_shard in of_shards]
    if budget is None:
        budget = round_up(*np.max(needs, axis=0).tolist())
    for shard, (nodes, degree, count) in enumerate(needs):
        if nodes > budget.nodes or degree > budget.degree or count > budget.graphs:
            raise ValueError(
                f"got {budget}, but shard {shard} needs nodes={nodes}, degree={degree}, "
                f"graphs={count}; use Budget.covering of all graphs, or budget=None"
            )
    batch = _empty(len(which_shards), budget, np.dtype(dtype))
    for row, shard in enumerate(which_shards):
        _fill({name: array[row] for name, array in batch.items()}, of_shards[shard])
    return _as_tree(batch, budget)


def _need(graphs: Sequence[Graph]) -> tuple[int, int, int]:
    nodes = sum(graph.num_nodes for graph in graphs)
    return nodes, max((graph.degree for graph in graphs), default=0), len(graphs)


def _empty(rows: int, budget: Budget, dtype: np.dtype) -> dict[str, np.ndarray]:
    """A batch of padding only; empty slots contain their own node and column."""
    nodes, degree, graphs = budget.nodes, budget.degree, budget.graphs
    table = (rows, nodes, degree)
    node = np.arange(nodes, dtype=np.int32)
    return {
        "positions": np.zeros((rows, nodes, 3), dtype),
        "species": np.zeros((rows, nodes), np.int32),
        "senders": np.broadcast_to(node[:, None], table).copy(),
        "columns": np.broadcast_to(np.arange(degree, dtype=np.int32), table).copy(),
        "shifts": np.zeros((*table, 3), dtype),
        "cell": np.zeros((rows, graphs, 3, 3), dtype),
        "graph_index": np.full((rows, nodes), graphs - 1, np.int32),
        "node_mask": np.zeros((rows, nodes), np.bool_),
        "edge_mask": np.zeros(table, np.bool_),
        "graph_mask": np.zeros((rows, graphs), np.bool_),
        "energy": np.zeros((rows, graphs), dtype),
        "forces": np.zeros((rows, nodes, 3), dtype),
        "stress": np.zeros((rows, graphs, 3, 3), dtype),
        "has_energy": np.zeros((rows, graphs), dtype),
        "has_forces": np.zeros((rows, nodes), dtype),
        "has_stress": np.zeros((rows, graphs), dtype),
    }


def _fill(shard: dict[str, np.ndarray], graphs: Sequence[Graph]) -> None:
    start = 0
    for index, graph in enumerate(graphs):
        stop = start + graph.num_nodes
        slots = graph.slots
        table = (slice(start, stop), slice(0, slots.mask.shape[1]))
        shard["positions"][start:stop] = graph.centred
        shard["species"][start:stop] = graph.species
        np.add(slots.senders, start, out=shard["senders"][table])
        shard["columns"][table] = slots.columns
        shard["edge_mask"][table] = slots.mask
        shard["graph_index"][start:stop] = index
        shard["node_mask"][start:stop] = True
        shard["graph_mask"][index] = True
        if graph.cell.any():
            shard["cell"][index] = graph.cell
            shard["shifts"][table] = slots.shifts
        for name, at in (("energy", index), ("forces", slice(start, stop)), ("stress", index)):
            label = getattr(graph, name)
            if label is not None:
                shard[name][at] = label
                shard[f"has_{name}"][at] = 1
        start = stop


def _as_tree(batch: dict[str, np.ndarray], budget: Budget) -> dict[str, Any]:
    flat = (len(batch["senders"]), budget.edges)
    node = np.arange(budget.nodes, dtype=np.int32)
    names = ("positions", "species", "cell", "graph_index", "node_mask", "graph_mask")
    reverse = batch["senders"] * np.int32(budget.degree) + batch["columns"]
    fields: dict[str, Any] = {
        **{name: batch[name] for name in names},
        "senders": batch["senders"].reshape(flat),
        "receivers": np.broadcast_to(np.repeat(node, budget.degree), flat).copy(),
        "reverse": reverse.reshape(flat),
        "shifts": batch["shifts"].reshape(*flat, 3),
        "edge_mask": batch["edge_mask"].reshape(flat),
    }
    labels = ("energy", "forces", "stress")
    return {
        "graph": GraphBatch(**fields),
        "labels": {name: batch[name] for name in labels},
        "weights": {name: batch[f"has_{name}"] for name in labels},
    }


def batches(
    graphs: Sequence[Graph],
    batch_size: int,
    *,
    shards: int = 1,
    which_shards: Sequence[int] | None = None,
    budget: Budget | None = None,
    dtype: Any = np.float32,
) -> Iterator[dict[str, Any]]:
    """Yields all graphs once, in order, in batches of one shape; the last batch is padded.

    With one shard the graphs of a batch, and their atoms, keep their order.

    Args:
        graphs: The graphs.
        batch_size: Number of graphs in a batch, over all shards.
        shards: Number of shards in all processes.
        which_shards: The shards to build; None for all.
        budget: Size of a shard; None for ``Budget.covering``.
        dtype: Type of the float arrays.

    Raises:
        ValueError: As for ``collate`` and ``Budget.covering``.
    """
    budget = budget or Budget.covering(graphs, batch_size, shards)
    which_shards = range(shards) if which_shards is None else which_shards
    for start in range(0, len(graphs), batch_size):
        chunk = graphs[start : start + batch_size]
        yield collate(chunk, which_shards, shards=shards, budget=budget, dtype=dtype)


class ShapeCounter:
    """Counts the distinct shapes among batches, for each of which ``jax.jit`` compiles a program.

    >>> counter = ShapeCounter()
    >>> [counter.add(np.zeros(size)) for size in (3, 4, 3)], counter.count
    ([True, True, False], 2)
    """

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    @property
    def count(self) -> int:
        """Number of distinct shapes of the batches that were added."""
        return len(self._seen)

    def add(self, batch: PyTree) -> bool:
        """Adds the shape of a batch; returns True if it is new."""
        leaves, structure = jax.tree.flatten(batch)
        key = (structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        new = key not in self._seen
        self._seen.add(key)
        return new
