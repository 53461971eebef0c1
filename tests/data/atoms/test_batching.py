import dataclasses
import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from equinet.data.atoms import Budget, ShapeCounter, batches, collate, deal, round_up, to_graph

ELEMENTS = ("H", "C", "O")


@pytest.fixture
def graphs(make_configuration):
    cells = (None, 3.0, None, None, 2.5, None)
    configurations = [
        make_configuration(3 + 2 * i, seed=i, cell=cell) for i, cell in enumerate(cells)
    ]
    return [
        to_graph(configuration, cutoff=3.0, elements=ELEMENTS) for configuration in configurations
    ]


def take(tree, shard):
    return jax.tree.map(lambda array: array[shard], tree)


def edge_vectors(graph):
    """r_ij of every slot, by the definition in GraphBatch."""
    cell = graph.cell[graph.graph_index[graph.receivers]]
    shift = np.einsum("ek,ekx->ex", graph.shifts, cell)
    return graph.positions[graph.senders] + shift - graph.positions[graph.receivers]


def check_layout(graph, budget):
    nodes, degree = budget.nodes, budget.degree
    slots = np.arange(nodes * degree)
    assert graph.degree == degree
    assert graph.num_nodes == nodes
    assert graph.num_graphs == budget.graphs
    np.testing.assert_array_equal(graph.receivers, slots // degree)
    np.testing.assert_array_equal(graph.reverse[graph.reverse], slots)
    np.testing.assert_array_equal(graph.senders[graph.reverse], graph.receivers)
    np.testing.assert_array_equal(graph.shifts[graph.reverse], -graph.shifts)
    np.testing.assert_array_equal(graph.edge_mask[graph.reverse], graph.edge_mask)
    empty = ~graph.edge_mask
    np.testing.assert_array_equal(graph.reverse[empty], slots[empty])
    np.testing.assert_array_equal(graph.senders[empty], graph.receivers[empty])
    assert not graph.shifts[empty].any()
    assert np.all(np.diff(graph.graph_index) >= 0)
    assert np.all(graph.graph_index[~graph.node_mask] == budget.graphs - 1)
    assert not graph.positions[~graph.node_mask].any()
    senders = graph.graph_index[graph.senders]
    np.testing.assert_array_equal(senders, graph.graph_index[graph.receivers])


@pytest.mark.parametrize("shards", [1, 2, 3, 8])
def test_every_shard_has_the_layout_and_nothing_is_lost(graphs, shards):
    batch = collate(graphs, range(shards), shards=shards, dtype=np.float64)
    graph = batch["graph"]
    hands = deal([g.num_nodes for g in graphs], shards)
    budget = Budget(graph.num_nodes, graph.degree, graph.num_graphs)
    assert sorted(itertools.chain(*hands)) == list(range(len(graphs)))
    for shard, hand in enumerate(hands):
        one = take(graph, shard)
        check_layout(one, budget)
        assert one.graph_mask.sum() == len(hand)
        assert one.node_mask.sum() == sum(graphs[index].num_nodes for index in hand)
        for slot, index in enumerate(hand):
            expected = graphs[index]
            at = one.node_mask & (one.graph_index == slot)
            np.testing.assert_array_equal(one.species[at], expected.species)
            np.testing.assert_array_equal(one.positions[at], expected.centred)
            np.testing.assert_array_equal(one.cell[slot], expected.cell)
            edges = one.edge_mask & (one.graph_index[one.receivers] == slot)
            lengths = np.linalg.norm(edge_vectors(one)[edges], axis=1)
            theirs = expected.neighbours.distances(expected.positions, expected.cell)
            np.testing.assert_allclose(lengths, theirs, atol=1e-12)


def test_labels_and_weights_follow_their_graphs(graphs):
    graphs[1] = dataclasses.replace(graphs[1], energy=None)
    graphs[2] = dataclasses.replace(graphs[2], forces=None)
    batch = take(collate(graphs, [0], shards=1), 0)
    labels, weights, graph = batch["labels"], batch["weights"], batch["graph"]
    assert weights["energy"].tolist() == [1, 0, 1, 1, 1, 1]
    assert weights["stress"].tolist() == [0, 1, 0, 0, 1, 0]
    has_forces = graph.node_mask & (graph.graph_index != 2)
    np.testing.assert_array_equal(weights["forces"], has_forces.astype(np.float32))
    assert not labels["forces"][~has_forces].any()
    for slot, expected in enumerate(graphs):
        at = graph.node_mask & (graph.graph_index == slot)
        assert labels["energy"][slot] == np.float32(expected.energy or 0)
        if expected.forces is not None:
            np.testing.assert_array_equal(labels["forces"][at], np.float32(expected.forces))
        if expected.stress is not None:
            np.testing.assert_array_equal(labels["stress"][slot], np.float32(expected.stress))


def test_processes_agree_whatever_shards_they_build(graphs):
    whole = collate(graphs, range(4), shards=4)
    for which in (range(0, 2), range(2, 4), [3]):
        part = collate(graphs, which, shards=4)
        expected = take(whole, np.array(which))
        jax.tree.map(np.testing.assert_array_equal, part, expected)


def test_an_empty_shard_is_legal(graphs):
    batch = take(collate(graphs[:1], range(2), shards=2), 1)
    graph = batch["graph"]
    check_layout(graph, Budget(graph.num_nodes, graph.degree, graph.num_graphs))
    masks = (graph.node_mask, graph.edge_mask, graph.graph_mask, *batch["weights"].values())
    assert not any(mask.any() for mask in masks)
    assert collate([], range(1), shards=1)["graph"].num_graphs == 1


def test_float32_keeps_the_distances_of_molecules_far_away(make_configuration):
    near = make_configuration(9)
    far = dataclasses.replace(near, positions=near.positions + 1e4)
    graphs = [
        to_graph(configuration, cutoff=4.0, elements=ELEMENTS) for configuration in (near, far)
    ]
    graph = take(collate(graphs, [0], shards=1)["graph"], 0)
    assert graph.positions.dtype == graph.shifts.dtype == graph.cell.dtype == np.float32
    np.testing.assert_allclose(graph.positions[:9], graph.positions[9:18], atol=1e-6)


def test_a_sum_over_senders_needs_no_scatter(graphs):
    graph = take(collate(graphs, [0], shards=1)["graph"], 0)
    message = np.random.default_rng(0).normal(size=len(graph.senders)) * graph.edge_mask
    expected = np.zeros(graph.num_nodes)
    np.add.at(expected, graph.senders, message)
    found = message[graph.reverse].reshape(graph.num_nodes, graph.degree).sum(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_batches_are_pytrees_that_jit_takes(graphs):
    batch = collate(graphs, range(2), shards=2)
    energy = jax.jit(lambda batch: jnp.sum(batch["graph"].positions ** 2, axis=(1, 2)))(batch)
    expected = (batch["graph"].positions ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(energy, expected, rtol=1e-5)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(batch))
    kinds = {leaf.dtype for leaf in jax.tree.leaves(batch)}
    assert kinds == {np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)}


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(8, 40, 6), "shard 0 needs nodes=48"),
        (Budget(80, 2, 6), "shard 0 needs .* degree="),
        (Budget(80, 40, 5), r"shard 0 needs .* graphs=6; use Budget\.covering"),
    ],
)
def test_what_does_not_fit_is_refused(graphs, budget, message):
    with pytest.raises(ValueError, match=message):
        collate(graphs, [0], shards=1, budget=budget)


