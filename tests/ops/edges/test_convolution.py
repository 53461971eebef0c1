"""The convolution: sum first and couple later equals a product per edge."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.data.atoms import Budget
from equinet.groups import SO, O
from equinet.ops.edges import (
    CONVOLUTIONS,
    ClebschGordanConvolution,
    GauntConvolution,
    SO2Convolution,
)
from equinet.ops.graphs import GraphBatch, edge_vectors
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps, Points, WithoutChannels, spherical_harmonics
from equinet.testing import assert_equivariant, equivariance_error

REP_IN, REP_EDGE, REP_OUT = Irreps("2x0e+1o"), Irreps("0e+1o+2e"), Irreps("0e+1o+1e+2e")
CONVOLUTION = ClebschGordanConvolution(REP_IN, REP_EDGE, REP_OUT)
NAIVE = dataclasses.replace(CONVOLUTION, method="naive")
# Room for the messages of about two nodes.
CHUNKED = dataclasses.replace(CONVOLUTION, chunk_bytes=2 * 5 * 3 * 28 * 8)


def draw(graph: GraphBatch, seed: int = 0) -> tuple[jax.Array, ...]:
    """Node features, filters, radial parts and weights in the graph's float type."""
    rng = np.random.default_rng(seed)
    shapes = (graph.num_nodes, 5, 3), (len(graph.senders), 1, 3), (len(CONVOLUTION.paths), 3)
    x, radial, weights = (jnp.asarray(rng.normal(size=s), graph.positions.dtype) for s in shapes)
    filters = spherical_harmonics(2, edge_vectors(graph, far=4.0))
    return x, filters, jnp.where(graph.edge_mask[:, None, None], radial, 0), weights


@pytest.fixture
def graph(make_graph: Callable, x64: None) -> GraphBatch:
    return make_graph()


def test_methods_and_chunks_equal_the_naive_sum(graph: GraphBatch) -> None:
    args = draw(graph)
    assert graph.num_nodes * graph.degree * 5 * 3 * 8 / CHUNKED.chunk_bytes > 1
    expected = jax.jit(NAIVE)(*args[:3], graph, args[3])
    for convolution in (CONVOLUTION, CHUNKED):
        found = jax.jit(convolution)(*args[:3], graph, args[3])
        np.testing.assert_allclose(found, expected, atol=1e-12)
    isolated = ~np.asarray(graph.edge_mask).reshape(graph.num_nodes, -1).any(1)
    assert isolated.any()
    assert not np.asarray(expected)[isolated].any()


def test_naive_by_hand(graph: GraphBatch) -> None:
    """Sum over the edges of one node, one at a time."""
    x, filters, radial, weights = draw(graph)
    edges = np.flatnonzero((graph.receivers == 2) & graph.edge_mask)
    messages = np.asarray(x)[graph.senders[edges]] * np.asarray(radial)[edges]
    products = CONVOLUTION.product(np.asarray(filters)[edges][:, :, None], messages, weights)
    expected = products.sum(0)
    np.testing.assert_allclose(NAIVE(x, filters, radial, graph, weights)[2], expected, atol=1e-12)


def test_chunks_bound_the_messages(graph: GraphBatch) -> None:
    *args, weights = draw(graph)
    lowered = jax.jit(CHUNKED).lower(*args, graph, weights).as_text()
    assert "stablehlo.while" in lowered
    whole = jax.jit(CONVOLUTION).lower(*args, graph, weights).as_text()
    assert "stablehlo.while" not in whole


@pytest.mark.parametrize("convolution", [CONVOLUTION, NAIVE], ids=["summed", "naive"])
def test_equivariant_under_rotations_and_inversion(
    convolution: ClebschGordanConvolution, graph: GraphBatch, key: jax.Array
) -> None:
    x, filters, radial, weights = draw(graph)
    function = jax.jit(lambda x, filters: convolution(x, filters, radial, graph, weights))
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
            radial = jnp.where(graph.edge_mask[:, None, None], radial, 0)
            return jnp.sum(convolution(x, filters, radial, graph, weights) ** 3)

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
    radial_wide = jnp.zeros((24, degree + 6, 1, 3))
    radial_wide = radial_wide.at[:nodes, :degree].set(radial.reshape(nodes, degree, 1, 3))
    x_wide = wide[0].at[:nodes].set(x)
    found = CONVOLUTION(x_wide, wide[1], radial_wide.reshape(-1, 1, 3), large, weights)
    real = np.asarray(graph.node_mask)
    expected = np.asarray(CONVOLUTION(x, filters, radial, graph, weights))
    np.testing.assert_allclose(found[:nodes][real], expected[real], atol=1e-13)


def test_vmap_over_shards(graph: GraphBatch) -> None:
    args = draw(graph)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), graph)
    batch = [jnp.stack([a, 2 * a]) for a in args[:3]]
    found = jax.vmap(CHUNKED, in_axes=(0, 0, 0, 0, None))(*batch, stacked, args[3])
    expected = CONVOLUTION(*args[:3], graph, args[3])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    np.testing.assert_allclose(found[1], 8 * expected, atol=1e-11)


