"""Diagrams cut into a bottom on the inputs and a top on the outputs, sorted into families."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array

from equinet.reps.diagrams import Block, Diagram, permutations

CLOSED, THROUGH, FREE = range(3)


@dataclasses.dataclass(frozen=True)
class Half:
    """The bottom or the top of a diagram: blocks of its own points, and where they lead.

    Args:
        blocks: Ascending tuples of points in ascending order.
        kinds: For every block: closed, through or free (part of a Levi-Civita tensor).
    """

    blocks: tuple[Block, ...]
    kinds: tuple[int, ...]

    def count(self, kind: int) -> int:
        """Number of blocks of this kind."""
        return self.kinds.count(kind)


@dataclasses.dataclass(frozen=True)
class Family:
    """All diagrams with as many through blocks and free points: one matrix product.

    Args:
        bottoms: The different bottoms.
        tops: The different tops.
        members: For every diagram: (index in the basis, bottom, order of the through blocks, top).
    """

    bottoms: tuple[Half, ...]
    tops: tuple[Half, ...]
    members: tuple[tuple[int, int, int, int], ...]

    @property
    def through(self) -> int:
        """Number of through blocks."""
        return self.bottoms[0].count(THROUGH)

    def product(
        self, channels_in: int, channels_out: int
    ) -> tuple[list[tuple[int, int | None]], list[tuple[int | None, int]]]:
        """What the matrix product takes and gives: (bottom, order) to (order, top).

        The through blocks are put in order before it or after it, where there is less to move; the
        order is None on the other side.
        """
        early = sorted({(bottom, order) for _, bottom, order, _ in self.members})
        late = sorted({(order, top) for _, _, order, top in self.members})
        bottoms, tops = range(len(self.bottoms)), range(len(self.tops))
        if len(early) * channels_in + len(tops) * channels_out < (
            len(bottoms) * channels_in + len(late) * channels_out
        ):
            return list(early), [(None, top) for top in tops]
        return [(bottom, None) for bottom in bottoms], list(late)

    def permute(self, x: Array, order: int | None) -> Array:
        """Axis i of the through blocks becomes that of the i-th through block of the top."""
        axes = permutations(self.through)[order or 0]
        if order is None or axes == tuple(range(self.through)):
            return x
        rest = range(self.through + 1, x.ndim)
        return jnp.transpose(x, (0, *(1 + axis for axis in axes), *rest))


def families(diagrams: Sequence[Diagram], outputs: int) -> tuple[Family, ...]:
    """Sorts diagrams whose first ``outputs`` points are those of the output.

    Example:
        >>> from equinet.reps.diagrams import partition_diagrams
        >>> [family.through for family in families(partition_diagrams(4, 4), 2)]
        [0, 1, 2]
    """
    groups: dict[tuple[int, int, int], list[tuple[int, Half, int, Half]]] = defaultdict(list)
    for index, diagram in enumerate(diagrams):
        bottom, order, top = _split(diagram, outputs)
        kind = (top.count(THROUGH), bottom.count(FREE), top.count(FREE))
        groups[kind].append((index, bottom, order, top))
    families = []
    for _, members in sorted(groups.items()):
        bottoms = tuple(dict.fromkeys(bottom for _, bottom, _, _ in members))
        tops = tuple(dict.fromkeys(top for _, _, _, top in members))
        table = [(i, bottoms.index(b), order, tops.index(t)) for i, b, order, t in members]
        families.append(Family(bottoms, tops, tuple(table)))
    return tuple(families)


def _split(diagram: Diagram, outputs: int) -> tuple[Half, int, Half]:
    """The bottom, the number of the order in which through blocks cross, and the top."""
    bottom, top, through = [], [], {}
    for block in (*diagram.blocks, *((point,) for point in diagram.free)):
        above = tuple(p for p in block if p < outputs)
        below = tuple(p - outputs for p in block if p >= outputs)
        kind = THROUGH if above and below else CLOSED
        kind = FREE if len(block) == 1 and block[0] in diagram.free else kind
        if above:
            top.append((above, kind))
        if below:
            bottom.append((below, kind))
        if kind == THROUGH:
            through[above] = below
    top_half, bottom_half = (
        Half(*zip(*sorted(h), strict=True)) if h else Half((), ()) for h in (top, bottom)
    )
    sources = [
        b for b, kind in zip(bottom_half.blocks, bottom_half.kinds, strict=True) if kind == THROUGH
    ]
    order = tuple(sources.index(through[above]) for above in sorted(through))
    return bottom_half, permutations(len(order)).index(order), top_half
