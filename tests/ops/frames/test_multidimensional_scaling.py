"""Classical scaling: distances reproduced, invariance, what it cannot tell apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import E
from equinet.ops.frames import PCAFrame, mds, squared_distances

X = np.random.default_rng(0).normal(size=(6, 3))


def test_distances_are_reproduced_and_motions_forgotten(x64: None, key: jax.Array) -> None:
    x = jnp.asarray(X)
    points, degenerate = mds(squared_distances(x), 3)
    assert not degenerate
    np.testing.assert_allclose(squared_distances(points), squared_distances(x), atol=1e-10)
    moved = E(3).act(E(3).sample(key), x)
    np.testing.assert_allclose(mds(squared_distances(moved), 3)[0], points, atol=1e-10)
    mirrored = mds(squared_distances(-x), 3)[0]
    np.testing.assert_allclose(mirrored, points, atol=1e-10)
    shuffled = np.random.default_rng(1).permutation(6)
    again = mds(squared_distances(x[shuffled]), 3)[0]
    np.testing.assert_allclose(again, points[shuffled], atol=1e-10)


def test_they_are_the_principal_axes(x64: None) -> None:
    x = jnp.asarray(X)
    g = PCAFrame(E(3))(x).elements[0]
    axes = E(3).act(E(3).inverse(g), x)
    np.testing.assert_allclose(jnp.abs(mds(squared_distances(x), 3)[0]), jnp.abs(axes), atol=1e-10)


def test_scale_padding_and_few_coordinates(x64: None) -> None:
    x = jnp.asarray(X)
    points, _ = mds(squared_distances(x), 2, scale=True)
    np.testing.assert_allclose(mds(squared_distances(3 * x), 2, scale=True)[0], points, atol=1e-10)
    padded = jnp.concatenate([x, jnp.full((2, 3), 9.0)])
    mask = jnp.asarray([True] * 6 + [False] * 2)
    found, _ = mds(squared_distances(padded), 2, mask, scale=True)
    np.testing.assert_allclose(found[:6], points, atol=1e-10)
    np.testing.assert_allclose(found[6:], 0, atol=1e-10)


def test_degenerate_clouds_are_reported(x64: None) -> None:
    square = jnp.asarray([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    rectangle = square @ jnp.diag(jnp.asarray([2.0, 1.0]))
    line = jnp.asarray([[0.0, 0], [1, 0], [3, 0]])
    for x, expected in ((square, True), (rectangle, True), (line, False), (jnp.asarray(X), False)):
        assert bool(mds(squared_distances(x), 2)[1]) == expected
        slope = jax.grad(lambda x: jnp.sum(mds(squared_distances(x), 2)[0] ** 4))(x)
        assert jnp.isfinite(slope).all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"expected squared distances \[\.\.\., n, n\]"):
        mds(jnp.ones((3, 2)), 1)
    with pytest.raises(ValueError, match="3 points have 1 to 3 coordinates, got dim=4"):
        mds(jnp.ones((3, 3)), 4)