def test_bad_arguments(graphs):
    with pytest.raises(ValueError, match=r"which_shards=\[2\], expected among 0 to 1"):
        collate(graphs, [2], shards=2)
    with pytest.raises(ValueError, match="shards=0"):
        collate(graphs, [], shards=0)
    with pytest.raises(ValueError, match="at least one of each"):
        Budget(8, 0, 1)
    with pytest.raises(ValueError, match="0 graphs, batch_size=2"):
        Budget.covering([], 2)


@hypothesis.given(st.integers(0, 3000), st.integers(0, 200), st.integers(0, 9))
def test_round_up_covers_and_wastes_little(nodes, degree, graphs):
    budget = round_up(nodes, degree, graphs)
    assert budget.nodes >= nodes
    assert budget.nodes % 8 == 0
    assert budget.nodes <= max(8, nodes + 7, 1.125 * nodes)
    assert max(degree, 2) <= budget.degree < degree + 4
    assert budget.graphs == max(graphs, 1)
    assert round_up(budget.nodes, budget.degree, budget.graphs) == budget


def test_round_up_gives_few_sizes():
    assert len({round_up(nodes, 1, 1).nodes for nodes in range(1025, 2049)}) <= 8
    assert len({round_up(nodes, 1, 1).nodes for nodes in range(1, 4097)}) <= 56


@hypothesis.given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 9))
def test_deal_is_even(sizes, shards):
    hands = deal(sizes, shards)
    counts = [len(hand) for hand in hands]
    loads = [sum(sizes[index] for index in hand) for hand in hands]
    assert max(counts) - min(counts) <= 1
    assert max(loads) - min(loads) <= max(sizes, default=0)
    assert sorted(itertools.chain(*hands)) == list(range(len(sizes)))


def test_deal_goes_back_and_forth():
    assert deal([4, 3, 2, 1], 2) == [[0, 3], [1, 2]]
    assert deal([5, 5, 5], 2) == [[0], [1, 2]]


def test_one_covering_budget_serves_every_batch(graphs):
    counter = ShapeCounter()
    found = list(batches(graphs, 4, shards=2))
    assert [counter.add(batch) for batch in found] == [True, False]
    assert counter.count == 1
    assert sum(int(batch["graph"].graph_mask.sum()) for batch in found) == len(graphs)
    energies = [batch["labels"]["energy"][0] for batch in batches(graphs, 1)]
    expected = np.array([[graph.energy] for graph in graphs], np.float32)
    np.testing.assert_array_equal(energies, expected)


def test_shape_counter_tells_shapes_types_and_structures_apart(graphs):
    counter = ShapeCounter()
    for size in (1, 2, 2, 6):
        counter.add(collate(graphs[:size], [0], shards=1))
    assert counter.count == 3
    assert counter.add(collate(graphs, [0], shards=1, dtype=np.float64))
    assert counter.add({"other": np.zeros(3)})
    assert not counter.add({"other": np.ones(3)})
