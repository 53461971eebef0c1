"""The convolution: sum first and couple later equals a product per edge."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.data import Budget
from equinet.ops.convolution import ClebschGordanConvolution
from equinet.ops.graph import GraphBatch, edge_vectors
from equinet.ops.spherical_harmonics import spherical_harmonics
from equinet.reps import Irreps, WithoutChannels
from equinet.testing import assert_equivariant, equivariance_error

REP_IN, REP_EDGE, REP_OUT = Irreps("2x0e+1o"), Irreps("0e+1o+2e"), Irreps("0e+1o+1e+2e")
CONVOLUTION = ClebschGordanConvolution(REP_IN, REP_EDGE, REP_OUT)
NAIVE = dataclasses.replace(CONVOLUTION, method="naive")
# Room for the messages of about two nodes.
CHUNKED = dataclasses.replace(CONVOLUTION, chunk_bytes=2 * 5 * 3 * 28 * 8)


def draw(graph: GraphBatch, seed: int = 0) -> tuple[jax.Array, ...]:
    """Node features, filters, radial parts and weights in the graph's float type."""
    rng = np.random.default_rng(seed)
    shapes = (graph.num_nodes, 5, 3), (len(graph.senders), 3), (len(CONVOLUTION.paths), 3)
    x, radial, weights = (jnp.asarray(rng.normal(size=s), graph.positions.dtype) for s in shapes)
    filters = spherical_harmonics(2, edge_vectors(graph, far=4.0))
    return x, filters, jnp.where(graph.edge_mask[:, None], radial, 0), weights


@pytest.fixture
def graph(make_graph: Callable, x64: None) -> GraphBatch:
    return make_graph()


def test_methods_and_chunks_equal_the_naive_sum(graph: GraphBatch) -> None:
    args = draw(graph)
    assert graph.num_nodes * graph.degree * 5 * 3 * 8 / CHUNKED.chunk_bytes > 1
    expected = jax.jit(NAIVE)(*args, graph)
    for convolution in (CONVOLUTION, CHUNKED):
        found = jax.jit(convolution)(*args, graph)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    isolated = ~np.asarray(graph.edge_mask).reshape(graph.num_nodes, -1).any(1)
    assert isolated.any()
    assert not np.asarray(expected)[isolated].any()


def test_naive_by_hand(graph: GraphBatch) -> None:
    """Sum over the edges of one node, one at a time."""
    x, filters, radial, weights = draw(graph)
    edges = np.flatnonzero((graph.receivers == 2) & graph.edge_mask)
    messages = np.asarray(x)[graph.senders[edges]] * np.asarray(radial)[edges][:, None]
    products = CONVOLUTION.product(np.asarray(filters)[edges][:, :, None], messages, weights)
    expected = products.sum(0)
    np.testing.assert_allclose(NAIVE(x, filters, radial, weights, graph)[2], expected, atol=1e-12)


def test_chunks_bound_the_messages(graph: GraphBatch) -> None:
    lowered = jax.jit(CHUNKED).lower(*draw(graph), graph).as_text()
    assert "stablehlo.while" in lowered
    assert "stablehlo.while" not in jax.jit(CONVOLUTION).lower(*draw(graph), graph).as_text()


@pytest.mark.parametrize("convolution", [CONVOLUTION, NAIVE], ids=["summed", "naive"])
def test_equivariant_under_rotations_and_inversion(
    convolution: ClebschGordanConvolution, graph: GraphBatch, key: jax.Array
) -> None:
    x, filters, radial, weights = draw(graph)
    function = jax.jit(lambda x, filters: convolution(x, filters, radial, weights, graph))
    rep_in, options = (REP_IN, WithoutChannels(REP_EDGE)), {"inputs": (x, filters)}
    assert_equivariant(function, rep_in, REP_OUT, key, **options)
    if convolution is CONVOLUTION:
        wrong = Irreps("0e+1o+1o+2e")
        assert equivariance_error(function, rep_in, wrong, key, **options) > 0.1


