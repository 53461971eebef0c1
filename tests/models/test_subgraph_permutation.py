"""SPEN: counts of maps, invariance, padding, what it separates and what it cannot."""

import dataclasses

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from flax import nnx

from equinet.data import SubgraphBudget, ego_networks, join_subgraphs
from equinet.models import SPEN, standardize
from equinet.models.subgraph_permutation import ORDERS, SubgraphLayer, _shells

BUDGET = SubgraphBudget(32, 8, 512, 4)  # one for all, so that little is compiled
SMALL = {"channels": (4, 4, 2), "num_layers": 2}


def cycles(*lengths: int) -> np.ndarray:
    blocks = np.zeros((sum(lengths), sum(lengths)), bool)
    start = 0
    for n in lengths:
        own = np.roll(np.eye(n, dtype=bool), 1, 1)
        blocks[start : start + n, start : start + n] = own | own.T
        start += n
    return blocks


def random_graph(nodes: int, seed: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((nodes, nodes)) < 0.4, 1)
    return upper | upper.T


def rook() -> np.ndarray:
    """Fields of a 4 x 4 board, joined along rows and columns."""
    row, column = np.divmod(np.arange(16), 4)
    same = (row[:, None] == row) ^ (column[:, None] == column)
    return same


def shrikhande() -> np.ndarray:
    """Of the same parameters (16, 6, 2, 2) as the rook's graph, and another."""
    a, b = np.divmod(np.arange(16), 4)
    da, db = (a[:, None] - a) % 4, (b[:, None] - b) % 4
    steps = [(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)]
    return np.any([(da == i) & (db == j) for i, j in steps], axis=0)


def neighbours(graph: np.ndarray) -> np.ndarray:
    return graph[np.ix_(graph[0], graph[0])]


def batch_of(graphs, hops=1, features=None, budget=BUDGET):
    features = features or [np.ones((len(graph), 1)) for graph in graphs]
    return join_subgraphs([ego_networks(graph, hops) for graph in graphs], features, budget)


@jax.jit
def outputs(model, batch):
    return model(batch)


def make(width=1, seed=0, **options):
    return SPEN(width, 3, **{**SMALL, **options}, rngs=nnx.Rngs(seed))


def test_the_maps_of_a_layer():
    layer = SubgraphLayer((2, 2, 2), (3, 3, 3), rngs=nnx.Rngs(0))
    counts = [[layer.maps[f"{a}{b}"].maps.num_maps for b in ORDERS] for a in ORDERS]
    assert counts == [[1, 1, 2], [1, 2, 5], [2, 5, 15]]


@pytest.mark.parametrize("shells", [0, 2])
def test_the_order_of_the_nodes_does_not_matter(shells, x64):
    rng = np.random.default_rng(0)
    graph, features = random_graph(8, 0), rng.normal(size=(8, 2))
    order = rng.permutation(8)
    moved = batch_of([graph[np.ix_(order, order)]], features=[features[order]])
    model = make(2, shells=shells)
    before = outputs(model, batch_of([graph], features=[features]))[0]
    scale = np.abs(before).max()
    np.testing.assert_allclose(outputs(model, moved)[0], before, atol=1e-12 * scale)
    # The control: the features alone in another order are another graph.
    other = outputs(model, batch_of([graph], features=[features[order]]))[0]
    assert np.abs(other - before).max() > 1e-3 * scale


def test_shells_are_distances_from_the_node():
    graph = random_graph(9, 3)
    batch = batch_of([graph], hops=2)
    marks = np.stack(_shells(batch, 4))
    networks = ego_networks(graph, 2)
    for node in range(9):
        members = networks.index[node][networks.mask[node]]
        inside = networkx.from_numpy_array(graph[np.ix_(members, members)])
        away = networkx.single_source_shortest_path_length(inside, 0)
        expected = np.zeros((4, batch.mask.shape[-1]), bool)
        for member, steps in away.items():
            expected[steps, member] = True
        np.testing.assert_array_equal(marks[:, node], expected)


