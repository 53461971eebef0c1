r"""Convolutions of many channels by minimal filtering, as three products of matrices.

.. math:: y_{p d} = \sum_{v c} k_{v c d}\, x_{p + v, c}, \qquad
          Y = A^\top \bigl( (G k) \cdot (B^\top x) \bigr)

A tile of m outputs along an axis takes m + K - 1 products instead of m K: 36 for 4 x 4 pixels and a
kernel of 3 x 3, where the direct sum has 144. With the interpolation points used here the rounding
error is about twice the error of the direct sum. ``convolution.py`` decides where this is faster
and defines the derivatives.

References:
    Winograd, Arithmetic complexity of computations, SIAM (1980); Lavin and Gray, Fast algorithms
    for convolutional neural networks, arXiv:1509.09308 (2015).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk, sum_chunks
from equinet.precision import read_only

TILE = 6  # pixels of a tile, one for each interpolation point; infinity is the sixth
_POINTS = (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2.0), -math.sqrt(2.0))
_TRANSFORM_SHARE = 0.5  # speed of the transforms, whose products are narrow, relative to wide ones
WIDTHS = (3, 5)


def convolve_tiles(
    x: Float[Array, "batch *sizes C"],
    kernel: Float[Array, "*K C D"],
    precision: str | None = None,
) -> Float[Array, "batch *sizes D"]:
    """Convolves images with a kernel by minimal filtering; pixels beyond the edge are zero.

    Args:
        x: Images ``[batch, *sizes, C]``.
        kernel: ``[*K, C, D]``, the same width K of 3 or 5 along every axis.
        precision: Precision of the products.

    Returns:
        ``[batch, *sizes, D]``.

    Raises:
        ValueError: If the kernel has another width.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> convolve_tiles(x, jnp.ones((3, 1, 1)))[0, :, 0].round(4).tolist()
    [3.0, 6.0, 5.0]
    """
    ndim = x.ndim - 2
    width, outputs, sizes = _width(kernel.shape[:ndim]), _outputs(kernel.shape[0]), x.shape[1:-1]
    a, g, b = (_power(matrix, ndim, x.dtype) for matrix in filter_matrices(width))
    weights = _transformed(g, kernel.reshape(width**ndim, *kernel.shape[-2:]), precision)

    def block(x: Array) -> Array:
        tiles = _cut(x, TILE, outputs, width // 2)
        values = _transformed(b, tiles, precision)
        values = jnp.matmul(values, weights, precision=precision)
        values = _transformed(a.T, values, precision)
        return _joined(values.reshape(-1, *tiles.shape[1:-1], kernel.shape[-1]), sizes, outputs)

    return map_chunks(block, _images_at_once(x, width, kernel.shape[-1]), x)


def correlate_tiles(
    x: Float[Array, "batch *sizes C"],
    y: Float[Array, "batch *sizes D"],
    widths: tuple[int, ...],
    precision: str | None = None,
) -> Float[Array, "*K C D"]:
    """Sums ``x[p + v, c] * y[p, d]`` over batch and pixels p, for the offsets v of a window.

    Args:
        x: Images ``[batch, *sizes, C]``.
        y: Images of the same sizes, ``[batch, *sizes, D]``.
        widths: Width K of the window along every spatial axis, all 3 or all 5.
        precision: Precision of the products.

    Raises:
        ValueError: If the widths are not all 3 or all 5.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> correlate_tiles(x, x, (3,))[:, 0, 0].round(4).tolist()
    [8.0, 14.0, 8.0]
    """
    ndim, width = len(widths), _width(widths)
    outputs = _outputs(width)
    a, g, b = (_power(matrix, ndim, x.dtype) for matrix in filter_matrices(width))

    def block(x: Array, y: Array) -> Array:
        left = _transformed(b, _cut(x, TILE, outputs, width // 2), precision)
        right = _transformed(a, _cut(y, outputs, outputs, 0), precision)
        return jnp.einsum("apc,apd->acd", left, right, precision=precision)

    total = sum_chunks(block, _images_at_once(x, width, y.shape[-1]), x, y)
    kernel = jnp.matmul(g.T, total.reshape(len(total), -1), precision=precision)
    return kernel.reshape(*widths, x.shape[-1], y.shape[-1])


def multiplications(sizes: tuple[int, ...], width: int, channels: tuple[int, int]) -> float:
    """Number of products for one image; the slower products of the transforms count double.

    >>> direct = 32 * 32 * 9 * 128 * 128
    >>> round(direct / multiplications((32, 32), 3, (128, 128)), 1)
    2.2
    """
    m, ndim = _outputs(width), len(sizes)
    tiles = math.prod(-(-size // m) for size in sizes)
    points, (c, d) = TILE**ndim, channels
    transforms = points * (points * c + m**ndim * d) / _TRANSFORM_SHARE
    return tiles * (points * c * d + transforms)


@functools.cache
def filter_matrices(
    width: int,
) -> tuple[
    Float[np.ndarray, "points m"], Float[np.ndarray, "points width"], Float[np.ndarray, "p p"]
]:
    """The matrices A, G and B^T of the formula for a tile along one axis.

    They are the transpose of the multiplication of polynomials by their values at five points and
    infinity. Corresponding rows of G and B^T are scaled to the same sum of absolute values.

    >>> a, g, b = filter_matrices(3)
    >>> d, k = np.arange(6.0), np.array([1.0, -2.0, 3.0])
    >>> (a.T @ ((g @ k) * (b @ d))).round(6).tolist()
    [4.0, 6.0, 8.0, 10.0]
    """

    def values(degree: int) -> np.ndarray:
        powers = np.asarray(_POINTS)[:, None] ** np.arange(degree)
        return np.concatenate([powers, np.eye(degree)[-1:]])

    outputs, taps, inverse = values(_outputs(width)), values(width), np.linalg.inv(values(TILE)).T
    size = np.sqrt(np.abs(inverse).sum(1) / np.abs(taps).sum(1))[:, None]
    return read_only(outputs), read_only(taps * size), read_only(inverse / size)


def _outputs(width: int) -> int:
    """Number of output pixels of a tile along an axis."""
    return TILE + 1 - width


def _width(widths: tuple[int, ...]) -> int:
    if len(set(widths)) != 1 or widths[0] not in WIDTHS:
        raise ValueError(
            f"expected windows of one width out of {WIDTHS}, got {tuple(widths)}: use "
            "equinet.ops.images.convolve_images"
        )
    return widths[0]


def _power(matrix: np.ndarray, ndim: int, dtype: np.dtype) -> Array:
    """The Kronecker power of a matrix, for tiles with this number of axes."""
    return jnp.asarray(functools.reduce(np.kron, [matrix] * ndim), dtype)


def _cut(x: Array, length: int, outputs: int, start: int) -> Array:
    """Tiles ``[length^ndim, batch, *tiles, C]``, one every ``outputs`` pixels from ``-start``."""
    ndim = x.ndim - 2
    tiles = [-(-size // outputs) for size in x.shape[1:-1]]
    edges = [
        (start, (count - 1) * outputs + length - size - start)
        for count, size in zip(tiles, x.shape[1:-1], strict=True)
    ]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)])
    parts = []
    for offset in np.ndindex(*[length] * ndim):
        at = tuple(
            slice(p, p + (count - 1) * outputs + 1, outputs)
            for p, count in zip(offset, tiles, strict=True)
        )
        parts.append(x[(slice(None), *at)])
    return jnp.stack(
        jax.lax.optimization_barrier(parts)
    )  # separate copies take less time than fused ones


def _joined(tiles: Array, sizes: tuple[int, ...], outputs: int) -> Array:
    """Joins output tiles ``[outputs^ndim, batch, *tiles, D]`` to images ``[batch, *sizes, D]``."""
    ndim, (batch, *counts, channels) = len(sizes), tiles.shape[1:]
    x = tiles.reshape(*[outputs] * ndim, batch, *counts, channels)
    order = [axis for k in range(ndim) for axis in (ndim + 1 + k, k)]
    x = jnp.transpose(x, (ndim, *order, x.ndim - 1))
    x = x.reshape(batch, *(count * outputs for count in counts), channels)
    return x[(slice(None), *(slice(size) for size in sizes))]


def _transformed(matrix: Array, tiles: Array, precision: str | None) -> Array:
    """The matrix times all tiles, ``[points, tiles, channels]``."""
    y = jnp.matmul(matrix, tiles.reshape(tiles.shape[0], -1), precision=precision)
    return y.reshape(matrix.shape[0], -1, tiles.shape[-1])


def _images_at_once(x: Array, width: int, channels: int) -> int:
    """Number of images of the batch that are computed at once."""
    outputs, ndim = _outputs(width), x.ndim - 2
    tiles = math.prod(-(-size // outputs) for size in x.shape[1:-1])
    row = tiles * TILE**ndim * (x.shape[-1] + channels) * x.dtype.itemsize
    return rows_per_chunk(x.shape[0], row)
