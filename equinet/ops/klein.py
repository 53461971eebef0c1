"""Components sorted by their signs under the rotations by pi, which couple in 4 x 4 blocks.

The rotations by pi about x, y and z and the identity are a Klein four-group. They act on the real
basis of every degree by signs alone, so each component belongs to one of four characters, a quarter
of them to each; and the product of two components contains only components of the product of their
characters. An equivariant bilinear map of ``dim**3`` entries is therefore 16 blocks of
``(dim/4)**3``: a quarter of the work of the dense map, in matrix products as regular as its own.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.ops.outer import move_rows
from equinet.reps import Irreps
from equinet.reps.wigner import wigner_matrices


@dataclasses.dataclass(frozen=True)
class KleinOrder:
    """Where the components of some irreps go: one row for each character, padded to equal length.

    Attributes:
        irreps: The irreps.
        split: Whether the characters are told apart; if not there is one row, in the given order.
    """

    irreps: Irreps
    split: bool = True

    @property
    def classes(self) -> int:
        """Number of rows: four characters, or one."""
        return 4 if self.split else 1

    @property
    def size(self) -> int:
        """Length of a row: components of the commonest character."""
        return self.place.shape[1]

    @property
    def place(self) -> Int[np.ndarray, "classes size"]:
        """The component at every place; ``irreps.dim`` where there is none."""
        return _place(self.irreps, self.split)

    def spread(
        self, table: Float[np.ndarray, "dim *rest"]
    ) -> Float[np.ndarray, "classes size *rest"]:
        """The rows of a table in this order, zeros where there is no component."""
        padded = np.concatenate([table, np.zeros((1, *table.shape[1:]))])
        return padded[self.place]

    def sort(self, x: Float[Array, "*rows dim n"]) -> Float[Array, "*rows classes size n"]:
        """Components on axis -2 into this order, zeros where there is none."""
        place = self.place
        if not self.split:
            return x[..., None, :, :]
        rows = move_rows(x, place.reshape(-1), _inverse(place, self.irreps.dim))
        return rows.reshape(*x.shape[:-2], *place.shape, x.shape[-1])

    def unsort(self, x: Float[Array, "*rows classes size n"]) -> Float[Array, "*rows dim n"]:
        """Components back into the order of the irreps; the padding is dropped."""
        place = self.place
        if not self.split:
            return x[..., 0, :, :]
        flat = x.reshape(*x.shape[:-3], place.size, x.shape[-1])
        return move_rows(flat, _inverse(place, self.irreps.dim), place.reshape(-1))


@functools.cache
def _place(irreps: Irreps, split: bool) -> Int[np.ndarray, "classes size"]:
    if not split:
        return np.arange(irreps.dim, dtype=np.int32)[None]
    kinds = characters(irreps)
    size = int(np.bincount(kinds, minlength=4).max())
    place = np.full((4, size), irreps.dim, np.int32)
    for kind in range(4):
        members = np.flatnonzero(kinds == kind)
        place[kind, : len(members)] = members
    place.setflags(write=False)
    return place


@functools.cache
def characters(irreps: Irreps) -> Int[np.ndarray, "dim"]:
    """The character of every component: bit 0 is its sign under the turn about y, bit 1 about x.

    >>> characters(Irreps("0e+1o")).tolist()  # one and x, y, z
    [0, 1, 2, 3]
    """
    turns = np.array([np.diag([-1.0, 1.0, -1.0]), np.diag([1.0, -1.0, -1.0])])
    degrees = [ir.l for mul, ir in irreps for _ in range(mul)]
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        matrices = wigner_matrices(max(degrees), jnp.asarray(turns))
        signs = [np.asarray(jnp.diagonal(matrices[l], axis1=1, axis2=2)) for l in degrees]
    bits = (np.concatenate(signs, axis=1) < 0).astype(np.int32)
    return bits[0] + 2 * bits[1]


def _inverse(place: np.ndarray, dim: int) -> Int[np.ndarray, "dim"]:
    return np.argsort(place.reshape(-1), kind="stable")[:dim].astype(np.int32)
