r"""Samples and weights that integrate over a group.

.. math:: \int_H f(h)\, d\mu(h) \approx \sum_j w_j f(h_j), \qquad w_j = \frac{1}{N p(h_j)}

with the density p of the points relative to Haar measure. On a finite group the points are all
elements and the sum is exact.
"""

import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from equinet.groups import decompositions
from equinet.groups.finite import FiniteGroup
from equinet.groups.general_linear import PolarGroup
from equinet.groups.group import Group
from equinet.groups.orthogonal import SO
from equinet.groups.rotations import quaternion_to_matrix
from equinet.linalg import small_matrices as small
from equinet.precision import HIGHEST
from equinet.typing import DTypeLike, Key, Matrix

PointSet = Literal["random", "low_discrepancy", "equispaced", "translated"]
Density = Literal["ball", "normal"]

_ROTATION_NUMBERS = {1: 0, 2: 1, 3: 3}


class GroupNodes(NamedTuple):
    """Samples of a group and their weights, for sums that estimate integrals over it.

    Attributes:
        elements: Matrices ``[N, n, n]``.
        weights: Their weights ``[N]``: the mean of 1 / p.
    """

    elements: Matrix
    weights: Float[Array, "N"]


def group_nodes(
    group: Group,
    key: Key | None = None,
    count: int | None = None,
    *,
    scale: float = 0.5,
    density: Density = "ball",
    points: PointSet = "low_discrepancy",
    dtype: DTypeLike = float,
) -> GroupNodes:
    r"""Samples for sums over a group of matrices g = P R, or over a finite group.

    log P is uniform in a ball or normal, R is of Haar measure; weights are those of the Haar
    measure that is dX dR at the identity, R having mass one. Outside of a ball nothing is sampled:
    the integral is that over the ball. Under a normal density the weights of far points are large.

    Args:
        group: ``SO(n)``, ``GLPlus(n)``, ``SL(n)``, ``Scalings(n)`` or ``Similitudes(n)`` with n up
            to 3, or a finite group that acts on space.
        key: A random key; a finite group needs none.
        count: Number of nodes N; None means all elements of a finite group.
        scale: Radius of the ball in the Frobenius norm of log P, or the standard deviation of log P
            along every direction of norm one.
        density: "ball" or "normal".
        points: "random": independent. "low_discrepancy": a Kronecker sequence of irrational steps.
            "equispaced": the first coordinate (the angle, or without rotations the first of log P)
            takes equal steps, none twice, the others as before. These two are shifted at random as
            a whole, so that sums over them have the right mean. "translated": the same sequence
            h_1, ..., h_N for every key, all of it multiplied from the left by one random element,
            whose log P is uniform in a ball of the scale too. Haar measure stays what it is, and
            what kernels on the group are asked for, h_i^-1 h_j, does not change with the key; where
            the samples lie does. The ball is translated with the points.
        dtype: The dtype of the result.

    Returns:
        The nodes.

    Raises:
        ValueError: If the group is of another kind, a number is out of range or an option unknown.

    References:
        Owen, Monte Carlo theory, methods and examples (2013), chapter 17, on shifted sequences;
        Mironenco and Forré, arXiv:2310.11366 (2024), on sampling polar factors.

    Example:
        >>> from equinet.groups import GLPlus
        >>> from equinet.groups import Cyclic
        >>> nodes = group_nodes(GLPlus(2), jax.random.key(0), 10)
        >>> nodes.elements.shape, nodes.weights.shape
        ((10, 2, 2), (10,))
        >>> group_nodes(Cyclic(4)).weights.tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    dtype = jnp.result_type(dtype)
    if isinstance(group, FiniteGroup):
        return _all_elements(group, count, dtype)
    _check(group, key, count, scale, density, points)
    assert key is not None
    assert count is not None
    elements, weights = _polar_nodes(group, key, count, scale, density, points)
    return GroupNodes(elements.astype(dtype), weights.astype(dtype))


def nodes_mass(group: Group, scale: float, density: Density = "ball") -> float:
    """Approximate sum of the weights of ``group_nodes``: the volume of the sampled set.

    For a ball the volume of log P, without the growth of Haar measure; one for rotations, finite
    groups and a normal density (whose total is infinite, most of it never sampled).

    >>> from equinet.groups import SL
    >>> from equinet.groups import SO
    >>> nodes_mass(SO(2), 0.5), round(nodes_mass(SL(2), 0.5), 4)
    (1.0, 0.7854)
    """
    if isinstance(group, PolarGroup) and density == "ball":
        return math.exp(_log_ball(group.symmetric_dim, scale))
    return 1.0


def support_radius(
    scale: float, density: Density = "ball", points: PointSet = "low_discrepancy"
) -> float:
    """Largest Frobenius norm of log P among the samples of ``group_nodes``.

    For a normal density, which is not bounded, it is two standard deviations.

    Args:
        scale: The scale that ``group_nodes`` is called with.
        density: "ball" or "normal".
        points: How the samples are drawn, as in ``group_nodes``.

    >>> support_radius(0.5), support_radius(0.5, "normal")
    (0.5, 1.0)
    >>> support_radius(0.5, "normal", "translated")
    1.5
    """
    alone = scale if density == "ball" else 2 * scale
    return alone + scale if points == "translated" else alone


def largest_log_singular_value(group: Group, scale: float) -> float:
    """The largest logarithm of a singular value of g = P R with ``|log P| <= scale``.

    >>> from equinet.groups import SL, GLPlus
    >>> from equinet.groups import SO
    >>> [round(largest_log_singular_value(group(2), 1.0), 4) for group in (GLPlus, SL, SO)]
    [1.0, 0.7071, 0.0]
    """
    if not isinstance(group, PolarGroup):
        return 0.0
    if group.symmetric_dim == 1:  # all singular values alike
        return scale / math.sqrt(group.n)
    traces = np.trace(symmetric_basis(group), axis1=-2, axis2=-1)
    return scale * (1.0 if np.any(np.abs(traces) > 1e-9) else math.sqrt(1 - 1 / group.n))


def _polar_nodes(
    group: Group, key: Key, count: int, scale: float, density: str, points: str
) -> tuple[Matrix, Float[Array, "N"]]:
    if points == "translated":
        fixed, weights = _polar_nodes(
            group, jax.random.key(0), count, scale, density, "low_discrepancy"
        )
        by, _ = _polar_nodes(group, key, 1, scale, "ball", "random")
        return small.matmul(by, fixed), weights
    symmetric_dim, n, has_rotations = _parts(group)
    more = density == "ball" and symmetric_dim > 3  # the radius takes one more number
    rotation_numbers = _ROTATION_NUMBERS[n] if has_rotations else 0
    numbers = _uniform_numbers(key, count, rotation_numbers + symmetric_dim + more, points)
    log_spd, log_density = _log_spds(group, numbers[:, rotation_numbers:], scale, density)
    elements = small.expm(log_spd)
    if has_rotations:
        elements = small.matmul(elements, _haar_rotations(numbers[:, :rotation_numbers], n))
    return elements, jnp.exp(decompositions.polar_log_density(log_spd) - log_density) / count


def _all_elements(group: FiniteGroup, count: int | None, dtype: DTypeLike) -> GroupNodes:
    if count is not None and count != group.order:
        raise ValueError(
            f"a sum over {group} runs over its {group.order} elements, got a number of {count}: "
            f"leave it out"
        )
    elements = group.linear_part(jnp.asarray(group.elements())).astype(dtype)
    return GroupNodes(elements, jnp.full(group.order, 1 / group.order, dtype))


def _check(
    group: Group, key: Key | None, count: int | None, scale: float, density: str, points: str
) -> None:
    if not isinstance(group, SO | PolarGroup) or group.n not in _ROTATION_NUMBERS:
        raise ValueError(
            "nodes exist for SO(n), GLPlus(n), SL(n), Scalings(n), Similitudes(n) with n up to 3 "
            f"and for finite groups, got {group}"
        )
    if key is None or count is None or count < 1:
        raise ValueError(
            f"{group} is not finite: its nodes need a key and a number of at least 1, got "
            f"{'a' if key is not None else 'no'} key and {count}"
        )
    if not 0 < scale < math.inf:
        raise ValueError(f"scale: expected a positive number, got {scale}")
    if density not in get_args(Density):
        raise ValueError(f"density: expected one of {get_args(Density)}, got {density!r}")
    if points not in get_args(PointSet):
        raise ValueError(f"points: expected one of {get_args(PointSet)}, got {points!r}")


def _parts(group: Group) -> tuple[int, int, bool]:
    """Dimensions of log P, dimension of space, whether there are rotations."""
    if isinstance(group, PolarGroup):
        return group.symmetric_dim, group.n, group.has_rotations
    return 0, group.vector_dim, True


def _uniform_numbers(key: Key, count: int, dim: int, points: str) -> Float[Array, "N dim"]:
    """Points of the unit cube."""
    wide = jnp.result_type(float)
    if points == "random":
        return jax.random.uniform(key, (count, dim), wide)
    shift = jax.random.uniform(key, (1, dim), wide)
    steps = np.arange(count)[:, None] * _irrational_steps(dim)
    if points == "equispaced" and dim:
        others = np.arange(count)[:, None] * _irrational_steps(dim - 1)
        steps = np.concatenate([np.arange(count)[:, None] / count, others], axis=1)
    return (shift + jnp.asarray(steps % 1.0, wide)) % 1.0


def _irrational_steps(dim: int) -> Float[np.ndarray, "dim"]:
    """Powers of the real root of x^(d + 1) = x + 1: for d = 1 the golden ratio."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dim + 1))
    return root ** -np.arange(1.0, dim + 1)


