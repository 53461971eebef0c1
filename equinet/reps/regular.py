"""The regular representation of a finite group: functions on the group."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from equinet.groups import FiniteGroup
from equinet.reps.rep import Rep
from equinet.typing import Element, Feature


@dataclasses.dataclass(frozen=True, eq=False)
class Regular(Rep):
    """The regular representation of a finite group: the entry at h moves to g h.

    The entries are in the order of ``group.elements()``.

    Args:
        group: A finite group.

    Raises:
        ValueError: If the group is not finite.

    Example:
        >>> from equinet.groups import Cyclic
        >>> Regular(Cyclic(3)).transform(jnp.int32(1), jnp.asarray([[1.0], [2.0], [3.0]]))[:, 0]
        Array([3., 1., 2.], dtype=float32)
    """

    group: FiniteGroup

    def __post_init__(self) -> None:
        if not isinstance(self.group, FiniteGroup):
            raise ValueError(
                f"the regular representation needs a finite group such as Cyclic(4), "
                f"got {self.group!r}"
            )

    @property
    def dim(self) -> int:
        """The order of the group."""
        return self.group.order

    @property
    def is_orthogonal(self) -> bool:
        """True: the matrices are permutation matrices."""
        return True

    @property
    def is_permutation(self) -> bool:
        """True: the matrices are permutation matrices."""
        return True

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """Permutation matrices: a one in row g h of column h."""
        rows = self._positions(g)[..., None, :]
        shape = (*rows.shape[:-2], self.dim, self.dim)
        index = jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 2)
        return (index == rows).astype(jnp.result_type(float))

    def lie_matrix(self, algebra: PyTree[Array]) -> Float[Array, "... dim dim"]:
        """Zero: the Lie algebra of a finite group is."""
        batch = self.group.lie_linear_part(algebra).shape[:-2]
        return jnp.zeros((*batch, self.dim, self.dim), jnp.result_type(float))

    def _apply(self, g: Element, x: Feature) -> Feature:
        sources = self._positions(self.group.inverse(g))[..., None]
        batch = jnp.broadcast_shapes(sources.shape[:-2], x.shape[:-2])
        x = jnp.broadcast_to(x, (*batch, *x.shape[-2:]))
        return jnp.take_along_axis(x, jnp.broadcast_to(sources, x.shape), axis=-2)

    def _positions(self, g: Element) -> Int[Array, "... dim"]:
        """The position of g h for every element h."""
        elements = jnp.asarray(np.asarray(self.group.elements()))
        rank = elements.ndim - 1  # axes of one element
        g = jnp.expand_dims(jnp.asarray(g), jnp.ndim(g) - rank)
        elements = elements.reshape((1,) * (g.ndim - elements.ndim) + elements.shape)
        return self.group.index(self.group.compose(g, elements))

    def __repr__(self) -> str:
        return f"Regular({self.group!r})"
