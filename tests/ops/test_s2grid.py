"""The grid is exact up to its degree and not beyond."""

import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.s2grid import gauss_legendre_grid
from equinet.ops.spherical_harmonics import spherical_harmonics


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
