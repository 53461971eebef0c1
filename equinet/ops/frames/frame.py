r"""Frames: for every input a finite set of group elements that moves with it.

A frame F gives every input x elements of a group with weights, such that the elements of g x are
those of x from the left: F(g x) = g F(x). Whatever function of :math:`g^{-1} x` is averaged over
them becomes invariant, or equivariant once it is turned back:

.. math:: \Phi(x) = \sum_{g \in F(x)} w_g\; \rho_{out}(g)\, \phi(g^{-1} x)

``equinet.nn.frame_averaging.FrameAveraging`` does that for any module.
"""

import abc
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups import SO, GLPlus, Group, O, SemidirectGroup
from equinet.linalg import safe_eigh
from equinet.precision import HIGHEST
from equinet.typing import Element, Key, PointCloud


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrameElements:
    """The elements of a frame for a batch of inputs.

    Attributes:
        elements: Group elements ``[..., size, *element]``.
        weights: What each counts, of sum one, ``[..., size]``.
        margin: How far the input is from one where the frame is not defined, relative to the
            input's size, ``[...]``: the smallest gap of a spectrum, the largest volume of a tuple.
        degenerate: Where the margin is not above rounding, so that the elements do not move with
            the input, ``[...]``.
    """

    elements: Element
    weights: Float[Array, "... size"]
    margin: Float[Array, "..."]
    degenerate: Bool[Array, "..."]

    def draw(self, key: Key, count: int) -> "FrameElements":
        """``count`` of the elements by their weights, independently for every input."""
        logits = jnp.log(jax.lax.stop_gradient(self.weights))
        shape = (count, *self.weights.shape[:-1])
        drawn = jnp.moveaxis(jax.random.categorical(key, logits, axis=-1, shape=shape), 0, -1)
        axis = drawn.ndim - 1

        def take(leaf: Array) -> Array:
            index = drawn.reshape(*drawn.shape, *(1,) * (leaf.ndim - drawn.ndim))
            return jnp.take_along_axis(leaf, index, axis=axis)

        elements = jax.tree.map(take, self.elements)
        equal = jnp.full(drawn.shape, 1 / count, self.weights.dtype)
        return FrameElements(elements, equal, self.margin, self.degenerate)


class Frame(abc.ABC):
    """What gives inputs their frames: a frozen dataclass, ``group`` and a call.

    Subclasses are called with the input and, where sets are padded, a mask of their members.

    Attributes:
        group: The group whose elements the frame holds.
    """

    group: Group

    @abc.abstractmethod
    def __call__(self, x: Array, mask: Bool[Array, "... n"] | None = None) -> FrameElements:
        """All elements of the frame of every input."""

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """``count`` random elements of the frame, in the mean what all of them are."""
        return self(x, mask).draw(key, count)


