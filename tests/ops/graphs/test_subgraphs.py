"""Ego-networks: members against breadth-first search, extract and insert against loops."""

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest

from equinet.data import EgoNetworks, SubgraphBudget, ego_networks, join_subgraphs
from equinet.ops.graphs import average_over_subgraphs, from_subgraphs, to_subgraphs


def random_graph(nodes: int, seed: int = 0, density: float = 0.3) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((nodes, nodes)) < density, 1)
    return upper | upper.T


def members(networks: EgoNetworks, node: int) -> list[int]:
    return networks.index[node][networks.mask[node]].tolist()


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_members_are_those_within_the_hops(hops):
    adjacency = random_graph(12, density=0.15)
    networks = ego_networks(adjacency, hops)
    graph = networkx.from_numpy_array(adjacency)
    for node in range(12):
        near = networkx.single_source_shortest_path_length(graph, node, cutoff=hops)
        assert sorted(members(networks, node)) == sorted(near)
        assert networks.index[node, 0] == node
        own = members(networks, node)
        size = len(own)
        inside = adjacency[np.ix_(own, own)]
        np.testing.assert_array_equal(networks.adjacency[node, :size, :size], inside)
        assert networks.adjacency[node].sum() == inside.sum()


def test_pairs_are_numbered_alike_in_all_subgraphs():
    networks = ego_networks(random_graph(9), 1)
    seen = {}
    for node in range(9):
        own = members(networks, node)
        for a, i in enumerate(own):
            for b, j in enumerate(own):
                number = int(networks.pairs[node, a, b])
                assert seen.setdefault((i, j), number) == number
    assert sorted(seen.values()) == list(range(networks.num_pairs))


def test_nodes_alone_and_graphs_in_parts():
    single = ego_networks(np.zeros((1, 1), bool), 3)
    assert (single.size, single.num_pairs, members(single, 0)) == (1, 1, [0])
    parts = np.zeros((5, 5), bool)
    parts[0, 1] = parts[1, 0] = parts[2, 3] = parts[3, 2] = True
    networks = ego_networks(parts, 4)
    assert [sorted(members(networks, i)) for i in range(5)] == [[0, 1], [0, 1], [2, 3], [2, 3], [4]]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("jit", [False, True])
def test_insert_is_the_mean_and_share_its_extract(order, jit, x64):
    networks = [ego_networks(random_graph(n, n), 1) for n in (6, 4)]
    batch = join_subgraphs(networks, [np.zeros((n, 1)) for n in (6, 4)])
    numbers, mask, entries = (
        (batch.index, batch.mask, len(batch.mask))
        if order == 1
        else (batch.pairs, batch.members, len(batch.pair_mask))
    )
    y = jax.random.normal(jax.random.key(0), (*mask.shape, 3), jnp.float64)
    y = jnp.where(jnp.asarray(mask)[..., None], y, jnp.nan)  # padding must not be looked at
    run = jax.jit(average_over_subgraphs, static_argnums=3) if jit else average_over_subgraphs
    shared = run(y, jnp.asarray(numbers), jnp.asarray(mask), entries)
    inserted = np.asarray(from_subgraphs(y, jnp.asarray(numbers), jnp.asarray(mask), entries))
    values = np.asarray(y)
    for entry in range(entries):
        places = np.argwhere((numbers == entry) & mask)
        expected = np.mean([values[tuple(place)] for place in places], 0) if len(places) else 0
        np.testing.assert_allclose(inserted[entry], expected, atol=1e-14)
    expected = np.where(mask[..., None], inserted[numbers], 0)
    np.testing.assert_allclose(np.asarray(shared), expected, atol=1e-14)
    # A scatter that feeds a matrix product, forwards and backwards, in one compiled function.
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)))

    def mixed(y):
        return average_over_subgraphs(y, jnp.asarray(numbers), jnp.asarray(mask), entries) @ weights

    np.testing.assert_allclose(jax.jit(mixed)(y), expected @ np.asarray(weights), atol=1e-13)
    zero = jnp.where(jnp.asarray(mask)[..., None], y, 0)
    tangent = jax.random.normal(jax.random.key(1), zero.shape, jnp.float64)
    gradient = jax.jit(jax.grad(lambda y: jnp.sum(jnp.sin(mixed(y)))))(zero)
    step = 1e-6
    difference = sum(
        sign * jnp.sum(jnp.sin(mixed(zero + sign * step * tangent))) for sign in (1, -1)
    )
    np.testing.assert_allclose(jnp.sum(gradient * tangent), difference / (2 * step), rtol=1e-7)


def test_extract_reads_every_pair_of_its_graph(x64):
    adjacency = random_graph(7)
    networks = ego_networks(adjacency, 2)
    batch = join_subgraphs([networks], [np.zeros((7, 0))])
    matrix = np.random.default_rng(1).normal(size=(7, 7))
    held = np.zeros((len(batch.pair_mask), 1))
    for node in range(7):
        own = members(networks, node)
        held[networks.pairs[node, : len(own), : len(own)], 0] = matrix[np.ix_(own, own)]
    found = to_subgraphs(jnp.asarray(held), jnp.asarray(batch.pairs), jnp.asarray(batch.members))
    for node in range(7):
        own = members(networks, node)
        size = len(own)
        np.testing.assert_array_equal(found[node, :size, :size, 0], matrix[np.ix_(own, own)])


def test_bad_input():
    with pytest.raises(ValueError, match=r"boolean adjacency \[n, n\] with n >= 1, got float64"):
        ego_networks(np.zeros((3, 3)), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="boolean adjacency"):
        ego_networks(np.zeros((0, 0), bool), 1)
    with pytest.raises(ValueError, match="symmetric"):
        ego_networks(np.eye(3, k=1, dtype=bool), 1)
    with pytest.raises(ValueError, match="hops >= 0, got -1"):
        ego_networks(np.zeros((3, 3), bool), -1)
    networks = ego_networks(np.zeros((3, 3), bool), 1)
    with pytest.raises(ValueError, match="raise the budget"):
        join_subgraphs([networks], [np.zeros((3, 0))], SubgraphBudget(2, 1, 3, 1))
    with pytest.raises(ValueError, match=r"expected features \(3, 1\), got \(2, 1\)"):
        join_subgraphs([networks], [np.zeros((2, 1))])
    with pytest.raises(ValueError, match="at least one of each"):
        SubgraphBudget(0, 1, 1, 1)
