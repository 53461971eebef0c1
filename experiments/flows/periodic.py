r"""Fields on the periodic unit square: their grid, modes, resolution, random draws and time steps.

A field is an array ``[..., size, size]`` of its values at the cell centres
:math:`x_i = (i + 1/2) / size`, the first coordinate along axis -2, the second along axis -1. The
quarter turn of the array about its centre is then that of the square about (1/2, 1/2), at every
resolution. Its modes are :math:`\hat f_k` of :math:`f(x_i) = \sum_k \hat f_k\, e^{2\pi i\, k \cdot
i / size}`, the half with a second index of 0 or more.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from equinet.precision import read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key

Modes = Complex[Array, "... size half"]
Field = Float[Array, "... size size"]


def cell_centres(size: int, dtype: DTypeLike = jnp.float32) -> Float[Array, "size"]:
    """The coordinates of the cells along one axis.

    >>> cell_centres(2).tolist()
    [0.25, 0.75]
    """
    return jnp.asarray((np.arange(size) + 0.5) / size, dtype)


def to_modes(field: Field) -> Modes:
    """The modes, which do not depend on the resolution but for the place of the first cell."""
    return jnp.fft.rfft2(field, norm="forward")


def to_field(modes: Modes, size: int) -> Field:
    """The field of modes at one of the sizes that have them."""
    return jnp.fft.irfft2(modes, s=(size, size), norm="forward")


@functools.lru_cache
def wavenumbers(size: int) -> Float[np.ndarray, "2 size half"]:
    r"""The :math:`2 \pi k` of both axes for every mode, for derivatives.

    That of an even size's last mode, which has no odd derivatives, is 0.

    >>> wavenumbers(4)[0, :, 0].round(2).tolist()
    [0.0, 6.28, 0.0, -6.28]
    """
    k = _indices(size)
    table = np.where(2 * np.abs(k) == size, 0.0, 2 * np.pi * k)
    return read_only(table)


@functools.lru_cache
def inverse_laplacian(size: int) -> Float[np.ndarray, "size half"]:
    r""":math:`-1 / |2 \pi k|^2`, and 0 for the mean."""
    squares = (wavenumbers(size) ** 2).sum(0)
    table = np.divide(-1.0, squares, out=np.zeros_like(squares), where=squares > 0)
    return read_only(table)


@functools.lru_cache
def kept_modes(size: int) -> Bool[np.ndarray, "size half"]:
    """Where both indices are below a third of the size: their products are free of aliases.

    >>> int(kept_modes(9)[0].sum())
    3
    """
    table = (3 * np.abs(_indices(size)) < size).all(0)
    return read_only(table)


def _indices(size: int) -> Float[np.ndarray, "2 size half"]:
    first, second = np.fft.fftfreq(size, 1 / size), np.fft.rfftfreq(size, 1 / size)
    return np.round(np.stack(np.meshgrid(first, second, indexing="ij")))


def low_pass(modes: Modes) -> Modes:
    """The modes with zeros for those at or above a third of the size."""
    table = kept_modes(modes.shape[-2])
    kept = jnp.asarray(table.reshape((1,) * (modes.ndim - 2) + table.shape))
    return jnp.where(kept, modes, jnp.zeros_like(modes))


def resample(field: Field, size: int) -> Field:
    """The same field on another grid: modes are cut off or filled up with zeros, places shifted.

    The mode that a grid of even size cannot tell from its negative is dropped.

    Args:
        field: ``[..., old, old]``.
        size: The new size.

    Raises:
        ValueError: If the size is less than 1 or the field is not square.

    >>> waves = [jnp.cos(2 * jnp.pi * cell_centres(size)) for size in (8, 12)]
    >>> coarse, fine = (jnp.outer(wave, wave) for wave in waves)
    >>> bool(jnp.allclose(resample(coarse, 12), fine, atol=1e-6))
    True
    """
    old = square_size(field)
    if size < 1:
        raise ValueError(f"size: got {size}, expected 1 or more cells along an axis")
    if size == old:
        return field
    count = (min(old, size) - 1) // 2 + 1
    modes = to_modes(field)[..., :count]
    low, high = modes[..., :count, :], modes[..., old - count + 1 :, :]
    middle = jnp.zeros((*modes.shape[:-2], size - 2 * count + 1, count), modes.dtype)
    modes = jnp.concatenate([low, middle, high], axis=-2)
    rest = [(0, 0)] * (modes.ndim - 1) + [(0, size // 2 + 1 - count)]
    k = wavenumbers(size).sum(0) / 2 * (1 / size - 1 / old)
    phase = jnp.asarray(np.exp(1j * k), modes.dtype)
    return to_field(jnp.pad(modes, rest) * phase.reshape((1,) * (modes.ndim - 2) + k.shape), size)


def random_field(
    key: Key,
    count: int,
    size: int,
    *,
    power: float = 2.5,
    shift: float = 49.0,
    scale: float = 7**1.5,
    max_mode: int = 20,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "count size size"]:
    r"""Gaussian random fields of mean zero, :math:`N(0, s\, (-\Delta + t)^{-p})`.

    The law is the same after quarter turns, reflections and translations. One key gives one field,
    whatever the size.

    Args:
        key: A random key.
        count: How many.
        size: Cells along an axis.
        power: The p.
        shift: The t.
        scale: The s; the defaults are those of Li et al., arXiv:2010.08895 (2020).
        max_mode: Modes up to this index are drawn, in both directions.
        dtype: Type of the result.

    Raises:
        ValueError: If a number is out of range or the grid is too coarse for the modes.

    >>> random_field(jax.random.key(0), 3, 16, max_mode=4).shape
    (3, 16, 16)
    """
    if min(count, max_mode, power, shift, scale) <= 0:
        raise ValueError(
            "count, max_mode, power, shift and scale: expected numbers above 0, got "
            f"{count}, {max_mode}, {power}, {shift} and {scale}"
        )
    if size < 2 * max_mode + 1:
        raise ValueError(
            f"a grid of {size} cells has no modes of index {max_mode}: take max_mode="
            f"{max((size - 1) // 2, 0)} or less, or {2 * max_mode + 1} cells"
        )
    k = np.arange(-max_mode, max_mode + 1)
    squares = 4 * np.pi**2 * (k[:, None] ** 2 + k**2)
    deviations = np.where(squares > 0, math.sqrt(scale) * (squares + shift) ** (-power / 2), 0.0)
    drawn = normal(key, (count, len(k), len(k)), dtype) * jnp.asarray(deviations[None], dtype)
    # The sum of c_k (cos + sin)(2 pi k x) over all k: real, of independent terms.
    even, odd = (drawn + drawn[:, ::-1, ::-1]) / 2, (drawn - drawn[:, ::-1, ::-1]) / 2
    modes = jax.lax.complex(even, -odd)[:, :, max_mode:]
    low, high = modes[:, max_mode:], modes[:, :max_mode]
    middle = jnp.zeros((count, size - len(k), max_mode + 1), modes.dtype)
    modes = jnp.concatenate([low, middle, high], axis=1)
    phase = np.exp(0.5j / size * wavenumbers(size).sum(0))[None, :, : max_mode + 1]
    rest = [(0, 0), (0, 0), (0, size // 2 - max_mode)]
    return to_field(jnp.pad(modes * jnp.asarray(phase, modes.dtype), rest), size)


def square_size(field: Any) -> int:
    """The number of cells along an axis of a field.

    Raises:
        ValueError: If the field is not square, too small or not of real numbers.
    """
    shape = jnp.shape(field)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] < 1:
        raise ValueError(f"expected a field on a square grid [..., size, size], got {shape}")
    if not jnp.issubdtype(field.dtype, jnp.floating):
        raise ValueError(f"expected a field of floating-point numbers, got {field.dtype}")
    return shape[-1]


def check_steps(frames: int, every: int, time_step: float) -> None:
    """Raises a ValueError unless there is something to simulate."""
    if min(frames, every) < 1 or not 0 < time_step < math.inf:
        raise ValueError(
            "frames, every and time_step: expected numbers above 0, got "
            f"{frames}, {every} and {time_step}"
        )


def march(
    start: Array,
    rate: Callable[[Array], Array],
    decay: Float[np.ndarray, "size half"],
    frames: int,
    every: int,
    time_step: float,
) -> Array:
    r"""Modes of :math:`\dot z = -d z + N(z)` at later times, of fourth order in the time step.

    The classical Runge-Kutta method for :math:`e^{d t} z`, which takes the linear term exactly.

    Args:
        start: The modes z.
        rate: The function N.
        decay: The rates d of the modes; may lack leading axes of z.
        frames: Recorded states; the first lies ``every`` steps after the start.
        every: Steps between them.
        time_step: Length of a step.

    Returns:
        ``[frames, *start.shape]``.
    """
    half = np.exp(-0.5 * time_step * decay)
    half = half.reshape((1,) * (start.ndim - half.ndim) + half.shape)
    h = jnp.asarray(half, start.dtype)
    h2 = jnp.asarray(half * half, start.dtype)
    dt = time_step

    def step(z: Array, _: None) -> tuple[Array, None]:
        k1 = rate(z)
        k2 = rate(h * (z + dt / 2 * k1))
        k3 = rate(h * z + dt / 2 * k2)
        k4 = rate(h2 * z + dt * h * k3)
        return h2 * (z + dt / 6 * k1) + dt / 3 * h * (k2 + k3) + dt / 6 * k4, None

    def record(z: Array, _: None) -> tuple[Array, Array]:
        z, _ = jax.lax.scan(step, z, length=every)
        return z, z

    return jax.lax.scan(record, start, length=frames)[1]
