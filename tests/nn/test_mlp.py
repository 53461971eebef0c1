"""Perceptrons keep the variance of their input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import MLP
from equinet.nn.activations import second_moment


@pytest.mark.parametrize("activation", [jax.nn.silu, jnp.tanh])
def test_variance_one(activation: jax.custom_jvp) -> None:
    x = jax.random.normal(jax.random.key(1), (512, 64))
    mlp = MLP((64, 128, 128, 64), activation=activation, rngs=nnx.Rngs(0))
    assert float(jnp.mean(mlp(x) ** 2)) == pytest.approx(1, abs=0.2)


def test_layers_by_hand(x64: None) -> None:
    mlp = MLP((3, 5, 2), use_bias=True, rngs=nnx.Rngs(0))
    mlp.biases[0][...] = jnp.arange(5.0, dtype=jnp.float32)
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    first, last = (np.asarray(kernel[...], np.float64) for kernel in mlp.kernels)
    hidden = x @ first / np.sqrt(3) + np.arange(5)
    silu = hidden / (1 + np.exp(-hidden)) / np.sqrt(second_moment(jax.nn.silu))
    np.testing.assert_allclose(mlp(jnp.asarray(x)), silu @ last / np.sqrt(5), atol=1e-13)
    assert len(MLP((3, 5, 2), rngs=nnx.Rngs(0)).biases) == 0


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"input and the output width, got \(8,\)"):
        MLP((8,), rngs=nnx.Rngs(0))
