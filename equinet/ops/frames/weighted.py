"""Weighted frames: averages over them are continuous, which no choice of one element can be."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from equinet.groups import SO, Group, O, S, SemidirectGroup
from equinet.linalg import complete_axes, gram_schmidt
from equinet.ops.frames.frame import (
    Frame,
    FrameElements,
    centroid,
    check_points,
    tolerance,
    with_translation,
)
from equinet.precision import HIGHEST
from equinet.typing import Key, PointCloud


@dataclasses.dataclass(frozen=True)
class TupleFrame(Frame):
    r"""The Gram-Schmidt axes of every tuple of d - 1 points, weighted by the volume they span.

    .. math:: w_{i_1 \dots i_{d-1}} \propto |x_{i_1} \wedge \dots \wedge x_{i_{d-1}}|^p

    Every point for SO(2), every ordered pair for SO(3): n (n - 1) elements. The last axis makes the
    determinant one; O(d) and E(d) take it with both signs. A tuple whose axes are not defined, and
    which would jump, counts nothing. E(d) and SE(d) measure from the centroid.

    Averages are continuous wherever some tuple has a volume, equal eigenvalues of the covariance
    included. On a line (in three dimensions) there is no volume: degenerate.

    Attributes:
        group: O(d), SO(d), E(d) or SE(d), d at least 2.
        power: p: with 1 averages are continuous, with 2 once differentiable.
        rtol: Volume, relative to the size of the cloud, that counts as none.

    Raises:
        ValueError: If the group is another or the power is not positive.

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

    def __call__(
        self, x: PointCloud, mask: Bool[Array, "... points"] | None = None
    ) -> FrameElements:
        """The frames of point clouds ``[..., points, d]``.

        Raises:
            ValueError: If the points have another dimension, or there are fewer than d - 1.
        """
        each, d = check_points(x, mask, self.group), x.shape[-1]
        if x.shape[-2] < d - 1:
            raise ValueError(f"tuples of {d - 1} points need as many, got {x.shape[-2]}")
        centre = centroid(x, each) if isinstance(self.group, SemidirectGroup) else None
        x = x if centre is None else x - centre[..., None, :]
        tuples = jnp.asarray(_tuples(x.shape[-2], d - 1))
        axes, volume = gram_schmidt(x[..., tuples, :])
        here = (each > 0)[..., tuples].all(-1)
        weights, margin = _relative(jnp.where(here, volume, 0), x, each, self.power)
        axes = complete_axes(axes)
        if isinstance(self.group.linear_group, O):
            mirrored = jnp.concatenate([axes[..., :-1], -axes[..., -1:]], axis=-1)
            axes = jnp.concatenate([axes, mirrored], axis=-3)
            weights = jnp.concatenate([weights, weights], axis=-1) / 2
        elements = with_translation(self.group, axes, centre)
        return FrameElements(elements, weights, margin, margin <= tolerance(self.rtol, x))


