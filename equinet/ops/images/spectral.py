r"""Convolutions on the periodic square by its low Fourier modes, equivariant to a finite group.

An image is a feature ``[..., height, width, group.order, channels]``, on which the group acts by
``equinet.reps.Images(Regular(group))``. Modes k with indices of absolute value below K are kept.
As the image is real, only modes whose first index is not negative are stored, as ``[..., modes,
2 * modes - 1, 2, channels]``: axis -3 is the second index from ``1 - modes`` on, axis -2 the real
and the imaginary part.
"""

import functools
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet._sharding import reshape_rest, shard_like
from equinet.groups import FiniteGroup
from equinet.ops.primitives import repeat_rows
from equinet.precision import HIGHEST, at_least_float32, floating, read_only

SpectralMethod = Literal["matrix", "fft"]
"""How low modes are computed: by products with tables of cosines and sines, or by the FFT."""
# Up to this number of modes, products with tables are faster than the FFT on a CPU, for 64 to 512
# pixels along an axis.
_MODES_BY_TABLES = 24

Modes = Float[Array, "... modes width 2 channels"]


def low_modes(
    x: Float[Array, "... height width channels"], modes: int, method: SpectralMethod | None = None
) -> Modes:
    r"""The Fourier modes of an image with indices below a bound.

    .. math:: \hat x_k = \frac{1}{H W} \sum_p x_p\, e^{-2 \pi i (k_1 p_1 / H + k_2 p_2 / W)},
              \qquad 0 \le k_1 < K, \quad |k_2| < K

    The modes of a band-limited function do not depend on the resolution at which it is sampled.

    Args:
        x: The image, ``[..., height, width, channels]``.
        modes: The K of the formula.
        method: "matrix" for products with tables of cosines and sines, or "fft"; None selects by
            the number of modes.

    Returns:
        ``[..., modes, 2 * modes - 1, 2, channels]``.

    Raises:
        ValueError: If the image has too few pixels for the modes, or the method is unknown.

    >>> abs(low_modes(jnp.ones((8, 8, 1)), 2)[0, :, 0, 0]).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    x = floating(x)
    height, width = x.shape[-3:-1]
    if _method(height, width, modes, method) == "fft":
        wide = jnp.moveaxis(x, -1, -3).astype(at_least_float32(x.dtype))
        z = jnp.fft.rfft(wide, axis=-2, norm="forward")[..., :modes, :]
        z = jnp.fft.fft(z, axis=-1, norm="forward")
        z = jnp.concatenate([z[..., width - modes + 1 :], z[..., :modes]], axis=-1)
        return jnp.moveaxis(jnp.stack([z.real, z.imag], axis=-1), -4, -1).astype(x.dtype)
    first, second = _analysis_tables(height, width, modes)
    axes, channels = x.ndim - 3, x.shape[-1]
    rows = _from_left(first, reshape_rest(x, axes, height, width * channels))
    result = _from_left(second, reshape_rest(rows, axes, modes, 2 * width, channels))
    return reshape_rest(result, axes, modes, 2 * modes - 1, 2, channels)


def from_low_modes(
    z: Modes, height: int, width: int, method: SpectralMethod | None = None
) -> Float[Array, "... height width channels"]:
    r"""The image with these low modes, at any resolution; all other modes are zero.

    .. math:: x_p = \sum_{|k_1|, |k_2| < K} \hat x_k\, e^{2 \pi i (k_1 p_1 / H + k_2 p_2 / W)},
              \qquad \hat x_{-k} = \overline{\hat x_k}

    Args:
        z: ``[..., modes, 2 * modes - 1, 2, channels]``, as ``low_modes`` gives them.
        height: Pixels along axis -3 of the image.
        width: Pixels along axis -2 of the image.
        method: As for ``low_modes``.

    Returns:
        ``[..., height, width, channels]``.

    Raises:
        ValueError: As for ``low_modes``.

    >>> x = jnp.cos(jnp.arange(5.0) * 0.4 * jnp.pi)[:, None, None] * jnp.ones((5, 5, 1))
    >>> bool(jnp.allclose(from_low_modes(low_modes(x, 2), 5, 5), x, atol=1e-6))
    True
    """
    modes, channels = z.shape[-4], z.shape[-1]
    if _method(height, width, modes, method) == "fft":
        wide = jnp.moveaxis(z, -1, -4).astype(at_least_float32(z.dtype))
        pairs = jax.lax.complex(wide[..., 0], wide[..., 1])
        edges = [(0, 0)] * (pairs.ndim - 1) + [(0, width - 2 * modes + 1)]
        parts = [jnp.pad(pairs[..., modes - 1 :], edges), pairs[..., : modes - 1]]
        rows = jnp.fft.ifft(jnp.concatenate(parts, axis=-1), axis=-1, norm="forward")
        image = jnp.fft.irfft(rows, n=height, axis=-2, norm="forward")
        return jnp.moveaxis(image, -3, -1).astype(z.dtype)
    first, second = _synthesis_tables(height, width, modes)
    axes = z.ndim - 4
    rows = _from_left(second, reshape_rest(z, axes, modes, 2 * (2 * modes - 1), channels))
    result = _from_left(first, reshape_rest(rows, axes, 2 * modes, width * channels))
    return reshape_rest(result, axes, height, width, channels)


def rotated_kernel(
    kernel: Float[Array, "side side order channels_in channels_out"], group: FiniteGroup
) -> Float[Array, "2 modes side order channels_in order channels_out"]:
    r"""The matrices that multiply the modes in a convolution that commutes with a group.

    The parameters H are the coefficients of a real function :math:`\psi_h(x) = \sum_k H_{k h}
    (\cos + \sin)(2 \pi k \cdot x)` in the Hartley basis. They are unconstrained, and rotating the
    function rotates its coefficients.

    .. math:: \hat W_{g g'}(k) = \hat\psi_{g^{-1} g'}(g^{-1} k), \qquad
              \hat\psi_h(k) = \frac{H_{k h} + H_{-k h}}{2} - i\, \frac{H_{k h} - H_{-k h}}{2}

    Args:
        kernel: The coefficients H, with side = 2 * modes - 1 and the mode 0 in the middle.
        group: Cyclic(n) or Dihedral(n) with n of 1, 2 or 4.

    Returns:
        Real and imaginary parts of matrices from the elements g' and channels of the input to the
        elements g and channels of the output, ``[2, modes, side, order, channels_in, order,
        channels_out]``.

    Raises:
        ValueError: If the kernel has another shape or the group does not map modes to modes.

    >>> from equinet.groups import Cyclic
    >>> rotated_kernel(jnp.ones((3, 3, 4, 5, 6)), Cyclic(4)).shape
    (2, 2, 3, 4, 5, 4, 6)
    """
    side, order = kernel.shape[0], group.order
    if kernel.ndim != 5 or kernel.shape[1] != side or side % 2 == 0 or kernel.shape[2] != order:
        raise ValueError(
            f"expected a kernel [2 * modes - 1, 2 * modes - 1, {order}, channels_in, channels_out] "
            f"for {group}, got {kernel.shape}"
        )
    opposite = kernel[::-1, ::-1]
    parts = jnp.stack([kernel + opposite, opposite - kernel]) / 2
    flat = parts.reshape(2, -1, *kernel.shape[3:])
    # The transpose of this gather sums the cotangents of each coefficient: a small part of a step.
    return jnp.take(flat, _rotated_modes(group, side), axis=1).swapaxes(4, 5)


def spectral_convolution(
    x: Float[Array, "... height width order channels_in"],
    kernel: Float[Array, "side side order channels_in channels_out"],
    group: FiniteGroup,
    *,
    method: SpectralMethod | None = None,
    precision: jax.lax.Precision | str | None = None,
) -> Float[Array, "... height width order channels_out"]:
    r"""Convolution with a kernel of low modes that commutes with a group and with translations.

    .. math:: y_g = \frac{1}{\sqrt{|G| C}} \sum_{g'} \psi_{g^{-1} g'}(g^{-1} \,\cdot\,) * x_{g'}

    With the trivial group ``Cyclic(1)`` it is the layer of FNO. The output has only low modes,
    which depend only on the low modes of the input: the layer does not depend on the resolution.
    The centre of the rotations is arbitrary, for a convolution commutes with translations.

    Args:
        x: Image of features of the regular rep, ``[..., height, width, order, channels_in]``.
        kernel: As for ``rotated_kernel``.
        group: The group.
        method: As for ``low_modes``.
        precision: Precision of the products over channels.

    Raises:
        ValueError: If a shape does not fit, or the image has too few pixels.

    References:
        Li et al., FNO, arXiv:2010.08895 (2020); Helwig et al., G-FNO, arXiv:2306.05697 (2023).

    >>> from equinet.groups import Dihedral
    >>> kernel = jnp.ones((3, 3, 8, 5, 6))
    >>> spectral_convolution(jnp.ones((2, 4, 4, 8, 5)), kernel, Dihedral(4)).shape
    (2, 4, 4, 8, 6)
    """
    x, kernel = floating(x), floating(kernel)
    weights = rotated_kernel(kernel, group)
    _, modes, side, order, channels, _, channels_out = weights.shape
    if x.ndim < 4 or x.shape[-2:] != (order, channels):
        raise ValueError(
            f"expected an image [..., height, width, {order}, {channels}] for {group}, got "
            f"{x.shape}"
        )
    height, width = x.shape[-4:-2]
    axes = x.ndim - 4
    z = low_modes(reshape_rest(x, axes, height, width, order * channels), modes, method)
    z = reshape_rest(z, axes, modes * side, 2, order * channels)
    scale = 1 / math.sqrt(order * channels)
    matrices = (scale * weights).reshape(2, modes * side, order * channels, -1)
    # Real and imaginary parts of the modes times real and imaginary parts of the matrices.
    real, imaginary = (
        jnp.einsum("...kpi,kio->...kpo", z, m, precision=precision) for m in matrices
    )
    mixed = jnp.stack(
        [real[..., 0, :] - imaginary[..., 1, :], real[..., 1, :] + imaginary[..., 0, :]], axis=-2
    )
    mixed = reshape_rest(mixed, axes, modes, side, 2, order * channels_out)
    y = from_low_modes(mixed, height, width, method)
    return reshape_rest(y, axes, height, width, order, channels_out)


def _method(height: int, width: int, modes: int, method: SpectralMethod | None) -> SpectralMethod:
    if modes < 1 or min(height, width) < 2 * modes - 1:
        fitting = (min(height, width) + 1) // 2
        raise ValueError(
            f"an image of {height} x {width} pixels has no {modes} modes: expected 1 to {fitting}"
        )
    if method is None:
        return "matrix" if modes <= _MODES_BY_TABLES else "fft"
    if method not in get_args(SpectralMethod):
        raise ValueError(
            f"method: got {method!r}, expected one of {get_args(SpectralMethod)} or None"
        )
    return method


def _from_left(
    table: Float[np.ndarray, "rows columns"], x: Float[Array, "*batch columns n"]
) -> Float[Array, "*batch rows n"]:
    """A table times every matrix, as a batched product, which does not transpose the batch."""
    batch = x.shape[:-2]
    tables = repeat_rows(jnp.asarray(table, x.dtype), math.prod(batch))
    tables = shard_like(tables.reshape(*batch, *table.shape), x, len(batch))
    return jnp.matmul(tables, x, precision=HIGHEST)


@functools.lru_cache
def _analysis_tables(height: int, width: int, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices: rows to (first index, part), and (part, column) to (second index, part)."""
    c, s = _waves(np.arange(modes), height)
    first = np.stack([c, -s], axis=1) / height
    c, s = _waves(np.arange(1 - modes, modes), width)
    second = np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1) / width
    return read_only(first.reshape(-1, height)), read_only(second.reshape(-1, 2 * width))


