"""Spectral convolution: against sums and shifts, symmetry, resolution, derivatives, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import Cyclic, Dihedral, S
from equinet.ops.images import from_low_modes, low_modes, rotated_kernel, spectral_convolution
from equinet.reps import Images, Regular
from equinet.testing import assert_equivariant, equivariance_error

GROUPS = [Cyclic(1), Cyclic(4), Dihedral(4)]


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def matrices(group):
    """The elements as integer matrices, and the place of every g^-1 g'."""
    elements = jnp.asarray(group.elements())
    turns = np.round(np.asarray(group.linear_part(elements))).astype(int)
    relative = group.compose(group.inverse(elements)[:, None], elements[None])
    return turns, np.asarray(relative)


def real_kernels(kernel, group, size):
    """psi_{g^-1 g'}(g^-1 x) at all pixels x, [g, g', size, size, in, out], mode by mode."""
    turns, relative = matrices(group)
    modes = (kernel.shape[0] + 1) // 2
    x = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    found = np.zeros((group.order, group.order, size, size, *kernel.shape[3:]))
    for g, turn in enumerate(turns):
        back = x @ turn  # the inverse of an orthogonal matrix, from the left
        for a in range(1 - modes, modes):
            for b in range(1 - modes, modes):
                angle = 2 * np.pi / size * (back @ np.array([a, b]))
                wave = (np.cos(angle) + np.sin(angle))[None, ..., None, None]
                rows = kernel[a + modes - 1, b + modes - 1][relative[g]]
                found[g] += wave * rows[:, None, None]
    return found


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("size", [5, 6])
def test_against_shifted_sums(group, size, x64):
    """In real space, pixel by pixel, with kernels turned in real space."""
    kernel, x = draw(0, 5, 5, group.order, 2, 3), draw(1, 2, size, size, group.order, 2)
    psi, expected = real_kernels(np.asarray(kernel), group, size), 0.0
    for a in range(size):
        for b in range(size):
            moved = np.roll(x, (a, b), axis=(1, 2))
            expected = expected + np.einsum("nxyhc,ghcd->nxygd", moved, psi[:, :, a, b])
    expected = expected / size**2 / np.sqrt(2 * group.order)
    found = spectral_convolution(x, kernel, group)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("method", ["matrix", "fft"])
@pytest.mark.parametrize("sizes", [(7, 9), (8, 5), (5, 6)])
def test_modes_against_the_sum(method, sizes, x64):
    height, width = sizes
    x = draw(0, 2, height, width, 3)
    found = low_modes(x, 3, method)
    first = np.exp(-2j * np.pi / height * np.outer(np.arange(3), np.arange(height)))
    second = np.exp(-2j * np.pi / width * np.outer(np.arange(-2, 3), np.arange(width)))
    expected = np.einsum("ah,bw,nhwc->nabc", first, second, x) / (height * width)
    np.testing.assert_allclose(found[..., 0, :], expected.real, atol=1e-14)
    np.testing.assert_allclose(found[..., 1, :], expected.imag, atol=1e-14)
    whole = np.fft.fft2(x, axes=(1, 2))
    far = [np.abs(np.fft.fftfreq(size, 1 / size)) > 2.5 for size in sizes]
    whole[:, far[0]] = 0
    whole[:, :, far[1]] = 0
    back = from_low_modes(found, height, width, method)
    np.testing.assert_allclose(back, np.fft.ifft2(whole, axes=(1, 2)).real, atol=1e-14)


@pytest.mark.parametrize("method", ["matrix", "fft"])
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("group", [Cyclic(2), Cyclic(4), Dihedral(1), Dihedral(4)])
def test_turned_images(group, size, method, x64, key):
    kernel, images = draw(0, 5, 5, group.order, 2, 2), Images(Regular(group))
    assert_equivariant(
        jax.jit(lambda x: spectral_convolution(x, kernel, group, method=method)),
        *(images, images, key),
        inputs=draw(1, 2, size, size, group.order, 2),
        atol=1e-12,
        num_samples=4,
    )


