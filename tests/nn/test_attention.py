"""Attention over neighbours: equivariant, and smooth where an edge leaves the cutoff."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.data.atoms import Configuration, collate, to_graph
from equinet.linalg import safe_norm
from equinet.nn import GraphAttention
from equinet.nn.attention import smooth_attention, smooth_leaky_relu
from equinet.ops.graphs import (
    GraphBatch,
    bessel_basis,
    edge_vectors,
    polynomial_envelope,
    softmax_receivers,
    sum_receivers,
)
from equinet.reps import Irreps, spherical_harmonics
from equinet.testing import assert_equivariant, equivariance_error

REP, OUT = Irreps("0e+0o+1o+1e+2e"), Irreps("2x0e+1o+2e")
HEADS, CHANNELS, FEATURES = 2, 3, 5


@pytest.fixture(scope="module")
def layer() -> GraphAttention:
    return make()


def make(seed: int = 0, **options) -> GraphAttention:
    rngs = nnx.Rngs(seed)
    return GraphAttention(
        REP, OUT, CHANNELS, 4, heads=HEADS, features=FEATURES, rngs=rngs, **options
    )


def draw(graph: GraphBatch, seed: int = 0):
    rng = np.random.default_rng(seed)
    edges = graph.senders.shape[0]
    messages = rng.normal(size=(edges, REP.dim, HEADS * CHANNELS))
    return messages, rng.normal(size=(edges, FEATURES)), rng.uniform(size=edges)


def test_equivariant(layer: GraphAttention, graph: GraphBatch, key: jax.Array) -> None:
    messages, invariants, envelope = draw(graph)

    def function(messages: jax.Array) -> jax.Array:
        rest = (jnp.asarray(a, messages.dtype) for a in (invariants, envelope))
        return layer(messages, *rest, graph)

    function = jax.jit(function)
    options = {"inputs": messages, "num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(function, REP, OUT, key, atol=1e-12, **options)
    flipped = Irreps("2x0e+1e+2e")
    assert equivariance_error(function, REP, flipped, key, **options) > 0.1


def test_equivariant_when_trained(graph: GraphBatch, key: jax.Array, train: Callable) -> None:
    arrays = draw(graph)
    inputs = [jnp.asarray(a, jnp.float32) for a in arrays]
    trained = train(make(1), lambda module: module(*inputs, graph))

    def function(messages: jax.Array) -> jax.Array:
        return trained(messages, *(jnp.asarray(a, messages.dtype) for a in arrays[1:]), graph)

    options = {"inputs": arrays[0], "num_samples": 2, "dtype": jnp.float64}
    assert_equivariant(jax.jit(function), REP, OUT, key, atol=1e-12, **options)


def test_by_hand(layer: GraphAttention, graph: GraphBatch, x64: None) -> None:
    messages, invariants, envelope = map(jnp.asarray, draw(graph))
    found = np.asarray(layer(messages, invariants, envelope, graph))
    normed = invariants - invariants.mean(-1, keepdims=True)
    normed = normed / np.sqrt(np.square(normed).mean(-1, keepdims=True) + 1e-6)
    normed = np.asarray(smooth_leaky_relu(normed))
    kernel = np.asarray(layer.logits.kernel[...], np.float64)[0]
    powers = np.exp(normed @ kernel / np.sqrt(FEATURES)) * np.asarray(envelope)[:, None]
    powers *= np.asarray(graph.edge_mask)[:, None]
    values = np.asarray(messages).reshape(*messages.shape[:2], HEADS, CHANNELS)
    expected = np.zeros((graph.num_nodes, REP.dim, HEADS, CHANNELS))
    for node in range(graph.num_nodes):
        edges = slice(node * graph.degree, (node + 1) * graph.degree)
        weights = np.asarray(envelope)[edges, None] * powers[edges] / (1 + powers[edges].sum(0))
        expected[node] = np.einsum("eh,edhc->dhc", weights, values[edges])
    expected = layer.linear_out(jnp.asarray(expected.reshape(*expected.shape[:2], -1)))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(found).max() > 0.1


def test_the_order_of_the_neighbours_and_padding_say_nothing(
    layer: GraphAttention, graph: GraphBatch, x64: None
) -> None:
    messages, invariants, envelope = draw(graph)
    expected = layer(*map(jnp.asarray, (messages, invariants, envelope)), graph)
    rng = np.random.default_rng(1)
    order = np.concatenate(
        [rng.permutation(graph.degree) + node * graph.degree for node in range(graph.num_nodes)]
    )
    moved = dataclasses.replace(
        graph, senders=graph.senders[order], edge_mask=graph.edge_mask[order]
    )
    found = layer(*(jnp.asarray(a[order]) for a in (messages, invariants, envelope)), moved)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    empty = ~np.asarray(graph.edge_mask)
    assert empty.any()
    for array in (messages, invariants, envelope):
        array[empty] = 1e3
    found = layer(*map(jnp.asarray, (messages, invariants, envelope)), graph)
    np.testing.assert_array_equal(found, expected)
    alone = empty.reshape(graph.num_nodes, -1).all(1)
    assert alone.any()
    np.testing.assert_array_equal(found[alone], 0)


def trimer(distance: float, cutoff: float) -> GraphBatch:
    """Three atoms, the third at a distance from the first; the list reaches to ``cutoff``."""
    positions = np.array([[0.0, 0, 0], [0, 1.2, 0], [distance, 0, 0]])
    configuration = Configuration(numbers=np.array([1, 1, 1]), positions=positions)
    batch = collate(
        [to_graph(configuration, cutoff=cutoff, elements=("H",))],
        range(1),
        shards=1,
        dtype=np.float64,
    )
    return jax.tree.map(lambda array: jnp.asarray(array[0]), batch["graph"])


CUTOFF = 2.0


def energy(layer: GraphAttention, positions: jax.Array, graph: GraphBatch, naive: bool = False):
    """A function of the positions by way of the attention; naive: softmax times envelope."""
    vectors = edge_vectors(dataclasses.replace(graph, positions=positions), 2 * CUTOFF)
    distances = safe_norm(vectors)
    envelope = polynomial_envelope(distances, CUTOFF)
    basis = bessel_basis(distances, CUTOFF, FEATURES) + 1
    values = spherical_harmonics(1, vectors)[:, :, None] * basis[:, None, :3]
    logits = layer.logits(smooth_leaky_relu(layer.norm(basis[:, None])))[:, 0, :1]
    if naive:
        weights = softmax_receivers(logits, graph) * envelope[:, None]
    else:
        weights = smooth_attention(logits, envelope, graph)
    features = sum_receivers(values * weights[:, None, :], graph)
    return jnp.sum(features**2)


def test_forces_are_continuous_when_an_edge_leaves(layer: GraphAttention, x64: None) -> None:
    """Also when it is the last of its node, and whether or not the list still holds it."""
    function = jax.jit(jax.value_and_grad(energy, argnums=1), static_argnames="naive")
    steps = 1e-3
    jumps = {}
    for naive in (False, True):
        inside, outside = trimer(CUTOFF - steps, CUTOFF), trimer(CUTOFF + steps, CUTOFF)
        assert int(inside.edge_mask.sum()) == int(outside.edge_mask.sum()) + 2
        (e1, f1), (e2, f2) = (
            function(layer, graph.positions, graph, naive=naive) for graph in (inside, outside)
        )
        jumps[naive] = abs(float(e1 - e2)) + np.abs(np.asarray(f1 - f2)).max()
        listed = trimer(CUTOFF + steps, CUTOFF + 0.5)
        e3, f3 = function(layer, listed.positions, listed, naive=naive)
        if not naive:
            np.testing.assert_allclose(e3, e2, rtol=1e-14)
            np.testing.assert_allclose(f3, f2, atol=1e-14)
    assert jumps[False] < 1e-3 < 0.1 < jumps[True]  # the control


def test_the_last_neighbour_fades_away(x64: None) -> None:
    graph = trimer(1.0, 1.1)  # the second atom has no neighbour, the others one each
    logits = jnp.full((graph.senders.shape[0], 1), 50.0)
    for envelope in (1.0, 1e-3, 1e-30, 0.0, -1e-8):
        cut = jnp.full(logits.shape[0], envelope)
        weights = np.asarray(smooth_attention(logits, cut, graph))
        top = max(envelope, 0) ** 2 * np.exp(50.0) / (1 + max(envelope, 0) * np.exp(50.0))
        np.testing.assert_allclose(weights.max(), top, rtol=1e-12)
        gradient = jax.grad(lambda u: jnp.sum(smooth_attention(logits, u, graph)))(cut)
        assert np.isfinite(gradient).all()


def test_large_logits_and_the_limit_of_a_softmax(graph: GraphBatch, x64: None) -> None:
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(graph.senders.shape[0], 2)))
    ones = jnp.ones(len(logits))
    found = smooth_attention(logits + 700, ones, graph)
    np.testing.assert_allclose(found, softmax_receivers(logits, graph), atol=1e-14)
    assert np.isfinite(smooth_attention(logits * 1e4, ones, graph)).all()
    assert np.asarray(smooth_attention(logits, ones, graph)).sum() < graph.num_nodes


def test_finite_derivatives_at_zero(layer: GraphAttention, graph: GraphBatch, x64: None) -> None:
    zeros = [jnp.zeros_like(jnp.asarray(a)) for a in draw(graph)]

    def squared(*inputs: jax.Array) -> jax.Array:
        gradients = jax.grad(lambda *a: jnp.sum(layer(*a, graph) + 1), argnums=(0, 1, 2))(*inputs)
        return sum(jnp.sum(g**2) for g in gradients)

    for gradient in jax.jit(jax.grad(squared, argnums=(0, 1, 2)))(*zeros):
        assert np.isfinite(gradient).all()


def test_types_and_structure(layer: GraphAttention, graph: GraphBatch) -> None:
    for dtype in (jnp.bfloat16, jnp.float32):
        inputs = [jnp.asarray(a, dtype) for a in draw(graph)]
        assert jax.eval_shape(layer, *inputs, graph).dtype == dtype
        half = make(dtype=jnp.bfloat16)
        assert jax.eval_shape(half, *inputs, graph).dtype == jnp.bfloat16
    assert nnx.graphdef(make(7)) == nnx.graphdef(layer)


def test_bad_input(graph: GraphBatch) -> None:
    with pytest.raises(ValueError, match=r"features of at least 2, got heads=0"):
        GraphAttention("0e", "0e", 2, 2, heads=0, features=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"features=1"):
        GraphAttention("0e", "0e", 2, 2, heads=1, features=1, rngs=nnx.Rngs(0))
    messages, invariants, envelope = (jnp.asarray(a, jnp.float32) for a in draw(graph))
    layer = make()
    with pytest.raises(ValueError, match=r"messages must have shape .* 13, 6\], got"):
        layer(messages[..., :3], invariants, envelope, graph)
    with pytest.raises(ValueError, match="invariants must have shape"):
        layer(messages, invariants[:, :2], envelope, graph)
    with pytest.raises(ValueError, match="envelope must have shape"):
        layer(messages, invariants, envelope[:, None], graph)
