"""Sets of abstract graphs that the field compares networks on, with their customary folds."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from equinet.data import data_directory, missing_file
from experiments.graphs.dense_graphs import DenseGraph, read_csl, read_graph6, read_labelled_graphs

FOLDS = 10
MOST_TRIANGLES = 10
"""From so many on, the graphs of ``graph8c`` are one class."""


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """Which graphs of a set are trained on, selected on and reported on."""

    train: Int[np.ndarray, "train"]
    validation: Int[np.ndarray, "validation"]
    test: Int[np.ndarray, "test"]


@dataclasses.dataclass(frozen=True, eq=False)
class GraphSet:
    """A set of graphs with its folds.

    Attributes:
        name: A key of ``GRAPH_SETS``.
        graphs: All graphs.
        folds: The customary ones where there are any.
    """

    name: str
    graphs: tuple[DenseGraph, ...]
    folds: tuple[Fold, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return 1 + max(graph.label for graph in self.graphs)

    @property
    def num_features(self) -> int:
        """Features of a node."""
        return self.graphs[0].features.shape[1]

    @property
    def max_nodes(self) -> int:
        """Nodes of the largest graph."""
        return max(graph.num_nodes for graph in self.graphs)

    @property
    def average_degree(self) -> float:
        """Mean number of neighbours of a node, at least one."""
        edges = sum(int(graph.adjacency.sum()) for graph in self.graphs)
        return max(edges / sum(graph.num_nodes for graph in self.graphs), 1.0)

    @property
    def average_nodes(self) -> float:
        """Mean number of nodes of a graph."""
        return sum(graph.num_nodes for graph in self.graphs) / len(self.graphs)


_TU = "https://github.com/muhanzhang/pytorch_DGCNN, folder data/"
GRAPH_SETS: Mapping[str, tuple[str, str]] = {
    "exp": ("exp/GRAPHSAT.txt", "https://github.com/ralphabb/GNN-RNI, folder Data/EXP"),
    "graph8c": ("graph8c/graph8c.g6", "https://github.com/balcilar/gnn-matlang, folder dataset"),
    "sr25": ("sr25/sr251256.g6", "https://github.com/balcilar/gnn-matlang, folder dataset"),
    "csl": ("csl/adjacency.npz", "https://github.com/PurdueMINDS/RelationalPooling, as npz"),
    "mutag": ("tu/MUTAG/MUTAG.txt", f"{_TU}MUTAG"),
    "ptc": ("tu/PTC/PTC.txt", f"{_TU}PTC"),
    "enzymes": ("tu/ENZYMES/ENZYMES.txt", f"{_TU}ENZYMES"),
    "proteins": ("tu/PROTEINS/PROTEINS.txt", f"{_TU}PROTEINS"),
}
"""File below ``graphs/`` of the data directory, and the public source of every set."""


def read_graph_set(name: str, directory: str | os.PathLike[str] | None = None) -> GraphSet:
    """Reads a known set with its folds.

    ``exp``: 600 pairs that colour refinement cannot tell apart, the labels those of a satisfiable
    and an unsatisfiable formula; both members of a pair share a fold. ``graph8c``: the 11,117
    connected graphs of eight nodes, labelled by their number of triangles, 10 and more alike.
    ``sr25``: 15 strongly regular graphs, each a class of its own, trained and tested on all.
    ``csl``: circular skip links, ten classes, five folds; selected on the graphs that are neither
    trained nor tested on. The others: 10 folds of the DGCNN files; a tenth of what they train on is
    held out to select on.

    Args:
        name: A key of ``GRAPH_SETS``.
        directory: See ``equinet.data.data_directory``.

    Raises:
        ValueError: If the set is unknown or a file is damaged; the message names file and line.
        FileNotFoundError: If a file is missing; the message says where to get it.
    """
    if name not in GRAPH_SETS:
        raise ValueError(f"got the graph set {name!r}, expected one of {', '.join(GRAPH_SETS)}")
    root = data_directory(directory) / "graphs"
    file, source = GRAPH_SETS[name]
    path = root / file
    if not path.is_file():
        raise missing_file(path, source)
    if name == "csl":
        graphs = read_csl(path)
        return GraphSet(name, graphs, _csl_folds(path.parent, len(graphs)))
    if name == "sr25":
        graphs = read_graph6(path)
        graphs = tuple(dataclasses.replace(graph, label=i) for i, graph in enumerate(graphs))
        every = np.arange(len(graphs))
        return GraphSet(name, graphs, (Fold(every, every, every),))
    if name == "graph8c":
        graphs = tuple(_labelled_by_triangles(graph) for graph in read_graph6(path))
        return GraphSet(name, graphs, random_folds([graph.label for graph in graphs]))
    graphs = read_labelled_graphs(path)
    if name == "exp":
        return GraphSet(name, graphs, _pair_folds(len(graphs)))
    return GraphSet(name, graphs, _dgcnn_folds(path.parent / "10fold_idx", graphs))


def random_folds(labels: Sequence[int], folds: int = FOLDS, seed: int = 0) -> tuple[Fold, ...]:
    """Folds in which every class has its share; the next fold is the one to select on.

    Raises:
        ValueError: If there are fewer than three folds, or fewer samples than folds.
    """
    if folds < 3 or len(labels) < folds:
        raise ValueError(f"expected at least 3 folds and as many graphs, got {folds} folds")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(np.array(labels)[shuffled], kind="stable")]
    part = np.empty(len(labels), np.int64)
    part[by_class] = np.arange(len(labels)) % folds
    return _folds(part, folds)


def _pair_folds(count: int) -> tuple[Fold, ...]:
    """Folds of graphs 2 i and 2 i + 1 together."""
    part = np.random.default_rng(0).permutation(count // 2) % FOLDS
    return _folds(np.repeat(part, 2), FOLDS)


def _folds(part: Int[np.ndarray, "graphs"], folds: int) -> tuple[Fold, ...]:
    def where(chosen: np.ndarray) -> np.ndarray:
        return np.flatnonzero(chosen)

    pairs = [(k, (k + 1) % folds) for k in range(folds)]
    return tuple(
        Fold(where((part != k) & (part != v)), where(part == v), where(part == k)) for k, v in pairs
    )


def _dgcnn_folds(folder: Path, graphs: Sequence[DenseGraph]) -> tuple[Fold, ...]:
    found = []
    for k in range(1, FOLDS + 1):
        files = [folder / f"{part}_idx-{k}.txt" for part in ("train", "test")]
        train, test = (_read_indices(file, len(graphs)) for file in files)
        if np.intersect1d(train, test).size:
            raise ValueError(f"{files[1]}: shares graphs with {files[0].name}; expected none")
        labels = [graphs[i].label for i in train]
        held = random_folds(labels, FOLDS, k)[0].test
        found.append(Fold(np.delete(train, held), train[held], test))
    return tuple(found)


def _csl_folds(folder: Path, count: int) -> tuple[Fold, ...]:
    """The fifths of the files; the public file to select on repeats the one to test on."""
    train, test = (_read_rows(folder / f"CSL_{part}.txt", count) for part in ("train", "test"))
    every = np.arange(count)
    return tuple(
        Fold(a, np.setdiff1d(every, np.union1d(a, b)), b) for a, b in zip(train, test, strict=True)
    )


def _read_rows(path: Path, count: int) -> list[Int[np.ndarray, "graphs"]]:
    if not path.is_file():
        raise missing_file(path, GRAPH_SETS["csl"][1])
    lines = [line for line in path.read_text().split("\n") if line.strip()]
    return [
        _indices(line.split(","), count, f"{path}, line {n}") for n, line in enumerate(lines, 1)
    ]


def _read_indices(path: Path, count: int) -> Int[np.ndarray, "graphs"]:
    if not path.is_file():
        raise missing_file(path, _TU)
    return _indices(path.read_text().split(), count, str(path))


def _indices(words: Iterable[str], count: int, where: str) -> Int[np.ndarray, "graphs"]:
    try:
        found = np.array([int(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{where}: expected numbers of graphs ({error})") from None
    if len(found) == 0 or found.min() < 0 or found.max() >= count:
        raise ValueError(f"{where}: expected numbers of graphs from 0 to {count - 1}")
    return np.unique(found)


def _labelled_by_triangles(graph: DenseGraph) -> DenseGraph:
    steps = graph.adjacency.astype(np.int64)
    triangles = int(np.trace(steps @ steps @ steps)) // 6
    return dataclasses.replace(graph, label=min(triangles, MOST_TRIANGLES))
