r"""Convolutions of images whose pixels carry a function on a group of matrices.

Features are ``[batch, *sizes, N, channels]``: N samples h_1, ..., h_N of a group H that acts on
space. On the semidirect product of translations and H, and with the kernel k, they are

.. math::
    \text{lift:} \quad & f(x, h_i) = \frac{1}{|\det h_i|} \sum_y f(y)\, k(h_i^{-1}(y - x)) \\
    \text{convolve:} \quad & f(x, h_i) = \sum_j \frac{w_j}{|\det h_j|} \sum_y f(y, h_j)\,
        k(h_i^{-1}(y - x),\, h_i^{-1} h_j)

with the weights w of the integral over H (``equinet.groups.quadrature``). Kernels are given by
their values on a window of pixels; this module has the windows and the sums.

References:
    MacDonald et al., arXiv:2111.04288 (2022); Mironenco and Forré, arXiv:2310.11366 (2024).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet._sharding import reshape_rest
from equinet.groups import Group, PolarGroup, decompositions, symmetric_basis
from equinet.linalg import small_matrices as small
from equinet.ops.images._direct import direct
from equinet.ops.images.convolution import convolve_images
from equinet.ops.images.depthwise import Boundary, depthwise_convolution
from equinet.precision import HIGHEST, floating
from equinet.typing import Matrix

Pooling = Literal["max", "mean"]
"""How pixels and group samples are reduced to one number per channel."""

Image = Float[Array, "batch *sizes N channels"]


def pixel_offsets(half_width: int, ndim: int) -> Float[np.ndarray, "*K ndim"]:
    """The offsets y - x of the pixels of a window in row-major order, ``[*K, ndim]``.

    Args:
        half_width: Number of pixels on each side of the central one, K = 2 * half_width + 1.
        ndim: Number of spatial axes.

    >>> pixel_offsets(1, 1).tolist()
    [[-1.0], [0.0], [1.0]]
    """
    axis = np.arange(-half_width, half_width + 1.0)
    return np.stack(np.meshgrid(*[axis] * ndim, indexing="ij"), axis=-1)


def window_half_width(radius: float, log_singular_value: float) -> int:
    """Half the width in pixels of a window that contains h(ball of this radius) for all samples h.

    Args:
        radius: Radius of the support of the kernel, in pixels.
        log_singular_value: Largest logarithm of a singular value of h, which is the radius of the
            ball of log P.

    >>> window_half_width(2.5, 0.5)
    4
    """
    return math.floor(radius * math.exp(log_singular_value))


def transformed_offsets(elements: Matrix, half_width: int) -> Float[Array, "N *K n"]:
    """The points h_i^-1 v of all offsets v of a window, in pixels."""
    n = elements.shape[-1]
    offsets = jnp.asarray(pixel_offsets(half_width, n).reshape(-1, n), elements.dtype)
    inverse = small.inverse(elements)
    points = jnp.einsum("Nij,vj->Nvi", inverse, offsets, precision=HIGHEST)
    return points.reshape(elements.shape[0], *[2 * half_width + 1] * n, n)


def bump(squares: Float[Array, "..."]) -> Float[Array, "..."]:
    """The window function (1 - t)^2 for t < 1, else 0: differentiable, with compact support.

    >>> bump(jnp.asarray([0.0, 0.5, 1.0, 2.0])).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """
    return jnp.square(jnp.maximum(1 - squares, 0))


def polar_features(group: Group, g: Matrix) -> tuple[Float[Array, "... k"], Float[Array, "... m"]]:
    """Features of elements g = P R for a kernel: coordinates of log P, and entries of R.

    The entries are all columns of R except the last, minus the columns of the identity. They are
    smooth on the whole group, whereas an angle is discontinuous.

    Args:
        group: A group with nodes that is not finite.
        g: Elements ``[..., n, n]``.

    Returns:
        Coordinates in an orthonormal basis, of norm |log P|, and entries of R; either may be empty.

    >>> from equinet.groups import GLPlus, Scalings
    >>> [part.shape for part in polar_features(GLPlus(2), jnp.eye(2)[None])]
    [(1, 3), (1, 2)]
    >>> [part.shape for part in polar_features(Scalings(2), jnp.eye(2)[None])]
    [(1, 1), (1, 0)]
    """
    n, batch = g.shape[-1], g.shape[:-2]
    rotation, log_factor = g, jnp.zeros((*batch, 0), g.dtype)
    has_rotations = True
    if isinstance(group, PolarGroup):
        has_rotations = group.has_rotations
        factor, rotation = decompositions.polar(g)
        basis = jnp.asarray(symmetric_basis(group), g.dtype)
        log_factor = jnp.einsum("...ij,kij->...k", group._log_spd(factor), basis, precision=HIGHEST)
    columns = n - 1 if has_rotations else 0
    entries = (rotation - small.eye_like(rotation))[..., :columns].reshape(*batch, n * columns)
    return log_factor, entries


def relative_elements(group: Group, at: Matrix, elements: Matrix) -> Matrix:
    """The elements h_i^-1 h_j, ``[M, N, n, n]``, of h_i in ``at`` and h_j in ``elements``."""
    return small.matmul(group.inverse(at)[:, None], elements[None])


def with_boundary(
    function: Callable[[Image], Image], x: Image, width: int, boundary: Boundary, factor: int = 1
) -> Image:
    """Applies a convolution, in which pixels beyond the edge are zero, with another boundary.

    If the features of an empty background are not zero, zeros beyond the edge make the features
    depend on the distance to the edge; in a periodic image they do not.

    Args:
        function: The convolution, which may average over blocks of pixels.
        x: ``[batch, *sizes, N, C]``.
        width: Half width of its windows in pixels.
        boundary: "zeros" or "periodic".
        factor: Number of pixels of a block along every axis.

    Raises:
        ValueError: If the boundary is unknown, or the windows are wider than the image.

    >>> x = jnp.arange(3.0).reshape(1, 3, 1, 1)
    >>> rim = with_boundary(lambda x: jnp.roll(x, 1, 1), x, 1, "periodic")
    >>> rim[0, :, 0, 0].tolist()
    [2.0, 0.0, 1.0]
    """
    _check_boundary(boundary)
    if boundary == "zeros" or width == 0:
        return function(x)
    sizes = x.shape[1:-2]
    check_window([2 * width + 1] * len(sizes), sizes)
    rim = -(-width // factor)
    edges = [(0, 0), *[(rim * factor, rim * factor)] * len(sizes), (0, 0), (0, 0)]
    y = function(jnp.pad(x, edges, mode="wrap"))
    return y[(slice(None), *[slice(rim, -rim)] * len(sizes))]


def _check_boundary(boundary: str) -> None:
    if boundary not in get_args(Boundary):
        raise ValueError(f"boundary: expected one of {get_args(Boundary)}, got {boundary!r}")


def convolve_group_images(
    x: Image, kernel: Float[Array, "*K N C M D"], precision: str | None = None
) -> Image:
    r"""Convolves over pixels and samples of the group; pixels beyond the edge are zero.

    .. math:: y_{p m d} = \sum_{v n c} k_{v n c m d}\, x_{p + v, n, c}

    Args:
        x: ``[batch, *sizes, N, C]``.
        kernel: Values at the offsets y - x, ``[*K, N, C, M, D]`` with odd K.
        precision: Precision of the products.

    Returns:
        ``[batch, *sizes, M, D]``.

    Raises:
        ValueError: If the window is wider than the image or a shape does not fit.
    """
    x, kernel = floating(x), floating(kernel)
    widths, (n, c, m, d) = kernel.shape[:-4], kernel.shape[-4:]
    _check_kernel(x, kernel)
    flat, kernel = x.reshape(*x.shape[:-2], n * c), kernel.reshape(*widths, n * c, m * d)
    return convolve_images(flat, kernel, precision).reshape(*x.shape[:-2], m, d)


def convolve_and_average(
    x: Image, kernel: Float[Array, "*K N C M D"], factor: int, precision: str | None = None
) -> Image:
    """Means of ``convolve_group_images`` over blocks of pixels, at the cost of the blocks.

    Both are linear: the mean over a block of pixels is the sum over the same window of the moving
    means of the image.

    Args:
        x: ``[batch, *sizes, N, C]``.
        kernel: As for ``convolve_group_images``.
        factor: Number of pixels of a block along every axis.
        precision: Precision of the products.

    Returns:
        ``[batch, *sizes / factor, M, D]``.

    Raises:
        ValueError: As for ``convolve_group_images`` and for ``average_pixels``.
    """
    x, kernel = floating(x), floating(kernel)
    if factor == 1:
        return convolve_group_images(x, kernel, precision)
    ndim = x.ndim - 3
    sizes, widths = x.shape[1 : ndim + 1], kernel.shape[:ndim]
    _check_kernel(x, kernel)
    _check_blocks(sizes, factor)
    flat_channels = math.prod(x.shape[-2:])
    edges = [(width // 2, width // 2 + factor - 1) for width in widths]
    wide = jnp.pad(x.reshape(*x.shape[:-2], flat_channels), [(0, 0), *edges, (0, 0)])
    spans = [size + width - 1 for size, width in zip(sizes, widths, strict=True)]
    blocks = itertools.product(range(factor), repeat=ndim)
    moving = sum((_part(wide, at, spans) for at in blocks), start=jnp.zeros((), x.dtype))
    moving = moving / factor**ndim
    offsets = itertools.product(*map(range, widths))
    windows = jnp.stack([_part(moving, at, sizes, factor) for at in offsets], axis=-2)
    matrix = kernel.reshape(math.prod(widths) * flat_channels, -1)
    windows = reshape_rest(windows, ndim + 1, -1)
    y = jnp.matmul(windows, matrix, precision=precision)
    return reshape_rest(y, ndim + 1, *kernel.shape[-2:])


def _part(x: Array, at: Sequence[int], sizes: Sequence[int], step: int = 1) -> Array:
    """Every ``step``-th pixel from a corner on, ``sizes`` along the axes."""
    slices = (slice(a, a + size, step) for a, size in zip(at, sizes, strict=True))
    return x[(slice(None), *slices)]


def average_pixels(x: Image, factor: int) -> Image:
    """Averages images over blocks of pixels.

    Args:
        x: ``[batch, *sizes, N, C]``.
        factor: Number of pixels of a block along every axis.

    Returns:
        ``[batch, *sizes / factor, N, C]``.

    Raises:
        ValueError: If the sizes are not multiples of the factor.

    >>> average_pixels(jnp.arange(4.0).reshape(1, 2, 2, 1, 1), 2).tolist()
    [[[[[1.5]]]]]
    """
    x, sizes = floating(x), x.shape[1:-2]
    _check_blocks(sizes, factor)
    if factor == 1:
        return x
    split = [part for size in sizes for part in (size // factor, factor)]
    axes = tuple(range(2, 2 * len(sizes) + 1, 2))
    return jnp.mean(reshape_rest(x, 1, *split, *x.shape[-2:]), axis=axes)


def convolve_channelwise(
    x: Image,
    kernel: Float[Array, "*K N C"],
    precision: str | None = None,
    boundary: Boundary = "zeros",
) -> Image:
    """Depth-wise convolution: every sample and channel has a separate kernel.

    Args:
        x: ``[batch, *sizes, N, C]``.
        kernel: ``[*K, N, C]``.
        precision: Precision of the products.
        boundary: "zeros" beyond the edges of the image, or "periodic".

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: As for ``convolve_group_images``, or if the boundary is unknown.
    """
    x, kernel = floating(x), floating(kernel)
    ndim = x.ndim - 3
    widths = kernel.shape[:ndim]
    _check_boundary(boundary)
    check_window(widths, x.shape[1:-2])
    if kernel.shape[ndim:] != x.shape[-2:]:
        raise ValueError(f"a kernel for [..., {kernel.shape[ndim:]}] meets an image {x.shape}")
    flat_channels = math.prod(x.shape[-2:])
    if jax.default_backend() == "cpu":
        flat = x.reshape(*x.shape[:-2], flat_channels)
        y = depthwise_convolution(flat, kernel.reshape(*widths, flat_channels), ndim, boundary)
        return y.reshape(x.shape)

    def by_channel(x: Image) -> Image:
        flat = x.reshape(*x.shape[:-2], flat_channels)
        return direct(
            flat, kernel.reshape(*widths, 1, flat_channels), precision, flat_channels
        ).reshape(x.shape)

    return with_boundary(by_channel, x, max(widths) // 2, boundary)


def mix_samples(x: Image, weights: Float[Array, "M N C D"], precision: str | None = None) -> Image:
    """Sums over samples and channels at every pixel: the factor of a kernel that depends only on H.

    Args:
        x: ``[batch, *sizes, N, C]``.
        weights: ``[M, N, C, D]``.
        precision: Precision of the products.

    Returns:
        ``[batch, *sizes, M, D]``.
    """
    x = floating(x)
    m, n, c, d = weights.shape
    matrix = jnp.transpose(weights, (1, 2, 0, 3)).reshape(n * c, m * d)
    y = jnp.matmul(reshape_rest(x, x.ndim - 2, n * c), matrix, precision=precision)
    return reshape_rest(y, x.ndim - 2, m, d)


def mix_samples_channelwise(
    x: Image, weights: Float[Array, "M N C"], precision: str | None = None
) -> Image:
    """Sums over samples at every pixel, separately for every channel, ``[batch, *sizes, M, C]``."""
    return jnp.einsum("...nc,mnc->...mc", floating(x), weights, precision=precision)


def pool_pixels(x: Image, how: Pooling) -> Float[Array, "batch channels"]:
    """The maximum or the mean over all pixels and samples.

    Raises:
        ValueError: If ``how`` is unknown.

    >>> pool_pixels(jnp.arange(4.0).reshape(1, 2, 1, 2, 1), "max").tolist()
    [[3.0]]
    """
    if how not in get_args(Pooling):
        raise ValueError(f"pooling: expected one of {get_args(Pooling)}, got {how!r}")
    axes = tuple(range(1, x.ndim - 1))
    return jnp.max(x, axis=axes) if how == "max" else jnp.mean(x, axis=axes)


def _check_kernel(x: Array, kernel: Array) -> None:
    check_window(kernel.shape[:-4], x.shape[1:-2])
    n, c = kernel.shape[-4:-2]
    if (n, c) != x.shape[-2:]:
        raise ValueError(f"a kernel for [..., {n}, {c}] meets an image {x.shape}")


def _check_blocks(sizes: Sequence[int], factor: int) -> None:
    if any(size % factor for size in sizes):
        raise ValueError(
            f"an image of {tuple(sizes)} pixels cannot be averaged over blocks of {factor}: pad it"
        )


def check_window(widths: Sequence[int], sizes: Sequence[int]) -> None:
    """Rejects windows of even width, and windows that are wider than the image.

    Raises:
        ValueError: If a window is rejected.
    """
    if any(width % 2 == 0 for width in widths):
        raise ValueError(f"windows have an odd number of pixels, got {tuple(widths)}")
    if any(width > size for width, size in zip(widths, sizes, strict=True)):
        raise ValueError(
            f"a kernel of {tuple(widths)} pixels is wider than the image of {tuple(sizes)}: take a "
            f"smaller radius, or samples with smaller singular values"
        )
