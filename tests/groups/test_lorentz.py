"""Logarithms of Lorentz transformations, for large rapidities too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import FullLorentz, Lorentz, boost


@pytest.mark.parametrize("rapidity", [0.0, 1e-4, 1.0, 7.0, 8.0, 10.0, 12.0, 15.0])
def test_float32_keeps_large_rapidities(rapidity: float) -> None:
    direction = np.array([0.6, 0.0, -0.8], np.float32)
    v = Lorentz().log_coordinates(boost(jnp.asarray(rapidity * direction)))
    expected = np.concatenate([rapidity * direction, np.zeros(3)])
    np.testing.assert_allclose(v, expected, rtol=3e-6, atol=2e-5)


def test_logarithms_undo_exponentials_up_to_rotations_by_pi(x64: None) -> None:
    group = Lorentz()
    v = 2 * jax.random.normal(jax.random.key(0), (200, 6))
    v = v * jnp.minimum(1, 3 / jnp.linalg.norm(v[:, 3:], axis=1, keepdims=True))
    special = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 0, 0, 2, 0, 0]]
    v = jnp.concatenate([v, 1e-7 * v, jnp.asarray(special, float)])
    found = jax.jit(group.log_coordinates)(group.exp_coordinates(v))
    np.testing.assert_allclose(found, v, atol=1e-11)
    half_turn = jnp.asarray([0, 0, 0, np.pi, 0, 0])  # of which there are two logarithms
    found = group.log_coordinates(group.exp_coordinates(half_turn))
    np.testing.assert_allclose(jnp.abs(found), half_turn, atol=1e-14)


def test_other_components_have_no_logarithm() -> None:
    signs = jnp.asarray([[1.0, -1, -1, -1], [-1, 1, 1, 1], [-1, -1, -1, -1], [1, 1, 1, -1]])
    g = jnp.eye(4)[None] * signs[:, None]
    assert FullLorentz().contains(g).all()
    assert jnp.isnan(jax.jit(FullLorentz().log_coordinates)(g)).all()
    with pytest.raises(ValueError, match="without a real principal logarithm"):
        FullLorentz().log_coordinates(g)
