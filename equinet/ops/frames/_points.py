"""Shared by frames of points: weights of padded points, centroids, tolerances."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.groups import Group, SemidirectGroup
from equinet.typing import Element, PointCloud


def check_points(shape: tuple[int, ...], group: Group) -> None:
    """Raises ``ValueError`` if the shape is not that of points ``[..., n, d]`` of the group."""
    d = group.vector_dim
    if len(shape) < 2 or shape[-1] != d or shape[-2] == 0:
        raise ValueError(f"expected points of the shape [..., points, {d}], got {shape}")


def mean_weights(x: PointCloud, mask: Bool[Array, "points"] | None) -> Float[Array, "points"]:
    """The weight of every point in a mean: one over their number, zero for padding."""
    if mask is None:
        return jnp.full(x.shape[:-1], 1 / x.shape[-2], x.dtype)
    count = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1)
    return mask.astype(x.dtype) / count.astype(x.dtype)


def weighted_sum(x: PointCloud, weights: Float[Array, "points"]) -> Float[Array, "d"]:
    """The sum of the points times their weights; with ``mean_weights`` the centroid."""
    return jnp.sum(x * weights[..., None], axis=-2)


def centred(
    x: PointCloud, weights: Float[Array, "points"], group: Group
) -> tuple[PointCloud, Float[Array, "d"] | None]:
    """Points without their centroid, and the centroid, where the group contains translations."""
    if not isinstance(group, SemidirectGroup):
        return x, None
    centre = weighted_sum(x, weights)
    return x - centre[..., None, :], centre


def with_translation(
    group: Group, linear: Float[Array, "size d d"], centre: Float[Array, "d"] | None
) -> Element:
    """Elements with these linear parts, all with the translation ``centre`` if it is given."""
    if not isinstance(group, SemidirectGroup) or centre is None:
        return linear
    return group.homogeneous(linear, centre[..., None, :])


def tolerance(rtol: float | None, x: Array) -> float:
    """The given relative margin that counts as zero, or the root of the unit of rounding."""
    return float(jnp.finfo(x.dtype).eps) ** 0.5 if rtol is None else rtol
