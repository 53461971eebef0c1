"""Every representation as a sum of pure ones: products of vectors, irreps, outer products."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from equinet.groups import DirectProduct
from equinet.reps.irreps import Irreps
from equinet.reps.outer import OuterRep, factor_vectors
from equinet.reps.rep import ProductRep, Rep, SumRep, tensor_product
from equinet.reps.vector import Scalar, Vector

Piece = tuple[Rep, Int[np.ndarray, "dim"]]


@dataclasses.dataclass(frozen=True)
class Isotype:
    """All copies of one pure rep in a rep.

    Args:
        rep: The pure rep.
        index: Where the entries of every copy stand on the axis, ``[copies, rep.dim]``.
    """

    rep: Rep
    index: Int[np.ndarray, "copies dim"]

    @property
    def copies(self) -> int:
        """How often the pure rep occurs."""
        return len(self.index)


@functools.cache
def isotypes(rep: Rep) -> tuple[Isotype, ...]:
    """The pure reps that a rep is the sum of, each with all of its copies.

    Sums are taken apart, products are multiplied out, irreps stand alone.

    Example:
        >>> from equinet.groups import O
        >>> V = Vector(O(2))
        >>> [(str(i.rep), i.index.tolist()) for i in isotypes(V + V**2 + V)]
        [('Vector(O(2))', [[0, 1], [6, 7]]), ('Vector(O(2))**2', [[2, 3, 4, 5]])]
    """
    copies: dict[Rep, list[np.ndarray]] = {}
    for pure, index in _pieces(rep):
        copies.setdefault(pure, []).append(index)
    return tuple(Isotype(pure, np.stack(index).astype(np.int32)) for pure, index in copies.items())


def _pieces(rep: Rep) -> list[Piece]:
    if isinstance(rep, SumRep):
        return _of_sum([term for copies, term in rep.terms for _ in range(copies)])
    if isinstance(rep, Irreps):
        single = [Irreps([irrep], group=rep.group) for mul, irrep in rep for _ in range(mul)]
        return _of_sum(single, split=False)
    if isinstance(rep, Vector) and isinstance(rep.group, DirectProduct):
        return _pieces(factor_vectors(rep.group))
    if isinstance(rep, ProductRep) and rep.factors:
        return _of_product(rep)
    if isinstance(rep, ProductRep) and isinstance(rep.group, DirectProduct):
        scalar = OuterRep(tuple(Scalar(factor) for factor in rep.group.factors))
        return [(scalar, np.arange(1))]
    if isinstance(rep, OuterRep):
        choices = [_pieces(factor) for factor in rep.factors]
        sizes = [factor.dim for factor in rep.factors]
        return [
            (OuterRep(tuple(pure for pure, _ in choice)), _ravel([i for _, i in choice], sizes))
            for choice in itertools.product(*choices)
        ]
    return [(rep, np.arange(rep.dim))]


def _of_sum(terms: Sequence[Rep], *, split: bool = True) -> list[Piece]:
    pieces, start = [], 0
    for term in terms:
        inner = _pieces(term) if split else [(term, np.arange(term.dim))]
        pieces += [(pure, start + index) for pure, index in inner]
        start += term.dim
    return pieces


def _of_product(rep: ProductRep) -> list[Piece]:
    choices = [_pieces(factor) for factor in rep.factors]
    sizes = [factor.dim for factor in rep.factors]
    pieces = []
    for choice in itertools.product(*choices):
        factors = [pure for pure, _ in choice]
        index = _ravel([i for _, i in choice], sizes)
        if all(isinstance(factor, OuterRep) for factor in factors):
            pure, order = _product_of_outers(factors)  # type: ignore[arg-type]
            pieces.append((pure, index[order]))
        else:
            pieces.append((tensor_product(rep.group, factors), index))
    return pieces


def _product_of_outers(factors: Sequence[OuterRep]) -> Piece:
    """(V1 x W1) * (V2 x W2) as (V1 * V2) x (W1 * W2): the pure rep and where its entries stand."""
    groups = [rep.group for rep in factors[0].factors]
    pure = OuterRep(
        tuple(
            tensor_product(group, [factor.factors[i] for factor in factors])
            for i, group in enumerate(groups)
        )
    )
    shape = [part.dim for factor in factors for part in factor.factors]
    count = len(groups)
    axes = [f * count + g for g in range(count) for f in range(len(factors))]
    order = np.arange(int(np.prod(shape))).reshape(shape).transpose(axes).ravel()
    return pure, order


def _ravel(indices: Sequence[np.ndarray], sizes: Sequence[int]) -> Int[np.ndarray, "dim"]:
    """The flat index of a product from the indices on its axes."""
    total = np.zeros((1,), np.int64)
    for index, size in zip(indices, sizes, strict=True):
        total = (total[:, None] * size + index).ravel()
    return total