def test_float64_after_float32(make_graph: Callable) -> None:
    low_graph = make_graph(np.float32)
    *args, weights = draw(low_graph)
    low = jax.jit(CONVOLUTION)(*args, low_graph, weights)
    assert low.dtype == jnp.float32
    with jax.enable_x64(True):
        graph = make_graph()
        *args, weights = draw(graph)
        found = jax.jit(CONVOLUTION)(*args, graph, weights)
        expected = NAIVE(*args, graph, weights)
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
    shapes = (1, 1, 2), (degree, 1), (degree, 1, 2), (1, 2)
    *args, weights = (jnp.ones(shape, jnp.bfloat16) for shape in shapes)
    found = scalar(*args, graph, weights)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(jnp.float32), 300)


AXES = np.concatenate([np.eye(3), -np.eye(3), [[1, 1e-9, 0], [1e-9, -1, 0], [0.3, -0.5, 2]]])
EDGE_WEIGHTED = [
    ClebschGordanConvolution("0e+1e+2e", "0e+1e+2e+3e", "0e+1e+2e+3e", "aligned"),
    ClebschGordanConvolution("0e+1o+1e+2x2e", "0e+1o+2e+3o", "0o+1o+1e+3o+2o", "aligned"),
    ClebschGordanConvolution("1o", "2e", "1o", "aligned"),
    GauntConvolution("0e+1o+2e", "0e+1o+2e", "0e+1o+2e"),
    GauntConvolution("0e+2e+3o", "1o+2e", "0e+1o+3o+4e"),
]


def draw_messages(convolution: Any, edges: int) -> tuple[jax.Array, jax.Array]:
    """Features and radial weights of every edge."""
    rng = np.random.default_rng(3)
    shapes = (edges, convolution.rep_in.dim, 2), (edges, convolution.num_radial, 2)
    return tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes)


def plain_messages(convolution: Any, x: jax.Array, vectors: jax.Array, radial: jax.Array) -> Any:
    """The product with the harmonics of the edge, all components."""
    if isinstance(convolution, ClebschGordanConvolution):
        naive = dataclasses.replace(convolution, method="naive")
        return naive.messages(x, naive.edge_features(vectors), radial)
    harmonics = spherical_harmonics(convolution.rep_edge.lmax, vectors)
    columns = [harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in blocks(convolution.rep_edge)]
    return convolution.product(x, jnp.concatenate(columns, axis=1)[..., None], radial)


@pytest.mark.parametrize(
    "convolution",
    [pytest.param(c, marks=pytest.mark.slow if i < 2 else ()) for i, c in enumerate(EDGE_WEIGHTED)],
    ids=range(5),
)
def test_messages_in_the_frame_of_the_edge(convolution: Any, x64: None) -> None:
    """Equal to the products with harmonics, with both orders of derivatives, on the axes too."""
    x, radial = draw_messages(convolution, len(AXES))

    def ours(x: jax.Array, vectors: jax.Array, radial: jax.Array) -> jax.Array:
        return convolution.messages(x, convolution.edge_features(vectors), radial)

    def plain(x: jax.Array, vectors: jax.Array, radial: jax.Array) -> jax.Array:
        return plain_messages(convolution, x, vectors, radial)

    def derive(messages: Callable, *args: jax.Array) -> tuple:
        forces = jax.grad(lambda *args: jnp.sum(messages(*args) ** 3), argnums=1)
        norm = jax.grad(lambda *args: jnp.sum(forces(*args) ** 2), argnums=(0, 1, 2))
        return messages(*args), forces(*args), *norm(*args)

    derive = jax.jit(derive, static_argnums=0)
    found = derive(ours, x, jnp.asarray(AXES), radial)
    expected = derive(plain, x, jnp.asarray(AXES), radial)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
    for a, b in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max())


@pytest.mark.parametrize("convolution", EDGE_WEIGHTED[1:4:2], ids=["clebsch_gordan", "gaunt"])
def test_messages_are_equivariant(convolution: Any, key: jax.Array, x64: None) -> None:
    x, radial = draw_messages(convolution, len(AXES))
    function = jax.jit(
        lambda x, vectors: convolution.messages(x, convolution.edge_features(vectors), radial)
    )
    reps = (convolution.rep_in, Points(O(3)))
    inputs = {"inputs": (x, jnp.asarray(AXES))}
    assert_equivariant(function, reps, convolution.rep_out, key, **inputs)
    wrong = Irreps([(mul, (ir.l, -ir.p)) for mul, ir in convolution.rep_out])
    assert equivariance_error(function, reps, wrong, key, **inputs) > 0.1


