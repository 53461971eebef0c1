"""The defining representation of a group, its tensors and the trivial one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.groups import SO, DirectProduct, Group, O, S
from equinet.reps._rules import Irreducible, Piece
from equinet.reps.irreps import Irreps
from equinet.reps.outer import OuterRep
from equinet.reps.rep import Rep, direct_sum
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
        _check_group(self.group)

    @property
    def dim(self) -> int:
        """The n of the space that the group acts on."""
        return self.group.vector_dim

    @property
    def is_orthogonal(self) -> bool:
        """Whether the group consists of orthogonal matrices."""
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

    def _restrict(self, subgroup: Group, restrict: Callable[[Rep], Rep]) -> Rep | None:
        return None if isinstance(subgroup, DirectProduct) else Vector(subgroup)

    def _pieces(self) -> list[Piece]:
        if isinstance(self.group, DirectProduct):
            return _factor_vectors(self.group)._pieces()
        return super()._pieces()

    def _irreducible(self, unit: Callable[[Group], Rep | None]) -> Irreducible | None:
        if self.group.linear_group not in (O(3), SO(3)):
            return None
        return [(Irreps("1o", group=self.group), np.eye(3))]

    def __repr__(self) -> str:
        return f"Vector({self.group!r})"


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


def _factor_vectors(group: DirectProduct) -> Rep:
    """The vector of a product as a sum: the vector of each factor, fixed by the others."""
    scalars: list[Any] = [Scalar(factor) for factor in group.factors]
    terms = []
    for i, factor in enumerate(group.factors):
        terms.append(OuterRep((*scalars[:i], Vector(factor), *scalars[i + 1 :])))
    return direct_sum(group, terms)


def _check_group(group: Any) -> None:
    """Raises the ``ValueError`` of a rep asked for with something else than a group."""
    if not isinstance(group, Group):
        raise ValueError(f"a rep needs a group such as O(3), got {group!r}")
