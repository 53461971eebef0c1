"""Sets of graphs: what the readers read, what they refuse, folds that share nothing."""

import numpy as np
import pytest

from experiments.graphs.data import GRAPH_SETS, random_folds, read_graph_set
from experiments.graphs.dense_graphs import (
    DenseGraph,
    buckets,
    pad_graphs,
    read_csl,
    read_graph6,
    read_labelled_graphs,
    rounded_nodes,
)

TWO_GRAPHS = "2\n3 7\n0 1 1\n4 2 0 2\n0 1 1\n1 5\n4 0\n"
SHAPES = {  # graphs, classes, features, nodes of the largest, folds
    "exp": (1200, 2, 2, 73, 10),
    "graph8c": (11117, 11, 1, 8, 10),
    "sr25": (15, 15, 1, 25, 1),
    "csl": (150, 10, 1, 41, 5),
    "mutag": (188, 2, 7, 28, 10),
    "ptc": (344, 2, 19, 109, 10),
    "enzymes": (600, 6, 3, 126, 10),
    "proteins": (1113, 2, 3, 620, 10),
}


def path(nodes: int, features: int = 1) -> DenseGraph:
    adjacency = np.eye(nodes, k=1, dtype=bool) | np.eye(nodes, k=-1, dtype=bool)
    return DenseGraph(adjacency, np.ones((nodes, features)))


def test_tags_labels_and_edges(tmp_path):
    """Tags and labels are renumbered; a single node is a graph."""
    file = tmp_path / "two.txt"
    file.write_text(TWO_GRAPHS)
    first, second = read_labelled_graphs(file)
    assert first.adjacency.astype(int).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert first.features.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert second.features.tolist() == [[0, 1]]
    assert (first.label, second.label, second.num_nodes) == (1, 0, 1)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("4 2 0 2", "4 2 0", "line 4: expected 2 neighbours, got 1"),
        ("4 2 0 2", "4 2 0 9", "line 4: expected neighbours of node 1 among the other 2"),
        ("4 2 0 2", "4 1 0", "line 5: node 2 names 1, which does not name 2"),
        ("4 2 0 2", "4 2 0 nan", "line 4: expected a tag, a degree and the neighbours"),
        ("3 7", "3", "line 2: expected the number of nodes and the label"),
        ("1 5", "0 5", "line 6: expected a graph of at least one node, got 0"),
        ("4 0\n", "4 0\n7 7\n", "line 8: expected the end of the file"),
        ("2\n3", "3\n3", "line 8: expected the number of nodes and the label"),
    ],
)
def test_damaged_files_name_the_line(old, new, line, tmp_path):
    file = tmp_path / "two.txt"
    file.write_text(TWO_GRAPHS.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"two.txt, {line}"):
        read_labelled_graphs(file)


def test_graph6(tmp_path):
    file = tmp_path / "some.g6"
    file.write_text("Bw\nA?\n@\n")
    triangle, apart, single = read_graph6(file)
    assert triangle.adjacency.sum() == 6
    assert (apart.num_nodes, apart.adjacency.sum(), single.num_nodes) == (2, 0, 1)
    file.write_text("Bw\nnot a graph\n")
    with pytest.raises(ValueError, match=r"some.g6, line 2: expected a graph in graph6"):
        read_graph6(file)


def test_circular_skip_links(tmp_path):
    file = tmp_path / "adjacency.npz"
    ring = np.eye(5) + np.roll(np.eye(5), 1, 1) + np.roll(np.eye(5), -1, 1)
    np.savez(file, adjacency=np.stack([ring] * 20).astype(np.uint8))
    graphs = read_csl(file)
    assert [graph.label for graph in graphs] == [i // 2 for i in range(20)]
    assert graphs[0].adjacency.sum() == 10  # without the self loops of the file
    np.savez(file, other=ring)
    with pytest.raises(ValueError, match="expected the array 'adjacency'"):
        read_csl(file)


@pytest.mark.parametrize(
    ("adjacency", "features", "message"),
    [
        (np.ones((2, 2), bool), np.ones((2, 1)), "symmetric adjacency without self loops"),
        (np.eye(2, k=1, dtype=bool), np.ones((2, 1)), "symmetric adjacency"),
        (np.zeros((2, 2)), np.ones((2, 1)), "type bool"),
        (np.zeros((2, 2), bool), np.ones((3, 1)), "at least one node"),
        (np.zeros((0, 0), bool), np.ones((0, 1)), "at least one node"),
        (np.zeros((2, 2), bool), np.full((2, 1), np.nan), "NaN"),
    ],
)
def test_what_is_no_graph(adjacency, features, message):
    with pytest.raises(ValueError, match=message):
        DenseGraph(adjacency, features)


def test_padding_and_buckets():
    graphs = [path(5), path(1), path(4), path(2), path(3)]
    batch = pad_graphs(graphs, 6)
    assert batch.mask.sum(-1).tolist() == [5, 1, 4, 2, 3]
    assert (batch.adjacency[~batch.mask] == 0).all()
    assert (batch.features.sum((-1, -2)) == batch.mask.sum(-1)).all()
    np.testing.assert_array_equal(batch.adjacency[0, :5, :5], graphs[0].adjacency)
    with pytest.raises(ValueError, match="up to 5 nodes to pad to 4"):
        pad_graphs(graphs, 4)
    assert [index.tolist() for index in buckets(graphs, 2)] == [[1, 3], [4, 2], [0]]
    sizes = [rounded_nodes(n) for n in range(1, 700)]
    assert all(size >= n for n, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 35


def test_folds_cover_everything_once_and_keep_the_classes():
    labels = [0] * 30 + [1] * 20
    folds = random_folds(labels)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(50))
    for fold in folds:
        parts = [fold.train, fold.validation, fold.test]
        assert len(np.unique(np.concatenate(parts))) == 50 == sum(map(len, parts))
        assert sum(labels[i] for i in fold.test) == 2
    with pytest.raises(ValueError, match="at least 3 folds"):
        random_folds([0, 1])


def test_sets_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="got the graph set 'zinc', expected one of exp"):
        read_graph_set("zinc", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"GRAPHSAT.txt: no such file.*GNN-RNI"):
        read_graph_set("exp", tmp_path)


@pytest.mark.parametrize("name", GRAPH_SETS)
def test_the_public_sets(name, data_dir):
    graphs = read_graph_set(name, data_dir)
    shape = (len(graphs.graphs), graphs.num_classes, graphs.num_features, graphs.max_nodes)
    assert (*shape, len(graphs.folds)) == SHAPES[name]
    labels = {graph.label for graph in graphs.graphs}
    assert labels == set(range(graphs.num_classes))
    for fold in graphs.folds if name != "sr25" else ():
        assert not np.intersect1d(fold.train, fold.test).size
        assert not np.intersect1d(fold.validation, np.union1d(fold.train, fold.test)).size
    if name == "exp":  # the members of a pair are in one part, and of two classes
        for fold in graphs.folds:
            assert set(fold.test // 2 * 2) | set(fold.test // 2 * 2 + 1) == set(fold.test)
        pairs = zip(graphs.graphs[::2], graphs.graphs[1::2], strict=True)
        assert all(a.label != b.label for a, b in pairs)
