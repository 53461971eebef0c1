"""Finite groups, and those of the plane: Cyclic(n) and Dihedral(n)."""

import abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from equinet.groups.group import Group
from equinet.precision import read_only
from equinet.typing import DTypeLike, Element, Key, Matrix, Shape


class FiniteGroup(Group):
    """A group with finitely many elements, which can be listed.

    Elements are int32 arrays; a ``dtype`` given to ``identity`` or ``sample`` is ignored. Matrices
    made of them have JAX's default float dtype.
    """

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Number of elements."""

    @abc.abstractmethod
    def elements(self) -> Int[np.ndarray, "order ..."]:
        """All elements, the identity first: a read-only int32 array."""

    @abc.abstractmethod
    def index(self, g: Element) -> Int[Array, "..."]:
        """The positions of elements in ``elements()``, int32."""

    @property
    def is_orthogonal(self) -> bool:
        """Always true: elements act by rotations, reflections or permutations."""
        return True

    def identity(self, dtype: DTypeLike | None = None) -> Element:
        """The neutral element; int32 whatever ``dtype`` is."""
        return jnp.asarray(self.elements()[0])

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Element:
        """Every element with the same probability; int32 whatever ``dtype`` is."""
        return jnp.asarray(self.elements())[jax.random.randint(key, tuple(shape), 0, self.order)]


@dataclasses.dataclass(frozen=True, repr=False)
class _PlaneGroup(FiniteGroup, abc.ABC):
    """What Cyclic(n) and Dihedral(n) share: elements are the integers below the order."""

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            name = type(self).__name__
            raise ValueError(f"{name}(n) needs an integer n >= 1, got {self.n!r}, e.g. {name}(4)")

    @property
    def vector_dim(self) -> int:
        """Dimension of the space: 2, the plane."""
        return 2

    def elements(self) -> Int[np.ndarray, "order"]:
        """The integers 0, ..., order - 1."""
        return _integers(self.order)

    def index(self, g: Int[Array, "..."]) -> Int[Array, "..."]:
        """The integers themselves."""
        return jnp.asarray(g, jnp.int32)

    def contains(self, g: Int[Array, "..."], atol: float | None = None) -> Bool[Array, "..."]:
        """Whether each is an integer from 0 to order - 1."""
        g = jnp.asarray(g)
        if not jnp.issubdtype(g.dtype, jnp.integer):
            return jnp.zeros(g.shape, bool)
        return (g >= 0) & (g < self.order)

    def linear_part(self, g: Int[Array, "..."]) -> Matrix:
        """The matrices ``[..., 2, 2]``."""
        return jnp.asarray(_plane_matrices(self.n), jnp.result_type(float))[self.index(g)]


@dataclasses.dataclass(frozen=True, repr=False)
class Cyclic(_PlaneGroup):
    """The cyclic group of order n: element k rotates the plane by 2 pi k / n.

    Elements are int32 numbers 0, ..., n - 1 in arrays ``[...]``; the product is the sum modulo n.
    Samples are uniform.

    Args:
        n: The order.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> int(Cyclic(4).compose(3, 2)), int(Cyclic(4).inverse(1))
        (1, 3)
    """

    @property
    def order(self) -> int:
        """Number of elements: n."""
        return self.n

    def compose(self, g: Int[Array, "..."], h: Int[Array, "..."]) -> Int[Array, "..."]:
        """The sum of the numbers modulo n."""
        return (self.index(g) + self.index(h)) % self.n

    def inverse(self, g: Int[Array, "..."]) -> Int[Array, "..."]:
        """The negative of the number modulo n."""
        return -self.index(g) % self.n

    def discrete_generators(self) -> Int[np.ndarray, "k"]:
        """The rotation by 2 pi / n."""
        return _integers(self.n)[1:2]


@dataclasses.dataclass(frozen=True, repr=False)
class Dihedral(_PlaneGroup):
    """The dihedral group of order 2n: the symmetries of a regular polygon with n corners.

    Elements are int32 numbers 0, ..., 2n - 1 in arrays ``[...]``. Element k < n rotates the plane
    by 2 pi k / n; element n + k first reflects y to -y, then rotates by 2 pi k / n. Samples are
    uniform.

    Args:
        n: Number of corners.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> Dihedral(4).order, int(Dihedral(4).compose(4, 1))
        (8, 7)
    """

    @property
    def order(self) -> int:
        """Number of elements: twice n."""
        return 2 * self.n

    def compose(self, g: Int[Array, "..."], h: Int[Array, "..."]) -> Int[Array, "..."]:
        """The element ``g h``; a reflection g reverses the rotation of h."""
        (k, flip), (m, other) = self._split(g), self._split(h)
        return (k + (1 - 2 * flip) * m) % self.n + self.n * (flip ^ other)

    def inverse(self, g: Int[Array, "..."]) -> Int[Array, "..."]:
        """The inverse elements; reflections are their own inverses."""
        k, flip = self._split(g)
        return (2 * flip - 1) * k % self.n + self.n * flip

    def discrete_generators(self) -> Int[np.ndarray, "k"]:
        """The rotation by 2 pi / n and the reflection of y."""
        return _integers(self.order)[[1, self.n] if self.n > 1 else [1]]

    def _split(self, g: Int[Array, "..."]) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
        g = self.index(g)
        return g % self.n, g // self.n


@functools.lru_cache
def _integers(count: int) -> Int[np.ndarray, "count"]:
    return read_only(np.arange(count, dtype=np.int32))


@functools.lru_cache
def _plane_matrices(n: int) -> Float[np.ndarray, "2*n 2 2"]:
    """The n rotations, then the n rotations after the reflection of y; right angles are exact."""
    quarters = 4 * np.arange(n) / n
    angle = 2 * np.pi * np.arange(n) / n
    exact = quarters == np.round(quarters)
    c = np.where(exact, np.round(np.cos(angle)), np.cos(angle))
    s = np.where(exact, np.round(np.sin(angle)), np.sin(angle))
    rotations = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    return read_only(np.concatenate([rotations, rotations * np.array([1.0, -1.0])]))