def _log_spds(
    group: Group, numbers: Float[Array, "N k"], scale: float, density: str
) -> tuple[Matrix, Float[Array, "N"]]:
    """Symmetric logarithms and their log density in an orthonormal basis."""
    dim, n, _ = _parts(group)
    count, wide = numbers.shape[0], numbers.dtype
    if dim == 0:
        return jnp.zeros((count, n, n), wide), jnp.zeros(count, wide)
    assert isinstance(group, PolarGroup)
    # Numbers of exactly 0 would be infinitely far.
    inside = jnp.clip(numbers, jnp.finfo(wide).eps, 1 - jnp.finfo(wide).eps)
    if density == "normal":
        v = scale * jax.scipy.special.ndtri(inside)
        constant = -dim * math.log(scale * math.sqrt(2 * math.pi))
        log_density = -jnp.sum(v * v, axis=-1) / (2 * scale**2) + constant
    else:
        v = scale * _in_ball(inside, dim)
        log_density = jnp.full(count, -_log_ball(dim, scale), wide)
    basis = jnp.asarray(symmetric_basis(group), wide)
    matrices = jnp.einsum("Nk,kij->Nij", v, basis, precision=HIGHEST)
    return matrices, log_density


def _in_ball(numbers: Float[Array, "N k"], dim: int) -> Float[Array, "N dim"]:
    """Uniform points of the unit ball, from as many numbers as it has dimensions up to three."""
    if dim == 1:
        return 2 * numbers - 1
    if dim > 3:
        direction = jax.scipy.special.ndtri(numbers[:, :dim])
        direction = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
        return numbers[:, dim:] ** (1 / dim) * direction
    radius, angle = numbers[:, 0] ** (1 / dim), 2 * math.pi * numbers[:, 1]
    height = 2 * numbers[:, 2] - 1 if dim == 3 else jnp.zeros_like(radius)
    across = radius * jnp.sqrt(1 - height**2)
    parts = [across * jnp.cos(angle), across * jnp.sin(angle), radius * height]
    return jnp.stack(parts[:dim], axis=-1)


