"""The arrays of a batch of graphs in slots, made on the host from an ordinary edge list."""

from typing import Any

import numpy as np
from jaxtyping import Int


def slots_of_edges(
    receivers: Int[np.ndarray, "list"], nodes: int, degree: int
) -> Int[np.ndarray, "list"]:
    """The slot of every edge; the edges to one receiver have adjacent slots in the list's order.

    Raises:
        ValueError: If a node has more edges than slots.
    """
    counts = np.bincount(receivers, minlength=nodes)
    if len(counts) > nodes or counts.max(initial=0) > degree:
        raise ValueError(
            f"got edges to {len(counts)} nodes, up to {counts.max(initial=0)} to one of them, "
            f"expected at most {nodes} nodes and {degree} edges to each: raise the padding"
        )
    order = np.argsort(receivers, kind="stable")
    column = np.empty(len(receivers), np.int64)
    first = np.cumsum(counts) - counts
    column[order] = np.arange(len(receivers)) - first[receivers[order]]
    return receivers * degree + column


def arrange_edges(
    senders: Any,
    receivers: Any,
    *,
    num_nodes: int | None,
    positions: Any,
    shifts: Any,
    cell: Any,
    species: Any,
    graph_index: Any,
    padding: tuple[int | None, int | None, int | None],
) -> dict[str, np.ndarray]:
    """The fields of ``GraphBatch`` by their names; see ``GraphBatch.from_edges``."""
    n = _number_of_nodes(num_nodes, positions=positions, species=species, graph_index=graph_index)
    senders, receivers = _ends(senders, n, "senders"), _ends(receivers, n, "receivers")
    if senders.shape != receivers.shape:
        raise ValueError(f"got {len(senders)} senders and {len(receivers)} receivers")
    positions = _given(positions, (n, 3), np.float32, "positions")
    shifts = _given(shifts, (len(senders), 3), np.int64, "shifts")
    if (np.rint(shifts) != shifts).any():
        raise ValueError("got shifts that are no whole numbers of cell vectors, expected integers")
    graph_index = _given(graph_index, (n,), np.int32, "graph_index")
    if n and (graph_index[0] < 0 or (np.diff(graph_index) < 0).any()):
        raise ValueError(
            "got a graph_index that is not sorted from 0: put the nodes graph by graph"
        )
    graphs = int(graph_index.max(initial=0)) + 1
    cell = np.zeros((graphs, 3, 3), positions.dtype) if cell is None else np.asarray(cell)
    cell = _given(cell[None] if cell.ndim == 2 else cell, (graphs, 3, 3), positions.dtype, "cell")
    opposite = _opposite_edges(senders, receivers, np.rint(shifts).astype(np.int64))
    # An edge without an opposite one takes an empty slot at its sender as its opposite.
    single = np.flatnonzero(opposite < 0)
    ends = np.concatenate([receivers, senders[single]])
    opposite[single] = len(senders) + np.arange(len(single))
    opposite = np.concatenate([opposite, single])
    nodes, degree, graph_slots = _padded_sizes(n, ends, graphs, padding)
    slots = slots_of_edges(ends, nodes, degree)
    real, owner = slots[: len(senders)], np.repeat(np.arange(nodes, dtype=np.int32), degree)
    batch = {
        "senders": owner.copy(),
        "receivers": owner,
        "reverse": np.arange(nodes * degree, dtype=np.int32),
        "shifts": np.zeros((nodes * degree, 3), positions.dtype),
        "edge_mask": np.zeros(nodes * degree, bool),
        "positions": _padded(positions, nodes),
        "species": _padded(_given(species, (n,), np.int32, "species"), nodes),
        "graph_index": _padded(graph_index, nodes, graph_slots - 1),
        "node_mask": np.arange(nodes) < n,
        "cell": _padded(cell, graph_slots),
        "graph_mask": np.arange(graph_slots) < graphs,
    }
    batch["senders"][real], batch["shifts"][real], batch["edge_mask"][real] = senders, shifts, True
    batch["reverse"][slots] = slots[opposite]
    return batch


def _padded_sizes(
    n: int, ends: Int[np.ndarray, "list"], graphs: int, padding: tuple[int | None, ...]
) -> tuple[int, int, int]:
    """The numbers of nodes, edges to each node and graphs with padding; None is the least."""
    least = (max(n, 1), max(int(np.bincount(ends).max(initial=0)), 1), graphs)
    nodes, degree, graph_slots = (
        needed if given is None else given for needed, given in zip(least, padding, strict=True)
    )
    if nodes < n or graph_slots < graphs:
        raise ValueError(
            f"got padding to {nodes} nodes and {graph_slots} graphs for {n} nodes and {graphs} "
            "graphs, expected no less: raise pad_nodes or pad_graphs"
        )
    return nodes, degree, graph_slots


def _number_of_nodes(num_nodes: int | None, **arrays: Any) -> int:
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if num_nodes is not None:
        lengths["num_nodes"] = num_nodes
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"got {lengths or 'no number of nodes'}, expected one number: pass num_nodes=..., for "
            "nodes without edges are not in an edge list"
        )
    return next(iter(lengths.values()))


def _ends(nodes: Any, n: int, name: str) -> np.ndarray:
    nodes = np.asarray(nodes)
    if nodes.size == 0:
        return np.zeros(0, np.int64)
    if nodes.ndim != 1 or not np.issubdtype(nodes.dtype, np.integer):
        raise ValueError(f"got {name} {nodes.dtype}{list(nodes.shape)}, expected integers [edges]")
    if nodes.min() < 0 or nodes.max() >= n:
        raise ValueError(
            f"got {name} from {nodes.min()} to {nodes.max()} for {n} nodes, expected 0 to {n - 1}"
        )
    return nodes.astype(np.int64)


def _given(array: Any, shape: tuple[int, ...], dtype: Any, name: str) -> np.ndarray:
    """The array in the kind of type of ``dtype``, floating or integer; zeros for None."""
    if array is None:
        return np.zeros(shape, dtype)
    array = np.asarray(array)
    if array.shape != shape:
        raise ValueError(f"got {name} of shape {array.shape}, expected {shape}")
    same_kind = np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)
    return array if same_kind or name == "shifts" else array.astype(dtype)


def _padded(array: np.ndarray, length: int, value: int = 0) -> np.ndarray:
    edges = [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, edges, constant_values=value)


def _opposite_edges(
    senders: np.ndarray, receivers: np.ndarray, shifts: np.ndarray
) -> Int[np.ndarray, "list"]:
    """For every edge the number of its opposite edge, -1 where the list has none.

    Equal edges are matched in their order in the list, so that no two edges have the same opposite
    edge.
    """
    count = len(senders)
    forward = np.column_stack([senders, receivers, shifts])
    backward = np.column_stack([receivers, senders, -shifts])
    both = np.unique(np.concatenate([forward, backward]), axis=0, return_inverse=True)[1].ravel()
    mine, wanted = (_numbered(keys) for keys in (both[:count], both[count:]))
    opposite = np.full(count, -1)
    _, edge, partner = np.intersect1d(wanted, mine, assume_unique=True, return_indices=True)
    opposite[edge] = partner
    return opposite


def _numbered(keys: np.ndarray) -> np.ndarray:
    """Distinct numbers for equal keys: the first of each, the second of each, and so on."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.searchsorted(ordered, ordered)
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys)) - first
    return keys * max(len(keys), 1) + rank
