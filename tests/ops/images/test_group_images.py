"""Sums of group convolutions against loops, windows, features of elements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SL, SO, GLPlus, Scalings, Similitudes
from equinet.ops.images import average_pixels, convolve_group_images
from equinet.ops.images._group_images import (
    bump,
    check_window,
    convolve_and_average,
    convolve_channelwise,
    mix_samples,
    mix_samples_channelwise,
    pixel_offsets,
    polar_features,
    pool_pixels,
    relative_elements,
    transformed_offsets,
    window_half_width,
    with_boundary,
)


def padded(x, half):
    return np.pad(np.asarray(x), ((0, 0), (half, half), (half, half), (0, 0), (0, 0)))


def test_convolutions_are_the_sums_that_they_say(x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 7, 3, 2)), rng.normal(size=(3, 3, 3, 2, 4, 5))
    wide, expected = padded(x, 1), np.zeros((2, 6, 7, 4, 5))
    single = rng.normal(size=(3, 3, 3, 2))
    channelwise = np.zeros_like(x)
    for i in range(3):
        for j in range(3):
            part = wide[:, i : i + 6, j : j + 7]
            expected += np.einsum("bhwnc,ncmd->bhwmd", part, kernel[i, j])
            channelwise += part * single[i, j]
    np.testing.assert_allclose(
        convolve_group_images(jnp.asarray(x), jnp.asarray(kernel)), expected, atol=1e-12
    )
    found = convolve_channelwise(jnp.asarray(x), jnp.asarray(single))
    np.testing.assert_allclose(found, channelwise, atol=1e-12)


@pytest.mark.parametrize(("sizes", "factor"), [((6, 8), 2), ((6, 9), 3), ((4, 4, 4), 2)])
def test_means_of_blocks_are_the_convolution_of_moving_means(sizes, factor, x64):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *sizes, 2, 2)))
    kernel = jnp.asarray(rng.normal(size=(*[3] * len(sizes), 2, 2, 2, 3)))

    def plain(x, kernel):
        return average_pixels(convolve_group_images(x, kernel), factor)

    def fast(x, kernel):
        return convolve_and_average(x, kernel, factor)

    expected, found = plain(x, kernel), fast(x, kernel)
    assert found.shape == (2, *(size // factor for size in sizes), 2, 3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    weights = jnp.asarray(rng.normal(size=found.shape))
    slopes = [
        jax.grad(lambda *a, f=f: jnp.sum(weights * f(*a)), (0, 1))(x, kernel) for f in (plain, fast)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), *slopes)


@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
def test_channels_by_themselves_on_another_device(boundary, x64, monkeypatch):
    """XLA's grouped convolution, which is taken elsewhere than on a CPU, has the same result."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 7, 2, 3)), rng.normal(size=(3, 5, 2, 3))
    expected = convolve_channelwise(jnp.asarray(x), jnp.asarray(kernel), boundary=boundary)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = convolve_channelwise(jnp.asarray(x), jnp.asarray(kernel), boundary=boundary)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2])
def test_periodic_images_go_on_beyond_their_edges(factor, x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 8, 2, 1)), rng.normal(size=(3, 3, 2, 1, 2, 3))
    expected = sum(
        np.einsum("bhwnc,ncmd->bhwmd", np.roll(x, (1 - i, 1 - j), (1, 2)), kernel[i, j])
        for i in range(3)
        for j in range(3)
    )
    expected = average_pixels(jnp.asarray(expected), factor)

    def averaged(x):
        return convolve_and_average(x, jnp.asarray(kernel), factor)

    found = with_boundary(averaged, jnp.asarray(x), 1, "periodic", factor)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with pytest.raises(ValueError, match="boundary"):
        with_boundary(averaged, jnp.asarray(x), 1, "mirror")
    with pytest.raises(ValueError, match="wider than the image"):
        with_boundary(averaged, jnp.asarray(x), 4, "periodic")


