"""Kronecker products and block-diagonal matrices against numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from equinet.linalg import block_diagonal, kron


def test_values_are_those_of_numpy_and_scipy(x64: None) -> None:
    a = jax.random.normal(jax.random.key(0), (2, 3))
    b = jax.random.normal(jax.random.key(1), (3, 3))
    np.testing.assert_array_equal(kron(a, b), np.kron(a, b))
    found = block_diagonal(jnp.zeros((0, 0)), [(2, b), (1, a[:, :2]), (0, b)])
    np.testing.assert_array_equal(found, scipy.linalg.block_diag(b, b, a[:, :2]))


def test_batch_axes_broadcast_and_the_corner_gives_the_dtype() -> None:
    corner = jnp.zeros((5, 0, 0), jnp.float16)
    found = block_diagonal(corner, [(1, jnp.ones((2, 2))), (3, jnp.ones((5, 1, 1)))])
    assert found.shape == (5, 5, 5)
    assert found.dtype == jnp.float16
    assert block_diagonal(corner, []).shape == (5, 0, 0)
