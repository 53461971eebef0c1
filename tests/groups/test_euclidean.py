"""E(n) and SE(n): points move, directions turn."""

import jax
import jax.numpy as jnp
import numpy as np

from equinet.groups import SE, SO, E, O


def test_points_move_and_directions_turn(key: jax.Array) -> None:
    g = E(3).sample(key)
    p, q = jax.random.normal(key, (2, 3))
    linear, shift = E(3).linear_part(g), E(3).translation(g)
    np.testing.assert_allclose(E(3).act(g, p), linear @ p + shift, atol=1e-6)
    np.testing.assert_allclose(E(3).act(g, p) - E(3).act(g, q), linear @ (p - q), atol=1e-6)
    assert jnp.linalg.norm(shift) > 0.1


def test_homogeneous_puts_the_parts_together_and_broadcasts() -> None:
    linear = jnp.broadcast_to(jnp.eye(2), (4, 1, 2, 2))
    g = E(2).homogeneous(linear, jnp.ones((3, 2)))
    assert g.shape == (4, 3, 3, 3)
    np.testing.assert_array_equal(E(2).translation(g), np.ones((4, 3, 2)))
    np.testing.assert_array_equal(E(2).linear_part(g), np.broadcast_to(np.eye(2), (4, 3, 2, 2)))


def test_linear_groups() -> None:
    assert E(3).linear_group == O(3)
    assert SE(3).linear_group == SO(3)
    assert (E(3).vector_dim, E(3).matrix_dim) == (3, 4)


def test_se_refuses_a_reflection_and_both_refuse_a_projective_row(key: jax.Array) -> None:
    inversion = E(3).discrete_generators()[0]
    assert E(3).contains(inversion)
    assert not SE(3).contains(inversion)
    g = SE(3).sample(key)
    assert E(3).contains(g)
    assert not E(3).contains(g.at[-1, 0].set(0.5))


def test_translations_come_first_in_the_lie_algebra() -> None:
    v = jnp.arange(1.0, 7.0)
    expected = [[0, -6, 5, 1], [6, 0, -4, 2], [-5, 4, 0, 3], [0, 0, 0, 0]]
    np.testing.assert_array_equal(SE(3).hat(v), np.array(expected, np.float32))


def test_act_broadcasts_one_motion_over_many_points(key: jax.Array) -> None:
    g = SE(3).sample(key, (4,))
    points = jax.random.normal(key, (5, 3))
    moved = SE(3).act(g[:, None], points)
    assert moved.shape == (4, 5, 3)
    np.testing.assert_allclose(moved[2], SE(3).act(g[2], points), atol=1e-6)
