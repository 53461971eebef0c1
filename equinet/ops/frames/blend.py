"""A frame that changes continuously into another one near degenerate inputs."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.groups import Group
from equinet.ops.frames.frame import Frame, FrameElements


@dataclasses.dataclass(frozen=True)
class BlendFrame(Frame):
    """A preferred frame, replaced continuously by a second one near its degenerate inputs.

    The weights of the first frame rise smoothly from zero to one while its margin goes from
    ``start`` to ``end``; those of the second fall from one to zero. Both frames and the margin are
    equivariant, so the blend is too.

    Attributes:
        first: The preferred frame.
        second: The frame for inputs where the first is degenerate.
        start: Margin of the first frame below which only the second has weight.
        end: Margin of the first frame above which only the first has weight.
        group: The group of both.

    Raises:
        ValueError: If the groups differ, or 0 < start < end does not hold.

    >>> from equinet.groups import SO
    >>> from equinet.ops.frames import PCAFrame, TupleFrame
    >>> BlendFrame(PCAFrame(SO(3)), TupleFrame(SO(3)), 0.01, 0.1)(jnp.eye(3)).weights.shape
    (10,)
    """

    first: Frame
    second: Frame
    start: float = 0.01
    end: float = 0.1
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.first.group)
        if self.first.group != self.second.group:
            raise ValueError(f"frames of {self.first.group} and {self.second.group} do not blend")
        if not 0 < self.start < self.end:
            raise ValueError(f"expected 0 < start < end, got {self.start} and {self.end}")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape does not fit both frames."""
        self.first.check(shape)
        self.second.check(shape)

    def single(self, x: Float[Array, "n d"], mask: Bool[Array, "n"] | None) -> FrameElements:
        """The elements of both frames for one input."""
        first, second = self.first.single(x, mask), self.second.single(x, mask)
        t = jnp.clip((first.margin - self.start) / (self.end - self.start), 0, 1)
        t = t * t * (3 - 2 * t)
        elements = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b]), first.elements, second.elements
        )
        weights = jnp.concatenate([t * first.weights, (1 - t) * second.weights])
        degenerate = second.degenerate & (t < 1)
        margin = jnp.maximum(first.margin, second.margin)
        return FrameElements(elements, weights, margin, degenerate)
