"""The frame of an edge: rotations that turn a direction onto the polar axis, and their matrices.

The rotation by the smallest angle that takes a direction e to the polar axis y turns about an axis
that is perpendicular to y: as a quaternion it is (w, x, 0, z), a point on a sphere. The entries of
its Wigner matrix of degree l are even polynomials of degree 2 l in that point, so the matrices of
all degrees are spherical harmonics of (w, x, z) times one constant matrix: no angles. Directions
below the equator are turned by pi about x first, so that the angle never exceeds a right angle.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.frame_maps import FramePlan, from_frame, to_frame
from equinet.ops.paths import blocks
from equinet.ops.spherical_harmonics import harmonics_table
from equinet.reps import Irreps, wigner_table

HIGHEST = jax.lax.Precision.HIGHEST

_CALL = "call edge_features(vectors) of the layer of the highest degree and order"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rotations:
    """Wigner matrices of all degrees of every edge, one after the other.

    Attributes:
        maps: Rows |m| <= mmax of the matrices of degrees 0 to lmax, ``[edges, entries]``.
        lmax: Highest degree.
        mmax: Highest order.
    """

    maps: Float[Array, "edges entries"]
    lmax: int = dataclasses.field(metadata={"static": True})
    mmax: int = dataclasses.field(metadata={"static": True})

    def degree(self, l: int) -> Float[Array, "edges rows columns"]:
        """The matrices of one degree: rows m = -min(l, mmax) to min(l, mmax), all columns."""
        begin, shape = self.place(l)
        return self.maps[:, begin : begin + shape[0] * shape[1]].reshape(-1, *shape)

    def place(self, l: int) -> tuple[int, tuple[int, int]]:
        """Where the entries of a degree begin, and the shape of its matrices."""
        shapes = [(2 * min(k, self.mmax) + 1, 2 * k + 1) for k in range(l + 1)]
        return sum(a * b for a, b in shapes[:l]), shapes[l]


def edge_rotations(
    lmax: int, vectors: Float[Array, "edges 3"], mmax: int | None = None
) -> Rotations:
    r"""Wigner matrices of rotations that turn every vector onto the polar axis y.

    .. math:: D^l_{mn}(e) = s^l_n(e) \sum_{k \le l, \mu} T^l_{mn, 2k, \mu}\, Y_{2k, \mu}(w, x, z)

    with a constant T, and signs s that turn e by pi about x where :math:`e_y < 0`. The roll about
    the edge jumps there; a map that is equivariant under rotations about the edge does not see it.
    Nothing is singular: values and derivatives are finite everywhere, and the zero vector gives
    identities.

    Args:
        lmax: Highest degree.
        vectors: Any length, ``[edges, 3]``.
        mmax: Only the rows of orders up to this; all if absent.

    Returns:
        The matrices: ``degree(l)`` has the shape ``[edges, rows, 2 l + 1]``.

    Raises:
        ValueError: If a degree is negative or the last axis is not 3.

    >>> turns = edge_rotations(1, jnp.array([[0.0, 0.0, 2.0]]))
    >>> print((turns.degree(1)[0] @ jnp.array([0.0, 0.0, 1.0])).round(6) + 0.0)
    [0. 1. 0.]
    """
    if lmax < 0 or (mmax is not None and mmax < 0):
        raise ValueError(f"degrees and orders must be at least 0, got lmax={lmax}, mmax={mmax}")
    if vectors.ndim != 2 or vectors.shape[-1] != 3:
        raise ValueError(f"vectors must have the shape [edges, 3], got {vectors.shape}")
    point, below = _half_turn(vectors)
    even = _even_harmonics(lmax, *point)
    highest = lmax if mmax is None else min(mmax, lmax)
    entries = []
    for l in range(lmax + 1):
        table, signs = _rotation_table(l, min(l, highest))
        size = table.shape[0]
        flat = jnp.matmul(
            even[:, :size], jnp.asarray(table.reshape(size, -1), even.dtype), precision=HIGHEST
        )
        turn = jnp.where(below[:, None], jnp.asarray(signs, even.dtype)[None], 1)
        entries.append(flat * jnp.tile(turn, (1, table.shape[1])))
    return Rotations(jnp.concatenate(entries, axis=1), lmax, highest)


def check_rotations(edges: Any, count: int, lmax: int, mmax: int) -> None:
    """Refuse rotations that do not reach a degree or an order.

    Raises:
        ValueError: If degrees or orders are missing, or the number of edges differs.
    """
    if not isinstance(edges, Rotations):
        raise ValueError(f"edges must be Rotations, got {type(edges).__name__}: {_CALL}")
    if edges.maps.shape[0] != count:
        raise ValueError(f"got {edges.maps.shape[0]} rotations for {count} edges")
    if edges.lmax < lmax or edges.mmax < mmax:
        raise ValueError(
            f"edges must have degrees to {lmax} and orders to {mmax}, got rotations of degrees to "
            f"{edges.lmax} and orders to {edges.mmax}: {_CALL}"
        )


@dataclasses.dataclass(frozen=True)
class FrameRows:
    """The components of some irreps in the frame of an edge, sorted by order.

    For m = 0, 1, ... mmax first the components m of all blocks of degree at least m, in the order
    of the irreps, then (for m > 0) their components -m. A layer that mixes degrees within an order
    reads and writes consecutive rows.

    Attributes:
        rep: The irreps.
        mmax: Highest order that is kept.
        split: Whether the two components of an order are told apart by reflections through the
            edge: for a block of parity (-1)^(l + 1) the pair (m, -m) is then stored as (-m, -(m)),
            and its component 0, which changes sign under them, comes after all others.
    """

    rep: Irreps
    mmax: int
    split: bool = False

    def members(self, m: int) -> tuple[int, ...]:
        """The blocks of degree at least ``m``."""
        return tuple(i for i, b in enumerate(blocks(self.rep)) if b.l >= m)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of rows of every part: m = 0, then m and -m for m = 1, 2, ..."""
        return tuple(len(part) for part in _frame_order(self)[0])

    @property
    def signs(self) -> Float[np.ndarray, "rows"]:
        """What the rows are multiplied with."""
        return np.concatenate(_frame_order(self)[1])

    def rotate(
        self, rotations: Rotations, x: Float[Array, "edges dim channels"]
    ) -> Float[Array, "rows edges channels"]:
        """Features into the frame of every edge."""
        return self._sign(to_frame(rotations.maps.astype(x.dtype), x, self._plan(rotations)))

    def rotate_back(
        self, rotations: Rotations, rows: Float[Array, "rows edges channels"]
    ) -> Float[Array, "edges dim channels"]:
        """Features out of the frame of every edge; orders above mmax are zero in it."""
        maps = rotations.maps.astype(rows.dtype)
        return from_frame(maps, self._sign(rows), self._plan(rotations))

    def parts(
        self, rows: Float[Array, "rows edges channels"]
    ) -> list[Float[Array, "part edges channels"]]:
        """The rows of m = 0, 1, -1, 2, -2, ..."""
        return jnp.split(rows, np.cumsum(self.sizes)[:-1].tolist())

    def _plan(self, rotations: Rotations) -> FramePlan:
        return _plan(self, rotations.lmax, rotations.mmax, rotations.maps.shape[1])

    def _sign(self, rows: Array) -> Array:
        if (self.signs > 0).all():
            return rows
        return rows * jnp.asarray(self.signs, rows.dtype)[:, None, None]


