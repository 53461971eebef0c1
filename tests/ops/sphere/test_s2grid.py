"""The grid is exact up to its degree and not beyond."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.sphere import S2Grid, gauss_legendre_grid
from equinet.reps import spherical_harmonics


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 8])
def test_integrates_harmonics_up_to_the_degree(degree: int, x64: None) -> None:
    points, weights = gauss_legendre_grid(degree)
    assert points.shape == ((degree // 2 + 1) * (degree + 1), 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-15)
    means = weights @ np.asarray(spherical_harmonics(degree + 2, jnp.asarray(points)))
    expected = np.eye((degree + 3) ** 2)[0]
    exact = (degree + 1) ** 2
    np.testing.assert_allclose(means[:exact], expected[:exact], atol=1e-14)
    assert np.abs(means[exact:]).max() > 0.1


def test_products_of_harmonics_are_orthonormal(x64: None) -> None:
    points, weights = gauss_legendre_grid(6)
    harmonics = np.asarray(spherical_harmonics(3, jnp.asarray(points)))
    gram = harmonics.T @ (weights[:, None] * harmonics)
    np.testing.assert_allclose(gram, np.eye(16), atol=1e-14)


def test_read_only_float64() -> None:
    assert jnp.asarray(0.0).dtype == jnp.float32
    for table in gauss_legendre_grid(4):
        assert table.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_negative_degree() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        gauss_legendre_grid(-1)


@pytest.mark.parametrize(("lmax", "degree"), [(0, 0), (1, 2), (3, 6), (4, 13), (6, 12)])
def test_to_the_grid_and_back_by_both_methods(
    lmax: int, degree: int, key: jax.Array, x64: None
) -> None:
    x = jax.random.normal(key, (2, (lmax + 1) ** 2, 3), jnp.float64)
    dense, separable = S2Grid(degree), S2Grid(degree, "separable")
    assert dense.num_points == len(dense.points) == len(dense.weights)
    values = dense.to_grid(x)
    by_hand = np.asarray(spherical_harmonics(lmax, jnp.asarray(dense.points))) @ np.asarray(x)
    np.testing.assert_allclose(values, by_hand, atol=1e-12)
    np.testing.assert_allclose(separable.to_grid(x), by_hand, atol=1e-12)
    np.testing.assert_allclose(dense.from_grid(values, lmax), x, atol=1e-12)
    np.testing.assert_allclose(separable.from_grid(values, lmax), x, atol=1e-12)
    # A function with more than the grid carries: both methods alias it alike.
    rough = jax.random.normal(key, (dense.num_points, 1), jnp.float64)
    np.testing.assert_allclose(
        separable.from_grid(rough, lmax), dense.from_grid(rough, lmax), atol=1e-12
    )


def test_one_degree_less_is_wrong(key: jax.Array, x64: None) -> None:
    """The bound of ``check`` is sharp."""
    points, weights = gauss_legendre_grid(5)
    harmonics = np.asarray(spherical_harmonics(3, jnp.asarray(points)))
    gram = harmonics.T @ (weights[:, None] * harmonics)
    assert np.abs(gram - np.eye(16)).max() > 0.1
    with pytest.raises(ValueError, match="grid too coarse: for lmax=3 a grid of degree 6"):
        S2Grid(5).from_grid(jnp.zeros((S2Grid(5).num_points, 1)), 3)
    with pytest.raises(ValueError, match="a grid of degree 6 is needed, got degree 5"):
        S2Grid(5).to_grid(jnp.zeros((16, 1)))


def test_antipodes() -> None:
    for degree in (4, 5):
        points, _ = gauss_legendre_grid(degree)
        distances = np.linalg.norm(points[:, None] + points[None], axis=-1).min(1)
        assert (distances.max() < 1e-12) == S2Grid(degree).has_antipodes == (degree % 2 == 1)


@pytest.mark.parametrize("method", ["dense", "separable"])
def test_the_transforms_are_linear_and_adjoint_up_to_the_weights(
    method: str, key: jax.Array, x64: None
) -> None:
    """Reverse mode through both ways, in either type."""
    grid = S2Grid(7, method)
    x = jax.random.normal(key, (16, 2), jnp.float64)
    gradient = jax.grad(lambda x: jnp.sum(grid.to_grid(x) ** 2 * grid.weights[:, None]))(x)
    np.testing.assert_allclose(gradient, 2 * x, atol=1e-12)
    back = jax.grad(lambda f: jnp.sum(grid.from_grid(f, 3) * x))(grid.to_grid(x))
    np.testing.assert_allclose(back, grid.weights[:, None] * grid.to_grid(x), atol=1e-12)
    for dtype in (jnp.float32, jnp.bfloat16):
        values = jax.eval_shape(grid.to_grid, x.astype(dtype))
        assert values.dtype == jax.eval_shape(lambda f: grid.from_grid(f, 3), values).dtype == dtype


def test_plans_are_static_and_refuse_bad_input() -> None:
    assert hash(S2Grid(3)) == hash(S2Grid(3))
    assert S2Grid(3) != S2Grid(3, "separable")
    with pytest.raises(ValueError, match="unknown method 'fast'"):
        S2Grid(3, "fast")
    with pytest.raises(ValueError, match="at least 0, got -1"):
        S2Grid(-1)
    with pytest.raises(ValueError, match="lmax must be at least 0, got -1"):
        S2Grid(3).check(-1)
    for shape in ((5, 1), (4,), (0, 1)):
        with pytest.raises(ValueError, match="got"):
            S2Grid(4).to_grid(jnp.zeros(shape))
    with pytest.raises(ValueError, match=r"\[..., 15, channels\] on a grid of degree 4"):
        S2Grid(4).from_grid(jnp.zeros((14, 1)), 2)
