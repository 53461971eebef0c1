"""Features after the rotation of their edges: components sorted by order."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.edges._rotate import RotationPlan, rotate_back_edges, rotate_edges
from equinet.ops.edges.rotations import Rotations
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps

_CALL = "call edge_features(vectors) of the layer of the highest degree and order"


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
    """The rows of every part, as indices into the rows of all blocks in order, and their signs."""
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
