r"""Convolutions of images that are fast on a CPU, with all derivatives.

.. math:: y_{p d} = \sum_{v c} k_{v c d}\, x_{p + v, c}

The gradient of XLA's convolution with respect to the kernel takes several times as long as the
convolution. Here the convolution and the correlation of two images are primitives, each the
transpose of the other, and each uses the method with the least work: minimal filtering
(``_winograd.py``) for kernels of 3 or 5 pixels and many channels, else one product of the
matrix of all windows, or XLA's convolution.
"""

import functools
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax.interpreters import ad
from jaxtyping import Array, Float

from equinet.chunks import rows_per_chunk, sum_chunks
from equinet.ops.images import _winograd
from equinet.ops.images._direct import direct
from equinet.ops.primitives import bilinear, bind, primitive
from equinet.precision import floating

_Method = Literal["tiles", "windows", "direct"]
_NARROW = 256  # entries of a window up to which the matrix of all windows is worth its memory


def convolve_images(
    x: Float[Array, "batch *sizes C"],
    kernel: Float[Array, "*K C D"],
    precision: str | None = None,
) -> Float[Array, "batch *sizes D"]:
    r"""Convolves images with a kernel; pixels beyond the edge are zero.

    .. math:: y_{p d} = \sum_{v c} k_{v c d}\, x_{p + v, c}

    On a CPU in float32 the rounding error of minimal filtering is about twice the error of the
    direct sum; it is not used if a ``precision`` is given.

    Args:
        x: Images ``[batch, *sizes, C]``.
        kernel: ``[*K, C, D]`` with odd K.
        precision: Precision of the products, as for ``jax.lax.dot``.

    Returns:
        ``[batch, *sizes, D]``.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> convolve_images(x, jnp.ones((3, 1, 1)))[0, :, 0].tolist()
    [3.0, 6.0, 5.0]
    """
    x, kernel = floating(x), floating(kernel)
    if jax.default_backend() != "cpu":
        return direct(x, kernel, precision)
    return bind(_convolve_p, x, kernel, ndim=x.ndim - 2, precision=precision)


def correlate_images(
    x: Float[Array, "batch *sizes C"],
    y: Float[Array, "batch *sizes D"],
    widths: tuple[int, ...],
    precision: str | None = None,
) -> Float[Array, "*K C D"]:
    r"""Correlates two batches of images over the offsets v of a window.

    .. math:: k_{v c d} = \sum_{b p} x_{b, p + v, c}\, y_{b p d}

    Args:
        x: Images ``[batch, *sizes, C]``.
        y: Images of the same sizes, ``[batch, *sizes, D]``.
        widths: Width K of the window along every spatial axis, odd.
        precision: Precision of the products, as for ``jax.lax.dot``.

    Returns:
        ``[*K, C, D]``.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> correlate_images(x, x, (3,))[:, 0, 0].tolist()
    [8.0, 14.0, 8.0]
    """
    x, y = floating(x), floating(y)
    return bind(_correlate_p, x, y, widths=tuple(widths), precision=precision)


def _method_of(
    sizes: tuple[int, ...],
    widths: tuple[int, ...],
    channels: tuple[int, int],
    dtype: jnp.dtype,
    precision: str | None = None,
) -> _Method:
    """The method with the least work for a convolution on a CPU.

    >>> _method_of((32, 32), (3, 3), (128, 128), jnp.dtype("float32"))
    'tiles'
    >>> _method_of((40, 40), (7, 7), (1, 192), jnp.dtype("float32"))
    'windows'
    """
    c, d = channels
    if precision is None and dtype in (jnp.float32, jnp.float64) and _one_width(widths):
        work = math.prod(sizes) * math.prod(widths) * c * d
        if _winograd.multiplications(sizes, widths[0], channels) < 0.7 * work:
            return "tiles"
    return "windows" if math.prod(widths) * c <= _NARROW else "direct"


def _one_width(widths: tuple[int, ...]) -> bool:
    return len(set(widths)) == 1 and widths[0] in _winograd.WIDTHS


