"""Linear maps: Schur's lemma counts them, and nothing but them is there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn.linear import Linear
from equinet.reps import Irreps


def test_as_many_parameters_as_schur_allows() -> None:
    layer = Linear("2x0e+1o+1e", "0e+3x1o+2e", 4, 5, use_bias=True, rngs=nnx.Rngs(0))
    shapes = {name: kernel.shape for name, kernel in layer.kernels.items()}
    assert shapes == {"0e": (2 * 4, 5), "1o": (4, 3 * 5)}
    assert layer.bias is not None
    assert layer.bias.shape == (1, 5)


def test_copies_mix_and_components_do_not(x64: None) -> None:
    layer = Linear("2x1o+0e", "1o+0e+1o", 2, 3, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(5, 7, 2))
    vectors = x[:, :6].reshape(5, 2, 3, 2)
    kernel = np.asarray(layer.kernels["1o"][...]).reshape(2, 2, 2, 3) / np.sqrt(4)
    mixed = np.einsum("numc,ucvd->nvmd", vectors, kernel)
    scalar = x[:, 6:] @ np.asarray(layer.kernels["0e"][...]) / np.sqrt(2)
    found = layer(jnp.asarray(x))
    np.testing.assert_allclose(found[:, :3], mixed[:, 0], atol=1e-13)
    np.testing.assert_allclose(found[:, 3:4], scalar, atol=1e-13)
    np.testing.assert_allclose(found[:, 4:], mixed[:, 1], atol=1e-13)


def test_missing_irreps_are_zero_and_biased_scalars_are_not() -> None:
    layer = Linear("1o", "0e+1o+2e", 2, 2, use_bias=True, rngs=nnx.Rngs(0))
    assert layer.bias is not None
    layer.bias[...] = jnp.full((1, 2), 7.0)
    found = layer(jnp.ones((4, 3, 2)))
    np.testing.assert_array_equal(found[:, 0], 7)
    np.testing.assert_array_equal(found[:, 4:], 0)
    assert np.asarray(found[:, 1:4]).all()


def test_variance_one() -> None:
    x = jax.random.normal(jax.random.key(1), (64, 14, 32))
    layer = Linear("3x0e+2x1o+1x2e", "0e+2x1o+2e", 32, 64, rngs=nnx.Rngs(0))
    square = jnp.mean(layer(x) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.15)


def test_each_type_has_weights_of_its_own(x64: None) -> None:
    layer = Linear("0e+1o", "0e+1o", 2, 3, num_types=2, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (4, 4, 2))
    both = [layer(x, jnp.eye(2)[jnp.full(4, kind)]) for kind in (0, 1)]
    mixed = layer(x, jnp.eye(2)[jnp.array([0, 1, 1, 0])])
    np.testing.assert_allclose(mixed[jnp.array([0, 3])], both[0][jnp.array([0, 3])], atol=1e-14)
    np.testing.assert_allclose(mixed[1:3], both[1][1:3], atol=1e-14)
    single = Linear("0e+1o", "0e+1o", 2, 3, rngs=nnx.Rngs(0))
    for name, kernel in layer.kernels.items():
        single.kernels[name][...] = kernel[...][2:]
    np.testing.assert_allclose(single(x), both[1], atol=1e-14)


def test_any_leading_axes() -> None:
    layer = Linear("0e+1o", "1o", 2, 3, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 2))
    np.testing.assert_allclose(layer(x)[1, 2], layer(x[1, 2]), rtol=1e-6)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"from 0e\+1o to 1e: they share no irrep"):
        Linear("0e+1o", "1e", 2, 2, rngs=nnx.Rngs(0))
    layer = Linear("0e+1o", Irreps("0e"), 2, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"expected \[\.\.\., 4, 2\].*got \(5, 4, 3\)"):
        layer(jnp.ones((5, 4, 3)))
    with pytest.raises(ValueError, match="num_types=None; types given"):
        layer(jnp.ones((5, 4, 2)), jnp.ones((5, 2)))
    typed = Linear("0e", "0e", 2, 2, num_types=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="num_types=3; types given: None"):
        typed(jnp.ones((5, 1, 2)))
