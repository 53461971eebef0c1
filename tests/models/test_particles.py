"""Networks for particles: plain, averaged over frames, and on irreps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import E
from equinet.models import ParticleGNN, ParticleIrreps, frame_averaged_gnn
from equinet.models.particle_irreps import complete_graph
from equinet.ops.graphs import sum_receivers, sum_senders
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import assert_equivariant, equivariance_error

POINTS, VECTORS = Points(E(3)), WithoutChannels(Vector(E(3)))
REPS = (POINTS, VECTORS, None)


def irreps(**options):
    options = {"hidden": "0e+1o", "lmax": 1, "radial_hidden": 4, **options}
    return ParticleIrreps(2, 2, **options, rngs=nnx.Rngs(0))


MODELS = {
    "averaged": lambda: frame_averaged_gnn(4, 2, rngs=nnx.Rngs(0)),
    "irreps": irreps,
    "irreps of degree 2": lambda: irreps(
        hidden="0e+1o+1e+2e", lmax=2, correlation=2, convolution="so2"
    ),
}


def inputs(count=2, n=4, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 3)
    x, v = (jax.random.normal(key, (count, n, 3), dtype) for key in keys[:2])
    return x, v, jax.random.rademacher(keys[2], (count, n), dtype)


@jax.jit
def run(model, *arrays):
    return model(*arrays)


@pytest.mark.parametrize("name", MODELS)
def test_equivariant_under_motions(name, x64, key):
    model = MODELS[name]()
    options = {"inputs": inputs(), "dtype": np.float64, "num_samples": 3}
    function = lambda *arrays: run(model, *arrays)  # noqa: E731
    assert_equivariant(function, REPS, POINTS, key, atol=1e-11, **options)
    if name != "averaged":
        return
    plain = lambda *arrays: run(model.module, *arrays)  # noqa: E731
    assert equivariance_error(plain, REPS, POINTS, key, **options) > 1e-2


@pytest.mark.parametrize("name", ["averaged", "irreps"])
def test_names_and_signs_do_not_matter(name, x64):
    """Particles may change their places, all charges their sign; not the charge of one."""
    model, (x, v, q) = MODELS[name](), inputs()
    q = q.at[0].set(jnp.array([1.0, 1, -1, 1]))
    order, expected = np.array([2, 0, 3, 1]), run(model, x, v, q)
    found = run(model, x[:, order], v[:, order], q[:, order])
    np.testing.assert_allclose(found, expected[:, order], atol=1e-12)
    np.testing.assert_allclose(run(model, x, v, -q), expected, atol=1e-13)
    assert np.abs(run(model, x, v, q.at[:, 0].multiply(-1)) - expected).max() > 1e-6


@pytest.mark.parametrize("make", [lambda: ParticleGNN(4, 2, rngs=nnx.Rngs(0)), irreps])
def test_padding_counts_for_nothing(make, x64):
    model, (x, v, q) = make(), inputs()
    mask = jnp.array([[True, True, True, False]] * 2)
    found = run(model, x, v, q, mask)
    np.testing.assert_allclose(found[:, :3], run(model, x[:, :3], v[:, :3], q[:, :3]), atol=1e-13)
    np.testing.assert_array_equal(found[:, 3], x[:, 3])
    assert np.abs(run(model, x, v, q)[:, :3] - found[:, :3]).max() > 1e-6


def test_one_frame_element_is_right_in_the_mean(x64):
    model, arrays = MODELS["averaged"](), tuple(a[:1] for a in inputs())
    draw = jax.jit(jax.vmap(lambda model, key: model(*arrays, key=key), in_axes=(None, 0)))
    found = np.asarray(draw(model, jax.random.split(jax.random.key(1), 2000)))
    different = np.unique(found.round(9).reshape(2000, -1), axis=0)
    assert len(different) == 8
    np.testing.assert_allclose(
        different.reshape(8, 1, 4, 3).mean(0), run(model, *arrays), atol=1e-8
    )
    assert np.abs(found.mean(0) - run(model, *arrays)).max() < 5 * found.std() / np.sqrt(2000)


def test_batch_axes_and_single_particles():
    model, (x, v, q) = irreps(), inputs(dtype=jnp.float32)
    found = run(model, x[:, None], v[:, None], q[:, None])
    np.testing.assert_allclose(found[:, 0], run(model, x, v, q), atol=1e-6)
    alone = run(model, x[0, :1], v[0, :1], q[0, :1])
    assert alone.shape == (1, 3)
    assert np.isfinite(alone).all()


@pytest.mark.parametrize("make", [lambda: ParticleGNN(4, 2, rngs=nnx.Rngs(0)), irreps])
def test_finite_where_particles_meet(make):
    model, q = make(), jnp.ones(3)
    x, v = jnp.ones((3, 3)), jnp.zeros((3, 3))

    def length(x, v):
        return jnp.sum(model(x, v, q) ** 2)

    def curvature(x, v):
        return sum(jnp.sum(part**2) for part in jax.grad(length, argnums=(0, 1))(x, v))

    for part in jax.jit(jax.grad(curvature, argnums=(0, 1)))(x, v):
        assert np.isfinite(part).all()


def test_degenerate_frames_make_no_nan():
    """A regular tetrahedron at rest: no axis is better than another."""
    model = MODELS["averaged"]()
    x = jnp.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    arrays = x, jnp.zeros((4, 3)), jnp.ones(4)
    assert bool(model.elements(*arrays).degenerate)
    assert np.isfinite(run(model, *arrays)).all()

    @jax.jit
    def gradient(x):
        return jax.grad(lambda x: jnp.sum(model(x, *arrays[1:]) ** 2))(x)

    assert np.isfinite(gradient(x)).all()


def test_all_pairs():
    x, mask = inputs(dtype=jnp.float32)[0], jnp.array([[True] * 4, [True, True, False, True]])
    graph = complete_graph(x, mask)
    pairs = {
        (int(s), int(r))
        for s, r, ok in zip(graph.senders, graph.receivers, graph.edge_mask, strict=True)
        if ok
    }
    real = [0, 1, 2, 3, 4, 5, 7]
    assert pairs == {(a, b) for a in real for b in real if a != b and a // 4 == b // 4}
    values = jnp.arange(24.0)
    back = graph.reverse
    np.testing.assert_array_equal(graph.senders[back], graph.receivers)
    np.testing.assert_array_equal(graph.receivers[back], graph.senders)
    by_hand = np.zeros(8)
    for value, sender, ok in zip(values, graph.senders, graph.edge_mask, strict=True):
        by_hand[sender] += float(value) * bool(ok)
    np.testing.assert_allclose(sum_senders(values, graph), by_hand)
    assert np.abs(by_hand - sum_receivers(values, graph)).max() > 1


def test_bad_input():
    with pytest.raises(ValueError, match="hidden, layers and dim must be at least 1, got 0"):
        ParticleGNN(0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="hidden irreps must hold 0e and 1o, got 0e"):
        irreps(hidden="0e")
    with pytest.raises(ValueError, match="lmax must be at least 1"):
        irreps(lmax=0)
    x, v, q = inputs(dtype=jnp.float32)
    for model in (ParticleGNN(4, 1, rngs=nnx.Rngs(0)), irreps()):
        with pytest.raises(ValueError, match=r"charges \[..., n\], got .*\(2, 3\)"):
            model(x, v, q[:, 1:])
        with pytest.raises(ValueError, match=r"mask \(2, 4\)"):
            model(x, v, q, jnp.ones(4, bool))