@functools.cache
def _plan(rows: FrameRows, lmax: int, mmax: int, entries: int) -> FramePlan:
    places = []
    for block in blocks(rows.rep):
        begin, shape = Rotations(np.empty(0), lmax, mmax).place(block.l)  # type: ignore[arg-type]
        kept = min(block.l, rows.mmax)
        places.append((begin, shape, shape[0] // 2 - kept, 2 * kept + 1, block.start))
    return FramePlan(tuple(places), sum(_frame_order(rows)[0], ()), entries)


@functools.cache
def _frame_order(rows: FrameRows) -> tuple[tuple[tuple[int, ...], ...], tuple[np.ndarray, ...]]:
    """The rows of every part among those of all blocks one after the other, and their signs."""
    kept = [min(block.l, rows.mmax) for block in blocks(rows.rep)]
    middle = np.cumsum([0] + [2 * k + 1 for k in kept])[:-1] + kept
    odd = [rows.split and b.p != (-1) ** b.l for b in blocks(rows.rep)]
    parts, signs = [], []
    for m in range(rows.mmax + 1):
        members = rows.members(m)
        if m == 0:
            members = sorted(members, key=lambda i: odd[i])
        for sign in (1, -1)[: 2 if m else 1]:
            parts.append(tuple(int(middle[i] + (-sign if odd[i] else sign) * m) for i in members))
            signs.append(np.array([-1.0 if odd[i] and sign < 0 else 1.0 for i in members]))
    return tuple(parts), tuple(signs)


def _half_turn(vectors: Array) -> tuple[tuple[Array, Array, Array], Array]:
    """The point (w, x, z) of every edge, and which edges were turned."""
    squared = jnp.sum(vectors * vectors, axis=-1)
    is_zero = squared == 0
    inverse = jnp.where(is_zero, 0, jax.lax.rsqrt(jnp.where(is_zero, 1, squared)))
    x, y, z = (vectors[:, i] * inverse for i in range(3))
    below = y < 0
    y, z = jnp.where(below, -y, y), jnp.where(below, -z, z)
    w = jnp.sqrt((1 + jnp.where(is_zero, 1, y)) / 2)
    return (w, -z / (2 * w), x / (2 * w)), below


def _even_harmonics(lmax: int, w: Array, x: Array, z: Array) -> Float[Array, "edges harmonics"]:
    """Harmonics of degrees 0, 2, ... 2 lmax about the axis w, in the order of `_even_table`.

    A degree at a time for all orders, and no step is fused into the next, or compiling takes
    minutes at degree 40.
    """
    cosines, sines = [jnp.ones_like(w)], [jnp.zeros_like(w)]
    for _ in range(2 * lmax):
        c, s = cosines[-1], sines[-1]
        cosines.append(z * c - x * s)
        sines.append(z * s + x * c)
    cos, sin = jax.lax.optimization_barrier((jnp.stack(cosines), jnp.stack(sines)))
    previous, polar = jnp.zeros_like(w)[None, :][:0], jnp.ones_like(w)[None]
    parts = [polar]
    for l in range(1, 2 * lmax + 1):
        a, b, diagonal = (jnp.asarray(t, w.dtype)[:, None] for t in _recurrence(l))
        rest = a * w[None] * polar - b * jnp.concatenate([previous, jnp.zeros_like(polar[:1])])
        previous, polar = polar, jnp.concatenate([rest, diagonal * jnp.ones_like(w)[None]])
        previous, polar = jax.lax.optimization_barrier((previous, polar))
        if l % 2 == 0:
            parts += [polar * cos[: l + 1], polar[1:] * sin[1 : l + 1]]
    # Moved for good: products that contract the first axis are slow.
    return jax.lax.optimization_barrier(jnp.concatenate(parts).T)


@functools.cache
def _recurrence(l: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of w times the last degree, of the one before it, and the factor of order l."""
    m = np.arange(l)
    a = np.sqrt((4 * l * l - 1) / (l * l - m * m))
    b = a * np.sqrt(np.maximum((l - 1) ** 2 - m * m, 0) / max(4 * (l - 1) ** 2 - 1, 1))
    diagonal = math.prod(math.sqrt((2 * k + 1) / (2 * k)) for k in range(1, l + 1)) * math.sqrt(2)
    return a, b, np.array([diagonal])


def _even_table(lmax: int, points: np.ndarray) -> Float[np.ndarray, "points harmonics"]:
    """The same by numpy at points (x, w, z): of every degree first the cosines."""
    harmonics = harmonics_table(2 * lmax, points)
    order = []
    for l in range(0, 2 * lmax + 1, 2):
        middle = l * l + l
        order += [middle + m for m in range(l + 1)] + [middle - m for m in range(1, l + 1)]
    return harmonics[:, order]


@functools.cache
def _rotation_table(
    l: int, mmax: int
) -> tuple[Float[np.ndarray, "harmonics rows {2*l+1}"], Float[np.ndarray, "{2*l+1}"]]:
    """Coefficients of the entries in harmonics of even degree, and the signs of the turn by pi.

    Integrals over the sphere by a quadrature that is exact for them: as well conditioned as the
    harmonics are.
    """
    points, weights = _half_sphere(4 * l)
    even = _even_table(l, points)
    x, w, z = points.T
    matrices = wigner_table(l, quaternion_matrices(np.stack([w, x, 0 * w, z], axis=-1)))
    rows = matrices[:, l - mmax : l + mmax + 1]
    table = ((even * weights[:, None]).T @ rows.reshape(len(rows), -1)).reshape(-1, *rows.shape[1:])
    table[np.abs(table) < 1e-13] = 0.0
    signs = np.diagonal(wigner_table(l, np.diag([1.0, -1.0, -1.0])[None])[0]).round()
    table.setflags(write=False)
    signs.setflags(write=False)
    return table, signs


def _half_sphere(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the upper half and weights of mean one: exact for even polynomials.

    Gauss-Legendre nodes in the polar coordinate y, equal angles about it.
    """
    nodes, weights = np.polynomial.legendre.leggauss(2 * (degree // 4) + 2)
    nodes, weights = nodes[len(nodes) // 2 :], weights[len(nodes) // 2 :]
    angles = 2 * math.pi * np.arange(degree + 1) / (degree + 1)
    radius = np.sqrt(1 - nodes**2)
    points = np.stack(
        [
            radius[:, None] * np.sin(angles),
            np.broadcast_to(nodes[:, None], (len(nodes), len(angles))),
            radius[:, None] * np.cos(angles),
        ],
        axis=-1,
    )
    return points.reshape(-1, 3), np.repeat(weights, len(angles)) / len(angles)


def quaternion_matrices(quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices of unit quaternions (w, x, y, z).

    >>> quaternion_matrices(np.array([[0.0, 1.0, 0.0, 0.0]]))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]
    """
    w, x, y, z = np.asarray(quaternions, np.float64).T
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2) + 0.0
