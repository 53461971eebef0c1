"""How irreps act: Wigner matrices, copy by copy."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.groups import SO, Group, O
from equinet.linalg import block_diagonal, determinant
from equinet.precision import HIGHEST
from equinet.reps._blocks import apply_to_copies
from equinet.reps._irreps_entries import MulIrrep
from equinet.reps._rules import Irreducible, Piece
from equinet.reps.bases.linear_maps import DenseMaps, IdentityMaps, Maps
from equinet.reps.clebsch_gordan_tables import clebsch_gordan, so3_generators
from equinet.reps.rep import Rep
from equinet.reps.wigner import wigner_matrices
from equinet.typing import Element, Feature, Matrix


@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class IrrepsAction(Rep):
    """The representation that ``Irreps`` is; ``Irreps`` adds the names and the lists of e3nn."""

    entries: tuple[MulIrrep, ...]
    group: Group

    @property
    def dim(self) -> int:
        """Length of the axis that the group acts on."""
        return sum(entry.dim for entry in self.entries)

    @property
    def is_orthogonal(self) -> bool:
        """True: the matrices of irreps are orthogonal."""
        return True

    def slices(self) -> list[slice]:
        """The position of every entry on the axis.

        >>> from equinet.reps import Irreps
        >>> Irreps("2x0e+1o").slices()
        [slice(0, 2, None), slice(2, 5, None)]
        """
        ends = list(itertools.accumulate((entry.dim for entry in self.entries), initial=0))
        return list(itertools.starmap(slice, itertools.pairwise(ends)))

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """Block-diagonal Wigner matrices; improper elements multiply by the parity."""
        corner = self.group.linear_part(g)[..., :0, :0]
        blocks = self._blocks(g)
        return block_diagonal(corner, [(mul, blocks[ir]) for mul, ir in self.entries])

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """Block-diagonal generators of rotations."""
        algebra = self.group.lie_linear_part(algebra)
        omega = O(3).vee(algebra)
        tables = {ir: jnp.asarray(so3_generators(ir.l), omega.dtype) for _, ir in self.entries}
        blocks = [
            (mul, jnp.einsum("...a,aij->...ij", omega, tables[ir], precision=HIGHEST))
            for mul, ir in self.entries
        ]
        return block_diagonal(algebra[..., :0, :0], blocks)

    def _apply(self, g: Element, x: Feature) -> Feature:
        if not self.entries:
            return x
        blocks = self._blocks(g)
        parts = []
        for (mul, ir), where in zip(self.entries, self.slices(), strict=True):
            multiply = functools.partial(_multiply, blocks[ir].astype(x.dtype))
            parts.append(apply_to_copies(multiply, mul, x[..., where, :]))
        return jnp.concatenate(parts, axis=-2)

    def _restrict(self, subgroup: Group, restrict: Callable[[Rep], Rep]) -> Rep | None:
        if subgroup.linear_group not in (O(3), SO(3)):
            return None
        return self._named(self.entries, subgroup)

    def _pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        for (mul, ir), where in zip(self.entries, self.slices(), strict=True):
            indices = np.arange(where.start, where.stop).reshape(mul, ir.dim)
            pieces += [(self._named([ir], self.group), index) for index in indices]
        return pieces

    @property
    def _holds_irreps(self) -> bool:
        return True

    def _irreducible(self, unit: Callable[[Group], Rep | None]) -> Irreducible:
        return [(self, np.eye(self.dim))]

    def _couple(self, other: Rep) -> list[tuple[Rep, Float[np.ndarray, "k i j"]]]:
        ((_, first),), ((_, second),) = self.entries, other.entries  # type: ignore[attr-defined]
        return [
            (
                self._named([ir], self.group),
                math.sqrt(ir.dim) * clebsch_gordan(first.l, second.l, ir.l).transpose(2, 0, 1),
            )
            for ir in first * second
        ]

    def _maps_from(self, rep_in: Rep, pure_maps: Callable[[Rep, Rep], Maps]) -> Maps | None:
        """Schur's lemma."""
        if not isinstance(rep_in, IrrepsAction):
            return None
        if self == rep_in:
            return IdentityMaps(self.dim)
        return DenseMaps(np.zeros((0, self.dim, rep_in.dim)))

    def _named(self, entries: Any, group: Group) -> Rep:
        return type(self)(entries, group=group)  # type: ignore[call-arg]

    def _blocks(self, g: Element) -> dict[Any, Float[Array, "..."]]:
        rotation = self.group.linear_part(g)
        irreps = {ir for _, ir in self.entries}
        matrices = wigner_matrices(max((ir.l for ir in irreps), default=0), rotation)
        improper = self.group.linear_group == O(3)
        sign = determinant(rotation)[..., None, None] if improper else None
        return {
            ir: matrices[ir.l] if sign is None or ir.p == (-1) ** ir.l else sign * matrices[ir.l]
            for ir in irreps
        }


def _multiply(matrix: Float[Array, "... dim dim"], x: Feature) -> Feature:
    return jnp.einsum("...ij,...jc->...ic", matrix, x, precision=HIGHEST)
