"""PointNet: the order of points, padding, types, bad input; averaged over frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO
from equinet.models import PointNet
from equinet.nn import FrameAveraging
from equinet.ops.frames import PCAFrame
from equinet.reps import Points
from equinet.testing import assert_equivariant, equivariance_error

MODEL = PointNet(4, 8, rngs=nnx.Rngs(0))
X = np.random.default_rng(0).normal(size=(2, 7, 3))


def test_order_and_padding_do_not_matter(x64: None) -> None:
    expected = MODEL(jnp.asarray(X))
    shuffled = X[:, np.random.default_rng(1).permutation(7)]
    np.testing.assert_allclose(MODEL(jnp.asarray(shuffled)), expected, atol=1e-13)
    padded = jnp.asarray(np.concatenate([X, 9 * np.ones((2, 3, 3))], axis=1))
    mask = jnp.asarray(np.arange(10) < 7)
    found = MODEL(padded, jnp.broadcast_to(mask, (2, 10)))
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert np.abs(MODEL(padded) - expected).max() > 1e-3


def test_invariant_only_when_averaged(key: jax.Array) -> None:
    points = Points(SO(3))
    options = {"inputs": (X,), "dtype": jnp.float64, "num_samples": 4, "group": SO(3)}
    assert equivariance_error(MODEL, (points,), None, key, **options) > 0.01
    averaged = FrameAveraging(MODEL, PCAFrame(SO(3)), (points,), None)
    assert_equivariant(jax.jit(averaged), (points,), None, key, atol=1e-12, **options)


def test_types_gradients_and_bad_input() -> None:
    x = jnp.asarray(X, jnp.float32)
    assert MODEL(x).dtype == jnp.float32
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(MODEL, x), MODEL(x), rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: MODEL(x).sum())(jnp.zeros((1, 3, 3)))).all()
    with pytest.raises(ValueError, match=r"expected points \[\.\.\., points, 3\]"):
        MODEL(x[..., :2])
    with pytest.raises(ValueError, match=r"expected a mask \(2, 7\)"):
        MODEL(x, jnp.ones((2, 6), bool))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PointNet(0, rngs=nnx.Rngs(0))
