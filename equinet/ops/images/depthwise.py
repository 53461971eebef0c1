r"""Depth-wise convolutions of images as sums of shifted images, fast on a CPU with derivatives.

.. math:: y_p = \sum_v k_v\, x_{p + v}

XLA's grouped convolutions take several times as long on a CPU, and their gradients even longer; the
automatic derivative of shifted slices is a sum of padded arrays. Here the convolution and the
correlation of two images are primitives, each the transpose of the other.
"""

import functools
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet._sharding import vary_alike
from equinet.ops.primitives import bilinear, bind, primitive
from equinet.precision import floating

Boundary = Literal["zeros", "periodic"]
"""Values beyond the edge of an image: zeros, or the opposite side of a periodic image."""


def depthwise_convolution(
    x: Float[Array, "... n"],
    kernel: Float[Array, "... n"],
    ndim: int,
    boundary: Boundary = "zeros",
) -> Float[Array, "... n"]:
    r"""Depth-wise convolution, :math:`y_{p n} = \sum_v k_{v n}\, x_{p + v, n}`.

    Args:
        x: Images ``[..., batch, *sizes, n]``.
        kernel: Values at the offsets v, ``[..., *K, n]`` with odd K and the same leading axes.
        ndim: Number of spatial axes.
        boundary: "zeros" beyond the edge, or "periodic", with windows no wider than the image.

    Returns:
        An array of the shape of x.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> depthwise_convolution(x, jnp.ones((3, 1)), 1)[0, :, 0].tolist()
    [3.0, 6.0, 5.0]
    """
    x, kernel = floating(x), floating(kernel)
    return bind(_sum_p, x, kernel, ndim=ndim, boundary=boundary)


def depthwise_correlation(
    x: Float[Array, "... n"],
    y: Float[Array, "... n"],
    widths: tuple[int, ...],
    boundary: Boundary = "zeros",
) -> Float[Array, "... n"]:
    r"""Depth-wise correlation, :math:`k_{v n} = \sum_{b p} x_{b, p + v, n}\, y_{b p n}`.

    Args:
        x: Images ``[..., batch, *sizes, n]``.
        y: Images of the same shape.
        widths: Width K of the window along every spatial axis, odd.
        boundary: As for ``depthwise_convolution``.

    Returns:
        ``[..., *K, n]``.

    >>> x = jnp.arange(1.0, 4.0).reshape(1, 3, 1)
    >>> depthwise_correlation(x, x, (3,))[:, 0].tolist()
    [8.0, 14.0, 8.0]
    """
    x, y = floating(x), floating(y)
    return bind(_correlate_p, x, y, widths=widths, boundary=boundary)


def _padded(x: Array, widths: tuple[int, ...], boundary: Boundary) -> Array:
    edges = [(width // 2, width // 2) for width in widths]
    edges = [(0, 0)] * (x.ndim - len(widths) - 1) + edges + [(0, 0)]
    return jnp.pad(x, edges, mode="wrap" if boundary == "periodic" else "constant")


def _shifted(x: Array, offset: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    slices = tuple(slice(o, o + size) for o, size in zip(offset, sizes, strict=True))
    return x[(..., *slices, slice(None))]


def _sum(x: Array, kernel: Array, *, ndim: int, boundary: Boundary) -> Array:
    widths, sizes = kernel.shape[-ndim - 1 : -1], x.shape[-ndim - 1 : -1]
    # Without the barrier, XLA recomputes the images for every offset.
    x, kernel = jax.lax.optimization_barrier((x, kernel))
    wide = _padded(x, widths, boundary)
    flat = kernel.reshape(*kernel.shape[: -ndim - 1], math.prod(widths), kernel.shape[-1])
    lead = flat.shape[:-2]
    terms = (
        _shifted(wide, offset, sizes)
        * flat[..., index, :].reshape(*lead, *[1] * (ndim + 1), flat.shape[-1])
        for index, offset in enumerate(itertools.product(*map(range, widths)))
    )
    return jax.lax.optimization_barrier(functools.reduce(jnp.add, terms))


def _correlate(x: Array, y: Array, *, widths: tuple[int, ...], boundary: Boundary) -> Array:
    axes = len(widths) + 2
    if x.ndim > axes:
        lead = x.shape[:-axes]
        flat = (a.reshape(-1, *a.shape[-axes:]) for a in (x, y))
        one = functools.partial(_correlate, widths=widths, boundary=boundary)
        result = jax.vmap(one)(*flat)
        return result.reshape(*lead, *result.shape[1:])
    # One line of pixels after the other: reductions within a line are slow.
    *rows, length, channels = y.shape
    *others, last = widths
    wide = _padded(x, widths, boundary)

    def add(index: Array, total: Array) -> Array:
        at = (*jnp.unravel_index(index, rows), 0, 0)
        line = jax.lax.dynamic_slice(y, at, (*[1] * len(rows), length, channels))
        around = jax.lax.dynamic_slice(wide, at, (1, *others, length + last - 1, channels))
        line = line.reshape(1, length, channels)
        around = around.reshape(-1, length + last - 1, channels)
        products = [around[:, v : v + length] * line for v in range(last)]
        return total + jnp.stack(products, axis=1)

    start = jnp.zeros((math.prod(others), last, length, channels), x.dtype)
    (start,) = vary_alike(start, like=(x, y))
    total = jax.lax.fori_loop(0, math.prod(rows), add, start)
    return jnp.sum(total, axis=-2).reshape(*widths, channels)


def _opposite(kernel: Array, ndim: int) -> Array:
    return jnp.flip(kernel, tuple(range(kernel.ndim - ndim - 1, kernel.ndim - 1)))


_sum_p = primitive("sum_shifts", _sum)
_correlate_p = primitive("correlate", _correlate)
bilinear(
    _sum_p,
    lambda g, x, kernel, ndim, boundary: depthwise_convolution(
        g, _opposite(kernel, ndim), ndim, boundary
    ),
    lambda g, x, kernel, ndim, boundary: depthwise_correlation(
        x, g, kernel.aval.shape[-ndim - 1 : -1], boundary
    ),
)
bilinear(
    _correlate_p,
    lambda g, x, y, widths, boundary: depthwise_convolution(
        y, _opposite(g, len(widths)), len(widths), boundary
    ),
    lambda g, x, y, widths, boundary: depthwise_convolution(x, g, len(widths), boundary),
)
