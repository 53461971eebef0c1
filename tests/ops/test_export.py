"""`jax.export` with symbolic sizes: one program for any number of rows, nodes and edges."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from equinet.models import Potential
from equinet.ops.edges import ClebschGordanConvolution, GauntConvolution, SO2Convolution
from equinet.ops.graphs import GraphBatch
from equinet.ops.products import PRODUCTS, tensor_product

REP = "0e+1o"
NODES = ("positions", "species", "graph_index", "node_mask")
EDGES = ("senders", "receivers", "reverse", "shifts", "edge_mask")


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
@pytest.mark.parametrize("per_row", [False, True])
def test_products_with_a_symbolic_number_of_rows(kind: str, per_row: bool) -> None:
    product = tensor_product(kind, REP, REP, REP)
    (rows,) = export.symbolic_shape("n")

    def gradient(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(jnp.sin(product(x, y, weights))))(x)

    lead = (rows,) if per_row else ()
    shapes = ((rows, 4, 3), (rows, 4, 3), (*lead, product.num_weights, 3))
    program = export.export(jax.jit(gradient))(
        *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    )
    for count in (2, 5):
        rng = np.random.default_rng(count)
        arrays = [
            rng.normal(size=[count if s is rows else s for s in shape]).astype(np.float32)
            for shape in shapes
        ]
        np.testing.assert_allclose(program.call(*arrays), gradient(*arrays), atol=1e-5)


def symbolic(graph: GraphBatch) -> tuple[list[jax.ShapeDtypeStruct], list[jax.Array]]:
    """Types with n nodes of d slots, and the arrays of a graph in these shapes."""
    n, d = export.symbolic_shape("n, d")
    kinds, arrays = [], []
    for field in dataclasses.fields(graph):
        array = getattr(graph, field.name)
        if field.name in EDGES:
            array = array.reshape(graph.num_nodes, graph.degree, *array.shape[1:])
            shape = (n, d, *array.shape[2:])
        else:
            shape = (n, *array.shape[1:]) if field.name in NODES else array.shape
        kinds.append(jax.ShapeDtypeStruct(shape, array.dtype))
        arrays.append(array)
    return kinds, arrays


def to_graph(arrays: tuple[jax.Array, ...]) -> GraphBatch:
    """The graph of arrays that `symbolic` made."""
    names = [field.name for field in dataclasses.fields(GraphBatch)]
    pairs = zip(names, arrays, strict=True)
    flat = {
        name: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]) if name in EDGES else a
        for name, a in pairs
    }
    return GraphBatch(**flat)


@pytest.mark.parametrize(
    "convolution",
    [
        ClebschGordanConvolution(REP, REP, REP),
        ClebschGordanConvolution(REP, REP, REP, method="aligned"),
        GauntConvolution(REP, REP, REP),
        SO2Convolution(REP, REP, 3, 3),
    ],
    ids=["clebsch_gordan", "aligned", "gaunt", "so2"],
)
def test_convolutions_with_symbolic_numbers_of_nodes_and_edges(
    convolution: ClebschGordanConvolution | GauntConvolution | SO2Convolution,
    make_graph: Callable[..., GraphBatch],
) -> None:
    kinds, arrays = symbolic(make_graph(np.float32))
    weights = [jnp.ones(shape) for shape in getattr(convolution, "weight_shapes", ())]

    def convolve(x: jax.Array, *arrays: jax.Array) -> jax.Array:
        graph = to_graph(arrays)
        edges = convolution.edge_features(
            graph.positions[graph.senders] - graph.positions[graph.receivers]
        )
        radial = jnp.where(graph.edge_mask[:, None, None], 1.0, 0.0)
        radial = jnp.broadcast_to(radial, (graph.senders.shape[0], convolution.num_radial, 3))
        return convolution(x, edges, radial, graph, weights or None)

    x = jnp.asarray(np.random.default_rng(0).normal(size=(arrays[0].shape[0], 4, 3)), jnp.float32)
    kind = jax.ShapeDtypeStruct((kinds[0].shape[0], 4, 3), jnp.float32)
    program = export.export(jax.jit(convolve))(kind, *kinds)
    np.testing.assert_allclose(program.call(x, *arrays), convolve(x, *arrays), atol=1e-5)


def test_a_potential_with_symbolic_numbers_of_nodes_and_edges(
    make_graph: Callable[..., GraphBatch],
) -> None:
    model = Potential(("C",), cutoff=2.0, lmax=1, channels=2, layers=1, rngs=nnx.Rngs(0))
    kinds, arrays = symbolic(make_graph(np.float32))

    def predict(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(jax.tree.leaves(model.energy_and_forces(to_graph(arrays))))

    program = export.export(jax.jit(predict))(*kinds)
    for found, expected in zip(program.call(*arrays), predict(*arrays), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