def _windows(x: Array, widths: tuple[int, ...]) -> Float[Array, "batch *sizes KC"]:
    """The window of every pixel in one row; the channel is the fastest index."""
    sizes = x.shape[1:-1]
    wide = jnp.pad(x, [(0, 0), *[(width // 2, width // 2) for width in widths], (0, 0)])
    parts = [
        wide[(slice(None), *(slice(o, o + n) for o, n in zip(start, sizes, strict=True)))]
        for start in itertools.product(*map(range, widths))
    ]
    return jnp.concatenate(parts, axis=-1)


def _convolve(x: Array, kernel: Array, *, ndim: int, precision: str | None) -> Array:
    if x.ndim > ndim + 2:
        function = functools.partial(_convolve, ndim=ndim, precision=precision)
        return _over_leading(function, (x, ndim + 2), (kernel, ndim + 2))
    *widths, c, d = kernel.shape
    method = _method_of(x.shape[1:-1], tuple(widths), (c, d), x.dtype, precision)
    if method == "tiles":
        return _winograd.convolve_tiles(x, kernel)
    if method == "direct":
        return direct(x, kernel, precision)
    return jnp.matmul(_windows(x, tuple(widths)), kernel.reshape(-1, d), precision=precision)


def _correlate(x: Array, y: Array, *, widths: tuple[int, ...], precision: str | None) -> Array:
    ndim = len(widths)
    if x.ndim > ndim + 2:
        function = functools.partial(_correlate, widths=widths, precision=precision)
        return _over_leading(function, (x, ndim + 2), (y, ndim + 2))
    c, d, sizes = x.shape[-1], y.shape[-1], x.shape[1:-1]
    if _method_of(sizes, widths, (c, d), x.dtype, precision) == "tiles":
        return _winograd.correlate_tiles(x, y, widths)

    def of_images(x: Array, y: Array) -> Array:
        rows = _windows(x, widths).reshape(-1, math.prod(widths) * c)
        return jnp.matmul(rows.T, y.reshape(-1, d), precision=precision)

    row = math.prod(sizes) * (math.prod(widths) * c + d) * x.dtype.itemsize
    total = sum_chunks(of_images, rows_per_chunk(x.shape[0], row), x, y)
    return total.reshape(*widths, c, d)


def _over_leading(function: functools.partial, *arrays: tuple[Array, int]) -> Array:
    """Maps the function of the last axes over the axes in front, one entry at a time."""
    lead = arrays[0][0].shape[: -arrays[0][1]]
    flat = (array.reshape(-1, *array.shape[-own:]) for array, own in arrays)
    result = jax.lax.map(lambda each: function(*each), tuple(flat))
    return result.reshape(*lead, *result.shape[1:])


def _transposed_kernel(kernel: Array, ndim: int) -> Array:
    """The kernel of the transposed convolution: reversed offsets, input and output exchanged."""
    axes = tuple(range(kernel.ndim - ndim - 2, kernel.ndim - 2))
    return jnp.swapaxes(jnp.flip(kernel, axes), -1, -2)


def _transpose_in_kernel(
    g: Array, x: Array, kernel: ad.UndefinedPrimal, ndim: int, precision: str | None
) -> Array:
    return correlate_images(x, g, kernel.aval.shape[-ndim - 2 : -2], precision)


def _bind(x: Array, kernel: Array, ndim: int, precision: str | None) -> Array:
    return bind(_convolve_p, x, kernel, ndim=ndim, precision=precision)


_convolve_p = primitive("convolve_images", _convolve)
_correlate_p = primitive("correlate_images", _correlate)
bilinear(
    _convolve_p,
    lambda g, x, kernel, ndim, precision: _bind(
        g, _transposed_kernel(kernel, ndim), ndim, precision
    ),
    _transpose_in_kernel,
)
bilinear(
    _correlate_p,
    lambda g, x, y, widths, precision: _bind(
        y, _transposed_kernel(g, len(widths)), len(widths), precision
    ),
    lambda g, x, y, widths, precision: _bind(x, g, len(widths), precision),
)
