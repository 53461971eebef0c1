"""Symmetric and antisymmetric powers of a representation."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.precision import HIGHEST, read_only
from equinet.reps import _generators as generators
from equinet.reps.bases.diagrams import levi_civita, permutations
from equinet.reps.rep import Rep
from equinet.typing import Element, Feature, Matrix


@dataclasses.dataclass(frozen=True, eq=False)
class PowerRep(Rep):
    """The symmetric (sign 1) or antisymmetric (sign -1) part of ``base ** exponent``.

    Its axis has one entry for every ascending (strictly, if antisymmetric) tuple of indices, in
    lexicographic order; the unit vectors are those of the tensor power, symmetrised and normalised.
    """

    group: Group = dataclasses.field(init=False)
    base: Rep
    exponent: int
    sign: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.base.group)

    @property
    def dim(self) -> int:
        """The number of ascending tuples of indices."""
        n = self.base.dim + (self.exponent - 1 if self.sign > 0 else 0)
        return math.comb(n, self.exponent)

    @property
    def is_orthogonal(self) -> bool:
        """Whether the base is orthogonal."""
        return self.base.is_orthogonal

    @property
    def dual(self) -> Rep:
        """The power of the dual."""
        return self if self.is_orthogonal else PowerRep(self.base.dual, self.exponent, self.sign)

    def embedding(self) -> Float[np.ndarray, "base**exponent dim"]:
        """The isometry into the tensor power: read-only float64 numpy."""
        return _embedding(self.base.dim, self.exponent, self.sign)

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The tensor power between the isometry and its transpose."""
        return self._between((self.base**self.exponent).matrix(g))

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The Kronecker sum between the isometry and its transpose."""
        return self._between((self.base**self.exponent).lie_matrix(algebra))

    def _between(self, matrix: Matrix) -> Matrix:
        embedding = jnp.asarray(self.embedding(), matrix.dtype)
        return jnp.einsum("ia,...ij,jb->...ab", embedding, matrix, embedding, precision=HIGHEST)

    def _lie_matrices(self) -> tuple[generators.Sparse, ...]:
        return self._between_sparse(generators.lie_matrices(self.base**self.exponent))

    def _discrete_matrices(self) -> tuple[generators.Sparse, ...]:
        return self._between_sparse(generators.discrete_matrices(self.base**self.exponent))

    def _between_sparse(self, matrices: tuple[generators.Sparse, ...]) -> tuple[Any, ...]:
        embedding = scipy.sparse.csr_array(self.embedding())
        return tuple((embedding.T @ matrix @ embedding).tocsr() for matrix in matrices)

    def _apply(self, g: Element, x: Feature) -> Feature:
        embedding = jnp.asarray(self.embedding(), x.dtype)
        x = jnp.einsum("ia,...ac->...ic", embedding, x, precision=HIGHEST)
        x = (self.base**self.exponent).transform(g, x)
        return jnp.einsum("ia,...ic->...ac", embedding, x, precision=HIGHEST)

    def __repr__(self) -> str:
        name = "symmetric_power" if self.sign > 0 else "antisymmetric_power"
        return f"{name}({self.base!r}, {self.exponent})"


def symmetric_power(rep: Rep, exponent: int) -> Rep:
    """The symmetric tensors in ``rep ** exponent``.

    Args:
        rep: Any rep.
        exponent: The order, at least 0.

    Raises:
        ValueError: If the exponent is negative.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Vector
        >>> symmetric_power(Vector(O(3)), 2).dim  # a symmetric matrix
        6
    """
    return _power(rep, exponent, 1)


def antisymmetric_power(rep: Rep, exponent: int) -> Rep:
    """The antisymmetric tensors in ``rep ** exponent``.

    Args:
        rep: Any rep.
        exponent: The order, at least 0; above ``rep.dim`` nothing is antisymmetric but zero.

    Raises:
        ValueError: If the exponent is negative.

    Example:
        >>> from equinet.groups import SO
        >>> from equinet.reps import Vector
        >>> antisymmetric_power(Vector(SO(3)), 2).dim  # an angular momentum
        3
    """
    return _power(rep, exponent, -1)


def _power(rep: Rep, exponent: int, sign: int) -> Rep:
    if exponent < 2:
        return rep**exponent  # which refuses a negative one
    return PowerRep(rep, exponent, sign)


@functools.lru_cache(64)
def _embedding(n: int, exponent: int, sign: int) -> Float[np.ndarray, "rows columns"]:
    ascending = itertools.combinations_with_replacement if sign > 0 else itertools.combinations
    tuples = np.array(list(ascending(range(n), exponent)), np.int64).reshape(-1, exponent)
    table = np.zeros((n**exponent, len(tuples)))
    strides = n ** np.arange(exponent)[::-1]
    for order in permutations(exponent):
        parity = 1.0 if sign > 0 else float(levi_civita(np.array(order)))
        table[tuples[:, order] @ strides, np.arange(len(tuples))] += parity
    table /= np.linalg.norm(table, axis=0)
    return read_only(table)
