"""Neighbour lists of molecules and crystals, with the index of the opposite of every edge."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int

from equinet.data.extras import require


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """All directed edges ``j -> i`` shorter than the cutoff, sorted by receiver, then sender.

    Attributes:
        senders: Index of the neighbour ``j`` of each edge, ``[edges]``.
        receivers: Index of the atom ``i`` of each edge, sorted, ``[edges]``.
        reverse: Index of the edge ``i -> j`` with the opposite shift, ``[edges]``.
        shifts: Translation ``n`` of the neighbour in units of the cell vectors, ``[edges, 3]``.
    """

    senders: Int[np.ndarray, "edges"]
    receivers: Int[np.ndarray, "edges"]
    reverse: Int[np.ndarray, "edges"]
    shifts: Int[np.ndarray, "edges 3"]

    @property
    def num_edges(self) -> int:
        """Number of directed edges, two for every pair of neighbours."""
        return len(self.senders)

    def distances(
        self, positions: Float[np.ndarray, "nodes 3"], cell: Float[np.ndarray, "3 3"] | None = None
    ) -> Float[np.ndarray, "edges"]:
        """Returns the length of every edge in the unit of the positions, ``[edges]``.

        Args:
            positions: Positions, ``[nodes, 3]``.
            cell: Cell vectors in rows, ``[3, 3]``; None for a molecule.
        """
        vectors = positions[self.senders] - positions[self.receivers]
        return np.linalg.norm(vectors if cell is None else vectors + self.shifts @ cell, axis=1)


def neighbour_list(
    positions: Float[np.ndarray, "nodes 3"],
    cutoff: float,
    cell: Float[np.ndarray, "3 3"] | None = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> Neighbours:
    r"""Finds every pair of atoms closer than a cutoff, including all periodic images.

    .. math:: r_{ij} = x_j + n C - x_i, \quad |r_{ij}| < r_\mathrm{cut}

    with the cell vectors in the rows of ``C``. Cells smaller than the cutoff (several images of one
    neighbour, images of the atom itself) and atoms outside of the cell are treated exactly.

    Args:
        positions: Positions in angstrom, ``[nodes, 3]``.
        cutoff: Cutoff in angstrom.
        cell: Cell vectors in rows in angstrom, ``[3, 3]``; required if a direction is periodic. A
            zero vector is allowed along a direction without periodicity.
        pbc: Directions in which the cell repeats.

    Raises:
        ValueError: If the cutoff is not positive, a position is not finite, or the periodic cell is
            missing or has no volume.

    >>> edges = neighbour_list(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), 1.5)
    >>> edges.senders, edges.receivers, edges.reverse
    (array([1, 0], dtype=int32), array([0, 1], dtype=int32), array([1, 0], dtype=int32))
    """
    if not 0 < cutoff < math.inf:
        raise ValueError(f"got cutoff={cutoff}, expected a positive number of angstrom")
    positions = np.ascontiguousarray(positions, np.float64)
    if not np.isfinite(positions).all():
        raise ValueError("got a position that is NaN or infinite, expected finite numbers")
    if len(positions) == 0:
        return _both_directions(np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int32), 0)
    # With one thread the order is reproducible, and starting more takes longer than these lists.
    finder = require("vesin").NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
    box = complete_cell(cell, pbc)
    pairs, shifts = finder.compute(positions, box, np.asarray(pbc, np.bool_), "PS")
    return _both_directions(pairs.astype(np.int64), shifts, len(positions))


def _both_directions(
    pairs: Int[np.ndarray, "pairs 2"], shifts: Int[np.ndarray, "pairs 3"], nodes: int
) -> Neighbours:
    """Makes two edges of each pair; the opposite of edge e is then known without a search."""
    receivers = np.concatenate([pairs[:, 0], pairs[:, 1]])
    senders = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(receivers * nodes + senders, kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Neighbours(
        senders=senders[order].astype(np.int32),
        receivers=receivers[order].astype(np.int32),
        reverse=rank[(order + len(pairs)) % max(len(order), 1)],
        shifts=np.concatenate([shifts, -shifts])[order].astype(np.int32),
    )


def complete_cell(
    cell: Float[np.ndarray, "3 3"] | None, pbc: tuple[bool, bool, bool]
) -> Float[np.ndarray, "3 3"]:
    """Replaces zero vectors along directions without periodicity by unit normals.

    Args:
        cell: Cell vectors in rows, ``[3, 3]``, or None.
        pbc: Directions in which the cell repeats.

    Returns:
        A cell ``[3, 3]`` with a volume, or zeros for a molecule (no periodic direction).

    Raises:
        ValueError: If a direction is periodic but the cell is missing, has a zero vector there or
            has no volume.

    >>> complete_cell(np.diag([4.0, 5.0, 0.0]), (True, True, False))
    array([[4., 0., 0.],
           [0., 5., 0.],
           [0., 0., 1.]])
    """
    if not any(pbc):
        return np.zeros((3, 3))
    if cell is None:
        raise ValueError(f"got pbc={tuple(map(bool, pbc))} without a cell, expected a 3x3 cell")
    cell = np.array(cell, np.float64)
    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        raise ValueError(f"got the cell {cell.tolist()}, expected 3x3 finite numbers")
    missing = ~cell.any(axis=1) & ~np.asarray(pbc, bool)
    if missing.any():
        normals = np.linalg.svd(cell[~missing])[2][(~missing).sum() :]
        cell[missing] = np.where(normals.sum(axis=1, keepdims=True) < 0, -normals, normals)
    lengths = np.linalg.norm(cell, axis=1)
    if abs(np.linalg.det(cell)) <= 1e-6 * lengths.prod():
        raise ValueError(
            f"got the cell {cell.tolist()} with pbc={tuple(map(bool, pbc))}, expected three "
            "independent vectors; a molecule is read with molecule=True"
        )
    return cell
