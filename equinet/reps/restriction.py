"""The same representation, of a subgroup."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from equinet.groups import Group
from equinet.reps.rep import Rep
from equinet.typing import Element, Feature


@dataclasses.dataclass(frozen=True, eq=False)
class Restriction(Rep):
    """A rep that no rule restricts, seen by a subgroup; made by ``restrict``."""

    base: Rep
    group: Group

    @property
    def dim(self) -> int:
        """The dimension of the base."""
        return self.base.dim

    @property
    def is_orthogonal(self) -> bool:
        """Whether the base is orthogonal."""
        return self.base.is_orthogonal

    @property
    def is_permutation(self) -> bool:
        """Whether the base permutes."""
        return self.base.is_permutation

    @property
    def dual(self) -> Rep:
        """The restriction of the dual."""
        return self if self.is_orthogonal else Restriction(self.base.dual, self.group)

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The matrix of the element, seen as an element of the larger group."""
        return self.base.matrix(_enlarged(self.base.group, self.group, g))

    def lie_matrix(self, algebra: PyTree[Array]) -> Float[Array, "... dim dim"]:
        """The matrix of the element, seen as an element of the larger Lie algebra."""
        if not _by_linear_part(self.base.group, self.group):
            return self.base.lie_matrix(algebra)
        return self.base.lie_matrix(self.group.lie_linear_part(algebra))

    def _apply(self, g: Element, x: Feature) -> Feature:
        return self.base._apply(_enlarged(self.base.group, self.group, g), x)

    def __repr__(self) -> str:
        return f"restrict({self.base!r}, {self.group!r})"


def restrict(rep: Rep, subgroup: Group) -> Rep:
    """The rep as one of a subgroup, on the same axis.

    The subgroup is a group whose elements, or whose linear parts, are elements of ``rep.group``:
    SO(3) or S(3) in O(3), ``OnAxes(O(2), 3, (0, 1))`` in O(3), SE(3) in E(3).

    Args:
        rep: Any rep.
        subgroup: The smaller group.

    Raises:
        ValueError: If it is not a subgroup in that sense.

    Example:
        >>> from equinet.groups import SO, O, OnAxes
        >>> from equinet.reps import Irreps, Vector
        >>> restrict(Vector(O(3)) ** 2, OnAxes(O(2), 3, (0, 1)))
        Vector(OnAxes(O(2), 3, (0, 1)))**2
        >>> restrict(Irreps("0o+1o"), SO(3))
        Irreps("0e+1e", group=SO(3))
    """
    if rep.group == subgroup:
        return rep
    _check_subgroup(rep.group, subgroup)
    return _restrict(rep, subgroup)


def _restrict(rep: Rep, subgroup: Group) -> Rep:
    restricted = rep._restrict(subgroup, lambda part: _restrict(part, subgroup))
    return Restriction(rep, subgroup) if restricted is None else restricted


def _by_linear_part(group: Group, subgroup: Group) -> bool:
    """Whether the linear parts of the subgroup, not its elements, are elements of the group."""
    larger, smaller = (jax.eval_shape(lambda g=g: g.identity()) for g in (group, subgroup))
    return jax.tree.map(_kind, larger) != jax.tree.map(_kind, smaller)


def _kind(leaf: jax.ShapeDtypeStruct) -> tuple[tuple[int, ...], str]:
    return leaf.shape, leaf.dtype.kind


def _enlarged(group: Group, subgroup: Group, g: Element) -> Element:
    return subgroup.linear_part(g) if _by_linear_part(group, subgroup) else g


@functools.lru_cache(256)
def _check_subgroup(group: Group, subgroup: Group) -> None:
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        samples = subgroup.sample(jax.random.key(0), (4,))
        fixed = subgroup.discrete_generators()
        elements = jax.tree.map(
            lambda a, b: jnp.concatenate([a, jnp.asarray(b, a.dtype)]), samples, fixed
        )
        inside = np.asarray(group.contains(_enlarged(group, subgroup, elements)))
    if not np.all(inside):
        raise ValueError(
            f"{subgroup} is not a subgroup of {group}: its elements or linear parts must be "
            f"elements of {group}, such as those of OnAxes(O(2), 3, (0, 1)) in O(3)"
        )
