"""Batches made from ordinary edge lists, against sums over the list."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.data.atoms import Budget, Configuration, collate, neighbour_list, to_graph
from equinet.ops.graphs import (
    GraphBatch,
    edge_vectors,
    edges_to_slots,
    gather_senders,
    sum_graphs,
    sum_receivers,
    sum_senders,
)

# Unsorted, of uneven degrees, with edges that have no opposite edge and one that stands twice.
RECEIVERS = np.array([0, 0, 0, 1, 2, 2, 3, 1, 3, 3])
SENDERS = np.array([1, 2, 3, 0, 0, 3, 2, 2, 3, 2])


def batch(**options) -> GraphBatch:
    return GraphBatch.from_edges(SENDERS, RECEIVERS, **{"num_nodes": 5, **options})


def expected_sums(values: np.ndarray, nodes: np.ndarray, n: int) -> np.ndarray:
    total = np.zeros((n, *values.shape[1:]))
    np.add.at(total, nodes, values)
    return total


@pytest.mark.parametrize("padding", [{}, {"pad_nodes": 8, "pad_degree": 6, "pad_graphs": 3}])
def test_sums_equal_those_over_the_edge_list(padding: dict, x64: None) -> None:
    graph = batch(**padding)
    values = np.random.default_rng(0).normal(size=(10, 2))
    slots = edges_to_slots(jnp.asarray(values), RECEIVERS, graph)
    for reduce, ends in ((sum_receivers, RECEIVERS), (sum_senders, SENDERS)):
        found = jax.jit(reduce)(slots, graph)
        np.testing.assert_allclose(found, expected_sums(values, ends, graph.num_nodes), atol=1e-14)
    np.testing.assert_array_equal(graph.node_mask, np.arange(graph.num_nodes) < 5)
    assert int(graph.edge_mask.sum()) == 10
    assert sum_graphs(jnp.ones(graph.num_nodes), graph).tolist()[0] == 5


def test_gathered_features_are_those_of_the_senders(x64: None) -> None:
    graph, x = batch(), np.random.default_rng(0).normal(size=(5, 3))
    found = sum_receivers(gather_senders(jnp.asarray(x), graph), graph)
    np.testing.assert_allclose(found, expected_sums(x[SENDERS], RECEIVERS, 5), atol=1e-14)


def test_opposite_edges_name_each_other() -> None:
    graph = batch()
    reverse = np.asarray(graph.reverse)
    np.testing.assert_array_equal(reverse[reverse], np.arange(len(reverse)))
    for edge in np.flatnonzero(graph.edge_mask):
        other = reverse[edge]
        assert graph.receivers[other] == graph.senders[edge]
        if graph.edge_mask[other]:
            assert graph.senders[other] == graph.receivers[edge]


def test_a_crystal_equals_the_batch_of_its_neighbour_list(x64: None) -> None:
    rng = np.random.default_rng(0)
    cell, points = np.diag([2.0, 2.5, 3.0]) + 0.2 * rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    edges = neighbour_list(points, 3.0, cell, (True, True, True))
    shuffled = rng.permutation(edges.num_edges)
    graph = GraphBatch.from_edges(
        edges.senders[shuffled],
        edges.receivers[shuffled],
        positions=points,
        shifts=edges.shifts[shuffled],
        cell=cell,
    )
    configuration = Configuration(np.full(3, 6), points, cell, (True, True, True))
    reference = collate(
        [to_graph(configuration, cutoff=3.0, elements=("C",))],
        [0],
        shards=1,
        dtype=np.float64,
        budget=Budget(nodes=3, degree=graph.degree, graphs=1),
    )["graph"]
    reference = jax.tree.map(lambda leaf: leaf[0], reference)

    def moments(graph: GraphBatch) -> jax.Array:
        vectors = edge_vectors(graph, far=9.0)
        sums = [reduce(vectors**3, graph) for reduce in (sum_receivers, sum_senders)]
        return jnp.stack(sums)

    np.testing.assert_allclose(moments(graph), moments(reference), atol=1e-12)
    np.testing.assert_allclose(-moments(graph)[0], moments(graph)[1], atol=1e-12)


def test_several_graphs() -> None:
    graph = GraphBatch.from_edges([0, 1, 3], [1, 0, 2], graph_index=[0, 0, 1, 1], pad_nodes=6)
    assert graph.num_graphs == 2
    counts = sum_graphs(sum_receivers(jnp.ones(graph.senders.shape), graph), graph)
    assert counts.tolist() == [2.0, 1.0]


def test_no_edges() -> None:
    graph = GraphBatch.from_edges([], [], num_nodes=2)
    assert sum_receivers(jnp.ones(graph.senders.shape), graph).tolist() == [0.0, 0.0]


def test_an_edge_list_in_place_of_slots_is_refused() -> None:
    """It has as many edges as two slots for each node, and gave wrong sums without an error."""
    receivers, senders = RECEIVERS[:8], SENDERS[:8]
    fields = {
        "positions": jnp.zeros((4, 3)),
        "species": jnp.zeros(4, jnp.int32),
        "senders": jnp.asarray(senders),
        "receivers": jnp.asarray(receivers),
        "reverse": jnp.arange(8),
        "shifts": jnp.zeros((8, 3)),
        "cell": jnp.zeros((1, 3, 3)),
        "graph_index": jnp.zeros(4, jnp.int32),
        "node_mask": jnp.ones(4, bool),
        "edge_mask": jnp.ones(8, bool),
        "graph_mask": jnp.ones(1, bool),
    }
    with pytest.raises(ValueError, match=r"use GraphBatch\.from_edges"):
        GraphBatch(**fields)
    graph = GraphBatch(**{**fields, "receivers": jnp.arange(8) // 2})
    with pytest.raises(ValueError, match="not those of the slots"):
        dataclasses.replace(graph, receivers=graph.receivers[::-1])
    with pytest.raises(ValueError, match="not those of the slots"):
        dataclasses.replace(graph, receivers=graph.receivers[:7])


def test_batches_pass_through_transformations() -> None:
    graph = batch()
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), graph)
    assert jax.jit(lambda graph: graph)(stacked).num_nodes == 5
    assert jax.vmap(lambda graph: sum_receivers(graph.shifts, graph))(stacked).shape == (2, 5, 3)
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(graph)}
    assert ".positions" in names
    assert jax.tree.structure(graph) == jax.tree.structure(stacked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": None}, "pass num_nodes"),
        ({"num_nodes": 3}, "from 0 to 3 for 3 nodes, expected 0 to 2"),
        ({"positions": np.zeros((4, 3))}, "expected one number"),
        ({"shifts": np.full((10, 3), 0.5)}, "whole numbers"),
        ({"shifts": np.zeros((9, 3))}, r"shifts of shape \(9, 3\), expected \(10, 3\)"),
        ({"graph_index": [1, 0, 0, 0, 0]}, "not sorted"),
        ({"cell": np.zeros((2, 3, 3))}, "got cell of shape"),
        ({"pad_nodes": 4}, "raise pad_nodes"),
        ({"pad_degree": 1}, "raise the padding"),
    ],
)
def test_bad_lists_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch(**options)