@dataclasses.dataclass(frozen=True)
class SweepFrame(Frame):
    r"""Orders of points along all directions, weighted by how many directions give them.

    The permutation that sorts :math:`a \cdot x_i` for a direction a of the circle changes only
    where a is perpendicular to some x_i - x_j: n (n - 1) arcs in the plane, found exactly. On the
    line there are the two directions. In more dimensions only ``sample`` is there, which draws
    directions: an unbiased estimate.

    Padding stays behind all points.

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

    def __call__(
        self, x: Float[Array, "... n dim"], mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """The frames of point clouds ``[..., n, dim]``.

        Raises:
            ValueError: If the shape is another, or there are more than two dimensions.
        """
        mask = self._check(x, mask)
        if self.dim == 1:
            directions = jnp.asarray([[1.0], [-1.0]], x.dtype)
            directions = jnp.broadcast_to(directions, (*x.shape[:-2], 2, 1))
            weights = jnp.full((*x.shape[:-2], 2), 1 / 2, x.dtype)
        elif self.dim == 2:
            directions, weights = _arcs(x, mask)
        else:
            raise ValueError(
                f"the orders of points in {self.dim} dimensions are too many: use sample, which "
                "draws directions"
            )
        return self._elements(x, mask, directions, weights)

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """The orders along ``count`` random directions."""
        mask = self._check(x, mask)
        directions = jax.random.normal(key, (*x.shape[:-2], count, self.dim), x.dtype)
        weights = jnp.full((*x.shape[:-2], count), 1 / count, x.dtype)
        return self._elements(x, mask, directions, weights)

    def _check(self, x: Array, mask: Array | None) -> Bool[Array, "... n"]:
        if x.ndim < 2 or x.shape[-2:] != (self.n, self.dim):
            raise ValueError(
                f"expected points of the shape [..., {self.n}, {self.dim}], got {x.shape}"
            )
        return jnp.ones(x.shape[:-1], bool) if mask is None else mask

    def _elements(self, x: Array, mask: Array, directions: Array, weights: Array) -> FrameElements:
        x = jax.lax.stop_gradient(x)
        heights = jnp.einsum("...ni,...ki->...kn", x, directions, precision=HIGHEST)
        heights = jnp.where(mask[..., None, :], heights, jnp.inf)
        order = jnp.argsort(heights, axis=-1).astype(jnp.int32)
        one = jnp.ones(x.shape[:-2], x.dtype)
        return FrameElements(order, weights, one, jnp.zeros(x.shape[:-2], bool))


def _arcs(x: Float[Array, "... n 2"], mask: Bool[Array, "... n"]) -> tuple[Array, Array]:
    """Directions in the middle of every arc, and the parts of the circle that the arcs are."""
    first, second = jnp.asarray(_pairs(x.shape[-2]))
    if not len(first):
        one = jnp.ones((*x.shape[:-2], 1), x.dtype)
        return jnp.stack([one, 0 * one], axis=-1), one
    difference = x[..., first, :] - x[..., second, :]
    real = mask[..., first] & mask[..., second] & jnp.any(difference != 0, axis=-1)
    # A pair that is not there cuts where the first of all cuts does: its arcs have no length.
    safe = jnp.where(real[..., None], difference, jnp.asarray([1.0, 0.0], x.dtype))
    cuts = jnp.mod(jnp.arctan2(safe[..., 0], -safe[..., 1]), math.pi)
    none = ~jnp.any(real, axis=-1, keepdims=True)
    lowest = jnp.min(jnp.where(real, cuts, math.pi), axis=-1, keepdims=True)
    cuts = jnp.sort(jnp.where(real, cuts, jnp.where(none, 0, lowest)), axis=-1)
    cuts = jnp.concatenate([cuts, cuts + math.pi], axis=-1)
    last = jnp.concatenate([cuts[..., 1:], cuts[..., :1] + 2 * math.pi], axis=-1)
    middle = (cuts + last) / 2
    return jnp.stack([jnp.cos(middle), jnp.sin(middle)], -1), (last - cuts) / (2 * math.pi)


def _relative(
    volume: Float[Array, "... tuples"], x: Array, each: Array, power: int
) -> tuple[Array, Float[Array, "..."]]:
    """Weights by a power of the volumes, and the largest volume relative to the size."""
    d = x.shape[-1]
    square = jax.lax.stop_gradient(jnp.sum(x * x, axis=-1))
    size = jnp.max(jnp.where(each > 0, square, 0), axis=-1) ** ((d - 1) / 2)
    size = jnp.where(size > 0, size, 1)
    relative = volume / size[..., None]
    margin = jnp.max(jax.lax.stop_gradient(relative), axis=-1, initial=0)
    powers = relative**power
    total = jnp.sum(powers, axis=-1, keepdims=True)
    weights = jnp.where(total > 0, powers / jnp.where(total > 0, total, 1), 0)
    return weights, margin


@functools.cache
def _tuples(n: int, length: int) -> Int[np.ndarray, "tuples length"]:
    found = list(itertools.permutations(range(n), length))
    return np.array(found, np.int32).reshape(-1, length)


@functools.cache
def _pairs(n: int) -> Int[np.ndarray, "2 pairs"]:
    return np.stack(np.triu_indices(n, 1)).astype(np.int32)
