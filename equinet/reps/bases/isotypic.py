"""Every representation as a sum of pure ones, and of irreps where these are known."""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.groups import SO, DirectProduct, Group, O
from equinet.precision import HIGHEST
from equinet.reps.irreps import Irreps
from equinet.reps.outer import OuterRep
from equinet.reps.rep import Rep
from equinet.reps.vector import Scalar


@dataclasses.dataclass(frozen=True)
class Isotype:
    """All copies of one pure rep in a rep.

    Args:
        rep: The pure rep.
        index: The indices of the entries of every copy on the axis, ``[copies, rep.dim]``.
    """

    rep: Rep
    index: Int[np.ndarray, "copies dim"]

    @property
    def copies(self) -> int:
        """How often the pure rep occurs."""
        return len(self.index)


@functools.lru_cache(1024)
def isotypes(rep: Rep) -> tuple[Isotype, ...]:
    """The pure reps that a rep is the sum of, each with all of its copies.

    Sums are taken apart, products are multiplied out, irreps are listed one by one.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Vector
        >>> V = Vector(O(2))
        >>> [(str(i.rep), i.index.tolist()) for i in isotypes(V + V**2 + V)]
        [('Vector(O(2))', [[0, 1], [6, 7]]), ('Vector(O(2))**2', [[2, 3, 4, 5]])]
    """
    copies: dict[Rep, list[np.ndarray]] = {}
    scalar = Scalar(rep.group)
    for pure, index in rep._pieces():
        if pure == scalar and isinstance(rep.group, DirectProduct):
            pure = OuterRep(tuple(map(Scalar, rep.group.factors)))
        copies.setdefault(pure, []).append(index)
    return tuple(Isotype(pure, np.stack(index).astype(np.int32)) for pure, index in copies.items())


class Decomposition:
    """A rep as a sum of pure reps, after an orthogonal change of basis where that is needed.

    Args:
        rep: The rep.
        irreducible: Whether pure reps are taken apart into irreps where these are known.

    Attributes:
        isotypes: The pure reps and their indices on the axis after the change of basis.
    """

    def __init__(self, rep: Rep, *, irreducible: bool) -> None:
        self.dim = rep.dim
        self.isotypes = isotypes(rep)
        self._parts: list[tuple[np.ndarray, np.ndarray | None]] = []
        if irreducible and not all(_is_irreducible(isotype.rep) for isotype in self.isotypes):
            self._take_apart()
        elif irreducible:
            self.isotypes = _merged(
                [
                    (_irreps(isotype.rep)[0][0], index)
                    for isotype in self.isotypes
                    for index in isotype.index
                ]
            )

    def _take_apart(self) -> None:
        pieces, start = [], 0
        for isotype in self.isotypes:
            irreps = _irreps(isotype.rep)
            table = np.concatenate([isometry for _, isometry in irreps])
            for _ in range(isotype.copies):
                for rep, _ in irreps:
                    pieces.append((rep, np.arange(start, start + rep.dim)))
                    start += rep.dim
            self._parts.append((isotype.index, None if _is_irreducible(isotype.rep) else table))
        self.isotypes = _merged(pieces)
        self._order = np.concatenate([index.ravel() for index, _ in self._parts])

    def enter(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """The feature in the basis of the pure reps."""
        if not self._parts:
            return x
        parts = []
        for index, table in self._parts:
            part = jnp.take(x, index.ravel(), axis=-2)
            parts.append(part if table is None else _rotate(table, part))
        return jnp.concatenate(parts, axis=-2)

    def leave(self, y: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """The feature in the basis of the rep; undoes ``enter``."""
        if not self._parts:
            return y
        ends = np.cumsum([index.size for index, _ in self._parts])[:-1]
        parts = [
            part if table is None else _rotate(table.T, part)
            for (_, table), part in zip(self._parts, jnp.split(y, ends, axis=-2), strict=True)
        ]
        inverse = np.argsort(self._order).astype(np.int32)
        return jnp.take(jnp.concatenate(parts, axis=-2), inverse, axis=-2)

    def matrix(self) -> Float[np.ndarray, "dim dim"]:
        """The orthogonal matrix of ``enter``."""
        if not self._parts:
            return np.eye(self.dim)
        matrix, start = np.zeros((self.dim, self.dim)), 0
        for indices, table in self._parts:
            for index in indices:
                rows = np.arange(start, start + len(index))
                matrix[rows[:, None], index] = np.eye(len(index)) if table is None else table
                start += len(index)
        return matrix


def decompositions(rep_in: Rep, rep_out: Rep) -> tuple[Decomposition, Decomposition]:
    """Both reps taken apart: into irreps if one of them is made of irreps, else into pure reps."""
    irreducible = any(
        isotype.rep._holds_irreps for rep in (rep_in, rep_out) for isotype in isotypes(rep)
    )
    return (
        Decomposition(rep_in, irreducible=irreducible),
        Decomposition(rep_out, irreducible=irreducible),
    )


def _unit(group: Group) -> Rep | None:
    known = group.linear_group in (O(3), SO(3))
    return Irreps("0e", group=group) if known else None


@functools.lru_cache(1024)
def _irreps(rep: Rep) -> list[tuple[Rep, np.ndarray]]:
    return rep._irreducible(_unit) or [(rep, np.eye(rep.dim))]


def _is_irreducible(rep: Rep) -> bool:
    """Whether a pure rep is one irrep in the basis of that irrep."""
    (_, table), *rest = _irreps(rep)
    return not rest and np.allclose(table, np.eye(rep.dim), rtol=0, atol=1e-12)


def _merged(pieces: Sequence[tuple[Rep, np.ndarray]]) -> tuple[Isotype, ...]:
    copies: dict[Rep, list[np.ndarray]] = {}
    for rep, index in pieces:
        copies.setdefault(rep, []).append(index)
    return tuple(Isotype(rep, np.stack(index).astype(np.int32)) for rep, index in copies.items())


def _rotate(
    table: Float[np.ndarray, "dim dim"], x: Float[Array, "... copies*dim channels"]
) -> Float[Array, "... copies*dim channels"]:
    split = x.reshape(*x.shape[:-2], -1, len(table), x.shape[-1])
    matrix = jnp.asarray(table, x.dtype)
    return jnp.einsum("ij,...jc->...ic", matrix, split, precision=HIGHEST).reshape(x.shape)