@pytest.mark.parametrize("convolution", EDGE_WEIGHTED[1:4:2], ids=["clebsch_gordan", "gaunt"])
def test_messages_are_summed_in_chunks(convolution: Any, graph: GraphBatch) -> None:
    count = len(graph.senders)
    x, radial = draw_messages(convolution, count)
    x, radial = x[: graph.num_nodes], jnp.where(graph.edge_mask[:, None, None], radial, 0)
    edges = convolution.edge_features(edge_vectors(graph, far=4.0))
    each = convolution.messages(x[graph.senders], edges, radial)
    expected = np.zeros((graph.num_nodes, *each.shape[1:]))
    np.add.at(expected, np.asarray(graph.receivers), np.asarray(each))
    for chunk_bytes in (None, 2**16):
        chunked = dataclasses.replace(convolution, chunk_bytes=chunk_bytes)
        found = jax.jit(chunked)(x, edges, radial, graph)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_table_of_convolutions() -> None:
    """All have edge features, messages, num_radial and an equivariance error."""
    assert set(CONVOLUTIONS) == {"clebsch_gordan", "so2", "gaunt"}
    rep = Irreps("0e+1o")
    for made in (*EDGE_WEIGHTED[::3], SO2Convolution(rep, rep, 2, 2)):
        assert made.equivariance_error == 0
        assert made.num_radial > 0
        edges = made.edge_features(jnp.ones((2, 3)))
        assert jax.tree.leaves(edges)[0].shape[0] == 2
    assert EDGE_WEIGHTED[0].flops > EDGE_WEIGHTED[0].bytes_moved > 0
    assert EDGE_WEIGHTED[3].flops > EDGE_WEIGHTED[3].bytes_moved > 0


def test_bad_messages() -> None:
    convolution = EDGE_WEIGHTED[3]
    edges = convolution.edge_features(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"x must have shape \[edges, 9, channels\]"):
        convolution.messages(jnp.ones((2, 8, 1)), edges, jnp.ones((2, 9, 1)))
    with pytest.raises(ValueError, match=r"radial must have shape \(2, 9, 1\)"):
        convolution.messages(jnp.ones((2, 9, 1)), edges, jnp.ones((2, 8, 1)))
    with pytest.raises(ValueError, match="have parity"):
        GauntConvolution("0e+1e", "0e", "0e")


def test_one_radial_function_and_shared_weights(x64: None) -> None:
    """Radial functions of shape [edges, 1, channels] and weights are factors of all the others."""
    for convolution in EDGE_WEIGHTED[2:4]:
        x, _ = draw_messages(convolution, len(AXES))
        edges = convolution.edge_features(jnp.asarray(AXES))
        one = jnp.linspace(0.5, 1.5, len(AXES) * 2).reshape(-1, 1, 2)
        weights = jnp.linspace(1, 2, convolution.num_radial * 2).reshape(-1, 2)
        found = convolution.messages(x, edges, one, weights)
        np.testing.assert_allclose(found, convolution.messages(x, edges, one * weights[None]))


def test_harmonics_and_rotations_of_higher_degree_are_shared(x64: None) -> None:
    for convolution in (CONVOLUTION, NAIVE, *EDGE_WEIGHTED[2:]):
        x, radial = draw_messages(convolution, len(AXES))
        vectors = jnp.asarray(AXES)
        high = dataclasses.replace(
            convolution, rep_in="0e+1o+2e+3o+4e", rep_edge="0e+1o+2e+3o+4e", rep_out="0e+1o+4e"
        )
        found = convolution.messages(x, high.edge_features(vectors), radial)
        expected = convolution.messages(x, convolution.edge_features(vectors), radial)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_no_edges_and_integers() -> None:
    convolution = EDGE_WEIGHTED[3]
    edges = convolution.edge_features(jnp.ones((2, 3)))
    integers = jnp.arange(18).reshape(2, 9, 1)
    found = convolution.messages(integers, edges, jnp.ones((2, 1, 1)))
    expected = convolution.messages(integers.astype(jnp.float32), edges, jnp.ones((2, 1, 1)))
    np.testing.assert_array_equal(found, expected)
    none = convolution.edge_features(jnp.ones((0, 3)))
    assert convolution.messages(jnp.ones((0, 9, 1)), none, jnp.ones((0, 1, 1))).shape == (0, 9, 1)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="one group"):
        ClebschGordanConvolution(Irreps("0e"), Irreps("0e", group=SO(3)), Irreps("0e"))
    with pytest.raises(ValueError, match=r"edges must be harmonics of degrees 0 to 2"):
        CONVOLUTION.messages(jnp.ones((2, 5, 1)), jnp.ones((2, 4)), jnp.ones((2, 1, 1)))
    with pytest.raises(ValueError, match="unknown method 'fast', expected one of"):
        ClebschGordanConvolution("0e", "0e", "0e", method="fast")
    with pytest.raises(ValueError, match="no path into 3o"):
        ClebschGordanConvolution("0e", "0e+1o", "3o")
