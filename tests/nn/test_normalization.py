"""Layer normalisation by hand and at the zero feature."""

import jax
import jax.numpy as jnp
import numpy as np

from equinet.nn.normalization import LayerNorm


def test_mean_square_one_and_mean_zero(x64: None) -> None:
    layer = LayerNorm("2x0e+0o+1o", 16)
    x = 5 * jax.random.normal(jax.random.key(0), (7, 6, 16)) + 3
    found = np.asarray(layer(x))
    np.testing.assert_allclose(found[:, :2].mean(-1), 0, atol=1e-14)
    for rows in ([0], [1], [2], [3, 4, 5]):
        np.testing.assert_allclose(np.square(found[:, rows]).mean((1, 2)), 1, rtol=1e-5)
    assert np.abs(found[:, 2].mean(-1)).min() > 0.1  # a pseudoscalar keeps its mean


def test_scale_and_bias(x64: None) -> None:
    layer = LayerNorm("0e+1o", 4)
    x = jax.random.normal(jax.random.key(0), (7, 4, 4))
    plain = np.asarray(layer(x))
    layer.scale[...] = jnp.arange(8.0, dtype=jnp.float32).reshape(2, 4)
    layer.bias[...] = jnp.full((1, 4), 2.0, jnp.float32)
    found = np.asarray(layer(x))
    np.testing.assert_allclose(found[:, 0], plain[:, 0] * np.arange(4) + 2, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1:], plain[:, 1:] * np.arange(4, 8), rtol=1e-12)


def test_the_length_of_the_input_does_not_matter_but_zero_stays_zero() -> None:
    layer = LayerNorm("0e+1o", 8)
    x = jax.random.normal(jax.random.key(0), (4, 8))
    np.testing.assert_allclose(layer(100 * x), layer(x), atol=1e-4)
    assert not np.asarray(layer(jnp.zeros((4, 8)))).any()
