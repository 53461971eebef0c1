"""Weighted frames, over which averages are continuous, as over no frame of equal weights."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from equinet._sharding import shard_like
from equinet.groups import SO, Group, O, S
from equinet.linalg import complete_axes, gram_schmidt
from equinet.ops.frames._points import (
    centred,
    check_points,
    mean_weights,
    tolerance,
    with_translation,
)
from equinet.ops.frames.frame import Frame, FrameElements, over_batch
from equinet.precision import HIGHEST, floating
from equinet.typing import Key


@dataclasses.dataclass(frozen=True)
class TupleFrame(Frame):
    r"""The Gram-Schmidt axes of every tuple of d - 1 points, weighted by the volume they span.

    .. math:: w_{i_1 \dots i_{d-1}} \propto |x_{i_1} \wedge \dots \wedge x_{i_{d-1}}|^p

    The tuples are the points for SO(2) and the n (n - 1) ordered pairs for SO(3). The last axis
    makes the determinant one; for O(d) and E(d) it is taken with both signs. A tuple of dependent
    points, whose axes are not defined, has weight zero. For E(d) and SE(d) the points are measured
    from their centroid.

    Averages are continuous wherever some tuple has a volume, also where eigenvalues of the
    covariance are equal. Points on a line (in three dimensions) span no volume: they are
    degenerate.

    Attributes:
        group: O(d), SO(d), E(d) or SE(d), d at least 2.
        power: The p of the formula: with 1 averages are continuous, with 2 differentiable.
        rtol: Volume, relative to the size of the cloud, that counts as zero.

    Raises:
        ValueError: If the group is not one of these or the power is not positive.

    References:
        Dym, Lawrence and Siegel, arXiv:2402.16077 (2024).

    >>> frame = TupleFrame(SO(3))(jnp.eye(4)[:, :3])
    >>> frame.elements.shape, int((frame.weights > 0).sum())
    ((12, 3, 3), 6)
    """

    group: Group
    power: int = 2
    rtol: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group.linear_group, O | SO) or self.group.vector_dim < 2:
            raise ValueError(
                f"tuples of points are a frame of O(d), SO(d), E(d) and SE(d) with d >= 2, "
                f"got {self.group}"
            )
        if self.power < 1:
            raise ValueError(f"the power must be at least 1, got {self.power}")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not that of at least d - 1 points."""
        check_points(shape, self.group)
        d = shape[-1]
        if shape[-2] < d - 1:
            raise ValueError(f"tuples of {d - 1} points need at least {d - 1}, got {shape[-2]}")

    def single(
        self, x: Float[Array, "points d"], mask: Bool[Array, "points"] | None
    ) -> FrameElements:
        """The frame of one point cloud."""
        d, each = x.shape[-1], mean_weights(x, mask)
        x, centre = centred(x, each, self.group)
        tuples = jnp.asarray(_tuples(x.shape[0], d - 1))
        axes, volume = gram_schmidt(x[tuples])
        present = (each > 0)[tuples].all(-1)
        weights, margin = _relative(jnp.where(present, volume, 0), x, each, self.power)
        axes = complete_axes(axes)
        if isinstance(self.group.linear_group, O):
            mirrored = jnp.concatenate([axes[..., :-1], -axes[..., -1:]], axis=-1)
            axes = jnp.concatenate([axes, mirrored])
            weights = jnp.concatenate([weights, weights]) / 2
        elements = with_translation(self.group, axes, centre)
        return FrameElements(elements, weights, margin, margin <= tolerance(self.rtol, x))


