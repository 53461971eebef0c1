"""Principal axes of point clouds as a frame."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups import SO, GLPlus, Group, O
from equinet.linalg import safe_eigh
from equinet.ops.frames._points import (
    centred,
    check_points,
    mean_weights,
    tolerance,
    with_translation,
)
from equinet.ops.frames.frame import Frame, FrameElements
from equinet.precision import HIGHEST, at_least_float32


@dataclasses.dataclass(frozen=True)
class PCAFrame(Frame):
    r"""Principal axes of a point cloud, with all signs of the eigenvectors of its covariance.

    .. math:: C = \frac1n \sum_i (x_i - t)(x_i - t)^\top = V \Lambda V^\top, \qquad
              F = \{ (V\, \mathrm{diag}(s),\, t) : s \in \{\pm 1\}^d \}

    where t is the centroid for groups that contain translations and zero for the others. For SO(d)
    and SE(d) only the signs of determinant one are taken: 2^(d-1) elements. For GL+(d) and its
    affine group the cloud is whitened first, C = L L^T, and the axes are those of its fourth
    moments :math:`\sum_i |y_i|^2 y_i y_i^\top` with y = L^{-1} x. With ``scaling="uniform"`` the
    elements are similitudes: rotations times the root of the mean square.

    The frame is defined where the eigenvalues differ. Where they meet it is discontinuous, and no
    choice of signs avoids that: weighted frames such as ``TupleFrame`` are continuous there, and
    ``BlendFrame`` joins both.

    Attributes:
        group: O(d), SO(d), E(d), SE(d), GLPlus(d) or Affine(GLPlus(d)).
        scaling: "full", or for the last two "uniform".
        rtol: Gap of the eigenvalues, relative to the largest, that counts as zero. By default the
            square root of the unit of rounding.

    Raises:
        ValueError: If the group or the scaling is not one of these.

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

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., points, d]``."""
        check_points(shape, self.group)

    def single(
        self, x: Float[Array, "points d"], mask: Bool[Array, "points"] | None
    ) -> FrameElements:
        """The frame of one point cloud."""
        weights = mean_weights(x, mask)
        x, centre = centred(x, weights, self.group)
        if not isinstance(self._linear, GLPlus):
            axes, margin = _axes(_moments(x, weights))
            factor: Array | None = None
        elif self.scaling == "uniform":
            moments = _moments(x, weights)
            axes, margin = _axes(moments)
            size = jnp.sqrt(jnp.trace(moments))
            factor = size * jnp.eye(x.shape[-1], dtype=x.dtype)
        else:
            factor, axes, margin = _whitened_axes(x, weights)
        axes = axes[None] * _signs(axes, not isinstance(self._linear, O))
        if factor is not None:
            axes = jnp.matmul(factor[None], axes, precision=HIGHEST)
        elements = with_translation(self.group, axes, centre)
        equal = jnp.full((self.size,), 1 / self.size, x.dtype)
        return FrameElements(elements, equal, margin, margin <= tolerance(self.rtol, x))


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


def _whitened_axes(x: Array, weights: Array) -> tuple[Array, Array, Float[Array, ""]]:
    """The Cholesky factor of the second moments, the axes of the fourth moments, their margin."""
    dtype = x.dtype
    x, weights = x.astype(at_least_float32(dtype)), weights.astype(at_least_float32(dtype))
    moments = _moments(x, weights)
    values = safe_eigh(moments)[0]
    full = jax.lax.stop_gradient(values[-1] > tolerance(None, x) ** 2 * values[0])
    factor = _cholesky(jnp.where(full, moments, jnp.eye(x.shape[-1], dtype=x.dtype)))
    white = _solve_lower(factor, x)
    square = jnp.sum(white * white, axis=-1)
    axes, margin = _axes(_moments(white, weights * square))
    margin = jnp.where(full, margin, 0)
    return factor.astype(dtype), axes.astype(dtype), margin.astype(dtype)


def _cholesky(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The lower triangular factor; JAX's has no gradient under a mesh with explicit axes."""
    d = matrix.shape[0]
    rest, columns = matrix, []
    for k in range(d):
        column = jnp.where(jnp.arange(d) >= k, rest[:, k] / jnp.sqrt(rest[k, k]), 0)
        rest = rest - column[:, None] * column[None]
        columns.append(column)
    return jnp.stack(columns, axis=-1)


def _solve_lower(factor: Float[Array, "d d"], x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The rows y with factor @ y = x, by forward substitution."""
    rows: list[Array] = []
    for k in range(factor.shape[0]):
        known = sum((factor[k, j] * row for j, row in enumerate(rows)), jnp.zeros((), x.dtype))
        rows.append((x[:, k] - known) / factor[k, k])
    return jnp.stack(rows, axis=-1)


def _signs(axes: Array, special: bool) -> Float[Array, "size 1 d"]:
    """All signs of the columns; with ``special`` those that make the determinant one."""
    signs = jnp.asarray(_sign_table(axes.shape[-1], special), axes.dtype)
    if special:
        fixed = jax.lax.stop_gradient(axes)
        volume = jnp.linalg.det(fixed.astype(at_least_float32(axes.dtype)))
        last = jnp.arange(axes.shape[-1]) == axes.shape[-1] - 1
        signs = signs * jnp.where(last & (volume < 0), -1, 1).astype(axes.dtype)[None]
    return signs[:, None, :]


@functools.cache
def _sign_table(d: int, special: bool) -> np.ndarray:
    if not special:
        return np.array(list(itertools.product((1.0, -1.0), repeat=d)))
    rows = [(*s, float(np.prod(s))) for s in itertools.product((1.0, -1.0), repeat=d - 1)]
    return np.array(rows)
