"""Reductions in slots against loops over edges."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.data.atoms import Budget
from equinet.ops.graphs import (
    GraphBatch,
    by_receiver,
    edge_vectors,
    gather_senders,
    max_receivers,
    mean_receivers,
    softmax_receivers,
    sum_graphs,
    sum_receivers,
    sum_senders,
)

REDUCTIONS = (sum_receivers, sum_senders, mean_receivers, max_receivers, softmax_receivers)


@pytest.fixture
def graph(make_graph: Callable, x64: None) -> GraphBatch:
    graph = make_graph()
    assert 0 < graph.edge_mask.sum() < len(graph.edge_mask)
    assert 0 < graph.node_mask.sum() < len(graph.node_mask)
    return graph


def on_edges(graph: GraphBatch, *rest: int) -> np.ndarray:
    """Random numbers, large ones on empty slots, where they must not count."""
    values = np.random.default_rng(1).normal(size=(len(graph.senders), *rest))
    values[~np.asarray(graph.edge_mask)] = 1e6
    return values


def edges_of(graph: GraphBatch, node: int, end: str = "receivers") -> np.ndarray:
    """The real edges at a node."""
    return np.flatnonzero((getattr(graph, end) == node) & graph.edge_mask)


def test_sizes(graph: GraphBatch) -> None:
    assert graph.num_graphs == 4
    assert graph.num_nodes == 16
    assert graph.degree * graph.num_nodes == len(graph.senders)


@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_reductions_equal_loops(graph: GraphBatch, rest: tuple[int, ...]) -> None:
    x = on_edges(graph, *rest)
    sums, leaving, means, largest, softmax = (
        np.asarray(reduce(jnp.asarray(x), graph)) for reduce in REDUCTIONS
    )
    graph = jax.tree.map(np.asarray, graph)
    assert softmax.shape == x.shape
    assert not softmax[~graph.edge_mask].any()
    for node in range(graph.num_nodes):
        edges = edges_of(graph, node)
        mine = x[edges]
        np.testing.assert_allclose(sums[node], mine.sum(0), atol=1e-12)
        np.testing.assert_allclose(means[node], mine.sum(0) / max(len(edges), 1), atol=1e-12)
        np.testing.assert_allclose(largest[node], mine.max(0) if len(edges) else 0)
        out = x[edges_of(graph, node, "senders")]
        np.testing.assert_allclose(leaving[node], out.sum(0), atol=1e-12)
        if len(edges):
            weights = np.exp(mine) / np.exp(mine).sum(0)
            np.testing.assert_allclose(softmax[edges], weights, rtol=1e-12)


def test_gather_and_layout(graph: GraphBatch) -> None:
    x = np.random.default_rng(1).normal(size=(graph.num_nodes, 3))
    np.testing.assert_array_equal(gather_senders(jnp.asarray(x), graph), x[graph.senders])
    rows = by_receiver(graph.receivers, graph)
    np.testing.assert_array_equal(rows, np.arange(graph.num_nodes)[:, None] + np.zeros_like(rows))


def test_sum_graphs(graph: GraphBatch) -> None:
    x = np.random.default_rng(1).normal(size=(graph.num_nodes, 2))
    found = sum_graphs(jnp.asarray(x), graph)
    for index in range(graph.num_graphs):
        mine = (graph.graph_index == index) & graph.node_mask
        np.testing.assert_allclose(found[index], x[mine].sum(0), atol=1e-14)
    np.testing.assert_allclose(sum_graphs(jnp.asarray(x[:, 0]), graph), found[:, 0], atol=1e-14)


def test_edge_vectors(graph: GraphBatch) -> None:
    vectors = np.asarray(edge_vectors(graph, far=7.0))
    graph = jax.tree.map(np.asarray, graph)
    for edge, (i, j) in enumerate(zip(graph.receivers, graph.senders, strict=True)):
        shift = graph.shifts[edge] @ graph.cell[graph.graph_index[i]]
        expected = graph.positions[j] + shift - graph.positions[i]
        expected = expected if graph.edge_mask[edge] else [7.0, 0, 0]
        np.testing.assert_allclose(vectors[edge], expected, atol=1e-14)
    real = np.asarray(graph.edge_mask)
    np.testing.assert_allclose(vectors[graph.reverse][real], -vectors[real], atol=1e-14)
    assert (np.linalg.norm(vectors[real], axis=1) < 2.0).all()


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_finite_derivatives_with_isolated_nodes(graph: GraphBatch, reduce: Callable) -> None:
    x = jnp.asarray(on_edges(graph))[:, None]

    def energy(x: jax.Array) -> jax.Array:
        return jnp.sum(reduce(x, graph) ** 2)

    def derivatives(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.grad(energy)(x), jax.grad(lambda x: jnp.sum(jax.grad(energy)(x) ** 2))(x)

    for derivative in jax.jit(derivatives)(x):
        assert np.isfinite(derivative).all()
        assert not np.asarray(derivative)[~np.asarray(graph.edge_mask)].any()


def test_empty_graph_is_legal(graph: GraphBatch) -> None:
    masks = {
        name: jnp.zeros_like(getattr(graph, name))
        for name in ("node_mask", "edge_mask", "graph_mask", "shifts")
    }
    slots = jnp.arange(len(graph.senders), dtype=jnp.int32)
    empty = dataclasses.replace(graph, senders=graph.receivers, reverse=slots, **masks)
    x = jnp.ones((len(graph.senders), 2))
    for reduce in REDUCTIONS:
        assert not np.asarray(reduce(x, empty)).any()
    assert not np.asarray(sum_graphs(jnp.ones(graph.num_nodes), empty)).any()
    np.testing.assert_allclose(edge_vectors(empty, 3.0), [[3.0, 0, 0]] * len(slots))


def test_padding_changes_nothing(make_graph: Callable, x64: None) -> None:
    small, large = make_graph(), make_graph(budget=Budget(nodes=32, degree=40, graphs=6))
    nodes = int(small.node_mask.sum())
    np.testing.assert_array_equal(large.node_mask[:nodes], True)

    def lengths(graph: GraphBatch) -> jax.Array:
        vectors = edge_vectors(graph, far=4.0)
        return sum_receivers(jnp.exp(-jnp.sum(vectors**2, axis=1)), graph)

    np.testing.assert_allclose(lengths(large)[:nodes], lengths(small)[:nodes], rtol=1e-14)
    energy = sum_graphs(lengths(large), large)
    np.testing.assert_allclose(energy[:4], sum_graphs(lengths(small), small), rtol=1e-14)
    assert not np.asarray(energy[4:]).any()


def test_bfloat16_sums_accumulate_in_float32() -> None:
    """257 ones cannot be counted in bfloat16, where 256 + 1 = 256."""
    degree = 512
    node = jnp.zeros(degree, jnp.int32)
    mask = jnp.arange(degree) < 300
    graph = GraphBatch(
        positions=jnp.zeros((1, 3)),
        species=jnp.zeros(1, jnp.int32),
        senders=node,
        receivers=node,
        reverse=jnp.arange(degree, dtype=jnp.int32),
        shifts=jnp.zeros((degree, 3)),
        cell=jnp.zeros((1, 3, 3)),
        graph_index=jnp.zeros(1, jnp.int32),
        node_mask=jnp.ones(1, bool),
        edge_mask=mask,
        graph_mask=jnp.ones(1, bool),
    )
    x = jnp.ones((degree, 2), jnp.bfloat16)
    for reduce in REDUCTIONS:
        assert reduce(x, graph).dtype == jnp.bfloat16
    np.testing.assert_array_equal(sum_receivers(x, graph).astype(jnp.float32), 300)


def test_jit_and_vmap(graph: GraphBatch) -> None:
    x = jnp.asarray(on_edges(graph, 2))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), graph)
    assert (stacked.num_nodes, stacked.degree) == (graph.num_nodes, graph.degree)
    for reduce in REDUCTIONS:
        eager = reduce(x, graph)
        np.testing.assert_allclose(jax.jit(reduce)(x, graph), eager, rtol=1e-12)
        mapped = jax.vmap(reduce)(jnp.stack([x, 2 * x]), stacked)
        np.testing.assert_allclose(mapped[0], eager, rtol=1e-12)