def test_derivatives_of_both_orders(graph: GraphBatch) -> None:
    """Of a loss on a gradient, as forces are trained: all three ways agree, in every argument."""
    args = draw(graph)

    def gradient_norm(convolution: ClebschGordanConvolution, *args: jax.Array) -> jax.Array:
        *inputs, weights = args

        def energy(x: jax.Array, filters: jax.Array, radial: jax.Array) -> jax.Array:
            radial = jnp.where(graph.edge_mask[:, None], radial, 0)
            return jnp.sum(convolution(x, filters, radial, weights, graph) ** 3)

        return sum(jnp.sum(g**2) for g in jax.grad(energy, argnums=(0, 1, 2))(*inputs))

    derive = jax.jit(jax.grad(gradient_norm, argnums=(1, 2, 3, 4)), static_argnums=0)
    expected = derive(NAIVE, *args)
    for convolution in (CONVOLUTION, CHUNKED):
        for ours, theirs in zip(derive(convolution, *args), expected, strict=True):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * scale)


def test_padding_changes_nothing(graph: GraphBatch, make_graph: Callable) -> None:
    large = make_graph(budget=Budget(nodes=24, degree=graph.degree + 6, graphs=5))
    nodes, degree = graph.num_nodes, graph.degree
    x, filters, radial, weights = draw(graph)
    wide = draw(large)
    radial_wide = jnp.zeros((24, degree + 6, 3))
    radial_wide = radial_wide.at[:nodes, :degree].set(radial.reshape(nodes, degree, 3))
    x_wide = wide[0].at[:nodes].set(x)
    found = CONVOLUTION(x_wide, wide[1], radial_wide.reshape(-1, 3), weights, large)
    real = np.asarray(graph.node_mask)
    expected = np.asarray(CONVOLUTION(x, filters, radial, weights, graph))
    np.testing.assert_allclose(found[:nodes][real], expected[real], atol=1e-13)


def test_vmap_over_shards(graph: GraphBatch) -> None:
    args = draw(graph)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), graph)
    batch = [jnp.stack([a, 2 * a]) for a in args[:3]]
    found = jax.vmap(CHUNKED, in_axes=(0, 0, 0, None, 0))(*batch, args[3], stacked)
    expected = CONVOLUTION(*args, graph)
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    np.testing.assert_allclose(found[1], 8 * expected, atol=1e-11)


def test_float64_after_float32(make_graph: Callable) -> None:
    low_graph = make_graph(np.float32)
    low = jax.jit(CONVOLUTION)(*draw(low_graph), low_graph)
    assert low.dtype == jnp.float32
    with jax.enable_x64(True):
        graph = make_graph()
        found, expected = jax.jit(CONVOLUTION)(*draw(graph), graph), NAIVE(*draw(graph), graph)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(low, expected, atol=1e-4)


@pytest.mark.parametrize("convolution", [CONVOLUTION, NAIVE], ids=["summed", "naive"])
def test_bfloat16_sums_accumulate_in_float32(convolution: ClebschGordanConvolution) -> None:
    """257 messages of one cannot be counted in bfloat16, where 256 + 1 = 256."""
    degree = 300
    slots = jnp.arange(degree, dtype=jnp.int32)
    graph = GraphBatch(
        positions=jnp.zeros((1, 3)),
        species=jnp.zeros(1, jnp.int32),
        senders=jnp.zeros(degree, jnp.int32),
        receivers=jnp.zeros(degree, jnp.int32),
        reverse=slots,
        shifts=jnp.zeros((degree, 3)),
        cell=jnp.zeros((1, 3, 3)),
        graph_index=jnp.zeros(1, jnp.int32),
        node_mask=jnp.ones(1, bool),
        edge_mask=jnp.ones(degree, bool),
        graph_mask=jnp.ones(1, bool),
    )
    scalar = dataclasses.replace(convolution, rep_in="0e", rep_edge="0e", rep_out="0e")
    shapes = (1, 1, 2), (degree, 1), (degree, 2), (1, 2)
    found = scalar(*(jnp.ones(shape, jnp.bfloat16) for shape in shapes), graph)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(jnp.float32), 300)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="unknown method 'fast', expected 'summed' or 'naive'"):
        ClebschGordanConvolution("0e", "0e", "0e", method="fast")
    with pytest.raises(ValueError, match="no path into 3o"):
        ClebschGordanConvolution("0e", "0e+1o", "3o")
