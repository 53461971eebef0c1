"""Components sorted by their signs under the rotations by pi, which couple in 4 x 4 blocks.

The rotations by pi about x, y and z and the identity are a Klein four-group. They act on the real
basis of every degree by signs alone, so each component belongs to one of four characters, a quarter
of them to each; and the product of two components contains only components of the product of their
characters. An equivariant bilinear map of ``dim**3`` entries is therefore 16 blocks of
``(dim/4)**3``: a quarter of the work of the dense map, in matrix products as regular as its own.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Array, Float, Int

from equinet.ops.primitives import move_rows
from equinet.precision import read_only
from equinet.reps import Irreps, spherical_harmonics_table


@dataclasses.dataclass(frozen=True)
class KleinOrder:
    """An order of the components of irreps: one row for each character, padded to equal length.

    Characters are numbered so that a product of components has the exclusive or of their numbers.

    Attributes:
        irreps: The irreps.
        bits: With 2 there are four rows, the characters of the rotations by pi; with 0 there is
            one row in the order of the irreps.
    """

    irreps: Irreps
    bits: int = 2

    @property
    def classes(self) -> int:
        """Number of rows."""
        return 2**self.bits

    @property
    def size(self) -> int:
        """Length of a row: number of components of the most frequent character."""
        return self.index.shape[1]

    @property
    def index(self) -> Int[np.ndarray, "classes size"]:
        """The component at every entry of the rows; ``irreps.dim`` where there is none."""
        return _index(self.irreps, self.bits)

    def spread(
        self, table: Float[np.ndarray, "dim *rest"]
    ) -> Float[np.ndarray, "classes size *rest"]:
        """The rows of a table in this order, zeros where there is no component."""
        padded = np.concatenate([table, np.zeros((1, *table.shape[1:]))])
        return padded[self.index]

    def sort(self, x: Float[Array, "*rows dim n"]) -> Float[Array, "*rows classes size n"]:
        """Components on axis -2 into this order, zeros where there is none."""
        index = self.index
        if not self.bits:
            return x[..., None, :, :]
        rows = move_rows(x, index.reshape(-1), _inverse(index, self.irreps.dim))
        return rows.reshape(*x.shape[:-2], *index.shape, x.shape[-1])

    def unsort(self, x: Float[Array, "*rows classes size n"]) -> Float[Array, "*rows dim n"]:
        """Components back into the order of the irreps; the padding is dropped."""
        index = self.index
        if not self.bits:
            return x[..., 0, :, :]
        flat = x.reshape(*x.shape[:-3], index.size, x.shape[-1])
        return move_rows(flat, _inverse(index, self.irreps.dim), index.reshape(-1))


@functools.cache
def _index(irreps: Irreps, bits: int) -> Int[np.ndarray, "classes size"]:
    if not bits:
        return read_only(np.arange(irreps.dim, dtype=np.int32)[None])
    kinds = characters(irreps)
    size = int(np.bincount(kinds).max())
    index = np.full((2**bits, size), irreps.dim, np.int32)
    for kind in range(2**bits):
        members = np.flatnonzero(kinds == kind)
        index[kind, : len(members)] = members
    return read_only(index)


@functools.cache
def characters(irreps: Irreps) -> Int[np.ndarray, "dim"]:
    """The character of every component: bits for its signs under rotations by pi about y and x.

    >>> characters(Irreps("0e+1o")).tolist()  # one and x, y, z
    [0, 1, 2, 3]
    """
    degrees = [ir.l for mul, ir in irreps for _ in range(mul)]
    point = np.array([0.48, 0.60, 0.64])  # where no harmonic of small degree vanishes
    rotated = np.stack([point, point * [-1, 1, -1], point * [1, -1, -1]])
    harmonics = spherical_harmonics_table(max(degrees), rotated)
    signs = [harmonics[:, l * l : (l + 1) ** 2] for l in degrees]
    bits = (np.concatenate([s[1:] * s[:1] for s in signs], axis=1) < 0).astype(np.int32)
    return bits[0] + 2 * bits[1]


def _inverse(index: np.ndarray, dim: int) -> Int[np.ndarray, "dim"]:
    return np.argsort(index.reshape(-1), kind="stable")[:dim].astype(np.int32)
