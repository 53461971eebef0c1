"""The bottoms of diagrams on an input: diagonals, traces, sums, Levi-Civita contractions."""

import dataclasses
import functools
import itertools
from collections import defaultdict
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.reps.bases.diagrams import Block, Diagram, levi_civita, permutations

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
        >>> from equinet.reps.bases.diagrams import partition_diagrams
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


@dataclasses.dataclass(frozen=True, eq=False)
class Metric:
    """What joins the points of diagrams.

    Args:
        n: Dimension of the vectors.
        split: Number of points of the output; pairs across it are joined by the identity.
        form: What joins two inputs or two outputs: a signed permutation matrix, orthogonal; None
            stands for the identity.
    """

    n: int
    split: int
    form: Float[np.ndarray, "n n"] | None = None

    def pair(self, a: int, b: int) -> Float[np.ndarray, "n n"]:
        """What joins the points a < b."""
        through = a < self.split <= b
        return np.eye(self.n) if through or self.form is None else self.form

    def sign(self, point: int) -> Float[np.ndarray, "n"]:
        """What lowers the index of a Levi-Civita tensor at a point of the input."""
        if point < self.split or self.form is None:
            return np.ones(self.n)
        return np.diagonal(self.form)

    def lowered(self, x: Array, axis: int, point: int) -> Array:
        """The axis of a free point times its signs."""
        if point < self.split or self.form is None:
            return x
        shape = [1] * x.ndim
        shape[axis] = self.n
        return x * jnp.asarray(self.sign(point), x.dtype).reshape(shape)


class Reducer:
    """The bottoms of diagrams on one input; what they share is computed once.

    Args:
        metric: What joins the points.
        first: The first point of the input: the number of those of the output.
        x: The input, one axis for each of its points.
        mean: Weights of the sums over closed blocks; ones if absent.
    """

    def __init__(
        self,
        metric: Metric,
        first: int,
        x: Float[Array, "rows ... channels"],
        mean: Float[Array, "rows n"] | None = None,
    ) -> None:
        self._metric, self._first, self._mean = metric, first, mean
        points = tuple((p,) for p in range(x.ndim - 2))
        self._known: dict[tuple[tuple[Block, ...], frozenset[Block]], Array] = {
            (points, frozenset()): x
        }

    def bottom(self, half: Half, free_outputs: int) -> Array:
        """``[rows, n (every through block), n (every free output), channels]``."""
        closed = frozenset(
            b for b, kind in zip(half.blocks, half.kinds, strict=True) if kind == CLOSED
        )
        value = self._reduced(half.blocks, closed)
        if not half.count(FREE) and not free_outputs:
            return value
        kinds = [kind for kind in half.kinds if kind != CLOSED]
        axes = [1 + i for kind in (THROUGH, FREE) for i, k in enumerate(kinds) if k == kind]
        points = [b[0] for b, kind in zip(half.blocks, half.kinds, strict=True) if kind != CLOSED]
        for i, (kind, point) in enumerate(zip(kinds, points, strict=True)):
            if kind == FREE:
                value = self._metric.lowered(value, 1 + i, self._first + point)
        value = jnp.transpose(value, (0, *axes, value.ndim - 1))
        return _contract_levi_civita(value, self._metric.n, half.count(FREE), free_outputs)

    def _reduced(self, blocks: tuple[Block, ...], closed: frozenset[Block]) -> Array:
        key = (blocks, closed)
        if key not in self._known:
            if closed:
                block = max(closed)
                open_blocks = [b for b in blocks if b not in closed or b == block]
                value = self._reduced(blocks, closed - {block})
                self._known[key] = self._sum(value, 1 + open_blocks.index(block))
            else:
                self._known[key] = self._diagonal(blocks)
        return self._known[key]

    def _sum(self, x: Array, axis: int) -> Array:
        if self._mean is None:
            return x.sum(axis)
        shape = [len(x), *(1,) * (x.ndim - 1)]
        shape[axis] = x.shape[axis]
        return (x * self._mean.reshape(shape)).sum(axis)

    def _diagonal(self, blocks: tuple[Block, ...]) -> Array:
        """Over every block of several points: joins its last point to the others."""
        block = next(b for b in blocks if len(b) > 1)
        *others, last = block
        finer = tuple(sorted([b for b in blocks if b != block] + [tuple(others), (last,)]))
        value = self._reduced(finer, frozenset())
        first, second = (1 + finer.index(b) for b in (tuple(others), (last,)))
        through = others[0] < self._metric.split - self._first <= last
        return take_diagonal(value, first, second, None if through else self._metric.form)


def take_diagonal(x: Array, first: int, second: int, form: np.ndarray | None = None) -> Array:
    """The entries at equal indices of two axes, as the first of them; the second is dropped.

    With a signed permutation F as form: those at i and the j of F[i, j] != 0, times F[i, j].

    Example:
        >>> take_diagonal(jnp.arange(9.0).reshape(3, 3), 0, 1)
        Array([0., 4., 8.], dtype=float32)
    """
    n = x.shape[first]
    if form is None and second == first + 1:
        before, after = x.shape[:first], x.shape[second + 1 :]
        flat = x.reshape(*before, n * n, *after)
        return jax.lax.slice_in_dim(flat, 0, n * n, n + 1, axis=first)
    column = np.arange(n, dtype=np.int32) if form is None else _columns(form)
    moved = jnp.moveaxis(x, (first, second), (0, 1))
    taken = moved[np.arange(n, dtype=np.int32), column]
    if form is not None:
        signs = jnp.asarray(form[np.arange(n), column], x.dtype)
        taken = taken * signs.reshape(-1, *(1,) * (taken.ndim - 1))
    return jnp.moveaxis(taken, 0, first)


def _columns(form: Float[np.ndarray, "n n"]) -> Int[np.ndarray, "n"]:
    return np.abs(form).argmax(1).astype(np.int32)


@functools.lru_cache(64)
def _levi_civita_table(
    n: int, inputs: int
) -> tuple[Int[np.ndarray, "rows terms"], Float[np.ndarray, "rows terms"]]:
    """For every index of the outputs: the flat inputs that it meets, and the signs."""
    outputs = n - inputs
    rows = np.array(list(itertools.product(range(n), repeat=outputs)), np.int64)
    orders = (
        np.array(permutations(inputs), np.int64).reshape(-1, inputs)
        if inputs
        else np.zeros((1, 0), np.int64)
    )
    index = np.zeros((len(rows), len(orders)), np.int32)
    signs = np.zeros(index.shape)
    for i, row in enumerate(rows):
        rest = np.setdiff1d(np.arange(n), row)
        if len(rest) == inputs:
            columns = rest[orders]
            index[i] = columns @ n ** np.arange(inputs)[::-1]
            signs[i] = levi_civita(np.concatenate([np.tile(row, (len(orders), 1)), columns], 1))
    return index, signs


def _contract_levi_civita(x: Array, n: int, inputs: int, outputs: int) -> Array:
    """The last ``inputs`` axes before the channels contracted with a Levi-Civita tensor."""
    index, signs = _levi_civita_table(n, inputs)
    lead = x.shape[: x.ndim - 1 - inputs]
    flat = x.reshape(*lead, n**inputs, x.shape[-1])
    taken = jnp.take(flat, index, axis=-2)  # [..., rows, terms, channels]
    table = jnp.asarray(signs, x.dtype).reshape((1,) * len(lead) + (*signs.shape, 1))
    return (taken * table).sum(-2).reshape(*lead, *(n,) * outputs, x.shape[-1])