@dataclasses.dataclass(frozen=True)
class SweepFrame(Frame):
    r"""Orders of points along all directions, weighted by the fraction of directions of each.

    The permutation that sorts :math:`a \cdot x_i` changes, as the direction a goes round the
    circle, only where a is perpendicular to some x_i - x_j. In the plane these n (n - 1) arcs are
    computed exactly, and on the line there are two directions. In more dimensions only ``sample``
    works, which draws directions and gives an unbiased estimate. Padding comes after all points.

    Attributes:
        n: Number of points, padding included.
        dim: Dimension of the points.
        group: S(n).

    References:
        Dym, Lawrence and Siegel, arXiv:2402.16077 (2024).

    >>> frame = SweepFrame(3, 2)(jnp.array([[0.0, 0.0], [1.0, 0.0], [0.3, 0.4]]))
    >>> frame.elements.shape, round(float(frame.weights.sum()), 5)
    ((6, 3), 1.0)
    """

    n: int
    dim: int
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", S(self.n))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., n, dim]``."""
        if len(shape) < 2 or shape[-2:] != (self.n, self.dim):
            raise ValueError(
                f"expected points of the shape [..., {self.n}, {self.dim}], got {shape}"
            )

    def single(self, x: Float[Array, "n dim"], mask: Bool[Array, "n"] | None) -> FrameElements:
        """The frame of one point cloud in one or two dimensions."""
        present = jnp.ones(self.n, bool) if mask is None else mask
        if self.dim == 1:
            directions = jnp.asarray([[1.0], [-1.0]], x.dtype)
            weights = jnp.full((2,), 1 / 2, x.dtype)
        elif self.dim == 2:
            directions, weights = _arcs(x, present)
        else:
            raise ValueError(
                f"there are too many orders of points in {self.dim} dimensions to list them: use "
                "sample, which draws directions"
            )
        return _orders(x, present, directions, weights)

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """The orders along ``count`` random directions for every input."""
        x = floating(x)
        self.check(x.shape)
        batch = x.ndim - 2
        directions = jax.random.normal(key, (*x.shape[:-2], count, self.dim), x.dtype)
        directions = shard_like(directions, x, batch)
        equal = jnp.full((count,), 1 / count, x.dtype)
        if mask is None:
            present = jnp.ones(self.n, bool)
            return over_batch(lambda x, a: _orders(x, present, a, equal), batch)(x, directions)
        orders = over_batch(lambda x, a, present: _orders(x, present, a, equal), batch)
        return orders(x, directions, mask)


def _orders(
    x: Float[Array, "n dim"],
    present: Bool[Array, "n"],
    directions: Float[Array, "size dim"],
    weights: Float[Array, "size"],
) -> FrameElements:
    """The orders of the points along these directions, padding last."""
    heights = jnp.matmul(directions, jax.lax.stop_gradient(x).T, precision=HIGHEST)
    heights = jnp.where(present, heights, jnp.inf)
    order = jnp.argsort(heights, axis=-1).astype(jnp.int32)
    margin = jnp.ones((), x.dtype)
    return FrameElements(order, weights, margin, margin == 0)


def _arcs(
    x: Float[Array, "n 2"], present: Bool[Array, "n"]
) -> tuple[Float[Array, "size 2"], Float[Array, "size"]]:
    """The directions in the middle of the arcs, and the arcs as fractions of the circle."""
    first, second = jnp.asarray(_pairs(x.shape[0]))
    if not len(first):
        return jnp.asarray([[1.0, 0.0]], x.dtype), jnp.ones((1,), x.dtype)
    difference = x[first] - x[second]
    real = present[first] & present[second] & jnp.any(difference != 0, axis=-1)
    # A pair of padding cuts the circle where the lowest real pair does: its arcs have no length.
    safe = jnp.where(real[:, None], difference, jnp.asarray([1.0, 0.0], x.dtype))
    cuts = jnp.mod(jnp.arctan2(safe[:, 0], -safe[:, 1]), math.pi)
    lowest = jnp.min(jnp.where(real, cuts, math.pi))
    cuts = jnp.sort(jnp.where(real, cuts, jnp.where(jnp.any(real), lowest, 0)))
    cuts = jnp.concatenate([cuts, cuts + math.pi])
    following = jnp.concatenate([cuts[1:], cuts[:1] + 2 * math.pi])
    middle = (cuts + following) / 2
    return jnp.stack([jnp.cos(middle), jnp.sin(middle)], -1), (following - cuts) / (2 * math.pi)


def _relative(
    volume: Float[Array, "tuples"], x: Array, each: Array, power: int
) -> tuple[Float[Array, "tuples"], Float[Array, ""]]:
    """Weights by a power of the volumes, and the largest volume relative to the cloud's size."""
    d = x.shape[-1]
    square = jax.lax.stop_gradient(jnp.sum(x * x, axis=-1))
    size = jnp.max(jnp.where(each > 0, square, 0)) ** ((d - 1) / 2)
    relative = volume / jnp.where(size > 0, size, 1)
    margin = jnp.max(jax.lax.stop_gradient(relative), initial=0)
    powers = relative**power
    total = jnp.sum(powers)
    return jnp.where(total > 0, powers / jnp.where(total > 0, total, 1), 0), margin


@functools.cache
def _tuples(n: int, length: int) -> Int[np.ndarray, "tuples length"]:
    found = list(itertools.permutations(range(n), length))
    return np.array(found, np.int32).reshape(-1, length)


@functools.cache
def _pairs(n: int) -> Int[np.ndarray, "2 pairs"]:
    return np.stack(np.triu_indices(n, 1)).astype(np.int32)
