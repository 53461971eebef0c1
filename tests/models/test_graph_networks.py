"""GIN against colour refinement, networks without symmetry, and both averaged over frames."""

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from flax import nnx

from equinet.groups import S
from equinet.models import GIN, AdjacencyMLP, frame_averaged
from equinet.models.graph_networks import NodePairs
from equinet.reps import Points, Vector
from equinet.testing import equivariance_error

NODES = 6


def inputs(nodes: int = NODES, batch: int = 3, seed: int = 0):
    """Graphs that are padded, with features, and without symmetries."""
    rng = np.random.default_rng(seed)
    mask = np.arange(nodes) < np.array([nodes, nodes - 1, nodes - 2])[:batch, None]
    upper = np.triu(rng.random((batch, nodes, nodes)) < 0.5, 1)
    adjacency = (upper | upper.swapaxes(1, 2)) & mask[:, None] & mask[:, :, None]
    return (
        jnp.asarray(adjacency, float),
        jnp.asarray(rng.normal(size=(batch, nodes, 2)) * mask[..., None]),
        jnp.asarray(mask),
    )


def error(model, *arrays):
    reps = NodePairs(NODES), Vector(S(NODES)), Points(S(NODES))
    key = jax.random.key(0)
    call = jax.jit(lambda a, x, mask: model(a, x, mask.astype(bool)))
    return equivariance_error(call, reps, None, key, inputs=arrays, num_samples=4)


def make(kind: str):
    size = {"channels": 8, "num_layers": 2, "rngs": nnx.Rngs(0)}
    if kind == "mlp":
        return AdjacencyMLP(NODES, 2, 3, **size)
    return GIN(2, 3, identities=NODES if kind == "gin_id" else 0, **size)


@pytest.mark.parametrize(
    "kind", ["mlp", *(pytest.param(k, marks=pytest.mark.slow) for k in ("gin", "gin_id"))]
)
def test_frames_make_networks_invariant(kind, x64):
    """GIN is invariant by itself; the others are not, and become so."""
    arrays = inputs()
    network = make(kind)
    alone = error(network, *arrays)
    assert alone < 1e-12 if kind == "gin" else alone > 1e-2
    model = frame_averaged(network, NODES, size=32)
    assert not model.elements(*arrays).degenerate.any()
    assert error(model, *arrays) < 1e-12


def test_frames_too_large_to_be_listed_are_reported(x64):
    complete = jnp.ones((NODES, NODES)) - jnp.eye(NODES)
    features, mask = jnp.ones((NODES, 2)), jnp.ones(NODES, bool)
    model = frame_averaged(make("mlp"), NODES, size=32)
    assert bool(model.elements(complete, features, mask).degenerate)
    draw = jax.jit(lambda key: model(complete, features, mask, key=key))
    assert np.isfinite(draw(jax.random.key(0))).all()


def test_gin_separates_what_colour_refinement_does(x64):
    """Of all connected graphs with six nodes: the same pairs, after as many rounds."""
    graphs = [g for g in networkx.graph_atlas_g() if len(g) == 6 and networkx.is_connected(g)]
    stack = np.stack([networkx.to_numpy_array(g) for g in graphs])
    rounds = 3
    model = GIN(0, 16, channels=16, num_layers=rounds, average_degree=3.0, rngs=nnx.Rngs(0))
    y = np.asarray(jax.jit(lambda a: model(a, jnp.zeros((*a.shape[:2], 0))))(stack))
    near = np.abs(y[:, None] - y[None]).max(-1) < 1e-9 * np.abs(y).max()
    colours = [refined(graph, rounds) for graph in stack]
    same = np.array([[a == b for b in colours] for a in colours])
    np.testing.assert_array_equal(near, same)
    assert same.sum() > len(graphs)  # there are pairs that it cannot separate


def refined(adjacency: np.ndarray, rounds: int) -> list:
    colours: list = [()] * len(adjacency)
    for _ in range(rounds):
        near = [sorted(colours[j] for j in np.flatnonzero(row)) for row in adjacency]
        colours = [(own, tuple(others)) for own, others in zip(colours, near, strict=True)]
    return sorted(colours)


def test_padding_changes_nothing(x64):
    adjacency, features, mask = inputs()
    model = make("gin")
    run = jax.jit(lambda *x: model(*x))
    padded = run(adjacency, features, mask)
    sizes = [NODES, NODES - 1, NODES - 2]
    for row, n in enumerate(sizes):
        alone = run(adjacency[row, :n, :n], features[row, :n])
        np.testing.assert_allclose(padded[row], alone, atol=1e-13)
    spoiled = jnp.where(mask[..., None], features, 7.0)
    np.testing.assert_allclose(run(adjacency, spoiled, mask), padded, atol=1e-13)


@pytest.mark.parametrize("kind", ["gin_id", "mlp"])
def test_types_gradients_and_single_nodes(kind):
    arrays = [x.astype(np.float32) if x.dtype != bool else x for x in inputs()]
    model = frame_averaged(make(kind), NODES, size=8)
    assert jax.eval_shape(model, *arrays).dtype == jnp.float32
    alone = jnp.zeros((NODES, NODES)), jnp.ones((NODES, 2)), jnp.arange(NODES) == 0

    @jax.jit
    @jax.grad
    def gradient(model):
        return jnp.sum(model(*arrays, key=jax.random.key(0)) ** 2) + jnp.sum(model(*alone))

    leaves = jax.tree.leaves(gradient(model))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any(np.abs(leaf).max() > 0 for leaf in leaves)


def test_bad_input():
    adjacency, features, mask = inputs()
    with pytest.raises(ValueError, match="at most 6 nodes, got 7"):
        make("gin_id")(jnp.zeros((7, 7)), jnp.zeros((7, 2)))
    with pytest.raises(ValueError, match="padded to 6 nodes, got 5"):
        make("mlp")(jnp.zeros((5, 5)), jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"features \[..., n, 2\]"):
        make("gin")(adjacency, features[..., :1], mask)
    with pytest.raises(ValueError, match="expected a mask"):
        make("gin")(adjacency, features, mask[..., :1])
    with pytest.raises(ValueError, match="above zero"):
        GIN(2, 3, num_layers=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="averages above zero"):
        GIN(2, 3, average_degree=0.0, rngs=nnx.Rngs(0))