@functools.lru_cache
def _synthesis_tables(height: int, width: int, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices: (first index, part) to rows, and (second index, part) to (part, column)."""
    c, s = _waves(np.arange(modes), height)
    # A mode whose first index is not 0 counts twice, for its opposite is not stored.
    weights = np.where(np.arange(modes) > 0, 2.0, 1.0)[:, None, None]
    first = weights * np.stack([c, -s], axis=1)
    c, s = _waves(np.arange(1 - modes, modes), width)
    second = np.stack([np.stack([c, -s], axis=1), np.stack([s, c], axis=1)])
    second = second.transpose(0, 3, 1, 2).reshape(2 * width, -1)
    return read_only(first.reshape(-1, height).T), read_only(second)


def _waves(k: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the waves k at all pixels, ``[k, size]``."""
    angle = 2 * np.pi / size * (np.outer(k, np.arange(size)) % size)
    return np.cos(angle), np.sin(angle)


@functools.lru_cache
def _rotated_modes(group: FiniteGroup, side: int) -> Int[np.ndarray, "modes side order order"]:
    """The row of :math:`(g^{-1} k, g^{-1} g')` for modes k of the half and elements g' and g."""
    with jax.ensure_compile_time_eval():
        elements = jnp.asarray(group.elements())
        inverses = group.inverse(elements)
        matrices = np.asarray(group.linear_part(inverses), np.float64)
        products = group.compose(inverses[:, None], elements[None, :])
        relative = np.asarray(group.index(products), np.int64)
    rotations = np.round(matrices).astype(np.int64)
    if matrices.shape[-1] != 2 or np.abs(matrices - rotations).max() > 1e-6:
        raise ValueError(
            f"{group} does not map the modes of a square to modes: use Cyclic(n) or Dihedral(n) "
            "with n of 1, 2 or 4"
        )
    k = np.arange(side) - side // 2
    half = np.stack(np.meshgrid(k[side // 2 :], k, indexing="ij"), axis=-1)
    indices = np.einsum("gij,abj->abgi", rotations, half) + side // 2
    rows = indices[..., 0] * side + indices[..., 1]
    table = rows[..., None, :] * group.order + relative.T
    return read_only(table.astype(np.int32))
