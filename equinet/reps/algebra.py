"""The algebra of representations: vectors, duals, products and sums in a normal form."""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.groups import Group, S
from equinet.reps.blocks import apply_to_copies, block_diagonal, kron
from equinet.reps.rep import Rep
from equinet.typing import Element, Feature, Matrix


@dataclasses.dataclass(frozen=True, eq=False)
class Vector(Rep):
    """The defining representation: the linear part of an element, as a matrix.

    Args:
        group: Any group.

    Raises:
        ValueError: If ``group`` is not a group.

    Example:
        >>> from equinet.groups import O
        >>> V = Vector(O(3))
        >>> (V**2).dim, V * V == Tensor(O(3), 2, 0), V + V == 2 * V
        (9, True, True)
    """

    group: Group

    def __post_init__(self) -> None:
        check_group(self.group)

    @property
    def dim(self) -> int:
        """The n of the space that the group acts on."""
        return self.group.vector_dim

    @property
    def is_orthogonal(self) -> bool:
        """Whether the group is."""
        return self.group.is_orthogonal

    @property
    def is_permutation(self) -> bool:
        """Whether the group is one of permutations."""
        return isinstance(self.group.linear_group, S)

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The linear part of ``g``."""
        return self.group.linear_part(g)

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The linear part of ``algebra``."""
        return self.group.lie_linear_part(algebra)

    def _apply(self, g: Element, x: Feature) -> Feature:
        if not isinstance(self.group, S):
            return super()._apply(g, x)
        sources = self.group.inverse(g)[..., None]
        batch = jnp.broadcast_shapes(sources.shape[:-2], x.shape[:-2])
        x = jnp.broadcast_to(x, (*batch, *x.shape[-2:]))
        return jnp.take_along_axis(x, jnp.broadcast_to(sources, x.shape), axis=-2)

    def __repr__(self) -> str:
        return f"Vector({self.group!r})"


@dataclasses.dataclass(frozen=True, eq=False)
class DualRep(Rep):
    """The dual of a rep that no rule simplifies; written ``rep.dual``."""

    group: Group = dataclasses.field(init=False)
    base: Rep

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.base.group)

    @property
    def dim(self) -> int:
        """That of the base."""
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
        """Whether every factor is."""
        return all(rep.is_orthogonal for rep in self.factors)

    @property
    def is_permutation(self) -> bool:
        """Whether every factor is."""
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
        # One factor at a time stands on axis -2, then goes behind all the other axes.
        *batch, dim, channels = x.shape
        for rep in self.factors:
            x = rep._apply(g, x.reshape(*batch, rep.dim, dim * channels // rep.dim))
            batch = x.shape[:-2]
            x = jnp.swapaxes(x, -1, -2)
        if not self.factors:
            return x
        return jnp.swapaxes(x.reshape(*batch, channels, dim), -1, -2)

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
        """Whether every term is."""
        return all(rep.is_orthogonal for _, rep in self.terms)

    @property
    def is_permutation(self) -> bool:
        """Whether every term is."""
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

    def __repr__(self) -> str:
        if not self.terms:
            return f"0 * Scalar({self.group!r})"
        counted = (f"{k} * {_bracketed(rep)}" if k > 1 else repr(rep) for k, rep in self.terms)
        return " + ".join(counted)


def Scalar(group: Group) -> Rep:
    """The trivial representation: invariants. The unit of the tensor product.

    Args:
        group: Any group.

    Raises:
        ValueError: If ``group`` is not a group.

    Example:
        >>> from equinet.groups import O
        >>> Scalar(O(3)) == Vector(O(3)) ** 0
        True
    """
    return Tensor(group, 0, 0)


def Tensor(group: Group, p: int, q: int = 0) -> Rep:
    """Tensors with ``p`` upper and ``q`` lower indices: ``p`` vectors times ``q`` dual vectors.

    Args:
        group: Any group.
        p: Number of vector factors, which come first.
        q: Number of dual factors.

    Raises:
        ValueError: If ``group`` is not a group or a count is negative.

    Example:
        >>> from equinet.groups import O
        >>> Tensor(O(3), 1, 1)  # orthogonal: a dual vector is a vector
        Vector(O(3))**2
    """
    vector = Vector(group)
    return vector**p * vector.dual**q


def direct_sum(group: Group, reps: Iterable[Rep]) -> Rep:
    """The direct sum of reps of one group in normal form: flattened, neighbours counted.

    Args:
        group: The group, which an empty sum needs.
        reps: The terms in order.

    Raises:
        ValueError: If a rep is one of another group.

    Example:
        >>> from equinet.groups import O
        >>> V = Vector(O(2))
        >>> direct_sum(O(2), [V, V, V**2])
        2 * Vector(O(2)) + Vector(O(2))**2
    """
    terms: list[tuple[int, Rep]] = []
    empty: list[Rep] = []
    for rep in reps:
        _check_same_group(group, rep)
        if rep.dim == 0:
            empty.append(rep)
            continue
        for term in rep.terms if isinstance(rep, SumRep) else ((1, rep),):
            _append(terms, *term)
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
        >>> V = Vector(O(2))
        >>> tensor_product(O(2), [V, V * V]) == V**3
        True
    """
    factors: list[Rep] = []
    for rep in reps:
        _check_same_group(group, rep)
        factors.extend(rep.factors if isinstance(rep, ProductRep) else (rep,))
    if len(factors) == 1:
        return factors[0]
    if any(rep.dim == 0 for rep in factors):
        return SumRep(group, ())
    return ProductRep(group, tuple(factors))


def check_group(group: Any) -> None:
    """Raises the ``ValueError`` of a rep asked for with something else than a group."""
    if not isinstance(group, Group):
        raise ValueError(f"a rep needs a group such as O(3), got {group!r}")


def _append(terms: list[tuple[int, Rep]], copies: int, rep: Rep) -> None:
    last_copies, last = terms[-1] if terms else (0, None)
    joined = last._join(rep) if last is not None else None
    if joined is not None:
        terms[-1] = (1, joined)
    elif last == rep:
        terms[-1] = (last_copies + copies, rep)
    else:
        terms.append((copies, rep))


def _check_same_group(group: Group, rep: Rep) -> None:
    if rep.group != group:
        raise ValueError(
            f"cannot combine reps of {group} and {rep.group}: {rep} must be a rep of {group}"
        )


def _bracketed(rep: Rep) -> str:
    composite = isinstance(rep, SumRep) or (isinstance(rep, ProductRep) and rep.factors)
    return f"({rep!r})" if composite else repr(rep)