def test_standardized_readouts(x64):
    batches = [batch_of([random_graph(7, 3 * i + j) for j in range(3)]) for i in range(4)]
    model = make()
    before = np.concatenate([model.means(batch)[:3] for batch in batches])
    standardize(model, batches, smallest=1e-9)
    kernel, bias = (np.asarray(a[...], np.float64) for a in (model.kernel, model.bias))
    seen = before @ kernel + bias
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(seen.T, bias=True), np.eye(4), atol=1e-2)
    assert np.abs(np.cov(before.T, bias=True) - np.eye(4)).max() > 0.1  # it was not so before
    standardize(model, [batch_of([random_graph(7, 0)])])  # one graph has no variance
    np.testing.assert_allclose(model.kernel[...], np.eye(4), atol=1e-6)
    for wrong, smallest in (([], 0.1), (batches, 0.0), (batches, 2.0)):
        with pytest.raises(ValueError, match="0 < smallest <= 1"):
            standardize(model, wrong, smallest)


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_layers_have_no_gradient(frozen):
    model, batch = make(frozen=frozen), batch_of([random_graph(7, 0)])
    graphdef, params = nnx.split(model)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(nnx.merge(graphdef, p)(batch)[0] ** 2)))(params)
    largest = {
        name: max(jnp.abs(x).max() for x in jax.tree.leaves(g)) for name, g in gradient.items()
    }
    assert (largest["layers"] == 0) == frozen
    assert min(largest["head"], largest["kernel"]) > 0


def test_padding_changes_nothing(x64):
    """Alone, together, and in a budget that just holds them."""
    graphs = [random_graph(7, 1), np.zeros((1, 1), bool), random_graph(5, 2)]
    model = make()
    together = outputs(model, batch_of(graphs))[:3]
    alone = [outputs(model, batch_of([graph]))[0] for graph in graphs]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-13)
    tight = outputs(model, batch_of(graphs, budget=None))
    np.testing.assert_allclose(tight, together, atol=1e-13)


def test_what_colour_refinement_cannot(x64):
    """Two triangles and a hexagon with one hop; without triangles, one hop sees only stars."""
    model = make()
    pair = outputs(model, batch_of([cycles(3, 3), cycles(6)]))[:2]
    scale = np.abs(pair).max()
    assert np.abs(pair[0] - pair[1]).max() > 1e-2 * scale
    same = outputs(model, batch_of([cycles(4, 5), cycles(9)]))
    assert np.abs(same[0] - same[1]).max() < 1e-13 * scale
    two = outputs(model, batch_of([cycles(4, 5), cycles(9)], hops=2))
    assert np.abs(two[0] - two[1]).max() > 1e-2 * scale


def test_strongly_regular_graphs_of_equal_parameters_stay_alike(x64):
    """Neighbours form two triangles in one and a hexagon in the other: alike for order two."""
    assert (rook().sum(0) == 6).all()
    assert (shrikhande().sum(0) == 6).all()
    spectra = [
        np.linalg.eigvalsh(1.0 * near) for near in (neighbours(rook()), neighbours(shrikhande()))
    ]
    assert np.abs(spectra[0] - spectra[1]).max() > 0.5  # they are not the same graph
    pair = outputs(make(), batch_of([rook(), shrikhande()]))[:2]
    assert np.abs(pair[0] - pair[1]).max() < 1e-13 * np.abs(pair).max()


def test_overlaps_carry_messages(x64):
    """With one layer a subgraph knows of itself alone; further layers hear of those beyond."""
    chain = np.eye(7, k=1, dtype=bool) | np.eye(7, k=-1, dtype=bool)
    batch = batch_of([chain], budget=None)
    first = (np.arange(len(batch.index)) > 0).astype(np.int32)  # node 0 is a graph of its own
    batch = dataclasses.replace(batch, graph_index=first, graph_mask=np.ones(2, bool))
    for layers, reach in ((1, 1), (2, 3)):
        model = make(num_layers=layers)

        def own(features, model=model):
            return model(dataclasses.replace(batch, features=features))[0]

        felt = np.abs(jax.jit(jax.jacobian(own))(jnp.asarray(batch.features))).max((0, 2))
        assert (felt[: reach + 1] > 0).all()
        assert (felt[reach + 1 :] == 0).all()


def test_types_gradients_and_bad_input():
    batch = batch_of([cycles(5), np.zeros((2, 2), bool)], budget=None)
    single = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, batch)
    model = make()
    assert jax.eval_shape(model, single).dtype == jnp.float32
    assert jax.eval_shape(make(dtype=jnp.bfloat16), single).dtype == jnp.bfloat16

    @jax.jit
    @jax.grad
    def gradient(model):
        return jnp.sum(model(single) ** 2)

    leaves = jax.tree.leaves(gradient(model))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any(np.abs(leaf).max() > 0 for leaf in leaves)
    with pytest.raises(ValueError, match=r"expected node features \[nodes, 2\]"):
        make(2)(single)
    with pytest.raises(ValueError, match="three numbers of channels"):
        make(channels=(4, 4))
    with pytest.raises(ValueError, match="average_nodes above 0"):
        make(average_nodes=0.0)
