"""Nodes on groups: sums over them are integrals of Haar measure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import (
    SL,
    SO,
    Cyclic,
    Dihedral,
    GLPlus,
    Lorentz,
    O,
    S,
    Scalings,
    Similitudes,
    group_nodes,
    nodes_mass,
    polar,
    support_radius,
)

SAMPLED = [GLPlus(2), SL(2), Similitudes(2), Scalings(2), SO(2), SO(3), GLPlus(3), Scalings(3)]


def bump(g):
    """A function on a group that is not invariant, and nearly zero far from the identity."""
    n = g.shape[-1]
    far = (g * g).sum((-2, -1)) + (jnp.linalg.inv(g) ** 2).sum((-2, -1)) - 2 * n
    return jnp.exp(-3 * far) * (1 + 0.3 * g[..., 0, 1])


@pytest.mark.parametrize("group", SAMPLED, ids=str)
@pytest.mark.parametrize("points", ["random", "low_discrepancy", "equispaced", "translated"])
def test_nodes_lie_in_the_group_and_within_the_ball(group, points, key, x64):
    nodes = group_nodes(group, key, 50, scale=0.6, points=points)
    assert group.contains(nodes.elements, 1e-9).all()
    assert (nodes.weights > 0).all()
    assert len(np.unique(np.asarray(nodes.elements).reshape(50, -1).round(6), axis=0)) == 50
    stretch, _ = polar(nodes.elements)
    far = np.linalg.norm(np.log(np.linalg.eigvalsh(stretch)), axis=-1)
    assert far.max() <= support_radius(0.6, points=points) + 1e-9


@pytest.mark.parametrize("group", [GLPlus(2), SL(2), Similitudes(2)], ids=str)
@pytest.mark.parametrize(
    ("density", "scale", "count"), [("ball", 0.9, 40_000), ("normal", 0.4, 40_000)]
)
def test_weighted_sums_are_invariant(group, density, scale, count, key, x64):
    """Of f(h) and f(a h); without weights they are not."""
    nodes = group_nodes(group, key, count, scale=scale, density=density)
    v = jnp.arange(1.0, len(group.lie_algebra()) + 1)
    a = group.exp(group.hat(0.3 * v / jnp.linalg.norm(v)))
    plain, moved = bump(nodes.elements), bump(a @ nodes.elements)
    total = (nodes.weights * plain).sum()
    np.testing.assert_allclose((nodes.weights * moved).sum(), total, rtol=0.02)
    if density == "normal":  # in a ball the weights are nearly equal
        assert abs(moved.sum() / plain.sum() - 1) > 0.03
    wrong = nodes.weights * (nodes.elements**2).sum((-2, -1)) ** 2  # another measure
    assert abs((wrong * moved).sum() / (wrong * plain).sum() - 1) > 0.03


def test_the_two_densities_agree(key, x64):
    """A ball and a normal density are two ways to the same integral."""
    sums = [
        (nodes.weights * bump(nodes.elements)).sum()
        for nodes in (
            group_nodes(SL(2), key, 40_000, scale=1.5),
            group_nodes(SL(2), key, 40_000, scale=0.4, density="normal"),
        )
    ]
    np.testing.assert_allclose(sums[0], sums[1], rtol=0.01)


@pytest.mark.parametrize("group", SAMPLED, ids=str)
def test_masses(group, key, x64):
    """The sum of the weights is the volume of the ball, a little more by the growth of Haar."""
    nodes = group_nodes(group, key, 2000, scale=0.3)
    mass = nodes_mass(group, 0.3)
    assert mass * (1 - 1e-9) <= nodes.weights.sum() <= mass * 1.1


def test_equispaced_angles_are_distinct_and_even(key, x64):
    g = group_nodes(SO(2), key, 10, points="equispaced").elements
    angles = np.sort(np.arctan2(np.asarray(g[:, 1, 0]), np.asarray(g[:, 0, 0])))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 10, atol=1e-12)
    shifted = group_nodes(SO(2), jax.random.key(1), 10, points="equispaced").elements
    assert np.abs(np.asarray(g - shifted)).max() > 1e-3


@pytest.mark.parametrize("group", SAMPLED, ids=str)
def test_translated_nodes_have_the_same_relations_for_every_key(group, x64):
    """What kernels are asked for; those of random points change with the key."""

    def relations(key, points):
        g = group_nodes(group, jax.random.key(key), 6, points=points).elements
        return g, jnp.linalg.inv(g)[:, None] @ g

    (one, between), (two, again) = relations(1, "translated"), relations(2, "translated")
    assert np.abs(one - two).max() > 1e-2
    np.testing.assert_allclose(between, again, atol=1e-12)
    assert np.abs(relations(1, "random")[1] - relations(2, "random")[1]).max() > 1e-2


def test_sums_over_translated_rotations_have_the_mean_of_the_integral(x64):
    """Over many keys, however few the nodes; the sum of a single key is off."""
    keys = jax.random.split(jax.random.key(3), 2000)

    def total(key):
        nodes = group_nodes(SO(3), key, 3, points="translated")
        return (nodes.weights * nodes.elements[:, 0, 1] ** 2).sum()

    sums = jax.jit(jax.vmap(total))(keys)
    spread = float(sums.std())
    assert spread > 0.05
    np.testing.assert_allclose(sums.mean(), 1 / 3, atol=4 * spread / np.sqrt(len(keys)))


def test_sequences_integrate_better_than_random_points(x64):
    errors = {}
    for points in ("random", "low_discrepancy"):
        sums = [
            (nodes.weights * bump(nodes.elements) ** 0.2).sum()
            for nodes in (
                group_nodes(GLPlus(2), jax.random.key(k), 100, scale=0.5, points=points)
                for k in range(20)
            )
        ]
        errors[points] = np.std(sums) / np.mean(sums)
    assert errors["low_discrepancy"] < 0.6 * errors["random"]


@pytest.mark.parametrize("group", [Cyclic(5), Dihedral(3), S(3)], ids=str)
def test_finite_groups_have_all_their_elements(group):
    nodes = group_nodes(group)
    assert nodes.elements.shape == (group.order, group.vector_dim, group.vector_dim)
    np.testing.assert_allclose(nodes.weights, 1 / group.order)


def test_types_and_jit(key):
    nodes = jax.jit(lambda key: group_nodes(GLPlus(2), key, 7, dtype=jnp.float32))(key)
    again = group_nodes(GLPlus(2), key, 7, dtype=jnp.float32)
    assert nodes.elements.dtype == nodes.weights.dtype == jnp.float32
    np.testing.assert_allclose(nodes.elements, again.elements, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((Lorentz(), 0, 5), {}, "nodes exist for"),
        ((O(2), 0, 5), {}, "nodes exist for"),
        ((GLPlus(4), 0, 5), {}, "n up to 3"),
        ((GLPlus(2), None, 5), {}, "no key and 5"),
        ((GLPlus(2), 0, 0), {}, "at least 1"),
        ((GLPlus(2), 0, 5), {"scale": 0.0}, "positive number"),
        ((GLPlus(2), 0, 5), {"density": "flat"}, "density"),
        ((GLPlus(2), 0, 5), {"points": "sobol"}, "points"),
        ((Cyclic(4), None, 5), {}, "its 4 elements"),
    ],
)
def test_bad_input(arguments, options, match):
    group, seed, count = arguments
    key = None if seed is None else jax.random.key(seed)
    with pytest.raises(ValueError, match=match):
        group_nodes(group, key, count, **options)
