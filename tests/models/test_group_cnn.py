"""The network on images: invariant for finite groups, sampled for others, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SL, SO, Cyclic, Dihedral, GLPlus, Scalings, Similitudes
from equinet.models import GroupCNN, Sampling
from equinet.reps import Images, Scalar
from equinet.testing import assert_equivariant, equivariance_error


def network(group, **options):
    sizes = {"channels": 4, "blocks": 1, "radius": 1, "kernel_width": 8, "downsampling": (1,)}
    return GroupCNN(group, 1, 3, **(sizes | options), rngs=nnx.Rngs(0))


def test_outputs_are_invariant(key):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1, 1))
    model = network(Dihedral(4), form="full", downsampling=(2,))
    f = jax.jit(lambda x: model(x[..., 0, :]))
    space = (Images(Scalar(Dihedral(4))),)
    options = {"inputs": (x,), "dtype": jnp.float64}
    assert_equivariant(f, space, None, key, **options, atol=1e-12)
    plain = network(Cyclic(1))
    error = equivariance_error(lambda x: plain(x[..., 0, :]), space, None, key, **options)
    assert error > 1e-3


@pytest.mark.parametrize(
    "group",
    [
        GLPlus(2),
        *(
            pytest.param(group, marks=pytest.mark.slow)
            for group in (SL(2), SO(2), Similitudes(2), Scalings(2))
        ),
    ],
    ids=str,
)
def test_samples_are_drawn_anew_or_not(group, key):
    """One key, one result; without a key always the same; more samples, less scatter."""
    model = network(group, sampling=Sampling(4, 0.3), pooling="mean", radius=2.0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 9, 1)), jnp.float32)
    f = jax.jit(lambda x, key: model(x, key))
    assert np.array_equal(f(x, key), f(x, key))
    np.testing.assert_allclose(model(x), f(x, jax.random.key(0)), atol=1e-5)
    assert np.abs(f(x, key) - f(x, jax.random.key(1))).max() > 1e-5
    grads = jax.jit(jax.grad(lambda m, x: jnp.sum(m(x) ** 2)))(model, x)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_space_has_three_dimensions(key):
    model = network(SO(3), sampling=Sampling(3), form="depthwise")
    assert model(jnp.ones((1, 4, 4, 4, 1))).shape == (1, 3)


def test_images_shrink_after_the_lifting_and_after_blocks():
    model = network(Dihedral(4), blocks=2, downsampling=(2, 2))
    nodes = model.sampling.nodes(model.group, jax.random.key(0), jnp.float32)
    assert model.features(jnp.ones((1, 16, 16, 1)), nodes).shape == (1, 4, 4, 8, 4)


@pytest.mark.parametrize(
    "form",
    ["separable", *(pytest.param(form, marks=pytest.mark.slow) for form in ("depthwise", "full"))],
)
def test_periodic_images_do_not_know_where_they_begin(form, x64):
    """Moves by whole blocks change nothing; with zeros beyond the edges they do."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 1)))
    moved = jnp.roll(x, (4, 8), (1, 2))
    changes = []
    for boundary in ("periodic", "zeros"):
        options = {"form": form, "boundary": boundary, "downsampling": (2, 2), "blocks": 2}
        model = network(GLPlus(2), sampling=Sampling(3, 0.3), **options)
        f = jax.jit(lambda x, model=model: model(x))
        changes.append(np.abs(f(x) - f(moved)).max())
    assert changes[0] < 1e-12
    assert changes[1] > 1e-3


def test_a_key_draws_where_blocks_begin():
    """A move by any pixels permutes the outputs over all keys; without a key it changes them."""
    model = network(Cyclic(1), blocks=1, downsampling=(2, 2))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 1)), jnp.float32)
    moved = jnp.roll(x, (1, 3), (1, 2))
    keys = jax.random.split(jax.random.key(0), 200)
    outputs = jax.jit(jax.vmap(lambda x, key: model(x, key)[0], (None, 0)))
    found, again = (np.unique(outputs(each, keys).round(4), axis=0) for each in (x, moved))
    assert found.shape == (16, 3)
    np.testing.assert_allclose(found, again, atol=2e-4)
    assert np.abs(model(x) - model(moved)).max() > 1e-2
    zeros = network(Cyclic(1), blocks=1, downsampling=(2, 2), boundary="zeros")
    np.testing.assert_allclose(zeros(x, keys[0]), zeros(x), atol=1e-6)


def test_windows_of_samplings():
    """A scaling of norm s has singular values exp(s / sqrt(2)); rotations need no wider window."""
    assert Sampling(scale=0.7).half_width(GLPlus(2), 2.0) == 4
    assert Sampling(scale=0.7).half_width(Scalings(2), 2.0) == 3
    assert Sampling(scale=0.7).half_width(SL(2), 2.0) == 3
    assert Sampling(scale=0.7).half_width(SO(2), 2.0) == 2
    assert Sampling(scale=0.35, density="normal").half_width(GLPlus(2), 2.0) == 4
    assert Sampling(scale=0.35, points="translated").half_width(GLPlus(2), 2.0) == 4


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1"):
        network(GLPlus(2), channels=0)
    with pytest.raises(ValueError, match="one number for the lifting and up to 1"):
        network(GLPlus(2), downsampling=(2, 2, 2))
    with pytest.raises(ValueError, match="cannot be averaged"):
        network(GLPlus(2), downsampling=(1, 2))(jnp.ones((1, 9, 9, 1)))
    with pytest.raises(ValueError, match="wider than the image"):
        network(GLPlus(2), radius=3.0)(jnp.ones((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="images of 2 dimensions"):
        network(GLPlus(2))(jnp.ones((1, 8, 8, 8, 1)))
    with pytest.raises(ValueError, match="at least 1, got"):
        network(GLPlus(2), sampling=Sampling(0))(jnp.ones((1, 8, 8, 1)))
