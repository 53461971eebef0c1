"""The rules that a class of representation may give, with the answers of one that gives none."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Float, Int

from equinet.groups import Group
from equinet.reps import _generators as generators
from equinet.reps.bases.linear_maps import Maps

if TYPE_CHECKING:
    from equinet.reps.rep import Rep
# The table that decomposes a tensor product into irreps has the square of this many entries.
_LARGEST_DECOMPOSED = 4096

type Piece = tuple[Rep, Int[np.ndarray, "dim"]]
type Irreducible = list[tuple[Rep, Float[np.ndarray, "irrep dim"]]]


class Rules:
    """What restrictions and bases of equivariant maps ask a representation for.

    A *pure* representation is one that is not known to be a sum.
    """

    group: Group
    dim: Any
    matrix: Callable[..., Float[Array, "... dim dim"]]
    lie_matrix: Callable[..., Float[Array, "... dim dim"]]

    def _restrict(self, subgroup: Group, restrict: "Callable[[Rep], Rep]") -> "Rep | None":
        """The rep of a subgroup on the same axis, if a rule gives it; ``restrict`` is for parts."""
        return None

    def _pieces(self) -> "list[Piece]":
        """The pure reps whose sum this is, each with the indices of its entries on the axis."""
        return [(self, np.arange(self.dim))]  # type: ignore[list-item]

    @property
    def _holds_irreps(self) -> bool:
        """Whether a pure rep is made of irreps, so that maps to and from it need irreps."""
        return False

    def _irreducible(self, unit: "Callable[[Group], Rep | None]") -> "Irreducible | None":
        """The irreps of a pure rep, each with the isometry onto it; None if they are not known.

        Args:
            unit: Gives the trivial irrep of a group whose irreps are known.
        """
        return None

    def _couple(self, other: "Rep") -> "list[tuple[Rep, Float[np.ndarray, 'k i j']]]":
        """For an irrep: the irreps of the product with another, each with the isometry onto it."""
        raise NotImplementedError(f"{self} has no table of products of irreps")

    def _maps_from(self, rep_in: "Rep", pure_maps: "Callable[[Rep, Rep], Maps]") -> Maps | None:
        """Equivariant maps from a pure rep, if a rule gives them; ``pure_maps`` is for parts."""
        return None

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        return generators.evaluate(self.lie_matrix, self.group.lie_algebra())

    def _discrete_matrices(self) -> tuple[generators.Sparse, ...]:
        return generators.evaluate(self.matrix, self.group.discrete_generators())


def pieces_of_sum(terms: "Sequence[Rep]") -> "list[Piece]":
    """The pure reps of a direct sum."""
    pieces, start = [], 0
    for term in terms:
        pieces += [(pure, start + index) for pure, index in term._pieces()]
        start += term.dim
    return pieces


def pieces_of_product(factors: "Sequence[Rep]", scalar: "Rep") -> "list[Piece]":
    """The pure reps of a tensor product, multiplied out."""
    pieces = []
    for choice in itertools.product(*(factor._pieces() for factor in factors)):
        index = ravel_indices([i for _, i in choice], [factor.dim for factor in factors])
        pure = [rep for rep, _ in choice if rep != scalar]
        rep, order = pure[0]._multiply_pure(pure) if pure else (scalar, np.arange(1))
        pieces.append((rep, index[order]))
    return pieces


def irreducible_product(
    factors: "Sequence[Rep]", one: "Rep | None", unit: "Callable[[Group], Rep | None]"
) -> "Irreducible | None":
    """The irreps of a tensor product of pure reps, one factor after the other."""
    parts = [factor._irreducible(unit) for factor in factors]
    size = math.prod(factor.dim for factor in factors)
    if one is None or size > _LARGEST_DECOMPOSED or any(part is None for part in parts):
        return None
    found: Irreducible = [(one, np.ones((1, 1)))]
    for part in parts:
        coupled = []
        for (first, left), (second, right) in itertools.product(found, part or []):
            for rep, table in first._couple(second):
                isometry = np.einsum("kij,ia,jb->kab", table, left, right, optimize=True)
                coupled.append((rep, isometry.reshape(rep.dim, -1)))
        found = coupled
    return found


def ravel_indices(indices: Sequence[np.ndarray], sizes: Sequence[int]) -> Int[np.ndarray, "dim"]:
    """The flat indices on the axis of a tensor product, from those on the axes of its factors."""
    total = np.zeros((1,), np.int64)
    for index, size in zip(indices, sizes, strict=True):
        total = (total[:, None] * size + index).ravel()
    return total


def append_term(terms: "list[tuple[int, Rep]]", copies: int, rep: "Rep") -> None:
    """Adds copies of a rep to the terms of a direct sum in normal form."""
    last_copies, last = terms[-1] if terms else (0, None)
    joined = last._join(rep) if last is not None else None
    if joined is not None:
        terms[-1] = (1, joined)
    elif last == rep:
        terms[-1] = (last_copies + copies, rep)
    else:
        terms.append((copies, rep))


def check_same_group(group: Group, rep: "Rep") -> None:
    """Raises the ``ValueError`` of combining reps of two groups."""
    if rep.group != group:
        raise ValueError(
            f"cannot combine reps of {group} and {rep.group}: {rep} must be a rep of {group}"
        )


def check_count(count: int, what: str) -> None:
    """Raises the ``ValueError`` of a negative number of copies or factors."""
    if count < 0:
        raise ValueError(f"{what} does not exist: the count must be >= 0")
