"""S(n): images, matrices, ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import S


def test_conventions() -> None:
    g, h = jnp.asarray([1, 2, 0, 3]), jnp.asarray([0, 3, 1, 2])
    x = jnp.asarray([10.0, 20.0, 30.0, 40.0])
    np.testing.assert_array_equal(S(4).compose(g, h), [g[h[i]] for i in range(4)])
    moved = S(4).act(g, x)
    for i in range(4):
        assert moved[g[i]] == x[i]
        assert S(4).linear_part(g)[g[i], i] == 1
    np.testing.assert_array_equal(S(4).linear_part(g) @ x, moved)


def test_act_broadcasts_and_keeps_integers() -> None:
    g = S(5).sample(jax.random.key(0), (3, 1))
    moved = S(5).act(g, jnp.arange(20).reshape(4, 5))
    assert moved.shape == (3, 4, 5)
    assert moved.dtype == jnp.int32


def test_membership() -> None:
    rows = jnp.asarray([[0, 1, 2], [0, 0, 2], [1, 2, 3]])
    np.testing.assert_array_equal(S(3).contains(rows), [True, False, False])
    assert not S(3).contains(jnp.arange(4))
    assert not S(3).contains(jnp.arange(3.0))


def test_large_n_needs_no_list() -> None:
    g = S(200).sample(jax.random.key(0), (4,))
    assert S(200).contains(g).all()
    with pytest.raises(ValueError, match="too many to list"):
        S(11).elements()
    with pytest.raises(ValueError, match="exceed int32"):
        S(13).index(jnp.arange(13))
    assert S(12).index(jnp.arange(12)[::-1]) == S(12).order - 1
