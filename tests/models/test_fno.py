"""FNO and G-FNO: symmetry of scalars, pseudoscalars and vectors, resolution, sizes, rollouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, Cyclic, Dihedral
from equinet.models import FNO, rollout
from equinet.models.fno import place_feature
from equinet.ops.images import from_low_modes
from equinet.reps import Images, Scalar, Vector, antisymmetric_power
from equinet.testing import assert_equivariant, equivariance_error


def pseudoscalar(group):
    return antisymmetric_power(Vector(group), 2)


def fields(group):
    return Scalar(group) + Vector(group)


def build(rep, *, seed=0, **options):
    sizes = {"modes": 3, "channels": 3, "layers": 2} | options
    return FNO(rep, rep, 2, 1, **sizes, rngs=nnx.Rngs(seed))


def draw(rep, size=6):
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, size, size, rep.dim, 2)))


def count(model):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("rep", "place"),
    [
        (fields(Cyclic(4)), "distance"),
        (pseudoscalar(Dihedral(4)), "cosines"),
        pytest.param(fields(Dihedral(4)), "none", marks=pytest.mark.slow),
        pytest.param(Scalar(Cyclic(4)), "none", marks=pytest.mark.slow),
    ],
)
def test_equivariant(rep, place, key):
    model, images = build(rep, place=place), Images(rep)
    options = {"inputs": draw(rep), "num_samples": 3}
    run = jax.jit(model)
    assert_equivariant(run, images, images, key, dtype=np.float64, atol=1e-12, **options)
    assert_equivariant(run, images, images, key, dtype=np.float32, atol=1e-4, **options)


def test_controls(key):
    """FNO does not turn; turns alone do not reflect; a pseudoscalar is no scalar."""
    options = {"dtype": np.float64, "num_samples": 3}

    def error(rep, images):
        model = build(rep)
        return equivariance_error(jax.jit(model), images, images, key, inputs=draw(rep), **options)

    assert error(Scalar(Cyclic(1)), Images(Scalar(Cyclic(4)))) > 1e-2
    assert error(pseudoscalar(Cyclic(4)), Images(pseudoscalar(Dihedral(4)))) > 1e-2
    assert error(pseudoscalar(Dihedral(4)), Images(Scalar(Dihedral(4)))) > 1e-2


@pytest.mark.parametrize("place", ["none", "cosines"])
def test_translations(place, x64):
    """Commute with the network where it does not know the place."""
    model, x = build(Scalar(Cyclic(4)), place=place), draw(Scalar(Cyclic(4)))
    run = jax.jit(model)
    gap = np.abs(run(jnp.roll(x, 2, axis=1)) - jnp.roll(run(x), 2, axis=1)).max()
    assert (gap < 1e-12) == (place == "none")


def test_one_network_at_two_resolutions(x64):
    """Of low modes the linear part is the same; what the nonlinearities alias vanishes."""
    model = build(Scalar(Cyclic(4)), channels=4)
    modes = np.random.default_rng(0).normal(size=(1, 3, 5, 2, 2))
    modes[:, 0, 0] = modes[:, 0, 1] = 0
    outputs = []
    for size in (8, 16, 32):
        x = from_low_modes(jnp.asarray(0.3 * modes), size, size)[..., None, :]
        outputs.append(np.asarray(jax.jit(model)(x))[:, :: size // 8, :: size // 8])
    gaps = [np.abs(y - outputs[2]).max() for y in outputs[:2]]
    assert gaps[1] < 0.1 * gaps[0]
    assert gaps[1] < 3e-2


def test_equal_parameters():
    """Half of the channels with four elements, and about a root of eight with eight."""
    sizes = [(Cyclic(1), 20), (Cyclic(4), 10), (Dihedral(4), 7)]
    counts = [
        count(build(Scalar(group), channels=channels, modes=6, layers=2))
        for group, channels in sizes
    ]
    assert max(counts) < 1.05 * min(counts)


def test_types_jit_gradients_and_learning():
    rep = fields(Cyclic(4))
    model, x = build(rep, place="cosines"), draw(rep).astype(jnp.float32)
    y = model(x)
    assert (y.dtype, y.shape) == (jnp.float32, (2, 6, 6, 3, 1))
    assert 0.2 < float(jnp.std(y)) < 5
    np.testing.assert_allclose(jax.jit(model)(x), y, atol=1e-5)
    graphdef, params = nnx.split(model)

    @jax.jit
    def step(params):
        def loss(params):
            return jnp.mean((nnx.merge(graphdef, params)(x) - x[..., :1]) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), value, gradient

    losses = []
    for _ in range(30):
        params, value, gradient = step(params)
        losses.append(float(value))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert losses[-1] < 0.5 * losses[0]


def test_rollouts_follow_their_own_frames():
    window = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)

    def step(x):
        return jnp.sum(x * jnp.asarray([[0.5, -1.0, 0.8]]), axis=-1, keepdims=True)

    expected = np.asarray(window)
    for _ in range(4):
        expected = np.concatenate([expected, step(expected[:, -3:])], axis=-1)
    np.testing.assert_allclose(rollout(step, window, 4), expected[:, 3:], rtol=1e-5)


def test_places_turn_into_each_other():
    for place in ("cosines", "distance"):
        feature = place_feature(place, 6, 6)
        np.testing.assert_allclose(np.rot90(feature), feature, atol=1e-15)
        np.testing.assert_allclose(feature[::-1], feature, atol=1e-15)
        assert np.ptp(feature) > 1


def test_bad_input():
    rep = Scalar(Cyclic(4))
    with pytest.raises(
        ValueError, match=r"one finite group such as Cyclic\(4\), got .*Cyclic\(1\)"
    ):
        FNO(rep, Scalar(Cyclic(1)), 2, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="one finite group"):
        FNO(Scalar(SO(2)), Scalar(SO(2)), 2, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="expected 1 or more, got 2, 1, 3, 0 and 2"):
        build(rep, channels=0)
    with pytest.raises(ValueError, match=r"place: got 'x', expected one of \('none', 'cosines'"):
        build(rep, place="x")
    with pytest.raises(ValueError, match=r"expected fields \[\.\.\., height, width, 1, 2\]"):
        build(rep)(jnp.ones((1, 8, 8, 1, 3)))
    with pytest.raises(ValueError, match="place: got 'none', expected 'cosines' or 'distance'"):
        place_feature("none", 4, 4)
    with pytest.raises(ValueError, match="count: got 0, expected 1 or more"):
        rollout(lambda x: x, jnp.ones(3), 0)
