"""Abstract graphs: one dense form, padding, and readers of the formats of the field."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from equinet.data.extras import require


@dataclasses.dataclass(frozen=True, eq=False)
class DenseGraph:
    """An undirected graph without geometry.

    Attributes:
        adjacency: True where two nodes are joined, ``[n, n]``; symmetric, no node with itself.
        features: What is known of every node, ``[n, f]``; f may be zero.
        label: Class of the graph, from zero.
        source: Where it comes from, for messages.

    Raises:
        ValueError: If there is no node, the shapes differ or the adjacency is no simple graph.
    """

    adjacency: Bool[np.ndarray, "n n"]
    features: Float[np.ndarray, "n f"]
    label: int = 0
    source: str = "graph"

    def __post_init__(self) -> None:
        n = len(self.adjacency)
        if n == 0 or self.adjacency.shape != (n, n) or self.features.shape[:-1] != (n,):
            raise ValueError(
                f"{self.source}: expected an adjacency [n, n] and features [n, f] of at least one "
                f"node, got {self.adjacency.shape} and {self.features.shape}"
            )
        if self.adjacency.dtype != bool:
            raise ValueError(
                f"{self.source}: expected an adjacency of type bool, got {self.adjacency.dtype}: "
                "compare weights with a threshold first"
            )
        if (self.adjacency != self.adjacency.T).any() or self.adjacency.diagonal().any():
            raise ValueError(
                f"{self.source}: expected a symmetric adjacency without self loops; take "
                "(a | a.T) & ~eye(n)"
            )
        if not np.isfinite(self.features).all():
            raise ValueError(f"{self.source}: features hold NaN or infinity; expected numbers")

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return len(self.adjacency)


@dataclasses.dataclass(frozen=True, eq=False)
class DenseBatch:
    """Graphs of several sizes padded to one.

    Attributes:
        adjacency: ``[graphs, n, n]``, zero for padding.
        features: ``[graphs, n, f]``, zero for padding.
        mask: False for padding nodes, ``[graphs, n]``.
        labels: ``[graphs]``.
    """

    adjacency: Float[np.ndarray, "graphs n n"]
    features: Float[np.ndarray, "graphs n f"]
    mask: Bool[np.ndarray, "graphs n"]
    labels: Int[np.ndarray, "graphs"]


def read_labelled_graphs(path: str | os.PathLike[str]) -> tuple[DenseGraph, ...]:
    """Reads the text format of DGCNN: EXP and the TU sets.

    The number of graphs; then for each a line ``nodes label`` and for each node a line ``tag
    degree neighbour ...``. Tags become one-hot features, over all tags of the file; labels are
    renumbered from zero in their order.

    Raises:
        ValueError: If the file is damaged; the message names file and line.
    """
    lines = _Lines(Path(path))
    (count,) = lines.numbers(1, "the number of graphs")
    found = [_read_graph(lines) for _ in range(count)]
    lines.end()
    tags = sorted({tag for graph in found for tag in graph[1]})
    labels = sorted({graph[2] for graph in found})
    return tuple(
        DenseGraph(
            adjacency,
            (np.array(own)[:, None] == np.array(tags)).astype(np.float64),
            labels.index(label),
            f"{path}, graph {number}",
        )
        for number, (adjacency, own, label) in enumerate(found)
    )


def read_graph6(path: str | os.PathLike[str]) -> tuple[DenseGraph, ...]:
    """Reads graphs in graph6, one a line; the only feature of a node is one.

    Raises:
        ImportError: If networkx is not installed.
        ValueError: If a line is no graph; the message names file and line.
    """
    networkx = require("networkx", "graphs")
    graphs = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            graph = networkx.from_graph6_bytes(line.strip())
        except (networkx.NetworkXError, ValueError, IndexError) as error:
            raise ValueError(f"{where}: expected a graph in graph6, got {line!r}") from error
        adjacency = networkx.to_numpy_array(graph, dtype=bool)
        graphs.append(DenseGraph(adjacency, np.ones((len(adjacency), 1)), 0, where))
    return tuple(graphs)


def read_csl(path: str | os.PathLike[str]) -> tuple[DenseGraph, ...]:
    """Reads circular skip links: ``adjacency [150, n, n]``, ten classes in the order of the file.

    The file joins every node with itself; that is left out. The only feature of a node is one.

    Raises:
        ValueError: If the array is missing or is not of ten equal classes.
    """
    with np.load(path) as file:
        if "adjacency" not in file:
            raise ValueError(f"{path}: expected the array 'adjacency', got {sorted(file)}")
        stack = file["adjacency"].astype(bool)
    if stack.ndim != 3 or len(stack) % 10:
        raise ValueError(f"{path}: expected ten classes of equal size, got {stack.shape}")
    return tuple(
        DenseGraph(
            a & ~np.eye(len(a), dtype=bool),
            np.ones((len(a), 1)),
            i * 10 // len(stack),
            f"{path}, graph {i}",
        )
        for i, a in enumerate(stack)
    )


def pad_graphs(graphs: Sequence[DenseGraph], nodes: int | None = None) -> DenseBatch:
    """Pads graphs to one number of nodes, by default that of the largest.

    Raises:
        ValueError: If there are no graphs, or one does not fit.

    >>> path = DenseGraph(np.eye(3, k=1, dtype=bool) | np.eye(3, k=-1, dtype=bool), np.ones((3, 2)))
    >>> point = DenseGraph(np.zeros((1, 1), bool), np.ones((1, 2)))
    >>> batch = pad_graphs([path, point])
    >>> batch.adjacency.shape, batch.mask.sum(-1).tolist()
    ((2, 3, 3), [3, 1])
    """
    largest = max((graph.num_nodes for graph in graphs), default=0)
    size = largest if nodes is None else nodes
    if largest > size or not graphs:
        raise ValueError(f"got {len(graphs)} graphs of up to {largest} nodes to pad to {size}")
    adjacency = np.zeros((len(graphs), size, size))
    features = np.zeros((len(graphs), size, graphs[0].features.shape[1]))
    for row, graph in enumerate(graphs):
        n = graph.num_nodes
        adjacency[row, :n, :n], features[row, :n] = graph.adjacency, graph.features
    sizes = np.array([graph.num_nodes for graph in graphs])
    mask = np.arange(size) < sizes[:, None]
    return DenseBatch(adjacency, features, mask, np.array([graph.label for graph in graphs]))


def rounded_nodes(nodes: int) -> int:
    """The size to which up to this many nodes are padded: four sizes for every factor of two.

    >>> [rounded_nodes(n) for n in (1, 8, 9, 17, 28, 620)]
    [4, 8, 10, 20, 28, 640]
    """
    step = 2 ** max((nodes - 1).bit_length() - 3, 0) if nodes > 4 else 4
    return -(-nodes // step) * step


def buckets(graphs: Sequence[DenseGraph], batch_size: int) -> Iterator[Int[np.ndarray, "batch"]]:
    """Numbers of graphs of about one size, a batch at a time, all graphs once.

    >>> sizes = (30, 3, 29, 4)
    >>> graphs = [DenseGraph(np.zeros((n, n), bool), np.zeros((n, 0))) for n in sizes]
    >>> [batch.tolist() for batch in buckets(graphs, 2)]
    [[1, 3], [2, 0]]
    """
    order = np.argsort([graph.num_nodes for graph in graphs], kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _read_graph(lines: "_Lines") -> tuple[Bool[np.ndarray, "n n"], list[int], int]:
    nodes, label = lines.numbers(2, "the number of nodes and the label of a graph")
    if nodes < 1:
        raise lines.error(f"expected a graph of at least one node, got {nodes}")
    adjacency, tags = np.zeros((nodes, nodes), bool), []
    first = lines.number
    for node in range(nodes):
        tag, degree, *neighbours = lines.numbers(None, "a tag, a degree and the neighbours")
        if len(neighbours) != degree:
            raise lines.error(f"expected {degree} neighbours, got {len(neighbours)}")
        if any(not 0 <= other < nodes or other == node for other in neighbours):
            raise lines.error(f"expected neighbours of node {node} among the other {nodes - 1}")
        adjacency[node, neighbours] = True
        tags.append(tag)
    for a, b in np.argwhere(adjacency & ~adjacency.T):
        lines.number = first + int(a) + 1
        raise lines.error(f"node {a} names {b}, which does not name {a}: expected both")
    return adjacency, tags, label


class _Lines:
    """The lines of a file, and where one is."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self.number = path, path.read_text().split("\n"), 0

    def numbers(self, count: int | None, what: str) -> list[int]:
        """The next line as integers: ``count`` of them, or two and more."""
        words = self.lines[self.number].split() if self.number < len(self.lines) else []
        self.number += 1
        try:
            found = [int(word) for word in words]
        except ValueError:
            raise self.error(f"expected {what}, got {' '.join(words)!r}") from None
        if len(found) != count if count else len(found) < 2:
            raise self.error(f"expected {what}, got {' '.join(words)!r}")
        return found

    def end(self) -> None:
        """Raises unless nothing but blanks is left."""
        if any(line.strip() for line in self.lines[self.number :]):
            self.number += 1
            raise self.error("expected the end of the file after the last graph")

    def error(self, text: str) -> ValueError:
        """The error of the line read last."""
        return ValueError(f"{self.path}, line {self.number}: {text}")
