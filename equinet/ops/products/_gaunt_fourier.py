"""Gaunt products by fast Fourier transforms: harmonics as polynomials in two angles.

Along a meridian that goes on through the pole, theta in [0, 2 pi), a harmonic of degree l is a
trigonometric polynomial of degree l: so it is one on the torus of both angles, with the azimuthal
orders m and -m alone. The product of two functions is a convolution of their Fourier coefficients.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from equinet.ops.primitives import move_rows
from equinet.ops.products._gaunt_grid import all_degrees
from equinet.ops.products._paths import blocks
from equinet.precision import HIGHEST, read_only
from equinet.reps import Irreps, spherical_harmonics_table


def multiply_fourier(reps: tuple[Irreps, ...], x: Array, y: Array) -> Array:
    """The integral of the product of two functions with every harmonic of the last rep.

    Coefficients to Fourier arrays, padded with zeros to the degree of the product, by fast Fourier
    transforms to values, multiplied, back, and integrated with the harmonics term by term. Complex
    numbers have twice the width of the input's type, at least complex64.
    """
    degrees = [max(block.l for block in blocks(rep)) for rep in reps]
    size = 2 * (degrees[0] + degrees[1]) + 1
    wide = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
    values = _values(reps[0], wide, size) * _values(reps[1], y.astype(wide.dtype), size)
    spectrum = jnp.fft.rfft2(values, axes=(1, 2)) / size**2
    lmax = degrees[2]
    reach = min(lmax, degrees[0] + degrees[1])
    table = jnp.asarray(_integrals(lmax, degrees[0] + degrees[1]), spectrum.dtype)
    waves = spectrum[:, :, : reach + 1]
    sums = jnp.einsum("nuv,vlu->vln", waves, table[: reach + 1], precision=HIGHEST)
    sums = jnp.pad(sums, ((0, lmax - reach), (0, 0), (0, 0)))
    rows = []
    for l in range(lmax + 1):
        rows += [-sums[m, l].imag for m in range(l, 0, -1)] + [
            sums[m, l].real for m in range(l + 1)
        ]
    index, inverse = all_degrees(reps[2])
    return move_rows(jnp.stack(rows), inverse, index).astype(x.dtype)


def _values(rep: Irreps, x: Array, size: int) -> Array:
    """Values at ``size**2`` pairs of angles, ``[batch, size, size]``."""
    index, inverse = all_degrees(rep)
    x, lmax = move_rows(x, index, inverse), math.isqrt(len(index) - 1)
    zero = jnp.zeros((x.shape[-1],), x.dtype)
    # For every order m the complex number x_m - i x_-m: coefficients of cosine and sine.
    waves = [
        [
            jax.lax.complex(x[l * l + l + m], -x[l * l + l - m] if m else zero)
            if l >= m
            else jax.lax.complex(zero, zero)
            for l in range(lmax + 1)
        ]
        for m in range(lmax + 1)
    ]
    stacked = jnp.stack([jnp.stack(row) for row in waves])
    table = jnp.asarray(_spectra(lmax), stacked.dtype)
    spectrum = jnp.einsum("vln,vlu->nuv", stacked, table, precision=HIGHEST)
    pad = jnp.zeros((spectrum.shape[0], size - 2 * lmax - 1, lmax + 1), spectrum.dtype)
    # Frequencies of theta in the order of the transform: 0, 1, ... lmax, zeros, -lmax, ... -1.
    parts = [spectrum[:, lmax:], pad, spectrum[:, :lmax]]
    padded = jnp.concatenate(parts, axis=1)
    padded = jnp.pad(padded, ((0, 0), (0, 0), (0, size // 2 - lmax)))
    return jnp.fft.irfft2(padded, s=(size, size), axes=(1, 2)) * size**2


@functools.cache
def _spectra(lmax: int) -> Complex[np.ndarray, "orders degrees frequencies"]:
    """Fourier coefficients of the meridian's part of every harmonic, frequencies -lmax to lmax.

    ``table[m, l, lmax + u]``: half of it for m > 0, since a real wave is a pair of complex ones.
    """
    count = 2 * lmax + 1
    theta = 2 * np.pi * np.arange(count) / count
    points = np.stack([np.zeros(count), np.cos(theta), np.sin(theta)], axis=-1)
    meridian = spherical_harmonics_table(lmax, points)
    table = np.zeros((lmax + 1, lmax + 1, count), np.complex128)
    for m in range(lmax + 1):
        for l in range(m, lmax + 1):
            spectrum = np.fft.fftshift(np.fft.fft(meridian[:, l * l + l + m])) / count
            table[m, l] = spectrum / (2 if m else 1)
    return read_only(table)


@functools.cache
def _integrals(lmax: int, reach: int) -> Complex[np.ndarray, "orders degrees frequencies"]:
    r"""Integrals of the waves with every harmonic, frequencies of theta as the transform has them.

    With :math:`\Theta = \sum_k c_k e^{ik\theta}` the mean over the sphere is
    :math:`\frac12 \sum_k c_k \int_0^\pi e^{i(u+k)\theta} \sin\theta\, d\theta`, and the integral is
    :math:`(1 + (-1)^n) / (1 - n^2)`, or :math:`\pm i\pi/2` for :math:`n = \pm 1`. Waves beyond the
    order ``lmax`` are zero, and waves of order m count twice, also for -m.
    """
    spectra = _spectra(lmax)
    frequency = np.fft.ifftshift(np.arange(-reach, reach + 1))
    total = frequency[:, None] + np.arange(-lmax, lmax + 1)[None, :]
    even = (1.0 + (-1.0) ** total) / np.where(np.abs(total) == 1, 1, 1.0 - total**2)
    moment = np.where(np.abs(total) == 1, 0.5j * np.pi * total, even)
    table = 0.5 * np.einsum("vlk,uk->vlu", spectra, moment)
    # The real harmonic is the wave plus its conjugate, each with half of the coefficient.
    table = 2 * table
    table[0] /= 2
    return read_only(table)
