"""Eigenvectors of symmetric matrices: derivatives of every order and mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.linalg import safe_eigh


def test_eigenvectors_have_the_derivative_of_eigh(x64: None) -> None:
    a = np.random.default_rng(0).normal(size=(3, 3))
    a = jnp.asarray(a + a.T)
    found = jax.jacobian(lambda a: safe_eigh(a)[1] ** 2)(a)
    expected = jax.jacobian(lambda a: jnp.linalg.eigh((a + a.T) / 2)[1][:, ::-1] ** 2)(a)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    values = jax.jacobian(lambda a: safe_eigh(a)[0])(a)
    expected = jax.jacobian(lambda a: jnp.linalg.eigh((a + a.T) / 2)[0][::-1])(a)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    again = jax.hessian(lambda a: jnp.sum(safe_eigh(a)[1] ** 4))(jnp.eye(3))
    assert jnp.isfinite(again).all()


def test_reverse_mode_gives_the_second_derivatives_of_forward_mode(x64: None) -> None:
    a = np.random.default_rng(0).normal(size=(3, 3))
    a = jnp.asarray(a @ a.T)
    weights = jnp.arange(9.0).reshape(3, 3)

    def f(a: jax.Array) -> jax.Array:
        values, vectors = safe_eigh(a)
        return jnp.sin(vectors * weights).sum() + (values**3).sum()

    def reference(a: jax.Array) -> jax.Array:
        values, vectors = jnp.linalg.eigh((a + a.T) / 2)
        vectors = vectors[:, ::-1]
        return jnp.sin(vectors * weights).sum() + (values**3).sum()

    expected = jax.jacfwd(jax.jacfwd(reference))(a)
    assert jnp.abs(expected).max() > 1
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            found = jax.jit(outer(inner(f)))(a)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("values", [(2.0, 2.0, 1.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_equal_eigenvalues_have_finite_derivatives_of_moderate_size(
    values: tuple[float, ...], x64: None
) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    a = jnp.asarray(turn * np.array(values) @ turn.T)
    function = lambda a: jnp.sum(safe_eigh(a)[1] ** 4)  # noqa: E731
    for derivative in (jax.jacrev(function), jax.jacrev(jax.grad(function))):
        found = np.asarray(jax.jit(derivative)(a))
        assert np.abs(found).max() < 100  # control: 1 / gap would be 1e15


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_short_dtypes_are_computed_in_float32(dtype: jnp.dtype) -> None:
    a = jnp.diag(jnp.asarray([1.0, 3.0, 2.0], dtype))
    values, vectors = safe_eigh(a)
    assert values.dtype == vectors.dtype == dtype
    assert values.tolist() == [3, 2, 1]
