"""Permutations of n things: S(n)."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from equinet.groups.finite import FiniteGroup
from equinet.precision import read_only
from equinet.typing import DTypeLike, Key, Matrix, Shape

LARGEST_LIST, LARGEST_INDEX = 10, 12
_LARGEST_CACHED = 8  # 1.3 MB; the list of S(10) takes 145 MB and is made anew for each caller


@dataclasses.dataclass(frozen=True, repr=False)
class S(FiniteGroup):
    """The symmetric group S(n): all permutations of 0, ..., n - 1; ``g[i]`` is the image of i.

    Elements are int32 index arrays ``[..., n]``; the product g h is ``g[h]``. On R^n the element g
    moves entry i to index ``g[i]``. Samples are uniform.

    Args:
        n: Number of things.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> g = jnp.asarray([1, 2, 0])
        >>> S(3).act(g, jnp.asarray([10.0, 20.0, 30.0]))
        Array([30., 10., 20.], dtype=float32)
        >>> S(3).compose(g, S(3).inverse(g))
        Array([0, 1, 2], dtype=int32)
    """

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"S(n) needs an integer n >= 1, got {self.n!r}, e.g. S(5)")

    @property
    def vector_dim(self) -> int:
        """Dimension n of the space: permutation matrices have n rows."""
        return self.n

    @property
    def order(self) -> int:
        """Number of elements: the factorial of n."""
        return math.factorial(self.n)

    def elements(self) -> Int[np.ndarray, "order n"]:
        """All permutations in lexicographic order.

        Raises:
            ValueError: If n is above 10: the list would not fit.
        """
        if self.n > LARGEST_LIST:
            raise ValueError(
                f"{self} has {self.order} elements, too many to list (n <= {LARGEST_LIST}); "
                "draw some with sample()"
            )
        return _permutations(self.n) if self.n <= _LARGEST_CACHED else _list_permutations(self.n)

    def index(self, g: Int[Array, "... n"]) -> Int[Array, "..."]:
        """The lexicographic rank: how many later entries are smaller, in the factorial base.

        Raises:
            ValueError: If n is above 12: the rank would not fit into int32.
        """
        if self.n > LARGEST_INDEX:
            raise ValueError(f"the positions in {self} exceed int32; n <= {LARGEST_INDEX} fits")
        g = jnp.asarray(g, jnp.int32)
        later = jnp.asarray(np.triu(np.ones((self.n, self.n), bool), 1))
        smaller = (g[..., None, :] < g[..., :, None]) & jnp.broadcast_to(later, (*g.shape, self.n))
        digits = smaller.sum(-1, dtype=jnp.int32)
        weights = np.array([math.factorial(self.n - 1 - i) for i in range(self.n)], np.int32)
        return (digits * jnp.broadcast_to(weights, digits.shape)).sum(-1, dtype=jnp.int32)

    def identity(self, dtype: DTypeLike | None = None) -> Int[Array, "n"]:
        """The numbers in order; int32 whatever ``dtype`` is."""
        return jnp.arange(self.n, dtype=jnp.int32)

    def compose(self, g: Int[Array, "... n"], h: Int[Array, "... n"]) -> Int[Array, "... n"]:
        """First ``h``, then ``g``: ``g[h[i]]``."""
        return _take(jnp.asarray(g, jnp.int32), jnp.asarray(h, jnp.int32))

    def inverse(self, g: Int[Array, "... n"]) -> Int[Array, "... n"]:
        """The inverse permutations ``[..., n]``."""
        return jnp.argsort(jnp.asarray(g, jnp.int32), axis=-1).astype(jnp.int32)

    def sample(
        self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None
    ) -> Int[Array, "... n"]:
        """Every permutation with the same probability; int32 whatever ``dtype`` is."""
        draws = jax.random.bits(key, (*shape, self.n), "uint32")
        return jnp.argsort(draws, axis=-1).astype(jnp.int32)

    def contains(self, g: Int[Array, "... n"], atol: float | None = None) -> Bool[Array, "..."]:
        """Whether each row holds every number from 0 to n - 1 once."""
        g = jnp.asarray(g)
        if g.ndim < 1 or g.shape[-1] != self.n or not jnp.issubdtype(g.dtype, jnp.integer):
            return jnp.zeros(g.shape[:-1], bool)
        ordered = jnp.sort(g, axis=-1)
        return (ordered == jnp.broadcast_to(jnp.arange(self.n, dtype=g.dtype), g.shape)).all(-1)

    def linear_part(self, g: Int[Array, "... n"]) -> Matrix:
        """The permutation matrices: a one in row ``g[i]`` of column i."""
        g = jnp.asarray(g, jnp.int32)[..., None, :]
        rows = jnp.arange(self.n, dtype=jnp.int32)[:, None]
        shape = (*g.shape[:-2], self.n, self.n)
        return (jnp.broadcast_to(rows, shape) == g).astype(jnp.result_type(float))

    def act(self, g: Int[Array, "... n"], points: Shaped[Array, "... n"]) -> Shaped[Array, "... n"]:
        """Moves entry i of ``points`` to index ``g[i]``; batch axes broadcast."""
        return _take(jnp.asarray(points), self.inverse(g))

    def discrete_generators(self) -> Int[np.ndarray, "k n"]:
        """The transposition of the first two and the cycle i -> i + 1."""
        cycle = np.roll(np.arange(self.n), -1)
        swap = np.arange(self.n)
        swap[:2] = swap[:2][::-1]
        return np.stack([swap, cycle]).astype(np.int32)[: min(self.n - 1, 2)]


def _take(values: Shaped[Array, "... n"], indices: Int[Array, "... n"]) -> Shaped[Array, "... n"]:
    shape = jnp.broadcast_shapes(values.shape, indices.shape)
    values, indices = jnp.broadcast_to(values, shape), jnp.broadcast_to(indices, shape)
    return jnp.take_along_axis(values, indices, axis=-1)


def _list_permutations(n: int) -> Int[np.ndarray, "order n"]:
    return read_only(np.array(list(itertools.permutations(range(n))), np.int32))


_permutations = functools.lru_cache(_list_permutations)