def symmetric_basis(group: PolarGroup) -> Float[np.ndarray, "k n n"]:
    """An orthonormal basis of the symmetric elements of the Lie algebra.

    >>> from equinet.groups import SL
    >>> symmetric_basis(SL(2)).shape
    (2, 2, 2)
    """
    algebra = group.lie_algebra()
    symmetric = (algebra + algebra.swapaxes(-1, -2)).reshape(len(algebra), -1) / 2
    _, sizes, rows = np.linalg.svd(symmetric)
    rank = int(np.sum(sizes > 1e-10))
    return rows[:rank].reshape(rank, group.n, group.n)


def _log_ball(dim: int, radius: float) -> float:
    """Log of the volume of a ball."""
    return dim / 2 * math.log(math.pi) - float(gammaln(dim / 2 + 1)) + dim * math.log(radius)


def _haar_rotations(numbers: Float[Array, "N k"], n: int) -> Matrix:
    """Rotations of Haar measure; in three dimensions by Shoemake's quaternions."""
    if n == 1:
        return jnp.ones((numbers.shape[0], 1, 1), numbers.dtype)
    angle = 2 * math.pi * numbers
    if n == 2:
        c, s = jnp.cos(angle[:, 0]), jnp.sin(angle[:, 0])
        return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)
    far, near = jnp.sqrt(1 - numbers[:, 2]), jnp.sqrt(numbers[:, 2])
    quaternion = (
        *(far * jnp.sin(angle[:, 0]), far * jnp.cos(angle[:, 0])),
        *(near * jnp.sin(angle[:, 1]), near * jnp.cos(angle[:, 1])),
    )
    return quaternion_to_matrix(jnp.stack(quaternion, -1))
