"""What every group can do, and direct products of groups: ``G * H``."""

import abc
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from equinet.linalg import block_diagonal
from equinet.precision import HIGHEST, floating, read_only
from equinet.typing import DTypeLike, Element, Key, Matrix, PointCloud, Shape


class Group(abc.ABC):
    """A symmetry group: a value without arrays, equal and hashed by what it is.

    Subclasses are dataclasses declared ``frozen=True, repr=False``. Their elements are arrays with
    any batch axes in front, so one call handles one element or many.
    """

    @property
    @abc.abstractmethod
    def vector_dim(self) -> int:
        """Dimension of the space that ``Vector(group)`` is: the size of ``linear_part(g)``."""

    @property
    def is_orthogonal(self) -> bool:
        """Whether every ``linear_part(g)`` is orthogonal, so that a vector equals its dual."""
        return False

    @property
    def linear_group(self) -> "Group":
        """The group of the matrices ``linear_part(g)``."""
        return self

    @abc.abstractmethod
    def identity(self, dtype: DTypeLike | None = None) -> Element:
        """The neutral element, without batch axes."""

    @abc.abstractmethod
    def compose(self, g: Element, h: Element) -> Element:
        """The product ``g h``: first ``h``, then ``g``. Batch axes broadcast."""

    @abc.abstractmethod
    def inverse(self, g: Element) -> Element:
        """The inverse of every element."""

    @abc.abstractmethod
    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Element:
        """Random elements with batch axes ``shape``: Haar measure where the group is compact."""

    @abc.abstractmethod
    def contains(self, g: Element, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether each element lies in the group up to ``atol``; False for a wrong shape.

        Args:
            g: Candidate elements.
            atol: Largest error of a defining equation; None stands for 1000 units of rounding.
        """

    @abc.abstractmethod
    def linear_part(self, g: Element) -> Matrix:
        """The matrices ``[..., n, n]`` by which ``g`` acts on directions."""

    def act(self, g: Element, points: PointCloud) -> PointCloud:
        """Moves points ``[..., n]``; their batch axes broadcast against those of ``g``."""
        points = floating(points)
        matrix = self.linear_part(g).astype(points.dtype)
        return jnp.einsum("...ij,...j->...i", matrix, points, precision=HIGHEST)

    def __repr__(self) -> str:
        values = (repr(getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(values)})"

    def __mul__(self, other: "Group") -> "Group":
        """The direct product, whose elements are tuples."""
        return DirectProduct((self, other)) if isinstance(other, Group) else NotImplemented

    def lie_algebra(self) -> PyTree[np.ndarray]:
        """A basis of the Lie algebra ``[d, ...]``, read-only float64 numpy; d = 0 if discrete."""
        return read_only(np.zeros((0, self.vector_dim, self.vector_dim)))

    def lie_linear_part(self, algebra: PyTree[Array]) -> Matrix:
        """The derivative of ``linear_part`` at the identity: matrices of Lie algebra elements."""
        return floating(algebra)

    def discrete_generators(self) -> Element:
        """Elements ``[k, ...]`` that, with the identity component, generate the group (numpy)."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None][:0], self.identity())


@dataclasses.dataclass(frozen=True, repr=False)
class DirectProduct(Group):
    """The direct product of groups: tuples of elements, one of each factor; written ``G * H``.

    Its space is the direct sum of the spaces of the factors: linear parts are block diagonal.

    Args:
        factors: Two groups or more; products among them are flattened.

    Raises:
        ValueError: If there are fewer than two factors, or something else than groups.

    Example:
        >>> from equinet.groups import S
        >>> from equinet.groups import SO
        >>> G = SO(3) * S(5)
        >>> rotation, permutation = G.sample(jax.random.key(0))
        >>> G, G.vector_dim, permutation.shape
        (SO(3) * S(5), 8, (5,))
    """

    factors: tuple[Group, ...]

    def __post_init__(self) -> None:
        flat: list[Group] = []
        for factor in self.factors:
            if not isinstance(factor, Group):
                raise ValueError(f"the factors of a product must be groups, got {factor!r}")
            flat += factor.factors if isinstance(factor, DirectProduct) else [factor]
        if len(flat) < 2:
            raise ValueError(f"a product needs two groups or more, got {self.factors}; use G * H")
        object.__setattr__(self, "factors", tuple(flat))

    def __repr__(self) -> str:
        return " * ".join(map(repr, self.factors))

    @property
    def vector_dim(self) -> int:
        """Dimension of the space: the sum over the factors."""
        return sum(group.vector_dim for group in self.factors)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every factor is orthogonal."""
        return all(group.is_orthogonal for group in self.factors)

    @property
    def linear_group(self) -> "DirectProduct":
        """The product of the linear groups."""
        return DirectProduct(tuple(group.linear_group for group in self.factors))

    def identity(self, dtype: DTypeLike | None = None) -> Element:
        """The tuple of the neutral elements."""
        return tuple(group.identity(dtype) for group in self.factors)

    def compose(self, g: Element, h: Element) -> Element:
        """The products of the factors' elements."""
        g, h = self._parts(g), self._parts(h)
        return tuple(f.compose(a, b) for f, a, b in zip(self.factors, g, h, strict=True))

    def inverse(self, g: Element) -> Element:
        """The inverses of the factors' elements."""
        parts = self._parts(g)
        return tuple(group.inverse(part) for group, part in zip(self.factors, parts, strict=True))

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Element:
        """Independent elements of the factors."""
        keys = jax.random.split(key, len(self.factors))
        return tuple(f.sample(k, shape, dtype) for f, k in zip(self.factors, keys, strict=True))

    def contains(self, g: Element, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether every part lies in its factor; False for a tuple of another length."""
        if not isinstance(g, tuple | list) or len(g) != len(self.factors):
            return jnp.zeros((), bool)
        inside = [f.contains(part, atol) for f, part in zip(self.factors, g, strict=True)]
        return jnp.stack(jnp.broadcast_arrays(*inside)).all(0)

    def linear_part(self, g: Element) -> Matrix:
        """The block diagonal matrices of the linear parts."""
        parts = self._parts(g)
        return _block_diagonal(
            [group.linear_part(part) for group, part in zip(self.factors, parts, strict=True)]
        )

    def act(self, g: Element, points: PointCloud) -> PointCloud:
        """Acts with every factor on its entries of ``points``."""
        ends = np.cumsum([group.vector_dim for group in self.factors])[:-1]
        pieces = jnp.split(floating(points), ends, axis=-1)
        rows = zip(self.factors, self._parts(g), pieces, strict=True)
        moved = [group.act(part, piece) for group, part, piece in rows]
        batch = jnp.broadcast_shapes(*(piece.shape[:-1] for piece in moved))
        moved = [jnp.broadcast_to(piece, (*batch, piece.shape[-1])) for piece in moved]
        return jnp.concatenate(moved, -1)

    def lie_algebra(self) -> tuple[np.ndarray, ...]:
        """The bases of the factors one after another, zero in the other factors."""
        stacks = [np.asarray(group.lie_algebra()) for group in self.factors]
        return _side_by_side(
            stacks, [np.zeros_like(stack, shape=stack.shape[1:]) for stack in stacks]
        )

    def lie_linear_part(self, algebra: tuple[Array, ...]) -> Matrix:
        """The block diagonal matrices of the factors' algebra elements."""
        parts = self._parts(algebra)
        return _block_diagonal(
            [group.lie_linear_part(part) for group, part in zip(self.factors, parts, strict=True)]
        )

    def discrete_generators(self) -> tuple[np.ndarray, ...]:
        """The generators of every factor joined with the identities of the other factors."""
        stacks = [np.asarray(group.discrete_generators()) for group in self.factors]
        rest = [
            np.asarray(group.identity(), s.dtype)
            for group, s in zip(self.factors, stacks, strict=True)
        ]
        return _side_by_side(stacks, rest)

    def _parts(self, g: Element) -> tuple[Element, ...]:
        if not isinstance(g, tuple | list) or len(g) != len(self.factors):
            raise ValueError(
                f"an element of {self} is a tuple of {len(self.factors)} elements, "
                f"got {type(g).__name__}"
            )
        return tuple(g)


def _side_by_side(
    stacks: Sequence[np.ndarray], rest: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """The rows of one stack after another, completed by the ``rest`` of the other factors."""
    total = sum(map(len, stacks))
    filled, begin = [], 0
    for stack, value in zip(stacks, rest, strict=True):
        rows = np.broadcast_to(value.astype(stack.dtype), (total, *value.shape)).copy()
        rows[begin : begin + len(stack)] = stack
        begin += len(stack)
        filled.append(read_only(rows))
    return tuple(filled)


def _block_diagonal(blocks: Sequence[Matrix]) -> Matrix:
    dtype = max((block.dtype for block in blocks), key=lambda dtype: dtype.itemsize)
    batch = jnp.broadcast_shapes(*(block.shape[:-2] for block in blocks))
    return block_diagonal(jnp.zeros((*batch, 0, 0), dtype), [(1, block) for block in blocks])
