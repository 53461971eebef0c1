"""Norm and direction: right away from zero, finite to second order at it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.linalg import safe_norm, safe_normalize


def test_values(x64: None) -> None:
    x = jax.random.normal(jax.random.key(0), (4, 3, 2))
    for axis in (-1, 1, 0):
        np.testing.assert_allclose(safe_norm(x, axis), np.linalg.norm(x, axis=axis), rtol=1e-15)
        unit = safe_normalize(x, axis)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=axis), 1, rtol=1e-15)
        np.testing.assert_allclose(unit * safe_norm(x, axis, keepdims=True), x, rtol=1e-14)


def test_zero_next_to_a_vector(x64: None) -> None:
    x = jnp.array([[0.0, 0.0, 0.0], [0.0, -3.0, 4.0]])
    for function in (safe_norm, safe_normalize):
        np.testing.assert_array_equal(function(x)[0], 0)
        first = jax.jacrev(function)
        for derivative in (first, jax.jacfwd(first), jax.jacrev(first)):
            value = np.asarray(jax.jit(derivative)(x))
            assert np.isfinite(value).all()
            assert not value[0].any()
            assert value[1].any()


def test_derivatives_away_from_zero_are_those_of_the_norm(x64: None) -> None:
    x = jnp.array([1.0, -2.0, 2.0])
    n = x / 3
    projector = np.eye(3) - np.outer(n, n)
    np.testing.assert_allclose(jax.grad(safe_norm)(x), n, rtol=1e-15)
    np.testing.assert_allclose(jax.hessian(safe_norm)(x), projector / 3, atol=1e-15)
    np.testing.assert_allclose(jax.jacrev(safe_normalize)(x), projector / 3, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e-12])
def test_tiny_vectors_stay_finite_in_float32(scale: float) -> None:
    x = jnp.array([scale, 0.0, 0.0], jnp.float32)
    for function in (safe_norm, safe_normalize):
        assert np.isfinite(function(x)).all()
        assert np.isfinite(jax.jacrev(function)(x)).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype: jnp.dtype) -> None:
    x = jnp.ones((5, 3), dtype)
    assert safe_norm(x).dtype == safe_normalize(x).dtype == dtype
