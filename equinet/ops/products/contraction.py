"""Bilinear maps of any representations: outer products and contractions of their terms."""

import collections
import dataclasses
import functools
import itertools
import math
import operator
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from equinet.ops.products._base import ProductBase, at_rank, check_one_group
from equinet.precision import HIGHEST
from equinet.reps import Rep, as_rep, tensor_product
from equinet.reps._terms import factors, split_terms, terms

_UNROLLED = 16
"""Sums of up to so many products are written out: a batched product of tiny matrices is slower."""


@dataclasses.dataclass(frozen=True)
class ContractionPath:
    """Terms of the factors and of the result, and how many indices are summed."""

    first: int
    second: int
    contracted: int
    result: int


@dataclasses.dataclass(frozen=True)
class ContractionProduct(ProductBase):
    r"""Channel-wise products of the terms of two features, contracted over dual indices.

    For channel c, with a weight for every path,

    .. math:: z_{p r c} = \sum_{paths} w_{path, c}\, a_{path} \sum_{q} x_{p q c}\, y_{q r c}

    where q runs over the last factors of a term of ``rep1`` that are dual to the first factors of
    a term of ``rep2``: none of them (outer product), one, and so on. A path exists where the
    remaining factors are a term of ``rep_out``. The scale is
    :math:`a = 1 / \sqrt{\dim q \cdot \text{paths into the term}}`, so that independent inputs and
    weights of variance one give outputs of variance one. Instances are hashable and static.

    Attributes:
        rep1: Rep of the first factor.
        rep2: Rep of the second factor.
        rep_out: Rep of the result; a term without a path stays zero.

    Raises:
        ValueError: If no path exists, or the groups differ.

    References:
        Finzi et al., arXiv:2104.09459 (2021), section 7, takes these products at random; here all.

    >>> from equinet.groups import O
    >>> from equinet.reps import Scalar, Vector
    >>> V = Vector(O(3))
    >>> product = ContractionProduct(V, V, Scalar(O(3)) + V**2)
    >>> len(product.paths), product.equivariance_error
    (2, 0.0)
    >>> product(jnp.ones((5, 3, 8)), jnp.ones((5, 3, 8))).shape
    (5, 10, 8)
    """

    rep1: Rep
    rep2: Rep
    rep_out: Rep

    def _convert(self, *reps: Any) -> tuple[Rep, ...]:
        found = tuple(as_rep(rep) for rep in reps)
        check_one_group([rep.group for rep in found])
        return found

    def _no_path(self) -> str:
        return (
            f"no contraction of ({self.rep1}) x ({self.rep2}) is a term of {self.rep_out}: "
            "the result would be zero; add the dual reps, or products of the terms"
        )

    @property
    def paths(self) -> tuple[ContractionPath, ...]:
        """Every pair of terms and number of contracted indices that ends in a term."""
        return _paths(self.rep1, self.rep2, self.rep_out)

    @property
    def flops(self) -> int:
        """Floating-point operations for one row and channel."""
        left, right = terms(self.rep1), terms(self.rep2)
        total = 0
        for path in self.paths:
            inner = _contracted_dim(left[path.first].rep, path.contracted)
            total += 2 * left[path.first].rep.dim * right[path.second].rep.dim // inner
        return total

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        firsts, seconds = split_terms(self.rep1, x), split_terms(self.rep2, y)
        cache: dict[ContractionPath, Array] = {}
        count = collections.Counter(path.result for path in self.paths)
        sums: dict[int, Array] = {}
        for index, path in enumerate(self.paths):
            left, right = firsts[path.first], seconds[path.second]
            inner = _contracted_dim(terms(self.rep1)[path.first].rep, path.contracted)
            row: Array | float = 1 / math.sqrt(inner * count[path.result])
            if weights is not None:
                row = at_rank(weights[..., index : index + 1, :] * row, x.ndim)
            # Weights go where there are the fewest entries: so do the sums of their gradients.
            sizes = left.shape[-2], right.shape[-2]
            if min(sizes) < math.prod(sizes) // inner**2:
                value = (
                    _contract(left * row, right, inner)
                    if sizes[0] <= sizes[1]
                    else _contract(left, right * row, inner)
                )
            else:
                key = dataclasses.replace(path, result=0)
                if key not in cache:
                    cache[key] = _contract(left, right, inner)
                value = cache[key] * row
            sums[path.result] = sums[path.result] + value if path.result in sums else value
        return self._assemble(sums)

    def _assemble(self, sums: dict[int, Array]) -> Array:
        like = next(iter(sums.values()))
        rows = [
            sums[i]
            if i in sums
            else jnp.zeros((*like.shape[:-2], term.rep.dim, like.shape[-1]), like.dtype)
            for i, term in enumerate(terms(self.rep_out))
        ]
        return jnp.concatenate(rows, axis=-2)


def _contracted_dim(rep: Rep, contracted: int) -> int:
    """Dimension of the last ``contracted`` factors of a rep."""
    parts = factors(rep)
    return math.prod(part.dim for part in parts[len(parts) - contracted :])


def _contract(x: Array, y: Array, inner: int) -> Array:
    """``x[..., (p, q), c]`` and ``y[..., (q, r), c]`` to ``[..., (p, r), c]``."""
    x = x.reshape(*x.shape[:-2], x.shape[-2] // inner, inner, x.shape[-1])
    y = y.reshape(*y.shape[:-2], inner, y.shape[-2] // inner, y.shape[-1])
    if inner <= _UNROLLED:
        left, right = jnp.split(x, inner, axis=-2), jnp.split(y, inner, axis=-3)
        z = functools.reduce(operator.add, map(operator.mul, left, right))
    else:
        z = jnp.einsum("...pqc,...qrc->...prc", x, y, precision=HIGHEST)
    return z.reshape(*z.shape[:-3], z.shape[-3] * z.shape[-2], z.shape[-1])


@functools.cache
def _paths(rep1: Rep, rep2: Rep, rep_out: Rep) -> tuple[ContractionPath, ...]:
    found = []
    for (i, a), (j, b) in itertools.product(enumerate(terms(rep1)), enumerate(terms(rep2))):
        left, right = factors(a.rep), factors(b.rep)
        for count in range(min(len(left), len(right)) + 1):
            kept = len(left) - count
            if left[kept:] != tuple(rep.dual for rep in right[:count]):
                continue
            rest = tensor_product(rep_out.group, left[:kept] + right[count:])
            found += [
                ContractionPath(i, j, count, k)
                for k, term in enumerate(terms(rep_out))
                if term.rep == rest
            ]
    return tuple(sorted(found, key=lambda path: path.result))
