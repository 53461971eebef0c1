"""Layer normalisation by hand and at the zero feature."""

import jax
import jax.numpy as jnp
import numpy as np

from equinet.nn import LayerNorm, SeparableLayerNorm
from equinet.reps import Irreps
from equinet.testing import assert_equivariant, equivariance_error


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


def test_separable_by_hand(x64: None) -> None:
    layer = SeparableLayerNorm("0e+1o+2e", 16)
    x = 5 * jax.random.normal(jax.random.key(0), (7, 9, 16)) + 3
    found = np.asarray(layer(x))
    scalars = np.asarray(x[:, 0])
    centred = scalars - scalars.mean(-1, keepdims=True)
    expected = centred / centred.std(-1, keepdims=True)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    # Every degree has the weight of one, whatever its number of components.
    joint = (np.square(x[:, 1:4]).mean((1, 2)) + np.square(x[:, 4:]).mean((1, 2))) / 2
    np.testing.assert_allclose(found[:, 1:], x[:, 1:] / np.sqrt(joint)[:, None, None], rtol=1e-6)


def test_separable_keeps_the_ratio_of_degrees(x64: None) -> None:
    x = jax.random.normal(jax.random.key(0), (7, 9, 4))
    x = x.at[:, 4:].multiply(10)
    for layer, kept in ((SeparableLayerNorm("0e+1o+2e", 4), True), (LayerNorm("0e+1o+2e", 4), 0)):
        found = np.asarray(layer(x))
        ratio = np.linalg.norm(found[:, 4:]) / np.linalg.norm(found[:, 1:4])
        assert (ratio > 8) == bool(kept)


def test_separable_scale_and_bias_and_the_pseudoscalar(x64: None) -> None:
    layer = SeparableLayerNorm("2x0e+0o+1o", 4)
    x = jax.random.normal(jax.random.key(0), (7, 6, 4))
    plain = np.asarray(layer(x))
    assert layer.bias.shape == (2, 4)
    layer.scale[...] = jnp.arange(16.0, dtype=jnp.float32).reshape(4, 4)
    layer.bias[...] = jnp.arange(8.0, dtype=jnp.float32).reshape(2, 4)
    found = np.asarray(layer(x))
    scale, bias = np.arange(16.0).reshape(4, 4), np.arange(8.0).reshape(2, 4)
    np.testing.assert_allclose(found[:, :2], plain[:, :2] * scale[:2] + bias, rtol=1e-12)
    np.testing.assert_allclose(found[:, 2], plain[:, 2] * scale[2], rtol=1e-12)
    np.testing.assert_allclose(found[:, 3:], plain[:, 3:] * scale[3], rtol=1e-12)
    for rep in ("0e", "1o"):  # one kind alone
        assert np.isfinite(SeparableLayerNorm(rep, 4)(x[:, : Irreps(rep).dim])).all()


def test_separable_is_equivariant(key: jax.Array) -> None:
    rep = Irreps("2x0e+0o+1o+1e+2e")
    layer = SeparableLayerNorm(rep, 3)
    layer.scale[...] = jax.random.normal(key, layer.scale.shape)
    layer.bias[...] = jax.random.normal(key, layer.bias.shape)
    function = jax.jit(layer)
    options = {"channels": 3, "num_samples": 3, "dtype": jnp.float64}
    assert_equivariant(function, rep, rep, key, atol=1e-12, **options)
    flipped = Irreps("2x0o+0e+1o+1e+2e")  # the control: a bias is no pseudoscalar
    assert equivariance_error(function, flipped, flipped, key, **options) > 0.1


def test_separable_has_finite_derivatives_at_zero(x64: None) -> None:
    layer = SeparableLayerNorm("0e+1o+2e", 3)

    def squared_gradient(x: jax.Array) -> jax.Array:
        return jnp.sum(jax.grad(lambda x: jnp.sum(layer(x)) + jnp.sum(layer(x) ** 2))(x) ** 2)

    zeros = jnp.zeros((2, 9, 3))
    assert np.isfinite(jax.jit(jax.grad(squared_gradient))(zeros)).all()
    assert not np.asarray(layer(zeros)).any()
    assert jax.eval_shape(layer, zeros.astype(jnp.bfloat16)).dtype == jnp.bfloat16
