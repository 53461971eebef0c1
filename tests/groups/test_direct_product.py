"""Direct products: tuples, block diagonal matrices, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SO, DirectProduct, E, O, S


def test_products_are_flat_values() -> None:
    group = O(3) * S(4) * SO(2)
    assert group == DirectProduct((O(3), DirectProduct((S(4), SO(2)))))
    assert str(group) == "O(3) * S(4) * SO(2)"
    assert (group.vector_dim, group.is_orthogonal) == (9, True)
    assert (E(3) * S(2)).linear_group == O(3) * S(2)


def test_matrices_are_block_diagonal_and_points_move_in_their_factor() -> None:
    group = E(2) * S(3)
    g = group.sample(jax.random.key(0))
    matrix = group.linear_part(g)
    np.testing.assert_array_equal(matrix[:2, :2], E(2).linear_part(g[0]))
    np.testing.assert_array_equal(matrix[2:, 2:], S(3).linear_part(g[1]))
    np.testing.assert_array_equal(matrix[:2, 2:], 0)
    x = jnp.arange(5.0)
    moved = group.act(g, x)
    np.testing.assert_allclose(moved[:2], E(2).act(g[0], x[:2]), atol=1e-6)
    np.testing.assert_array_equal(moved[2:], S(3).act(g[1], x[2:]))


def test_generators_stand_in_one_factor_each() -> None:
    group = O(2) * SO(3)
    turn, rest = group.lie_algebra()
    assert (turn.shape, rest.shape) == ((4, 2, 2), (4, 3, 3))
    np.testing.assert_array_equal(turn[1:], 0)
    np.testing.assert_array_equal(rest[0], 0)
    flips, ones = group.discrete_generators()
    np.testing.assert_array_equal(flips, O(2).discrete_generators())
    np.testing.assert_array_equal(ones, np.eye(3)[None])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        DirectProduct((O(3),))
    with pytest.raises(ValueError, match="must be groups, got 3"):
        DirectProduct((O(3), 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        O(3) * 3  # type: ignore[operator]
    group = O(3) * S(4)
    assert not group.contains((O(3).identity(),))
    with pytest.raises(ValueError, match="is a tuple of 2 elements"):
        group.linear_part(jnp.eye(3))
