"""Sums of shifted images against XLA's grouped convolution, and all their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from equinet.ops.images import depthwise_convolution, depthwise_correlation

SHAPES = [((2, 5, 3), (3,)), ((2, 5, 4, 3), (3, 5)), ((1, 3, 4, 3, 2), (3, 1, 3))]


def grouped(x, kernel):
    space, lanes = "DHW"[-(x.ndim - 2) :], x.shape[-1]
    return jax.lax.conv_general_dilated(
        x,
        kernel[..., None, :],
        (1,) * len(space),
        "SAME",
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        feature_group_count=lanes,
    )


def drawn(shape, widths):
    rng = np.random.default_rng(0)
    sizes = (shape, (*widths, shape[-1]), shape)
    return [jnp.asarray(rng.normal(size=size)) for size in sizes]


@pytest.mark.parametrize(("shape", "widths"), SHAPES)
def test_they_are_grouped_convolutions(shape, widths, x64):
    x, kernel, g = drawn(shape, widths)
    ndim = len(widths)
    expected, backward = jax.vjp(grouped, x, kernel)
    np.testing.assert_allclose(depthwise_convolution(x, kernel, ndim), expected, atol=1e-12)
    found = jax.vjp(lambda x, k: depthwise_convolution(x, k, ndim), x, kernel)[1](g)
    for actual, wanted in zip(found, backward(g), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-12)
    np.testing.assert_allclose(depthwise_correlation(x, g, widths), backward(g)[1], atol=1e-12)


@pytest.mark.parametrize(("shape", "widths"), SHAPES)
def test_periodic_images(shape, widths, x64):
    """Against rolled images, with both gradients."""
    x, kernel, g = drawn(shape, widths)
    axes = tuple(range(1, len(widths) + 1))

    def rolled(x, kernel):
        places = np.ndindex(*widths)
        shifts = {v: [w // 2 - o for o, w in zip(v, widths, strict=True)] for v in places}
        return sum(
            jnp.roll(x, shift, axes) * kernel[(*v, *[None] * (x.ndim - 1))]
            for v, shift in shifts.items()
        )

    def found(x, kernel):
        return depthwise_convolution(x, kernel, len(widths), "periodic")

    def both(function):
        y, backward = jax.vjp(function, x, kernel)
        return y, *backward(g)

    for actual, wanted in zip(both(found), both(rolled), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-12)


def test_derivatives_of_every_order_and_mode(x64):
    x, kernel, g = drawn(*SHAPES[1])
    check_grads(lambda x, k: jnp.sin(depthwise_convolution(x, k, 2)), (x, kernel), 2)
    check_grads(lambda x, y: jnp.sin(depthwise_correlation(x, y, (3, 3))), (x, g), 2)
    check_grads(lambda x, y: depthwise_correlation(x, y, (3, 3), "periodic") ** 2, (x, g), 2)


def test_mapped(x64):
    x, kernel, _ = drawn(*SHAPES[1])
    kernels = jnp.stack([kernel, 2 * kernel])
    f = jax.grad(lambda x, k: jnp.sum(depthwise_convolution(x, k, 2) ** 2), argnums=(0, 1))
    found = jax.vmap(f, in_axes=(None, 0))(x, kernels)
    for k in range(2):
        for actual, wanted in zip(found, f(x, kernels[k]), strict=True):
            np.testing.assert_allclose(actual[k], wanted, atol=1e-10)


def test_the_type_is_kept():
    y = jax.jit(depthwise_convolution, static_argnums=2)(jnp.ones((1, 3, 2)), jnp.ones((3, 2)), 1)
    assert y.dtype == jnp.float32