def test_controls(x64, key):
    """A kernel that is not turned, and reflections under a group of turns alone."""
    x, kernel = draw(1, 2, 8, 8, 4, 2), draw(0, 5, 5, 4, 2, 2)
    images, free = Images(Regular(Cyclic(4))), draw(2, 5, 5, 1, 8, 8)

    def unturned(x):
        y = spectral_convolution(x.reshape(2, 8, 8, 1, 8), free, Cyclic(1))
        return y.reshape(2, 8, 8, 4, 2)

    options = {"inputs": x, "num_samples": 2}
    assert equivariance_error(jax.jit(unturned), images, images, key, **options) > 0.1
    moved = spectral_convolution(x[:, ::-1], kernel, Cyclic(4))
    for order in np.ndindex(4):  # however the elements are renamed
        shifted = np.roll(np.arange(4), order[0])
        for renamed in (shifted, shifted[::-1]):
            back = spectral_convolution(x[..., renamed, :], kernel, Cyclic(4))
            assert np.abs(moved - back[:, ::-1]).max() > 0.1


@pytest.mark.parametrize("method", ["matrix", "fft"])
def test_resolution_and_translation(method, x64):
    """Twice the pixels of what has low modes: the same field; shifted by any amount: shifted."""
    kernel, group = draw(0, 5, 5, 4, 2, 2), Cyclic(4)
    modes = low_modes(draw(1, 2, 8, 8, 8), 3)

    def run(size, shift=0.0):
        k = np.stack(np.meshgrid(np.arange(3), np.arange(-2, 3), indexing="ij"))
        angle = 2 * np.pi * shift * k.sum(0)[None, :, :, None]
        re, im = (modes[..., part, :] for part in range(2))
        turned = [re * np.cos(angle) - im * np.sin(angle), re * np.sin(angle) + im * np.cos(angle)]
        x = from_low_modes(jnp.stack(turned, axis=-2), size, size)
        y = spectral_convolution(x.reshape(2, size, size, 4, 2), kernel, group, method=method)
        return np.asarray(y)

    coarse, fine = run(8), run(16)
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, atol=1e-13)
    np.testing.assert_allclose(run(8, 1 / 16), fine[:, 1::2, 1::2], atol=1e-13)
    odd = np.asarray(draw(1, 2, 6, 6, 4, 2))
    shifted = spectral_convolution(jnp.roll(odd, (1, 2), (1, 2)), kernel, group, method=method)
    whole = spectral_convolution(odd, kernel, group, method=method)
    np.testing.assert_allclose(shifted, jnp.roll(whole, (1, 2), (1, 2)), atol=1e-13)


def test_types_jit_and_derivatives():
    kernel = jnp.asarray(draw(0, 3, 3, 4, 2, 3), jnp.float32)
    x = jnp.asarray(draw(1, 2, 6, 6, 4, 2), jnp.float32)

    def run(x, kernel):
        return spectral_convolution(x, kernel, Cyclic(4))

    y = run(x, kernel)
    assert (y.dtype, y.shape) == (jnp.float32, (2, 6, 6, 4, 3))
    np.testing.assert_allclose(jax.jit(run)(x, kernel), y, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(run, (0, None))(x, kernel), y, atol=1e-6)
    first = jax.jit(jax.grad(lambda x, k: jnp.sum(run(x, k) ** 3), (0, 1)))
    second = jax.grad(lambda x, k: sum(jnp.sum(g**2) for g in first(x, k)), (0, 1))
    for gradient in (*first(x, kernel), *second(jnp.zeros_like(x), kernel)):
        assert np.isfinite(gradient).all()
    assert all(np.abs(g).max() > 0 for g in first(x, kernel))


def test_bad_input():
    x, kernel = jnp.ones((1, 8, 8, 4, 2)), jnp.ones((5, 5, 4, 2, 3))
    with pytest.raises(ValueError, match="4 x 8 pixels has no 3 modes: expected 1 to 2"):
        spectral_convolution(x[:, :4], kernel, Cyclic(4))
    with pytest.raises(ValueError, match=r"expected an image \[\.\.\., height, width, 4, 2\]"):
        spectral_convolution(x[..., 1:], kernel, Cyclic(4))
    with pytest.raises(ValueError, match=r"2 \* modes - 1, 8, .*got \(5, 5, 4, 2, 3\)"):
        rotated_kernel(kernel, Dihedral(4))
    with pytest.raises(ValueError, match=r"got \(4, 4, 4, 2, 3\)"):
        rotated_kernel(kernel[:4, :4], Cyclic(4))
    for group, order in ((Cyclic(3), 3), (Dihedral(8), 16), (S(3), 6)):
        with pytest.raises(ValueError, match=r"with n of 1, 2 or 4"):
            rotated_kernel(jnp.ones((3, 3, order, 1, 1)), group)
    with pytest.raises(ValueError, match=r"method: got 'slow', expected one of \('matrix', 'fft'"):
        low_modes(x[..., 0], 2, "slow")
