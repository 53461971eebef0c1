"""Convolutions of images by every method, and all their derivatives, against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from equinet.ops.images import convolution as image_convolution
from equinet.ops.images import convolve_images, correlate_images
from equinet.ops.images._direct import direct
from equinet.ops.images.convolution import _method_of

SHAPES = {
    "tiles": ((2, 8, 9, 128), (3, 3), 128),
    "wide tiles": ((1, 9, 8, 128), (5, 5), 128),
    "windows": ((3, 6, 5, 2), (3, 1), 4),
    "windows in space": ((2, 4, 3, 5, 2), (3, 3, 3), 2),
    "direct": ((2, 9, 8, 12), (7, 7), 3),
}


def drawn(shape, widths, outputs):
    rng = np.random.default_rng(0)
    sizes = (shape, (*widths, shape[-1], outputs), (*shape[:-1], outputs))
    return [jnp.asarray(rng.normal(size=size)) for size in sizes]


@pytest.mark.parametrize("case", SHAPES)
def test_they_are_convolutions(case, x64, monkeypatch):
    shape, widths, outputs = SHAPES[case]
    method = _method_of(shape[1:-1], widths, (shape[-1], outputs), np.dtype(np.float64))
    assert method == case.split()[-1] or case.startswith(method)
    monkeypatch.setattr(image_convolution, "rows_per_chunk", lambda rows, size: min(rows, 2))
    x, kernel, g = drawn(*SHAPES[case])
    expected, backward = jax.vjp(lambda x, k: direct(x, k, "highest"), x, kernel)
    found, own = jax.vjp(convolve_images, x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    for actual, wanted in zip(own(g), backward(g), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-10)
    np.testing.assert_allclose(correlate_images(x, g, widths), backward(g)[1], atol=1e-10)


@pytest.mark.parametrize("method", ["tiles", "windows", "direct"])
def test_derivatives_of_every_order_and_mode(method, x64, monkeypatch):
    monkeypatch.setattr(image_convolution, "_method_of", lambda *arguments: method)
    jax.clear_caches()
    x, kernel, g = drawn((1, 4, 5, 2), (3, 3), 3)
    check_grads(lambda x, k: jnp.sin(convolve_images(x, k)), (x, kernel), 2)
    check_grads(lambda x, y: jnp.sin(correlate_images(x, y, (3, 3))), (x, g), 2)
    jax.clear_caches()


def test_mapped(x64):
    x, kernel, _ = drawn(*SHAPES["tiles"])
    kernels = jnp.stack([kernel, 2 * kernel])
    f = jax.grad(lambda x, k: jnp.sum(convolve_images(x, k) ** 2), argnums=(0, 1))
    found = jax.vmap(f, in_axes=(None, 0))(x, kernels)
    for k in range(2):
        for actual, wanted in zip(found, f(x, kernels[k]), strict=True):
            np.testing.assert_allclose(actual[k], wanted, rtol=1e-9)


def test_which_way():
    """No minimal filtering for few channels, other widths or types, or where precision counts."""
    wide, single = ((32, 32), (3, 3), (128, 128)), np.dtype(np.float32)
    assert _method_of(*wide, single) == "tiles"
    assert _method_of(*wide, single, "highest") == "direct"
    assert _method_of(*wide, jnp.dtype(jnp.bfloat16)) == "direct"
    assert _method_of((32, 32), (7, 7), (128, 128), single) == "direct"
    assert _method_of((32, 32), (3, 5), (128, 128), single) == "direct"
    assert _method_of((32, 32), (3, 3), (4, 4), single) == "windows"


def test_the_type_is_kept():
    y = jax.jit(convolve_images)(jnp.ones((1, 6, 2)), jnp.ones((3, 2, 2)))
    assert y.dtype == jnp.float32