@dataclasses.dataclass(frozen=True)
class PCAFrame(Frame):
    r"""Principal axes of a point cloud: every sign of the eigenvectors of its covariance.

    .. math:: C = \frac1n \sum_i (x_i - t)(x_i - t)^\top = V \Lambda V^\top, \qquad
              F = \{ (V\, \mathrm{diag}(s),\, t) : s \in \{\pm 1\}^d \}

    with t the centroid for the groups that contain translations, zero for the others. For SO(d) and
    SE(d) the signs of determinant one: 2^(d-1) elements. For GL+(d) and its affine group the cloud
    is whitened first, C = L L^T, and the axes are those of its fourth moments
    :math:`\sum_i |y_i|^2 y_i y_i^\top` with y = L^{-1} x. ``scaling="uniform"`` keeps to the
    similitudes: rotations times the root of the mean square.

    The frame is defined where the eigenvalues differ. Where they meet it jumps, and no choice of
    signs mends that: `equinet.ops.frames.weighted` does, and `Blend` joins both.

    Attributes:
        group: O(d), SO(d), E(d), SE(d), GLPlus(d) or Affine(GLPlus(d)).
        scaling: "full", or for the last two "uniform".
        rtol: Gap of the eigenvalues, relative to the largest, that counts as none. By default the
            square root of a unit of rounding.

    Raises:
        ValueError: If the group or the scaling is another.

    References:
        Puny et al., arXiv:2110.03336 (2022).

    >>> from equinet.groups import E
    >>> frame = PCAFrame(E(3))(jnp.eye(4)[:, :3] @ jnp.diag(jnp.arange(1.0, 4.0)))
    >>> frame.elements.shape, bool(frame.degenerate)
    ((8, 4, 4), False)
    """

    group: Group
    scaling: str = "full"
    rtol: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self._linear, O | SO | GLPlus):
            raise ValueError(
                f"principal axes are a frame of O(d), SO(d), GLPlus(d) and of these with "
                f"translations, got {self.group}"
            )
        if self.scaling not in ("full", "uniform"):
            raise ValueError(f"scaling must be 'full' or 'uniform', got {self.scaling!r}")

    @property
    def _linear(self) -> Group:
        return self.group.linear_group

    @property
    def size(self) -> int:
        """Number of elements."""
        d = self.group.vector_dim
        return 2**d if isinstance(self._linear, O) else 2 ** (d - 1)

    def __call__(
        self, x: PointCloud, mask: Bool[Array, "... points"] | None = None
    ) -> FrameElements:
        """The frames of point clouds ``[..., points, d]``.

        Raises:
            ValueError: If the points have another dimension.
        """
        weights = check_points(x, mask, self.group)
        centre = centroid(x, weights) if isinstance(self.group, SemidirectGroup) else None
        x = x if centre is None else x - centre[..., None, :]
        if not isinstance(self._linear, GLPlus):
            axes, margin = _axes(_moments(x, weights))
            shape: Array | None = None
        elif self.scaling == "uniform":
            moments = _moments(x, weights)
            axes, margin = _axes(moments)
            size = jnp.sqrt(jnp.trace(moments, axis1=-2, axis2=-1))[..., None, None]
            shape = size * jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), moments.shape)
        else:
            shape, axes, margin = _whitened_axes(x, weights)
        axes = axes[..., None, :, :] * _signs(axes, not isinstance(self._linear, O))
        if shape is not None:
            axes = jnp.matmul(shape[..., None, :, :], axes, precision=HIGHEST)
        elements = with_translation(self.group, axes, centre)
        equal = jnp.full(axes.shape[:-2], 1 / self.size, x.dtype)
        return FrameElements(elements, equal, margin, margin <= tolerance(self.rtol, x))


@dataclasses.dataclass(frozen=True)
class Blend(Frame):
    """One frame where it is well defined, a second one where it is not, continuous between.

    The weights of the first rise smoothly from zero to one while its margin goes from ``start`` to
    ``end``; those of the second fall. As both move with the input, so does the blend.

    Attributes:
        first: The frame that is preferred.
        second: The frame near degenerate inputs of the first.
        start: Margin of the first below which only the second counts.
        end: Margin of the first from which only the first counts.
        group: The group of both.

    Raises:
        ValueError: If the groups differ, or not 0 < start < end.

    >>> from equinet.ops.frames.weighted import TupleFrame
    >>> Blend(PCAFrame(SO(3)), TupleFrame(SO(3)), 0.01, 0.1)(jnp.eye(3)).weights.shape
    (10,)
    """

    first: Frame
    second: Frame
    start: float = 0.01
    end: float = 0.1
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.first.group)
        if self.first.group != self.second.group:
            raise ValueError(f"frames of {self.first.group} and {self.second.group} do not blend")
        if not 0 < self.start < self.end:
            raise ValueError(f"expected 0 < start < end, got {self.start} and {self.end}")

    def __call__(self, x: Array, mask: Bool[Array, "... n"] | None = None) -> FrameElements:
        """The elements of both."""
        first, second = self.first(x, mask), self.second(x, mask)
        t = jnp.clip((first.margin - self.start) / (self.end - self.start), 0, 1)
        t = (t * t * (3 - 2 * t))[..., None]
        elements = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b], axis=first.weights.ndim - 1),
            *(first.elements, second.elements),
        )
        weights = jnp.concatenate([t * first.weights, (1 - t) * second.weights], axis=-1)
        degenerate = second.degenerate & (t[..., 0] < 1)
        margin = jnp.maximum(first.margin, second.margin)
        return FrameElements(elements, weights, margin, degenerate)


