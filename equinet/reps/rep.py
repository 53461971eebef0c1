"""What every representation can do, and the algebra of representations in normal form."""

import abc
import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.linalg import block_diagonal, kron
from equinet.precision import HIGHEST, floating
from equinet.reps import _generators as generators
from equinet.reps import _rules as rules
from equinet.reps._blocks import apply_to_copies
from equinet.reps._value import Value
from equinet.typing import Element, Feature, Matrix


class Rep(rules.Rules, Value, abc.ABC):
    """How a group acts on the axis -2 of a feature ``[..., dim, channels]``.

    A value without arrays: equal reps are equal keys, so that a function of a static rep compiles
    once. ``V + W`` is the direct sum, ``V * W`` the tensor product (the index of V runs slowest),
    ``V ** k`` the tensor power, ``3 * V`` three copies, ``V.dual`` the dual. Results are in normal
    form: sums and products are flattened, neighbouring equal terms of a sum are counted, the order
    is kept, and a rep of orthogonal matrices is its own dual.

    A representation of your own is one subclass: a dataclass declared ``frozen=True, eq=False``
    with a field ``group`` and with ``dim``, ``matrix`` and ``lie_matrix``. It may override
    ``_apply`` where acting is cheaper than multiplying by the matrix, and the methods below it,
    which say what bases of equivariant maps and restrictions can use.
    """

    group: Group

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Length of the axis that the group acts on."""

    @property
    def is_orthogonal(self) -> bool:
        """Whether every ``matrix(g)`` is orthogonal."""
        return False

    @property
    def is_permutation(self) -> bool:
        """Whether every ``matrix(g)`` permutes: then any function may act entry by entry."""
        return False

    @abc.abstractmethod
    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The matrices of group elements, with the batch axes of ``g``."""

    @abc.abstractmethod
    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The matrices of Lie algebra elements: ``matrix(exp(A)) = exp(lie_matrix(A))``."""

    def transform(self, g: Element, x: Feature) -> Feature:
        """Acts on a feature, without building the matrix where that is cheaper.

        Args:
            g: Group elements; their batch axes broadcast against those of ``x``.
            x: A feature ``[..., dim, channels]``; integers are made floating.

        Returns:
            The transformed feature, in the floating dtype of ``x``.

        Raises:
            ValueError: If axis -2 of ``x`` is not ``dim`` long.
        """
        x = floating(x)
        if x.ndim < 2 or x.shape[-2] != self.dim:
            raise ValueError(
                f"got a feature of shape {x.shape}; {self} acts on axis -2 of "
                f"[..., {self.dim}, channels] (a single channel needs an axis of length 1)"
            )
        batch = jax.eval_shape(self.group.linear_part, g).shape[:-2]
        shape = (*jnp.broadcast_shapes(batch, x.shape[:-2]), *x.shape[-2:])
        return jnp.broadcast_to(self._apply(g, x), shape)

    def _apply(self, g: Element, x: Feature) -> Feature:
        matrix = self.matrix(g).astype(x.dtype)
        return jnp.einsum("...ij,...jc->...ic", matrix, x, precision=HIGHEST)

    @property
    def dual(self) -> "Rep":
        """The rep of the inverse transposed matrices; the rep itself if they are orthogonal."""
        return self if self.is_orthogonal else DualRep(self)

    def __add__(self, other: "Rep") -> "Rep":
        if not isinstance(other, Rep):
            return NotImplemented
        return direct_sum(self.group, (self, other))

    def __radd__(self, other: Any) -> "Rep":
        starts_sum = isinstance(other, int) and other == 0  # sum() starts at 0
        return self if starts_sum else NotImplemented

    def __mul__(self, other: Any) -> "Rep":
        if isinstance(other, Rep):
            return tensor_product(self.group, (self, other))
        return self.__rmul__(other)

    def __rmul__(self, copies: Any) -> "Rep":
        try:
            count = operator.index(copies)
        except TypeError:
            return NotImplemented
        rules.check_count(count, f"{count} * {self}")
        return self._repeat(count)

    def __pow__(self, exponent: int) -> "Rep":
        rules.check_count(exponent, f"({self}) ** {exponent}")
        return tensor_product(self.group, itertools.repeat(self, exponent))

    def _repeat(self, copies: int) -> "Rep":
        return direct_sum(self.group, itertools.repeat(self, copies))

    def _join(self, other: "Rep") -> Self | None:
        """The sum with ``other`` as one rep of this class, if there is one."""
        return None

    def _multiply_pure(self, factors: "Sequence[Rep]") -> "rules.Piece":
        """The product of pure reps, of which this is the first, and the order of its entries."""
        product = tensor_product(self.group, factors)
        return product, np.arange(product.dim)


@dataclasses.dataclass(frozen=True, eq=False)
class DualRep(Rep):
    """The dual of a rep that no rule simplifies; written ``rep.dual``."""

    group: Group = dataclasses.field(init=False)
    base: Rep

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.base.group)

    @property
    def dim(self) -> int:
        """The dimension of the base."""
        return self.base.dim

    @property
    def dual(self) -> Rep:
        """The base."""
        return self.base

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The transposed matrix of the inverse."""
        return jnp.swapaxes(self.base.matrix(self.group.inverse(g)), -1, -2)

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The negative transpose."""
        return -jnp.swapaxes(self.base.lie_matrix(algebra), -1, -2)

    def _restrict(self, subgroup: Group, restrict: Callable[[Rep], Rep]) -> Rep:
        return restrict(self.base).dual

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        return tuple(-matrix.T.tocsr() for matrix in generators.lie_matrices(self.base))

    def __repr__(self) -> str:
        return f"{_bracketed(self.base)}.dual"


@dataclasses.dataclass(frozen=True, eq=False)
class ProductRep(Rep):
    """A tensor product in normal form; written ``V * W``. Without factors it is the scalar."""

    group: Group
    factors: tuple[Rep, ...]

    @property
    def dim(self) -> int:
        """The product of the dimensions."""
        return int(functools.reduce(operator.mul, (rep.dim for rep in self.factors), 1))

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
        """The product of the duals."""
        return tensor_product(self.group, (rep.dual for rep in self.factors))

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The Kronecker product."""
        one = jnp.ones_like(self.group.linear_part(g)[..., :1, :1])
        return functools.reduce(kron, (rep.matrix(g) for rep in self.factors), one)

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The Kronecker sum."""
        total = jnp.zeros_like(self.group.lie_linear_part(algebra)[..., :1, :1])
        for rep in self.factors:
            step = rep.lie_matrix(algebra)
            left, right = (jnp.eye(m.shape[-1], dtype=m.dtype) for m in (total, step))
            total = kron(total, right) + kron(left, step)
        return total

    def _apply(self, g: Element, x: Feature) -> Feature:
        # One factor at a time is moved to axis -2, then behind all the other axes.
        *batch, dim, channels = x.shape
        for rep in self.factors:
            x = rep._apply(g, x.reshape(*batch, rep.dim, dim * channels // rep.dim))
            batch = x.shape[:-2]
            x = jnp.swapaxes(x, -1, -2)
        if not self.factors:
            return x
        return jnp.swapaxes(x.reshape(*batch, channels, dim), -1, -2)

    def _restrict(self, subgroup: Group, restrict: Callable[[Rep], Rep]) -> Rep:
        return tensor_product(subgroup, map(restrict, self.factors))

    def _pieces(self) -> list[rules.Piece]:
        return rules.pieces_of_product(self.factors, self**0)

    @property
    def _holds_irreps(self) -> bool:
        return any(factor._holds_irreps for factor in self.factors)

    def _irreducible(self, unit: Callable[[Group], Rep | None]) -> rules.Irreducible | None:
        return rules.irreducible_product(self.factors, unit(self.group), unit)

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        if not self.factors:
            return super()._lie_matrices()
        return generators.kronecker_sums(map(generators.lie_matrices, self.factors))

    def _discrete_matrices(self) -> tuple[generators.Sparse, ...]:
        if not self.factors:
            return super()._discrete_matrices()
        return generators.kronecker_products(map(generators.discrete_matrices, self.factors))

    def __repr__(self) -> str:
        if not self.factors:
            return f"Scalar({self.group!r})"
        runs = ((rep, len(list(run))) for rep, run in itertools.groupby(self.factors))
        return " * ".join(_bracketed(rep) + (f"**{k}" if k > 1 else "") for rep, k in runs)


@dataclasses.dataclass(frozen=True, eq=False)
class SumRep(Rep):
    """A direct sum in normal form, as ``(copies, rep)`` terms; written ``V + 2 * W``."""

    group: Group
    terms: tuple[tuple[int, Rep], ...]

    @property
    def dim(self) -> int:
        """The sum of the dimensions."""
        return sum(copies * rep.dim for copies, rep in self.terms)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every term is orthogonal."""
        return all(rep.is_orthogonal for _, rep in self.terms)

    @property
    def is_permutation(self) -> bool:
        """Whether every term permutes."""
        return all(rep.is_permutation for _, rep in self.terms)

    @property
    def dual(self) -> Rep:
        """The sum of the duals."""
        return direct_sum(self.group, (copies * rep.dual for copies, rep in self.terms))

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The blocks along the diagonal."""
        corner = self.group.linear_part(g)[..., :0, :0]
        return block_diagonal(corner, [(copies, rep.matrix(g)) for copies, rep in self.terms])

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The blocks along the diagonal."""
        corner = self.group.lie_linear_part(algebra)[..., :0, :0]
        blocks = [(copies, rep.lie_matrix(algebra)) for copies, rep in self.terms]
        return block_diagonal(corner, blocks)

    def _apply(self, g: Element, x: Feature) -> Feature:
        if not self.terms:
            return x
        ends = itertools.accumulate(copies * rep.dim for copies, rep in self.terms)
        parts = jnp.split(x, list(ends)[:-1], axis=-2)
        moved = [
            apply_to_copies(functools.partial(rep.transform, g), copies, part)
            for (copies, rep), part in zip(self.terms, parts, strict=True)
        ]
        return jnp.concatenate(moved, axis=-2)

    def _restrict(self, subgroup: Group, restrict: Callable[[Rep], Rep]) -> Rep:
        return direct_sum(subgroup, (copies * restrict(rep) for copies, rep in self.terms))

    def _all_terms(self) -> list[Rep]:
        return [rep for copies, rep in self.terms for _ in range(copies)]

    def _pieces(self) -> list[rules.Piece]:
        return rules.pieces_of_sum(self._all_terms())

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        if not self.terms:
            return super()._lie_matrices()
        return generators.block_diagonals(map(generators.lie_matrices, self._all_terms()))

    def _discrete_matrices(self) -> tuple[generators.Sparse, ...]:
        if not self.terms:
            return super()._discrete_matrices()
        return generators.block_diagonals(map(generators.discrete_matrices, self._all_terms()))

    def __repr__(self) -> str:
        if not self.terms:
            return f"0 * Scalar({self.group!r})"
        counted = (f"{k} * {_bracketed(rep)}" if k > 1 else repr(rep) for k, rep in self.terms)
        return " + ".join(counted)


