"""EGNN: symmetric, equal to the formula pair by pair, blind to padding."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import E
from equinet.models import EGNN
from equinet.models.egnn import PairMLP
from equinet.nn import MLP
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import assert_equivariant, equivariance_error


def network(**options):
    return EGNN(2, 1, 3, hidden=6, layers=2, rngs=nnx.Rngs(0), **options)


def inputs(count=2, n=4, d=3, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (n, d), (n, d), (n, 2), (n, n, 1)
    return tuple(
        jax.random.normal(key, (count, *shape), dtype)
        for key, shape in zip(keys, shapes, strict=True)
    )


@jax.jit
def run(model, *arrays):
    return model(*arrays)


@pytest.mark.parametrize("d", [2, 3])
def test_equivariant_under_motions(d, x64, key):
    group, model = E(d), network()
    points, vectors = Points(group), WithoutChannels(Vector(group))
    options = {"inputs": inputs(d=d), "dtype": np.float64, "num_samples": 3}
    rep_in = (points, vectors, None, None)
    assert_equivariant(
        lambda *x: run(model, *x), rep_in, (points, None), key, atol=1e-12, **options
    )
    wrong = (points, points, None, None)  # velocities are not points
    error = equivariance_error(lambda *x: run(model, *x), wrong, (points, None), key, **options)
    assert error > 1e-2


def test_equivariant_under_permutations(x64):
    model, (x, v, h, e) = network(), inputs()
    order = np.array([2, 0, 3, 1])
    moved, scalars = run(model, x, v, h, e)
    permuted = run(model, x[:, order], v[:, order], h[:, order], e[:, order][:, :, order])
    np.testing.assert_allclose(permuted[0], moved[:, order], atol=1e-13)
    np.testing.assert_allclose(permuted[1], scalars[:, order], atol=1e-13)
    crossed = run(model, x[:, order], v[:, order], h[:, order], e)
    assert np.abs(crossed[0] - moved[:, order]).max() > 1e-6


def test_the_formula_pair_by_pair(x64):
    model, (x, v, h, e) = network(), inputs(count=1)
    found = run(model, x, v, h, e)[0][0]
    x, v, h, e = (np.asarray(a[0]) for a in (x, v, h, e))
    features = model.embedding(jnp.asarray(np.concatenate([h, (v**2).sum(-1)[:, None]], -1)))
    first = x
    for layer in model.layers:
        new_x, new_h = [], []
        for i in range(4):
            total, shift = 0, 0
            for j in set(range(4)) - {i}:
                squares = [[np.log1p(((p[i] - p[j]) ** 2).sum())] for p in (x, first)]
                row = [features[i], features[j], *squares, e[i, j]]
                row = np.concatenate([np.asarray(part) for part in row])
                row[:12], row[12:] = row[:12] / math.sqrt(24), row[12:] / math.sqrt(6)
                kernel = layer.messages.kernel[...].astype(jnp.float64)
                middle = layer.messages.activation(row @ kernel)
                message = layer.activation(layer.messages.mlp(middle))
                shift = shift + (x[i] - x[j]) * layer.coordinates(message) / 3
                total = total + message / 4
            new_x.append(x[i] + shift + v[i] * layer.velocities(features[i]))
            new_h.append(features[i] + layer.nodes(jnp.concatenate([features[i], total])))
        x, features = np.asarray(new_x), jnp.asarray(new_h)
    np.testing.assert_allclose(found, x, rtol=1e-11)


def test_padding_counts_for_nothing(x64):
    model, (x, v, h, e) = network(), inputs()
    mask = jnp.array([[True, True, True, False]] * 2)
    moved, scalars = run(model, x, v, h, e, mask)
    small = run(model, x[:, :3], v[:, :3], h[:, :3], e[:, :3, :3])
    np.testing.assert_allclose(moved[:, :3], small[0], atol=1e-13)
    np.testing.assert_allclose(scalars[:, :3], small[1], atol=1e-13)
    np.testing.assert_array_equal(moved[:, 3], x[:, 3])
    other = run(model, x.at[:, 3].add(5), v.at[:, 3].add(1), h, e, mask)
    np.testing.assert_allclose(other[0][:, :3], moved[:, :3], atol=1e-13)
    whole = run(model, x, v, h, e)
    assert np.abs(whole[0][:, :3] - moved[:, :3]).max() > 1e-6


def test_pairs_as_the_concatenation(x64):
    pairs = PairMLP(3, 2, (5, 4), rngs=nnx.Rngs(0))
    pairs.bias[...] = jnp.arange(5, dtype=jnp.float32)
    h, e = jax.random.normal(jax.random.key(0), (3, 3)), jnp.ones((3, 3, 2))
    parts = h / math.sqrt(12), e / 2  # 2 * 6 features of nodes, 2 * 2 of the pair
    rows = [[jnp.r_[parts[0][i], parts[0][j], parts[1][i, j]] for j in range(3)] for i in range(3)]
    rows = math.sqrt(8) * jnp.asarray(rows)
    plain = MLP((8, 5), use_bias=True, rngs=nnx.Rngs(0))
    plain.kernels[0][...], plain.biases[0][...] = pairs.kernel[...], pairs.bias[...]
    expected = pairs.mlp(pairs.activation(plain(rows)))
    np.testing.assert_allclose(pairs(h, e), expected, atol=1e-13)


def test_finite_where_nodes_meet_and_rest():
    model = network()
    x, zero = jnp.ones((3, 3)), jnp.zeros((3, 3))
    scalars, edges = jnp.ones((3, 2)), jnp.ones((3, 3, 1))

    def length(x, v):
        return jnp.sum(model(x, v, scalars, edges)[0] ** 2)

    def curvature(x, v):
        first = jax.grad(length, argnums=(0, 1))(x, v)
        return sum(jnp.sum(part**2) for part in first)

    for part in jax.jit(jax.grad(curvature, argnums=(0, 1)))(x, zero):
        assert np.isfinite(part).all()
    assert np.isfinite(model(x[:1], zero[:1], scalars[:1], edges[:1, :1])[0]).all()


def test_types_of_the_computation():
    arrays = inputs(dtype=jnp.float32)
    moved, scalars = run(network(dtype=jnp.bfloat16), *arrays)
    assert (moved.dtype, scalars.dtype) == (jnp.float32, jnp.bfloat16)
    exact = run(network(), *arrays)[0]
    assert 0 < np.abs(moved - exact).max() < 0.1 * np.abs(exact).max()


def test_bad_input():
    with pytest.raises(ValueError, match="must be at least 1"):
        EGNN(1, layers=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="average_neighbours must be above 0, got 0"):
        EGNN(1, average_neighbours=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="two widths at least"):
        PairMLP(3, 1, (4,), rngs=nnx.Rngs(0))
    model, (x, v, h, e) = network(), inputs(dtype=jnp.float32)
    with pytest.raises(ValueError, match="edges_in=1 features, got 0"):
        model(x, v, h)
    with pytest.raises(ValueError, match=r"scalars \(2, 4, 2\), got .*\(2, 4, 1\)"):
        model(x, v, h[..., :1], e)
    with pytest.raises(ValueError, match=r"mask \(2, 4\).*got \(4,\)"):
        model(x, v, h, e, jnp.ones(4, bool))
