"""Minimal filtering against XLA's convolution, and the rounding that it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.images._direct import direct
from equinet.ops.images._winograd import (
    convolve_tiles,
    correlate_tiles,
    filter_matrices,
    multiplications,
)

SHAPES = [
    ((2, 7, 3), (3,), 2),
    ((5, 9, 4, 3), (3, 3), 5),
    ((2, 6, 7, 2), (5, 5), 3),
    ((1, 5, 4, 6, 2), (3, 3, 3), 2),
]


def drawn(shape, widths, outputs, dtype):
    rng = np.random.default_rng(0)
    sizes = (shape, (*widths, shape[-1], outputs), (*shape[:-1], outputs))
    return [jnp.asarray(rng.normal(size=size), dtype) for size in sizes]


@pytest.mark.parametrize("blocks", ["one block", "blocks of two"])
@pytest.mark.parametrize(("shape", "widths", "outputs"), SHAPES)
def test_they_are_convolutions(shape, widths, outputs, blocks, x64, monkeypatch):
    if blocks != "one block":
        monkeypatch.setattr(
            "equinet.ops.images._winograd.rows_per_chunk", lambda rows, size: min(rows, 2)
        )
    x, kernel, g = drawn(shape, widths, outputs, np.float64)
    expected, backward = jax.vjp(lambda x, k: direct(x, k, "highest"), x, kernel)
    np.testing.assert_allclose(convolve_tiles(x, kernel), expected, atol=1e-11)
    np.testing.assert_allclose(correlate_tiles(x, g, widths), backward(g)[1], atol=1e-11)


@pytest.mark.parametrize("width", [3, 5])
def test_rounding_is_near_that_of_the_sum(width):
    """In float32, of 64 channels."""
    x, kernel, _ = drawn((2, 16, 16, 64), (width, width), 8, np.float32)
    found = [np.asarray(f(x, kernel), np.float64) for f in (convolve_tiles, direct)]
    with jax.enable_x64(True):
        wide = (jnp.asarray(np.asarray(a, np.float64)) for a in (x, kernel))
        exact = np.asarray(direct(*wide))
    errors = [np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2)) for y in found]
    assert errors[0] < 3e-6
    assert errors[0] < 6 * errors[1]


def test_matrices_are_those_of_a_filter():
    for width in (3, 5):
        a, g, b = filter_matrices(width)
        assert (a.shape, g.shape, b.shape) == ((6, 7 - width), (6, width), (6, 6))
        d, k = np.random.default_rng(0).normal(size=6), np.arange(1.0, width + 1)
        np.testing.assert_allclose(a.T @ ((g @ k) * (b @ d)), np.correlate(d, k), atol=1e-12)


def test_products_are_saved_for_many_channels_alone():
    assert multiplications((32, 32), 3, (128, 128)) < 0.5 * 32 * 32 * 9 * 128 * 128
    assert multiplications((32, 32), 3, (2, 2)) > 32 * 32 * 9 * 2 * 2


@pytest.mark.parametrize("widths", [(3, 5), (7, 7), (2, 2)])
def test_other_widths_are_refused(widths):
    with pytest.raises(ValueError, match="one width"):
        convolve_tiles(jnp.ones((1, 9, 9, 2)), jnp.ones((*widths, 2, 2)))
    with pytest.raises(ValueError, match="one width"):
        correlate_tiles(jnp.ones((1, 9, 9, 2)), jnp.ones((1, 9, 9, 2)), widths)