def direct_sum(group: Group, reps: Iterable[Rep]) -> Rep:
    """The direct sum of reps of one group in normal form: flattened, neighbours counted.

    Args:
        group: The group, which an empty sum needs.
        reps: The terms in order.

    Raises:
        ValueError: If a rep is one of another group.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Vector
        >>> V = Vector(O(2))
        >>> direct_sum(O(2), [V, V, V**2])
        2 * Vector(O(2)) + Vector(O(2))**2
    """
    terms: list[tuple[int, Rep]] = []
    empty: list[Rep] = []
    for rep in reps:
        rules.check_same_group(group, rep)
        if rep.dim == 0:
            empty.append(rep)
            continue
        for term in rep.terms if isinstance(rep, SumRep) else ((1, rep),):
            rules.append_term(terms, *term)
    if not terms and empty:
        return empty[0]
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    return SumRep(group, tuple(terms))


def tensor_product(group: Group, reps: Iterable[Rep]) -> Rep:
    """The tensor product of reps of one group in normal form: flattened.

    Sums are kept as factors: multiplying them out would reorder the axis.

    Args:
        group: The group, which an empty product needs.
        reps: The factors in order.

    Raises:
        ValueError: If a rep is one of another group.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Vector
        >>> V = Vector(O(2))
        >>> tensor_product(O(2), [V, V * V]) == V**3
        True
    """
    factors: list[Rep] = []
    for rep in reps:
        rules.check_same_group(group, rep)
        factors.extend(rep.factors if isinstance(rep, ProductRep) else (rep,))
    if len(factors) == 1:
        return factors[0]
    if any(rep.dim == 0 for rep in factors):
        return SumRep(group, ())
    return ProductRep(group, tuple(factors))


def _bracketed(rep: Rep) -> str:
    composite = isinstance(rep, SumRep) or (isinstance(rep, ProductRep) and rep.factors)
    return f"({rep!r})" if composite else repr(rep)
