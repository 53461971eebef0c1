"""Outer products: representations of a direct product of groups, one factor from each."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from equinet.groups import DirectProduct, Group
from equinet.linalg import kron
from equinet.reps import _generators as generators
from equinet.reps._rules import Irreducible, Piece, ravel_indices
from equinet.reps.bases.linear_maps import KroneckerMaps, Maps
from equinet.reps.rep import Rep, tensor_product
from equinet.typing import Element, Feature


@dataclasses.dataclass(frozen=True, eq=False)
class OuterRep(Rep):
    """A rep of ``G * H * ...``: each group acts on its own factor; made by ``outer_product``."""

    group: Group = dataclasses.field(init=False)
    factors: tuple[Rep, ...]

    def __post_init__(self) -> None:
        groups = tuple(rep.group for rep in self.factors)
        object.__setattr__(self, "group", DirectProduct(groups))

    @property
    def dim(self) -> int:
        """The product of the dimensions."""
        return math.prod(rep.dim for rep in self.factors)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every factor is orthogonal."""
        return all(rep.is_orthogonal for rep in self.factors)

    @property
    def is_permutation(self) -> bool:
        """Whether every factor permutes."""
        return all(rep.is_permutation for rep in self.factors)

    @property
    def dual(self) -> Rep:
        """The outer product of the duals."""
        return self if self.is_orthogonal else OuterRep(tuple(rep.dual for rep in self.factors))

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The Kronecker product of the factors' matrices."""
        parts = zip(self.factors, g, strict=True)
        return functools.reduce(kron, _one_type([rep.matrix(part) for rep, part in parts]))

    def lie_matrix(self, algebra: PyTree[Array]) -> Float[Array, "... dim dim"]:
        """The Kronecker sum of the factors' matrices."""
        parts = zip(self.factors, algebra, strict=True)
        steps = _one_type([rep.lie_matrix(part) for rep, part in parts])
        total = steps[0]
        for step in steps[1:]:
            left, right = (jnp.eye(m.shape[-1], dtype=m.dtype) for m in (total, step))
            total = kron(total, right) + kron(left, step)
        return total

    def _apply(self, g: Element, x: Feature) -> Feature:
        # One factor at a time is moved to axis -2, then behind all the other axes.
        *batch, dim, channels = x.shape
        for rep, part in zip(self.factors, g, strict=True):
            x = rep._apply(part, x.reshape(*batch, rep.dim, dim * channels // rep.dim))
            batch = x.shape[:-2]
            x = jnp.swapaxes(x, -1, -2)
        return jnp.swapaxes(x.reshape(*batch, channels, dim), -1, -2)

    def _pieces(self) -> list[Piece]:
        sizes, pieces = [factor.dim for factor in self.factors], []
        for choice in itertools.product(*(factor._pieces() for factor in self.factors)):
            pure, indices = zip(*choice, strict=True)
            pieces.append((OuterRep(pure), ravel_indices(indices, sizes)))
        return pieces

    def _multiply_pure(self, factors: Sequence[Rep]) -> Piece:
        """(V1 x W1) * (V2 x W2) is (V1 * V2) x (W1 * W2), whose entries are in another order."""
        outer = [factor for factor in factors if isinstance(factor, OuterRep)]
        if len(outer) < len(factors):
            return super()._multiply_pure(factors)
        groups = [rep.group for rep in self.factors]
        pure = OuterRep(
            tuple(
                tensor_product(group, [rep.factors[i] for rep in outer])
                for i, group in enumerate(groups)
            )
        )
        shape = [part.dim for rep in outer for part in rep.factors]
        count = len(groups)
        axes = [f * count + g for g in range(count) for f in range(len(outer))]
        return pure, np.arange(math.prod(shape)).reshape(shape).transpose(axes).ravel()

    @property
    def _holds_irreps(self) -> bool:
        return any(factor._holds_irreps for factor in self.factors)

    def _irreducible(self, unit: Callable[[Group], Rep | None]) -> Irreducible:
        """Products of the factors' irreps; a factor whose irreps are not known is left whole."""
        parts = [rep._irreducible(unit) or [(rep, np.eye(rep.dim))] for rep in self.factors]
        found = []
        for choice in itertools.product(*parts):
            pure, tables = zip(*choice, strict=True)
            found.append((OuterRep(pure), functools.reduce(np.kron, tables)))
        return found

    def _maps_from(self, rep_in: Rep, pure_maps: Callable[[Rep, Rep], Maps]) -> Maps | None:
        if not isinstance(rep_in, OuterRep):
            return None
        pairs = zip(rep_in.factors, self.factors, strict=True)
        return KroneckerMaps([pure_maps(into, out) for into, out in pairs])

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        parts = zip(self.factors, self.group.lie_algebra(), strict=True)
        return generators.kronecker_sums(
            generators.evaluate(rep.lie_matrix, part) for rep, part in parts
        )

    def _discrete_matrices(self) -> tuple[generators.Sparse, ...]:
        parts = zip(self.factors, self.group.discrete_generators(), strict=True)
        return generators.kronecker_products(
            generators.evaluate(rep.matrix, part) for rep, part in parts
        )

    def __repr__(self) -> str:
        return f"outer_product({', '.join(map(repr, self.factors))})"


def outer_product(*reps: Rep) -> Rep:
    """The rep of ``G * H`` on the tensor product of a rep of G and a rep of H.

    The index of the first factor runs slowest. Outer products of outer products are flattened, and
    the factor of a group may be a sum.

    Args:
        reps: One rep of every group, two or more.

    Raises:
        ValueError: If there are fewer than two, or one is a rep of a direct product that is no
            outer product itself.

    Example:
        >>> from equinet.groups import S, SO
        >>> from equinet.reps import Vector
        >>> points = outer_product(Vector(S(5)), Vector(SO(3)))  # five points in space
        >>> points.group, points.dim
        (S(5) * SO(3), 15)
    """
    factors: list[Rep] = []
    for rep in reps:
        if isinstance(rep, OuterRep):
            factors.extend(rep.factors)
        elif isinstance(rep.group, DirectProduct):
            raise ValueError(
                f"{rep} is a rep of the product {rep.group}, but no outer product: take the outer "
                "products of the reps of its factors first, then their sum or product"
            )
        else:
            factors.append(rep)
    if len(factors) < 2:
        raise ValueError(f"an outer product needs reps of two groups or more, got {reps}")
    return OuterRep(tuple(factors))


def _one_type(matrices: list[Array]) -> list[Array]:
    """Permutation matrices have the default type; those of Lie groups that of the element."""
    dtype = max((matrix.dtype for matrix in matrices), key=lambda dtype: dtype.itemsize)
    return [matrix.astype(dtype) for matrix in matrices]
