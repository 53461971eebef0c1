"""Edge rotations: the rotations that align every edge with the polar axis, as Wigner matrices.

`equinet.reps.wigner` explains how they are computed without angles.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.reps.wigner import tilt_matrices


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
