"""Message passing: equivariant with its edges, whatever the chunk, the padding and the order."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import MessagePassing
from equinet.ops.graphs import GraphBatch, edge_vectors
from equinet.reps import Irreps, WithoutChannels, spherical_harmonics
from equinet.testing import equivariance_error

REP_IN, REP_EDGE, REP_OUT = Irreps("0e+1o"), Irreps("0e+1o+2e"), Irreps("0e+1o+1e")


def build(rep_out: Irreps = REP_OUT, **words: object) -> MessagePassing:
    options = {
        "rep_edge": REP_EDGE,
        "rep_density": REP_EDGE,
        "num_types": 2,
        "average_neighbours": 3.0,
        "correlation": 2,
        "gate": True,
        "rngs": nnx.Rngs(0),
    }
    return MessagePassing(REP_IN, rep_out, 3, **(options | words))


def draw(graph: GraphBatch) -> tuple[jax.Array, ...]:
    """Features, types, filters and radial parts in the graph's float type."""
    rng, dtype = np.random.default_rng(0), graph.positions.dtype
    x = jnp.asarray(rng.normal(size=(graph.num_nodes, 4, 3)), dtype)
    radial = jnp.asarray(rng.normal(size=(len(graph.senders), 3)), dtype)
    filters = spherical_harmonics(2, edge_vectors(graph, far=4.0))
    types = jax.nn.one_hot(graph.species, 2, dtype=dtype)
    return x, types, filters, jnp.where(graph.edge_mask[:, None], radial, 0)


WORDS = {
    "nequip": {"correlation": 1, "rep_density": Irreps("3x0e+1o+1e"), "gate": True},
    "mace": {"correlation": 3, "gate": False},
    "gaunt": {"correlation": 2, "product": "gaunt", "rep_out": Irreps("0e+1o+2e")},
}


@pytest.mark.parametrize("name", sorted(WORDS))
def test_equivariant_at_random_and_trained(
    name: str, graph: GraphBatch, key: jax.Array, train: Callable
) -> None:
    fresh = build(**WORDS[name])
    inputs = draw(graph)
    apply = jax.jit(lambda layer, *args: layer(*args))
    reps = (REP_IN, None, WithoutChannels(REP_EDGE), None, None), fresh.rep_out

    def error(layer: MessagePassing, rep_out: Irreps = fresh.rep_out) -> float:
        function = functools.partial(apply, layer)
        return equivariance_error(
            function,
            reps[0],
            rep_out,
            key,
            inputs=(*inputs, graph),
            dtype=jnp.float64,
            num_samples=3,
        )

    trained = train(fresh, lambda layer: layer(*inputs, graph))
    assert error(build(**WORDS[name])) < 1e-10
    assert error(trained) < 1e-10
    if name == "nequip":
        assert error(trained, Irreps("0e+1e+1o")) > 0.1


def test_by_hand(graph: GraphBatch) -> None:
    """The formula of the docstring, from the parts."""
    layer = build(gate=False, rep_density=REP_EDGE)
    x, types, filters, radial = draw(graph)
    convolution = dataclasses.replace(layer.convolution.op, method="naive")
    up, weights = layer.linear_up(x), layer.convolution.weights[0][...]
    density = convolution(up, filters, radial[:, None, :], graph, weights) / 3.0
    assert layer.linear_density is not None
    update = layer.expansion(layer.linear_density(density), types) + layer.skip(x, types)
    expected = update / math.sqrt(2)
    np.testing.assert_allclose(layer(x, types, filters, radial, graph), expected, atol=1e-5)


def test_chunks_change_nothing(graph: GraphBatch, x64: None) -> None:
    wide = jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, graph)
    inputs = draw(wide)
    layer, chunked = build(), build(chunk_bytes=512)

    @jax.jit
    def both(layer: MessagePassing, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def energy(x: jax.Array) -> jax.Array:
            return jnp.sum(layer(x, *inputs[1:], wide) ** 2)

        return jax.value_and_grad(energy)(x)

    assert "while" in both.lower(chunked, inputs[0]).as_text()
    for ours, theirs in zip(both(chunked, inputs[0]), both(layer, inputs[0]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_an_atom_without_neighbours_keeps_what_it_has(graph: GraphBatch) -> None:
    layer = build(gate=False)
    x, types, filters, radial = draw(graph)
    found = layer(x, types, filters, radial, graph)
    lone = ~np.asarray(graph.edge_mask).reshape(graph.num_nodes, -1).any(1)
    assert (lone & np.asarray(graph.node_mask)).any()
    expected = np.asarray(layer.skip(x, types)) / math.sqrt(2)
    np.testing.assert_allclose(found[lone], expected[lone], atol=1e-6)


def test_computes_in_the_type_that_it_is_told(graph: GraphBatch) -> None:
    inputs = draw(graph)
    for dtype in (jnp.bfloat16, jnp.float32):
        layer = build(dtype=dtype)
        found = jax.eval_shape(lambda *args, layer=layer: layer(*args, graph), *inputs)
        assert found.dtype == dtype


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"unknown convolution 'so3', expected one of \['clebsch"):
        build(convolution="so3")
    with pytest.raises(ValueError, match="no path into"):
        build(rep_density=Irreps("5o"))
