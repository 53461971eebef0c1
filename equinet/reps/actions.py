"""Actions on arrays that are not features: points, and arrays without a channel axis."""

import dataclasses
from typing import Protocol

from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.reps.rep import Rep
from equinet.typing import Element, PointCloud


class Transformable(Protocol):
    """Whatever says how a group acts on an array: a ``Rep``, ``Points``, or a value of your own."""

    @property
    def group(self) -> Group:
        """The group whose elements ``transform`` takes."""
        ...

    def transform(self, g: Element, x: Array) -> Array:
        """The array after the action of one element ``g``."""
        ...


@dataclasses.dataclass(frozen=True)
class Points:
    """Points ``[..., n]``, which the group moves: under E(n) translations count, unlike for a rep.

    Args:
        group: The group.

    Example:
        >>> from equinet.groups import E
        >>> Points(E(3)).shape
        (3,)
    """

    group: Group

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.group.vector_dim,)

    def transform(self, g: Element, x: PointCloud) -> PointCloud:
        """Moves the points."""
        return self.group.act(g, x)


@dataclasses.dataclass(frozen=True)
class WithoutChannels:
    """Arrays ``[..., rep.dim]`` without a channel axis, such as forces or the rows of a cell.

    Args:
        rep: How the last axis transforms.

    Example:
        >>> import jax.numpy as jnp
        >>> from equinet.groups import E
        >>> from equinet.reps import Vector
        >>> forces = WithoutChannels(Vector(E(3)))
        >>> forces.transform(E(3).discrete_generators()[0], jnp.ones((5, 3))).shape
        (5, 3)
    """

    rep: Rep

    @property
    def group(self) -> Group:
        """The group of the rep."""
        return self.rep.group

    @property
    def shape(self) -> tuple[int]:
        """Shape of one entry."""
        return (self.rep.dim,)

    def transform(self, g: Element, x: Float[Array, "... dim"]) -> Float[Array, "... dim"]:
        """Acts on the last axis."""
        return self.rep.transform(g, x[..., None])[..., 0]
