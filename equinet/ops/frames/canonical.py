"""Minimal frames of matrix groups: one element, that of a canonical form, where it is unique."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.groups import SO, Group, Lorentz, O, SemidirectGroup
from equinet.linalg import complete_axes, gram_schmidt, minkowski_gram_schmidt
from equinet.ops.frames.frame import (
    Frame,
    FrameElements,
    centroid,
    check_points,
    tolerance,
    with_translation,
)
from equinet.typing import PointCloud


@dataclasses.dataclass(frozen=True)
class GramSchmidtFrame(Frame):
    """The orthonormalised first independent points of an ordered cloud: its QR decomposition.

    The points are told apart by their numbers, so this is a frame of ordered points, not of sets. A
    point is passed over where it depends on those before it by less than ``rtol`` of its length:
    there the frame jumps. O(d) and E(d) take both signs of the last axis with half the weight each
    where only d - 1 points are independent, which is the stabiliser of such a cloud; with fewer the
    frame is degenerate. E(d) and SE(d) measure from the centroid.

    Attributes:
        group: O(d), SO(d), E(d) or SE(d).
        rtol: What part of its length a point must have beyond those before it.

    Raises:
        ValueError: If the group is another.

    References:
        Lin et al., Equivariance via minimal frame averaging for more symmetries and efficiency,
        arXiv:2406.07598 (2024).

    >>> frame = GramSchmidtFrame(O(2))(jnp.array([[0.0, 3.0], [0.0, 5.0], [-1.0, 0.0]]))
    >>> frame.elements[0].astype(int).tolist(), frame.weights.tolist()
    ([[0, -1], [1, 0]], [1.0, 0.0])
    """

    group: Group
    rtol: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group.linear_group, O | SO):
            raise ValueError(
                f"Gram-Schmidt axes are a frame of O(d), SO(d), E(d) and SE(d), got {self.group}"
            )

    def __call__(
        self, x: PointCloud, mask: Bool[Array, "... points"] | None = None
    ) -> FrameElements:
        """The frames of ordered points ``[..., points, d]``.

        Raises:
            ValueError: If the points have another dimension.
        """
        each, d = check_points(x, mask, self.group), x.shape[-1]
        centre = centroid(x, each) if isinstance(self.group, SemidirectGroup) else None
        x = x if centre is None else x - centre[..., None, :]
        x = jnp.where((each > 0)[..., None], x, 0)
        chosen, rank = _independent(x, tolerance(self.rtol, x))
        axes, _ = gram_schmidt(chosen)
        turned = complete_axes(axes[..., : d - 1, :])
        if isinstance(self.group.linear_group, O):
            last = jnp.sum(turned[..., :, -1] * axes[..., -1, :], axis=-1)
            sign = jnp.where(last < 0, -1, 1).astype(x.dtype)[..., None, None]
            turned = jnp.concatenate([turned[..., :-1], turned[..., -1:] * sign], axis=-1)
            mirrored = jnp.concatenate([turned[..., :-1], -turned[..., -1:]], axis=-1)
            turned = jnp.stack([turned, mirrored], axis=-3)
            half = jnp.where(rank < d, 1 / 2, 0).astype(x.dtype)
            weights = jnp.stack([1 - half, half], axis=-1)
        else:
            turned = turned[..., None, :, :]
            weights = jnp.ones((*x.shape[:-2], 1), x.dtype)
        margin = (rank >= d - 1).astype(x.dtype)
        elements = with_translation(self.group, turned, centre)
        return FrameElements(elements, weights, margin, rank < d - 1)


@dataclasses.dataclass(frozen=True)
class LorentzFrame(Frame):
    r"""The rest frame of a set of momenta, with axes from its energy-weighted sums: one element.

    .. math:: P = \sum_i p_i, \qquad v_k = \sum_i (p_i \cdot P)^k\, p_i, \quad k = 1, 2

    orthonormalised in the metric diag(1, -1, -1, -1). The order of the particles does not matter.
    Degenerate where the v are on a line with P, as for two particles, and where P is not timelike.

    Attributes:
        rtol: Relative margin that counts as none.
        group: The proper Lorentz group.

    References:
        The sums are ours; generalised QR of ordered vectors: Lin et al., arXiv:2406.07598 (2024).

    >>> momenta = jnp.array([[3.0, 1, 0, 0], [2.0, 0, 1, 1], [4.0, -2, 1, 0]])
    >>> LorentzFrame()(momenta).elements.shape
    (1, 4, 4)
    """

    rtol: float | None = None
    group: Group = dataclasses.field(init=False, default=Lorentz())

    def __call__(
        self, x: Float[Array, "... particles 4"], mask: Bool[Array, "... particles"] | None = None
    ) -> FrameElements:
        """The frames of momenta (E, px, py, pz), ``[..., particles, 4]``.

        Raises:
            ValueError: If the momenta do not have four components.
        """
        each = check_points(x, mask, self.group)
        metric = jnp.broadcast_to(jnp.asarray([1.0, -1.0, -1.0, -1.0], x.dtype), x.shape)
        total = centroid(x, each)
        energies = jnp.sum(metric * x * total[..., None, :], axis=-1)
        size = jnp.sqrt(jnp.sum(energies**2 * each, axis=-1, keepdims=True))
        energies = energies / jnp.where(size > 0, size, 1)
        sums = [centroid(x, each * energies**k) for k in range(3)]
        matrix, margin = minkowski_gram_schmidt(jnp.stack(sums, axis=-2))
        margin = jax.lax.stop_gradient(margin)
        weights = jnp.ones((*x.shape[:-2], 1), x.dtype)
        return FrameElements(
            matrix[..., None, :, :], weights, margin, margin <= tolerance(self.rtol, x)
        )


def _independent(x: PointCloud, rtol: float) -> tuple[Float[Array, "... d d"], Array]:
    """The first d independent points, zeros where there are fewer, and how many there are."""
    *batch, points, d = x.shape
    rank = jnp.zeros(batch, jnp.int32)
    fixed = jax.lax.stop_gradient(x)
    slots = jnp.broadcast_to(jnp.arange(d, dtype=jnp.int32), (*batch, d))
    longest = jnp.max(jnp.sum(fixed * fixed, axis=-1), axis=-1)
    rows = jnp.zeros((*batch, d, d), x.dtype)

    def step(state: tuple[Array, Array, Array], index: Array) -> tuple[tuple, None]:
        rows, rank, picked = state
        point = jnp.take(fixed, index, axis=-2)
        rest = point
        for _ in range(2):
            along = jnp.einsum("...ki,...i->...k", rows, rest, precision=jax.lax.Precision.HIGHEST)
            taken = jnp.einsum("...ki,...k->...i", rows, along, precision=jax.lax.Precision.HIGHEST)
            rest = rest - taken
        square = jnp.sum(rest * rest, axis=-1)
        new = (square > rtol**2 * longest) & (rank < d)
        here = (slots == rank[..., None]) & new[..., None]
        unit = rest / jnp.sqrt(jnp.where(new, square, 1))[..., None]
        rows = jnp.where(here[..., None], unit[..., None, :], rows)
        picked = jnp.where(here, index, picked)
        return (rows, rank + new.astype(jnp.int32), picked), None

    picked = jnp.full((*batch, d), -1, jnp.int32)
    state, _ = jax.lax.scan(step, (rows, rank, picked), jnp.arange(points, dtype=jnp.int32))
    _, rank, picked = state
    chosen = jnp.take_along_axis(x, jnp.maximum(picked, 0)[..., None], axis=-2)
    return jnp.where((picked >= 0)[..., None], chosen, 0), rank
