"""O(n) and SO(n): conventions, Haar measure, and what tells them apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SO, O


def test_so3_basis_is_the_cross_product() -> None:
    v, w = np.array([0.3, -1.2, 0.7]), np.array([1.1, 0.4, -0.5])
    for group in (O(3), SO(3)):
        hat = np.einsum("d,dij->ij", v, group.lie_algebra())
        np.testing.assert_allclose(hat @ w, np.cross(v, w), atol=1e-15)


def test_so2_basis_turns_x_towards_y() -> None:
    np.testing.assert_array_equal(SO(2).lie_algebra(), [[[0.0, -1.0], [1.0, 0.0]]])


def test_so_is_the_proper_half_of_o(key: jax.Array) -> None:
    g = O(3).sample(key, (4000,))
    proper = SO(3).contains(g)
    assert 0.45 < proper.mean() < 0.55
    np.testing.assert_array_equal(proper, jnp.linalg.det(g) > 0)
    assert SO(3).contains(SO(3).sample(key, (4000,))).all()


def test_inversion_generates_o_in_odd_dimension_and_a_reflection_in_even() -> None:
    np.testing.assert_array_equal(O(3).discrete_generators(), [-np.eye(3)])
    np.testing.assert_array_equal(O(2).discrete_generators(), [np.diag([-1.0, 1.0])])


@pytest.mark.parametrize("group", [O(2), SO(2), O(3), SO(3)], ids=str)
def test_haar_moments(group: O | SO, key: jax.Array) -> None:
    """Haar moments of traces count invariants of tensor powers of the vector."""
    trace = jnp.trace(group.sample(key, (20_000,)), axis1=-2, axis2=-1)
    moments = [float((trace**p).mean()) for p in (1, 2, 3, 4)]
    expected = {O(2): [0, 1, 0, 3], SO(2): [0, 2, 0, 6], O(3): [0, 1, 0, 3], SO(3): [0, 1, 1, 3]}
    np.testing.assert_allclose(moments, expected[group], atol=0.15)


def test_a_sampler_without_the_sign_fix_fails_the_moments(key: jax.Array) -> None:
    q, _ = jnp.linalg.qr(jax.random.normal(key, (20_000, 3, 3)))
    assert abs(float(jnp.trace(q, axis1=-2, axis2=-1).mean())) > 0.3
