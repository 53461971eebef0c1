"""Invariants of positions and orientations, polynomials, and the convolutions against sums."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SE, SO
from equinet.ops.orientations import (
    convolve_orientations,
    convolve_positions,
    fibonacci,
    pair_invariants,
    polyhedron,
    slot_features,
    spatial_invariants,
)
from equinet.ops.orientations._polynomials import (
    disc_nodes,
    disc_polynomials,
    monomials,
    polynomial_features,
)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("dim", [2, 3])
def test_invariant_under_rotations_and_translations(dim: int, x64: None, key: jax.Array) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, dim))
    o, p = unit(rng.normal(size=(2, 50, dim)))
    elements = np.asarray(SE(dim).sample(key, (50,)))
    turn, shift = elements[:, :dim, :dim], elements[:, :dim, dim]

    def moved(points: np.ndarray, by: np.ndarray | float) -> np.ndarray:
        return np.einsum("bij,bj->bi", turn, points) + by

    chiral = {"chiral": dim == 3}
    before = pair_invariants(jnp.asarray(y - x), jnp.asarray(o), jnp.asarray(p), **chiral)
    r = jnp.asarray(moved(y, shift) - moved(x, shift))
    after = pair_invariants(r, jnp.asarray(moved(o, 0)), jnp.asarray(moved(p, 0)), **chiral)
    assert before.shape == (50, 5 if dim == 3 else 4)
    np.testing.assert_allclose(after, before, atol=1e-14)
    unturned = pair_invariants(r, jnp.asarray(o), jnp.asarray(p), **chiral)
    assert np.abs(unturned - before).max() > 0.1


def test_reflections_change_only_the_sign_of_the_last(x64: None) -> None:
    rng = np.random.default_rng(1)
    r, o, p = (jnp.asarray(v) for v in (rng.normal(size=(9, 3)), *unit(rng.normal(size=(2, 9, 3)))))
    found, mirrored = (pair_invariants(s * r, s * o, s * p, chiral=True) for s in (1, -1))
    np.testing.assert_allclose(mirrored[:, :4], found[:, :4], atol=1e-14)
    np.testing.assert_allclose(mirrored[:, 4], -found[:, 4], atol=1e-14)


def test_the_fourth_invariant_is_needed(x64: None) -> None:
    """Two pairs that differ by a torsion alone: equal a1, a2, a3 and another a4."""
    o = jnp.array([0.0, 0.0, 1.0])
    r = jnp.array([1.0, 0.0, 0.5])
    turned = [jnp.array([0.6 * math.cos(t), 0.6 * math.sin(t), 0.8]) for t in (0.3, 1.9)]
    first, second = (pair_invariants(r, o, p) for p in turned)
    np.testing.assert_allclose(first[:3], second[:3], atol=1e-15)
    assert abs(first[3] - second[3]) > 0.5
    # and it is what the torsion says
    a1, a2, a3, a4 = first
    np.testing.assert_allclose(a4, a1 * a3 + a2 * math.sqrt(1 - a3**2) * math.cos(0.3), atol=1e-15)


def test_sign_of_the_second_invariant_in_the_plane(x64: None) -> None:
    o = jnp.array([1.0, 0.0])
    assert spatial_invariants(jnp.array([2.0, 3.0]), o).tolist() == [2.0, 3.0]
    assert spatial_invariants(jnp.array([2.0, -3.0]), o).tolist() == [2.0, -3.0]


@pytest.mark.parametrize("r", [np.zeros(3), np.array([0.0, 0.0, 2.0])])
def test_finite_derivatives_at_coincident_points_and_on_the_axis(r: np.ndarray, x64: None) -> None:
    o = jnp.array([0.0, 0.0, 1.0])

    def energy(r: jax.Array, o: jax.Array) -> jax.Array:
        a = polynomial_features(pair_invariants(r, o, o[::-1], chiral=True), 3)
        return jnp.sum(a * jnp.arange(1.0, 1 + a.shape[-1]))

    first = jax.grad(energy, (0, 1))(jnp.asarray(r), o)
    second = jax.jacrev(jax.grad(energy))(jnp.asarray(r), o)
    assert all(np.isfinite(a).all() for a in (*first, second))
    assert np.abs(second).max() > 0


def test_polynomial_features_are_the_monomials(x64: None) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3))
    found = polynomial_features(jnp.asarray(x), 4)
    assert found.shape == (5, math.comb(3 + 4, 4) - 1)
    expected = [np.prod(x[:, list(factors)], axis=-1) for factors in monomials(3, 4)]
    np.testing.assert_allclose(found, np.stack(expected, -1), rtol=1e-14)
    assert len(set(monomials(3, 4))) == len(monomials(3, 4))


@pytest.mark.parametrize("half", [False, True])
def test_interpolation_on_the_disc(half: bool, x64: None) -> None:
    nodes, matrix = disc_nodes(7, half)
    assert np.linalg.norm(nodes, axis=-1).max() <= 1
    assert (nodes[:, 1].min() >= 0) == half
    rng = np.random.default_rng(0)
    x = unit(rng.normal(size=(50, 2))) * np.sqrt(rng.uniform(size=(50, 1)))
    x[:, 1] = np.abs(x[:, 1]) if half else x[:, 1]

    table = disc_polynomials(jnp.asarray(x), 7, half=half)
    assert np.abs(table @ matrix).sum(-1).max() < 20  # how much a change of values can grow

    def error(function) -> float:
        return np.abs(table @ (matrix @ function(nodes)) - function(x)).max()

    assert error(lambda a: (a[:, 0] - 0.3) ** 4 * (a[:, 1] + 0.2) ** 3) < 1e-13
    smooth = error(lambda a: np.tanh(a[:, 0] + 0.7 * a[:, 1]))
    assert 1e-8 < smooth < 1e-2  # no polynomial, but close to one


SHAPES = [(3, 4, 4), (2, 5, 5), (1, 6, 3)]


@pytest.mark.parametrize("block_bytes", [None, 1, 400])
@pytest.mark.parametrize(("batch", "senders", "receivers"), SHAPES)
def test_convolution_against_the_sum(
    batch: int, senders: int, receivers: int, block_bytes: int | None, x64: None
) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(batch, senders, receivers, 6, 5))
    weights = rng.normal(size=(5, 2))
    for own in (1, receivers):  # senders that all receivers share, and senders of their own
        x = rng.normal(size=(batch, senders, own, 6, 2))
        spread = np.broadcast_to(x, (batch, senders, receivers, 6, 2))
        expected = np.einsum("bjiop,pc,bjioc->bioc", kernel, weights, spread)
        arrays = [jnp.asarray(a) for a in (kernel, weights, x)]
        found = convolve_positions(*arrays, block_bytes=block_bytes)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("block_bytes", [None, 1])
def test_antipodes_give_the_same_for_half(block_bytes: int | None, x64: None) -> None:
    """Any kernel of (r, o) with k(-r, -o) = k(r, o), values and gradients."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2, 4, 4, 3, 5))
    full = jnp.asarray(np.concatenate([half, half.swapaxes(1, 2)], axis=-2))
    weights, x = (jnp.asarray(rng.normal(size=s)) for s in ((5, 2), (2, 4, 1, 6, 2)))

    def loss(kernel: jax.Array, weights: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(convolve_positions(kernel, weights, x, block_bytes=block_bytes)))

    expected = convolve_positions(full, weights, x)
    found = convolve_positions(jnp.asarray(half), weights, x, block_bytes=block_bytes)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    ours = jax.grad(loss, (1, 2))(jnp.asarray(half), weights, x)
    theirs = jax.grad(loss, (1, 2))(full, weights, x)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    unsymmetric = jnp.concatenate([full[..., :3, :], full[..., :3, :]], axis=-2)
    assert np.abs(convolve_positions(unsymmetric, weights, x) - found).max() > 0.1


