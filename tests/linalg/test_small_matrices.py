"""Linear algebra of small matrices, few and many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.linalg import small_matrices as small

sizes = pytest.mark.parametrize("n", [1, 2, 3, 4, 5])


@sizes
@pytest.mark.parametrize("count", [3, small.FEW])
def test_products_inverses_and_determinants(n: int, count: int, x64: None) -> None:
    a = jax.random.normal(jax.random.key(n), (count, n, n)) + 2 * jnp.eye(n)[None]
    product, inverse, determinant = jax.jit(
        lambda a: (small.matmul(a, a[::-1]), small.inverse(a), small.determinant(a))
    )(a)
    np.testing.assert_allclose(product, np.asarray(a) @ np.asarray(a)[::-1], atol=1e-13)
    np.testing.assert_allclose(determinant, np.linalg.det(a), rtol=1e-11, atol=1e-12)
    one = np.broadcast_to(np.eye(n), a.shape)
    good = np.abs(np.linalg.det(a)) > 0.1
    np.testing.assert_allclose((a @ inverse)[good], one[good], atol=1e-10)


def test_batch_axes_broadcast(x64: None) -> None:
    a = jax.random.normal(jax.random.key(0), (20, 1, 2, 3))
    b = jax.random.normal(jax.random.key(1), (20, 3, 4))
    np.testing.assert_allclose(small.matmul(a, b), np.asarray(a) @ np.asarray(b), atol=1e-14)
    x = jax.random.normal(jax.random.key(2), (3,))
    np.testing.assert_allclose(small.apply(a, x), np.asarray(a) @ np.asarray(x), atol=1e-14)


def test_exponential_agrees_with_scipy_at_every_norm(x64: None) -> None:
    a = jax.random.normal(jax.random.key(0), (5, 3, 3))
    a = (a - a.mT) * jnp.asarray([0.0, 1e-8, 0.3, 5.0, 400.0])[:, None, None]
    a = a + 0.1 * jnp.eye(3)[None]
    expected = jax.jit(lambda a: jax.scipy.linalg.expm(a, max_squarings=24))(a)
    np.testing.assert_allclose(jax.jit(small.expm)(a), expected, atol=1e-11)
    assert jnp.isnan(small.expm(1e5 * jnp.eye(2))).all()


def test_phi1_is_the_divided_exponential(x64: None) -> None:
    a = (
        jax.random.normal(jax.random.key(0), (4, 3, 3))
        * jnp.asarray([0, 0.1, 1, 8.0])[:, None, None]
    )
    phi, exp = jax.jit(lambda a: (small.phi1(a), small.expm(a)))(a)
    one = np.broadcast_to(np.eye(3), a.shape)
    np.testing.assert_allclose(a @ phi, exp - one, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(phi[0], np.eye(3))


def test_derivatives_at_zero(x64: None) -> None:
    zero = jnp.zeros((2, 2))
    second = jax.jit(jax.hessian(lambda a: small.expm(a)[0, 0]))(zero)
    expected = np.zeros((2, 2, 2, 2))
    expected[0, 0, 0, 0] = 1.0
    expected[0, 1, 1, 0] = expected[1, 0, 0, 1] = 0.5
    np.testing.assert_allclose(second, expected, atol=1e-14)


def test_roots_and_logarithms(x64: None) -> None:
    a = jax.random.normal(jax.random.key(0), (6, 3, 3)) * 0.6
    g = small.expm(a)
    root = small.sqrtm(g)
    np.testing.assert_allclose(root @ root, g, atol=1e-12)
    np.testing.assert_allclose(small.expm(small.logm(g)), g, atol=1e-12)
    assert jnp.isnan(small.logm(-jnp.diag(jnp.asarray([1.0, 2.0])))).all()
