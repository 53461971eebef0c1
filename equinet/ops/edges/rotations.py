"""Edge rotations: the rotations that align every edge with the polar axis, as Wigner matrices.

`equinet.reps.wigner` explains how they are computed without angles.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.edges._rotate import RotationPlan, rotate_back_edges, rotate_edges
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps
from equinet.reps.wigner import tilt_matrices

_CALL = "call edge_features(vectors) of the layer of the highest degree and order"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rotations:
    """Wigner matrices of the rotation of every edge, flattened degree after degree.

    Attributes:
        maps: Rows ``|m| <= mmax`` of the matrices of degrees 0 to lmax, ``[edges, entries]``.
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
        """Index of the first entry of a degree in ``maps``, and the shape of its matrices."""
        shapes = [(2 * min(k, self.mmax) + 1, 2 * k + 1) for k in range(l + 1)]
        return sum(a * b for a, b in shapes[:l]), shapes[l]


def edge_rotations(
    lmax: int, vectors: Float[Array, "edges 3"], mmax: int | None = None
) -> Rotations:
    r"""Wigner matrices of rotations that align every vector with the polar axis y.

    .. math:: D^l_{mn}(e) = s^l_n(e) \sum_{k \le l, \mu} T^l_{mn, 2k, \mu}\, Y_{2k, \mu}(w, x, z)

    with a constant table T. The quaternion (w, x, 0, z) is the shortest rotation of e onto the
    polar axis; where :math:`e_y < 0`, e is first rotated by pi about x, which the signs s
    express. The angle of the rotation about the edge jumps there, and a map that is equivariant
    under rotations about the edge does not depend on it. Nothing is singular: values and
    derivatives are finite everywhere, and the zero vector gives identities.

    Args:
        lmax: Highest degree.
        vectors: Any length, ``[edges, 3]``.
        mmax: Only the rows of orders up to this; all if absent.

    Returns:
        The matrices: ``degree(l)`` has the shape ``[edges, rows, 2 l + 1]``.

    Raises:
        ValueError: If a degree is negative or the last axis is not 3.

    >>> rotations = edge_rotations(1, jnp.array([[0.0, 0.0, 2.0]]))
    >>> print((rotations.degree(1)[0] @ jnp.array([0.0, 0.0, 1.0])).round(6) + 0.0)
    [0. 1. 0.]
    """
    if lmax < 0 or (mmax is not None and mmax < 0):
        raise ValueError(f"degrees and orders must be at least 0, got lmax={lmax}, mmax={mmax}")
    if vectors.ndim != 2 or vectors.shape[-1] != 3:
        raise ValueError(f"vectors must have the shape [edges, 3], got {vectors.shape}")
    highest = lmax if mmax is None else min(mmax, lmax)
    matrices = tilt_matrices(lmax, vectors, highest)
    entries = [
        matrix.reshape(vectors.shape[0], matrix.shape[1] * matrix.shape[2]) for matrix in matrices
    ]
    return Rotations(jnp.concatenate(entries, axis=1), lmax, highest)


def check_rotations(edges: Any, count: int, lmax: int, mmax: int) -> None:
    """Refuses rotations that lack a degree or an order.

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
class AlignedRows:
    """The components of irreps after the rotation of an edge, sorted by order m.

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
        return tuple(len(part) for part in _row_order(self)[0])

    @property
    def signs(self) -> Float[np.ndarray, "rows"]:
        """The sign of every row."""
        return np.concatenate(_row_order(self)[1])

    def rotate(
        self, rotations: Rotations, x: Float[Array, "edges dim channels"]
    ) -> Float[Array, "rows edges channels"]:
        """Rotates features so that every edge lies along the polar axis."""
        return self._sign(rotate_edges(rotations.maps.astype(x.dtype), x, self._plan(rotations)))

    def rotate_back(
        self, rotations: Rotations, rows: Float[Array, "rows edges channels"]
    ) -> Float[Array, "edges dim channels"]:
        """Rotates features back; components of orders above mmax count as zero."""
        maps = rotations.maps.astype(rows.dtype)
        return rotate_back_edges(maps, self._sign(rows), self._plan(rotations))

    def parts(
        self, rows: Float[Array, "rows edges channels"]
    ) -> list[Float[Array, "part edges channels"]]:
        """The rows of m = 0, 1, -1, 2, -2, ... as separate arrays."""
        return jnp.split(rows, np.cumsum(self.sizes)[:-1].tolist())

    def _plan(self, rotations: Rotations) -> RotationPlan:
        return _plan(self, rotations.lmax, rotations.mmax, rotations.maps.shape[1])

    def _sign(self, rows: Array) -> Array:
        if (self.signs > 0).all():
            return rows
        return rows * jnp.asarray(self.signs, rows.dtype)[:, None, None]


@functools.cache
def _plan(rows: AlignedRows, lmax: int, mmax: int, entries: int) -> RotationPlan:
    places = []
    for block in blocks(rows.rep):
        begin, shape = Rotations(np.empty(0), lmax, mmax).place(block.l)  # type: ignore[arg-type]
        kept = min(block.l, rows.mmax)
        places.append((begin, shape, shape[0] // 2 - kept, 2 * kept + 1, block.start))
    return RotationPlan(tuple(places), sum(_row_order(rows)[0], ()), entries)


@functools.cache
def _row_order(rows: AlignedRows) -> tuple[tuple[tuple[int, ...], ...], tuple[np.ndarray, ...]]:
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