def check_points(
    x: PointCloud, mask: Bool[Array, "... points"] | None, group: Group
) -> Float[Array, "... points"]:
    """The weight of every point in a mean: one over their number, zero for padding.

    Raises:
        ValueError: If the points are not ``[..., points, d]`` or there are none.
    """
    d = group.vector_dim
    if x.ndim < 2 or x.shape[-1] != d or x.shape[-2] == 0:
        raise ValueError(f"expected points of the shape [..., points, {d}], got {x.shape}")
    if mask is None:
        return jnp.full(x.shape[:-1], 1 / x.shape[-2], x.dtype)
    if mask.shape != x.shape[:-1]:
        raise ValueError(f"expected a mask of the shape {x.shape[:-1]}, got {mask.shape}")
    count = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1)
    return mask.astype(x.dtype) / count.astype(x.dtype)


def centroid(x: PointCloud, weights: Float[Array, "... points"]) -> Float[Array, "... d"]:
    """The weighted mean of points."""
    return jnp.sum(x * weights[..., None], axis=-2)


def with_translation(
    group: Group, linear: Float[Array, "... size d d"], centre: Float[Array, "... d"] | None
) -> Element:
    """Elements of a group with these linear parts, all with the same translation if it has any."""
    if not isinstance(group, SemidirectGroup) or centre is None:
        return linear
    return group.homogeneous(linear, centre[..., None, :])


def tolerance(rtol: float | None, x: Array) -> float:
    """A relative margin that counts as zero: by default the root of a unit of rounding."""
    return float(jnp.finfo(x.dtype).eps) ** 0.5 if rtol is None else rtol


def _moments(x: Array, weights: Array) -> Float[Array, "... d d"]:
    weighted = x * weights[..., None]
    return jnp.einsum("...ni,...nj->...ij", weighted, x, precision=HIGHEST)


def _axes(moments: Array) -> tuple[Array, Float[Array, "..."]]:
    """Eigenvectors in columns, and the smallest gap relative to the largest eigenvalue."""
    values, vectors = safe_eigh(moments)
    if moments.shape[-1] == 1:
        return vectors, jnp.ones_like(values[..., 0])
    gap = jnp.min(values[..., :-1] - values[..., 1:], axis=-1)
    largest = values[..., 0]
    margin = jnp.where(largest > 0, gap / jnp.where(largest > 0, largest, 1), 0)
    return vectors, jax.lax.stop_gradient(margin)


def _whitened_axes(x: Array, weights: Array) -> tuple[Array, Array, Float[Array, "..."]]:
    """The Cholesky factor of the second moments, the axes of the fourth, their margin."""
    moments = _moments(x, weights)
    flat, least = safe_eigh(moments)[0][..., 0], safe_eigh(moments)[0][..., -1]
    full = jax.lax.stop_gradient(least > tolerance(None, x) ** 2 * flat)
    identity = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), moments.shape)
    factor = jnp.linalg.cholesky(jnp.where(full[..., None, None], moments, identity))
    white = jax.scipy.linalg.solve_triangular(factor, jnp.swapaxes(x, -1, -2), lower=True)
    white = jnp.swapaxes(white, -1, -2)
    square = jnp.sum(white * white, axis=-1)
    axes, margin = _axes(_moments(white, weights * square))
    return factor, axes, jnp.where(full, margin, 0)


def _signs(axes: Array, special: bool) -> Float[Array, "... size 1 d"]:
    """All signs of the columns; with ``special`` those that make the determinant one."""
    d = axes.shape[-1]
    table = jnp.asarray(_sign_table(d, special), axes.dtype)
    shape = (*axes.shape[:-2], *table.shape)
    signs = jnp.broadcast_to(table, shape)
    if special:
        volume = jnp.linalg.det(jax.lax.stop_gradient(axes))
        last = jnp.where(volume < 0, -1, 1).astype(axes.dtype)[..., None]
        signs = jnp.concatenate([signs[..., :-1], signs[..., -1:] * last[..., None]], axis=-1)
    return signs[..., None, :]


@functools.cache
def _sign_table(d: int, special: bool) -> np.ndarray:
    if not special:
        return np.array(list(itertools.product((1.0, -1.0), repeat=d)))
    rows = [(*s, float(np.prod(s))) for s in itertools.product((1.0, -1.0), repeat=d - 1)]
    return np.array(rows)