def test_convolutions_in_space(x64):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 4, 4, 4, 2, 1)), rng.normal(size=(3, 3, 3, 2, 1))
    found = np.asarray(convolve_channelwise(jnp.asarray(x), jnp.asarray(kernel)))
    middle = np.einsum("ijknc,ijknc->nc", x[0, :3, :3, :3], kernel)
    np.testing.assert_allclose(found[0, 1, 1, 1], middle, atol=1e-12)


def test_sums_over_samples(x64):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 3, 3, 4, 2)), rng.normal(size=(5, 4, 2, 3))
    expected = np.einsum("bhwnc,mncd->bhwmd", x, weights)
    np.testing.assert_allclose(mix_samples(jnp.asarray(x), jnp.asarray(weights)), expected)
    expected = np.einsum("bhwnc,mnc->bhwmc", x, weights[..., 0])
    found = mix_samples_channelwise(jnp.asarray(x), jnp.asarray(weights[..., 0]))
    np.testing.assert_allclose(found, expected)


def test_windows_hold_the_moved_support(key, x64):
    """No pixel of the support of a kernel lies beyond the window, and one fewer would not do."""
    g = jnp.asarray([[np.exp(0.5), 0.0], [0.0, np.exp(-0.5)]])[None]
    half = window_half_width(2.5, 0.5)
    assert half == 4
    places = np.asarray(transformed_offsets(g, half + 2))
    inside = np.linalg.norm(places, axis=-1)[0] <= 2.5
    offsets = pixel_offsets(half + 2, 2)[inside]
    assert np.abs(offsets).max() == half
    np.testing.assert_allclose(
        places[0] @ np.asarray(g[0]).T, pixel_offsets(half + 2, 2), atol=1e-12
    )


@pytest.mark.parametrize("group", [GLPlus(2), SL(2), SO(2), SO(3), Similitudes(3), Scalings(2)])
def test_features_are_continuous_where_angles_jump(group, key, x64):
    """Elements that are close have close features, at the identity and at rotations by pi."""
    algebra = 1e-6 * group.hat(jnp.arange(1.0, len(group.lie_algebra()) + 1))
    near = group.exp(jnp.stack([algebra, -algebra]))
    flip = jnp.diag(jnp.asarray([-1.0, -1.0, 1.0])[: group.vector_dim])
    for base in (group.identity(), flip):
        if not group.contains(base):
            continue
        a, b = (jnp.concatenate(part) for part in zip(*_features(group, base @ near), strict=True))
        assert np.abs(np.asarray(a - b)).max() < 1e-4
    distinct = _features(group, group.sample(key, (4,)))
    rows = np.concatenate([np.asarray(part) for part in distinct], axis=-1)
    assert len(np.unique(rows.round(6), axis=0)) == 4


def _features(group, g):
    return polar_features(group, g)


def test_relative_elements_and_bump(key, x64):
    group = GLPlus(2)
    a, b = group.sample(key, (3,)), group.sample(jax.random.key(1), (2,))
    pairs = relative_elements(group, a, b)
    np.testing.assert_allclose(a[1] @ pairs[1, 0], b[0], atol=1e-12)
    slope = jax.grad(lambda t: bump(t))
    assert slope(1.0) == slope(1.5) == 0


def test_bad_windows():
    with pytest.raises(ValueError, match="odd number"):
        check_window((2, 3), (8, 8))
    with pytest.raises(ValueError, match="pooling"):
        pool_pixels(jnp.ones((1, 2, 2, 1, 1)), "sum")
    with pytest.raises(ValueError, match="wider than the image"):
        check_window((9, 9), (8, 8))
    with pytest.raises(ValueError, match="cannot be averaged"):
        convolve_and_average(jnp.ones((1, 4, 5, 2, 1)), jnp.ones((3, 3, 2, 1, 1, 1)), 2)
    with pytest.raises(ValueError, match="meets an image"):
        convolve_group_images(jnp.ones((1, 4, 4, 2, 1)), jnp.ones((3, 3, 1, 1, 1, 1)))
    with pytest.raises(ValueError, match="meets an image"):
        convolve_channelwise(jnp.ones((1, 4, 4, 2, 1)), jnp.ones((3, 3, 1, 1)))
