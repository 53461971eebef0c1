"""Frames of one element, where the canonical form of the input is unique."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equinet._sharding import mapped_like
from equinet.groups import SO, Group, Lorentz, O
from equinet.linalg import complete_axes, gram_schmidt, minkowski_gram_schmidt
from equinet.ops.frames._points import (
    centred,
    check_points,
    mean_weights,
    tolerance,
    weighted_sum,
    with_translation,
)
from equinet.ops.frames.frame import Frame, FrameElements
from equinet.precision import HIGHEST


@dataclasses.dataclass(frozen=True)
class GramSchmidtFrame(Frame):
    """The first independent points of an ordered cloud, orthonormalised: its QR decomposition.

    The points have a fixed order: a set of points has no such frame. A point is skipped if its part
    perpendicular to the points before it is shorter than ``rtol`` times the longest point; the
    frame is discontinuous where that changes. For O(d) and E(d), where only d - 1 points are
    independent, both signs of the last axis have the weight 1/2, for the reflection leaves such a
    cloud fixed. With fewer independent points the frame is degenerate. For E(d) and SE(d) the
    points are measured from their centroid.

    Attributes:
        group: O(d), SO(d), E(d) or SE(d).
        rtol: Length of the perpendicular part, relative to the longest point, that counts as zero.
            By default the square root of the unit of rounding.

    Raises:
        ValueError: If the group is not one of these.

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

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., points, d]``."""
        check_points(shape, self.group)

    def single(
        self, x: Float[Array, "points d"], mask: Bool[Array, "points"] | None
    ) -> FrameElements:
        """The frame of one ordered point cloud."""
        d, each = x.shape[-1], mean_weights(x, mask)
        x, centre = centred(x, each, self.group)
        x = jnp.where((each > 0)[:, None], x, 0)
        points, rank = _independent(x, tolerance(self.rtol, x))
        axes, _ = gram_schmidt(points)
        matrix = complete_axes(axes[: d - 1])
        if isinstance(self.group.linear_group, O):
            last = jnp.sum(matrix[:, -1] * axes[-1])
            sign = jnp.where(last < 0, -1, 1).astype(x.dtype)
            matrix = jnp.concatenate([matrix[:, :-1], matrix[:, -1:] * sign], axis=-1)
            mirrored = jnp.concatenate([matrix[:, :-1], -matrix[:, -1:]], axis=-1)
            matrices = jnp.stack([matrix, mirrored])
            half = jnp.where(rank < d, 1 / 2, 0).astype(x.dtype)
            weights = jnp.stack([1 - half, half])
        else:
            matrices, weights = matrix[None], jnp.ones((1,), x.dtype)
        margin = (rank >= d - 1).astype(x.dtype)
        elements = with_translation(self.group, matrices, centre)
        return FrameElements(elements, weights, margin, rank < d - 1)


@dataclasses.dataclass(frozen=True)
class LorentzFrame(Frame):
    r"""The rest frame of a set of momenta, with spatial axes from energy-weighted sums.

    .. math:: P = \sum_i p_i, \qquad v_k = \sum_i (p_i \cdot P)^k\, p_i, \quad k = 1, 2

    orthonormalised in the metric diag(1, -1, -1, -1). The frame has one element, and it does not
    depend on the order of the particles. It is degenerate where the v_k are linearly dependent on P
    and each other, as for two particles, and where P is not timelike.

    Attributes:
        rtol: Relative margin that counts as zero.
        group: The proper Lorentz group.

    References:
        The sums are ours; generalised QR of ordered vectors: Lin et al., arXiv:2406.07598 (2024).

    >>> momenta = jnp.array([[3.0, 1, 0, 0], [2.0, 0, 1, 1], [4.0, -2, 1, 0]])
    >>> LorentzFrame()(momenta).elements.shape
    (1, 4, 4)
    """

    rtol: float | None = None
    group: Group = dataclasses.field(init=False, default=Lorentz())

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., particles, 4]``."""
        check_points(shape, self.group)

    def single(
        self, x: Float[Array, "particles 4"], mask: Bool[Array, "particles"] | None
    ) -> FrameElements:
        """The frame of the momenta (E, px, py, pz) of one set of particles."""
        each = mean_weights(x, mask)
        metric = jnp.asarray([1.0, -1.0, -1.0, -1.0], x.dtype)
        total = weighted_sum(x, each)
        energies = jnp.sum(x * (metric * total)[None], axis=-1)
        size = jnp.sqrt(jnp.sum(energies**2 * each))
        energies = energies / jnp.where(size > 0, size, 1)
        sums = [weighted_sum(x, each * energies**k) for k in range(3)]
        matrix, margin = minkowski_gram_schmidt(jnp.stack(sums))
        margin = jax.lax.stop_gradient(margin)
        weights = jnp.ones((1,), x.dtype)
        return FrameElements(matrix[None], weights, margin, margin <= tolerance(self.rtol, x))


def _independent(
    x: Float[Array, "points d"], rtol: float
) -> tuple[Float[Array, "d d"], Int[Array, ""]]:
    """The first d independent points, zeros where there are fewer, and how many there are."""
    points, d = x.shape
    fixed = jax.lax.stop_gradient(x)
    longest = jnp.max(jnp.sum(fixed * fixed, axis=-1))
    rows = jnp.arange(d, dtype=jnp.int32)

    def step(state: tuple[Array, Array, Array], index: Array) -> tuple[tuple, None]:
        axes, rank, selected = state
        rest = jnp.take(fixed, index, axis=0)
        for _ in range(2):
            along = jnp.matmul(axes, rest, precision=HIGHEST)
            rest = rest - jnp.matmul(along, axes, precision=HIGHEST)
        square = jnp.sum(rest * rest)
        new = (square > rtol**2 * longest) & (rank < d)
        here = (rows == rank) & new
        unit = rest / jnp.sqrt(jnp.where(new, square, 1))
        axes = jnp.where(here[:, None], unit, axes)
        selected = jnp.where(here, index, selected)
        return (axes, rank + new.astype(jnp.int32), selected), None

    start = (
        mapped_like(jnp.zeros((d, d), x.dtype), fixed),
        mapped_like(jnp.zeros((), jnp.int32), fixed),
        mapped_like(jnp.full((d,), -1, jnp.int32), fixed),
    )
    (_, rank, selected), _ = jax.lax.scan(step, start, jnp.arange(points, dtype=jnp.int32))
    independent = jnp.take(x, jnp.maximum(selected, 0), axis=0)
    return jnp.where((selected >= 0)[:, None], independent, 0), rank