def test_slots_hold_the_senders() -> None:
    x = jnp.arange(4.0).reshape(4, 1, 1)
    senders = jnp.array([[1, 2], [0, 0], [3, 1], [3, 3]])
    found = slot_features(x, senders)[0, ..., 0, 0]
    assert found.tolist() == [[1, 0, 3, 3], [2, 0, 1, 3]]


def test_sums_of_short_types_accumulate_in_float32() -> None:
    kernel = jnp.ones((1, 600, 1, 1, 1), jnp.bfloat16)
    found = convolve_positions(kernel, jnp.ones((1, 1), jnp.bfloat16), kernel, block_bytes=1)
    assert found.dtype == jnp.bfloat16
    assert float(found[0, 0, 0, 0]) == 600


def test_spherical_convolution_commutes_with_the_grid(x64: None) -> None:
    grid = polyhedron("icosahedron")
    rng = np.random.default_rng(0)
    cosines = grid.points @ grid.points.T
    kernel = jnp.asarray(cosines[..., None] ** np.arange(4))
    x = rng.normal(size=(3, 12, 4))
    expected = np.einsum("poc,noc->npc", kernel, x) / 12
    np.testing.assert_allclose(convolve_orientations(kernel, jnp.asarray(x)), expected, atol=1e-14)
    for permutation in grid.symmetries()[1][:5]:
        inverse = np.argsort(permutation)
        found = convolve_orientations(kernel, jnp.asarray(x[:, inverse]))
        np.testing.assert_allclose(found, expected[:, inverse], atol=1e-14)


def test_spherical_invariants_of_other_grids_are_not_permuted(key: jax.Array, x64: None) -> None:
    turn = np.asarray(SO(3).sample(key))
    points = fibonacci(12).points
    overlaps = (points @ turn.T) @ points.T
    assert all(overlaps[k].max() < 1 - 1e-3 for k in range(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spatial_invariants(jnp.ones(4), jnp.ones(4)), "2 or both have 3"),
        (lambda: spatial_invariants(jnp.ones(3), jnp.ones(2)), "2 or both have 3"),
        (lambda: pair_invariants(*[jnp.ones(2)] * 3, chiral=True), "no fifth invariant"),
        (lambda: polynomial_features(jnp.ones(2), 0), "at least 1, got 0"),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_monomials_are_in_order() -> None:
    degrees = [len(factors) for factors in monomials(2, 3)]
    assert degrees == sorted(degrees)
    assert all(factors == tuple(sorted(factors)) for factors in monomials(3, 3))
    pairs = itertools.pairwise(f for f in monomials(3, 3) if len(f) == 2)
    assert all(a < b for a, b in pairs)
