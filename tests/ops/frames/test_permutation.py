"""Frames of the symmetric group: sweeps of points, spectra of graphs, ties, canonical forms."""

import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from equinet.ops.frames import Frame, SortFrame, SpectralFrame, SweepFrame


def average(frame: Frame, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """A function of the order of points, averaged over a frame of points."""
    found = frame(x, mask)
    ordered = jnp.take_along_axis(x[..., None, :, :], found.elements[..., None], axis=-2)
    real = jnp.ones(x.shape[-2], bool) if mask is None else mask
    powers = jnp.where(jnp.sort(~real)[:, None], 0, jnp.arange(1.0, x.shape[-2] + 1)[:, None])
    value = jnp.sum(jnp.sin(ordered) * powers.astype(x.dtype)[None], axis=(-2, -1))
    return jnp.sum(found.weights * value, axis=-1)


def test_sweep_of_the_plane(x64: None) -> None:
    """n (n - 1) arcs: the weights are those that many directions find."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    frame = SweepFrame(5, 2)
    found = frame(x)
    assert found.elements.shape == (20, 5)
    np.testing.assert_allclose(found.weights.sum(), 1, atol=1e-14)
    angles = (np.arange(20_000) + 0.5) * 2 * np.pi / 20_000
    orders = np.argsort(np.stack([np.cos(angles), np.sin(angles)], -1) @ np.asarray(x).T, axis=-1)
    unique, counts = np.unique(orders, axis=0, return_counts=True)
    table = {tuple(o): w for o, w in zip(found.elements.tolist(), found.weights, strict=True)}
    assert len(unique) == 20
    for order, count in zip(unique.tolist(), counts, strict=True):
        np.testing.assert_allclose(table[tuple(order)], count / 20_000, atol=2e-4)
    shuffled = x[np.random.default_rng(1).permutation(5)]
    np.testing.assert_allclose(average(frame, shuffled), average(frame, x), atol=1e-13)


@pytest.mark.slow
def test_sweep_of_padded_and_coincident_points(x64: None) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    padded = jnp.concatenate([x, jnp.zeros((2, 2))])
    mask = jnp.asarray([True] * 4 + [False] * 2)
    expected = average(SweepFrame(4, 2), x)
    np.testing.assert_allclose(average(SweepFrame(6, 2), padded, mask), expected, atol=1e-13)
    twice = jnp.concatenate([x[:1], x])
    weights = SweepFrame(5, 2)(twice).weights
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-13)
    assert jnp.isfinite(jax.grad(lambda x: average(SweepFrame(5, 2), x))(twice)).all()
    np.testing.assert_allclose(SweepFrame(3, 2)(jnp.ones((3, 2))).weights.sum(), 1, atol=1e-13)


def test_drawn_directions_are_unbiased(x64: None, key: jax.Array) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    frame = SweepFrame(4, 2)
    drawn = frame.sample(x, key, 4000).elements
    found = frame(x)
    share = (drawn[:, None] == found.elements[None]).all(-1).mean(0)
    np.testing.assert_allclose(share, found.weights, atol=5 * 0.5 / 4000**0.5)
    with pytest.raises(ValueError, match="points in 3 dimensions to list them: use sample"):
        SweepFrame(4, 3)(jnp.ones((4, 3)))


def adjacency(graph: nx.Graph, size: int) -> jax.Array:
    """A padded adjacency matrix."""
    matrix = np.zeros((size, size))
    n = len(graph)
    matrix[:n, :n] = nx.to_numpy_array(graph)
    return jnp.asarray(matrix)


@pytest.mark.parametrize(
    "graph",
    [nx.path_graph(4), nx.star_graph(3), nx.disjoint_union(nx.path_graph(2), nx.path_graph(3))],
    ids=["path", "star", "disconnected"],
)
def test_all_orders_of_ties(graph: nx.Graph, x64: None) -> None:
    """Relabelling the nodes relabels the elements: the ordered matrices are the same set."""
    n = len(graph)
    mask = jnp.arange(6) < n
    matrix = adjacency(graph, 6)
    frame = SpectralFrame(6, size=24)
    found = frame(matrix, mask)
    assert not found.degenerate
    np.testing.assert_allclose(found.weights.sum(), 1)
    kept = np.asarray(found.elements[found.weights > 0])
    assert len({tuple(order) for order in kept.tolist()}) == len(kept)
    assert (np.sort(kept[:, :n]) == np.arange(n)).all()
    assert (kept[:, n:] >= n).all()
    relabel = np.concatenate([np.random.default_rng(0).permutation(n), np.arange(n, 6)])
    other = frame(matrix[relabel][:, relabel], mask)
    moved = {tuple(relabel[order]) for order in np.asarray(other.elements[other.weights > 0])}
    assert moved == {tuple(order) for order in kept.tolist()}


def test_minimal_frame_is_the_coset_of_the_symmetries(x64: None) -> None:
    """A cycle of four: 24 orders of its nodes, which are all tied, and 8 symmetries."""
    cycle = adjacency(nx.cycle_graph(4), 4)
    every, least = SpectralFrame(4, size=24)(cycle), SpectralFrame(4, size=24, minimal=True)(cycle)
    assert (every.weights > 0).sum() == 24
    assert (least.weights > 0).sum() == 8
    ordered = [cycle[order][:, order] for order in least.elements[least.weights > 0]]
    assert all((matrix == ordered[0]).all() for matrix in ordered)
    smallest = min(
        tuple(np.asarray(cycle)[np.ix_(p, p)].reshape(-1)) for p in itertools.permutations(range(4))
    )
    assert tuple(np.asarray(ordered[0]).reshape(-1)) == smallest


def test_more_ties_than_listed(x64: None, key: jax.Array) -> None:
    """Reported; drawn orders are spread evenly over all of them."""
    cycle = adjacency(nx.cycle_graph(4), 4)
    assert SpectralFrame(4, size=23)(cycle).degenerate
    drawn = SpectralFrame(4, size=1).sample(cycle, key, 4800)
    assert not drawn.degenerate
    counts = np.unique(np.asarray(drawn.elements), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert abs(counts - 200).max() < 5 * 200**0.5


def test_one_node_no_edges_and_batches() -> None:
    assert SpectralFrame(1)(jnp.zeros((1, 1))).elements[0].tolist() == [0]
    empty = SpectralFrame(3, size=6)(jnp.zeros((2, 3, 3)))
    assert not empty.degenerate.any()
    assert (empty.weights > 0).all()
    path = adjacency(nx.path_graph(3), 3).astype(jnp.float32)
    both = SpectralFrame(3, size=6)(jnp.stack([jnp.zeros((3, 3)), path]))
    assert (both.weights > 0).sum(-1).tolist() == [6, 2]


def test_sorted_points() -> None:
    x = jnp.asarray([[2.0, 0.0], [1.0, 5.0], [1.0, 3.0]])
    assert SortFrame(3)(x).elements.tolist() == [[2, 1, 0]]
    mask = jnp.asarray([True, True, False])
    assert SortFrame(3)(x, mask).elements.tolist() == [[1, 0, 2]]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 3, 3\], got \(2, 2\)"):
        SpectralFrame(3)(jnp.ones((2, 2)))
    with pytest.raises(ValueError, match="at least 1, got 3 and 0"):
        SpectralFrame(3, size=0)
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 3, 2\]"):
        SweepFrame(3, 2)(jnp.ones((3, 3)))
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 3, dim\]"):
        SortFrame(3)(jnp.ones((4, 2)))
