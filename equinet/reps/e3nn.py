"""Converters to and from `e3nn_jax.IrrepsArray`."""

import math
from typing import Any

import jax.numpy as jnp

from equinet.reps.irreps import Irreps
from equinet.typing import Feature


def from_irreps_array(array: Any, channels: int | None = None) -> tuple[Irreps, Feature]:
    """The feature that holds the numbers of an ``e3nn_jax.IrrepsArray``.

    Args:
        array: An ``e3nn_jax.IrrepsArray`` ``[..., irreps.dim]``.
        channels: Length of the channel axis, a divisor of every multiplicity; None stands for their
            greatest common divisor. Copy ``c * channels + k`` becomes copy ``c`` of channel ``k``.

    Returns:
        The irreps and the feature ``[..., irreps.dim, channels]``, of the same dtype.

    Raises:
        ValueError: If ``array`` is something else or ``channels`` is not a common divisor.

    Example:
        >>> import e3nn_jax as e3nn
        >>> irreps, x = from_irreps_array(e3nn.zeros("128x0e+64x1o", (10,)))
        >>> irreps, x.shape
        (Irreps("2x0e+1o"), (10, 5, 64))
    """
    import e3nn_jax

    if not isinstance(array, e3nn_jax.IrrepsArray):
        raise ValueError(
            f"expected an e3nn_jax.IrrepsArray, got {type(array).__name__}; "
            "wrap it: e3nn_jax.IrrepsArray('8x0e+8x1o', array)"
        )
    irreps = Irreps(array.irreps)
    divisor = math.gcd(*(mul for mul, _ in irreps)) or 1
    channels = divisor if channels is None else channels
    if channels < 1 or divisor % channels:
        raise ValueError(
            f"channels = {channels} does not divide every multiplicity of {irreps}; "
            f"take a divisor of {divisor}"
        )
    batch = array.shape[:-1]
    parts = [jnp.zeros((*batch, 0, channels), array.dtype)]
    for (mul, ir), where in zip(irreps, irreps.slices(), strict=True):
        part = array.array[..., where].reshape(*batch, mul // channels, channels, ir.dim)
        part = jnp.swapaxes(part, -1, -2)
        parts.append(part.reshape(*batch, mul // channels * ir.dim, channels))
    reduced = Irreps([(mul // channels, ir) for mul, ir in irreps])
    return reduced, jnp.concatenate(parts, axis=-2)


def to_irreps_array(irreps: Any, x: Feature) -> Any:
    """The ``e3nn_jax.IrrepsArray`` that holds a feature; undoes ``from_irreps_array``.

    Args:
        irreps: Anything ``Irreps`` takes.
        x: A feature ``[..., irreps.dim, channels]``.

    Returns:
        An array ``[..., irreps.dim * channels]`` of ``channels`` times the multiplicities.

    Raises:
        ValueError: If the feature does not have the shape that the irreps say.

    Example:
        >>> to_irreps_array("2x0e+1o", jnp.zeros((10, 5, 64))).irreps
        128x0e+64x1o
    """
    import e3nn_jax

    irreps = Irreps(irreps)
    x = jnp.asarray(x)
    if x.ndim < 2 or x.shape[-2] != irreps.dim:
        raise ValueError(f"{irreps!r} needs [..., {irreps.dim}, channels], got {x.shape}")
    *batch, _, channels = x.shape
    parts = [x[..., 0, :0]] if irreps.dim else [x.reshape(*batch, 0)]
    for (mul, ir), where in zip(irreps, irreps.slices(), strict=True):
        part = x[..., where, :].reshape(*batch, mul, ir.dim, channels)
        parts.append(jnp.swapaxes(part, -1, -2).reshape(*batch, mul * channels * ir.dim))
    names = e3nn_jax.Irreps([(mul * channels, (ir.l, ir.p)) for mul, ir in irreps])
    return e3nn_jax.IrrepsArray(names, jnp.concatenate(parts, axis=-1))
