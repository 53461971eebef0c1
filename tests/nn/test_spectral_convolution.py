"""The Fourier layer: its parameters, variance, symmetry after training, types, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, Cyclic, Dihedral
from equinet.nn import SpectralConvolution
from equinet.ops.images import from_low_modes, spectral_convolution
from equinet.reps import Images, Regular
from equinet.testing import assert_equivariant


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("group", [Cyclic(1), Cyclic(4), Dihedral(4)])
def test_equivariant_before_and_after_training(group, train, key):
    layer = SpectralConvolution(group, 2, 3, modes=2, rngs=nnx.Rngs(0))
    x, images = draw(2, 6, 6, group.order, 2), Images(Regular(group))
    trained = train(layer, lambda m: m(x.astype(jnp.float32)))
    assert np.abs(trained.kernel[...] - layer.kernel[...]).max() > 0.1
    for module in (layer, trained):
        assert_equivariant(
            jax.jit(module),
            *(images, images, key),
            inputs=x,
            dtype=np.float64,
            atol=1e-12,
            num_samples=3,
        )


def test_parameters_and_variance():
    """As many numbers as a real kernel has modes; waves of low modes keep their variance."""
    layer = SpectralConvolution(Cyclic(4), 8, 8, modes=4, rngs=nnx.Rngs(0))
    assert layer.kernel.shape == (7, 7, 4, 8, 8)
    assert jax.tree.leaves(nnx.state(layer, nnx.Param))[0].dtype == jnp.float32
    assert nnx.graphdef(layer) == nnx.graphdef(
        SpectralConvolution(Cyclic(4), 8, 8, modes=4, rngs=nnx.Rngs(1))
    )
    x = from_low_modes(draw(4, 4, 7, 2, 32).astype(jnp.float32), 9, 9).reshape(4, 9, 9, 4, 8)
    assert float(jnp.std(layer(x)) / jnp.std(x)) == pytest.approx(1, abs=0.1)


def test_the_layer_is_the_op_in_the_type_of_its_input(x64):
    layer = SpectralConvolution(Cyclic(4), 2, 3, modes=2, rngs=nnx.Rngs(0))
    x = draw(2, 6, 6, 4, 2)
    kernel = layer.kernel[...].astype(jnp.float64)
    np.testing.assert_allclose(layer(x), spectral_convolution(x, kernel, Cyclic(4)), atol=1e-14)
    assert layer(x.astype(jnp.float32)).dtype == jnp.float32
    low = SpectralConvolution(Cyclic(4), 2, 3, modes=2, dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert low(x).dtype == jnp.float32


def test_bad_input():
    with pytest.raises(ValueError, match="expected 1 or more, got 2, 0 and 3"):
        SpectralConvolution(Cyclic(4), 2, 0, modes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"a finite group such as Cyclic\(4\), got SO\(2\)"):
        SpectralConvolution(SO(2), 2, 2, modes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="with n of 1, 2 or 4"):
        SpectralConvolution(Cyclic(6), 2, 2, modes=3, rngs=nnx.Rngs(0))
    layer = SpectralConvolution(Cyclic(4), 2, 2, modes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="4 x 4 pixels has no 3 modes"):
        layer(jnp.ones((1, 4, 4, 4, 2)))
