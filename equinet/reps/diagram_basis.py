r"""Equivariant maps between tensor powers as diagrams, applied without building their matrices.

A diagram on l output and k input points is read from right to left: its *bottom* takes the diagonal
over every block of inputs and sums the blocks that no output belongs to (a trace, for a pair); its
*through* blocks are carried to the outputs in some order; its *top* places them, on the diagonal of
blocks of several outputs, and multiplies by the tensors of blocks of outputs alone. All diagrams
with t through blocks share one matrix product: from the bottoms, in all t! orders, each computed
once, to the tops.

References:
    E. Pearce-Crump, arXiv:2303.06208, arXiv:2212.08630 (2022, 2023): the diagrams; E. Pearce-Crump,
    W. J. Knottenbelt, arXiv:2312.09016 (2023): factor, permute, multiply.
"""

import dataclasses
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.reps.diagrams import (
    Block,
    Diagram,
    free_gram,
    levi_civita,
    matching_gram,
    partition_gram,
    permutations,
)
from equinet.reps.maps import Kernel, Maps

HIGHEST = jax.lax.Precision.HIGHEST
_CLOSED, _THROUGH, _FREE = range(3)


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
        return self.bottoms[0].count(_THROUGH)


class DiagramMaps(Maps):
    """Linear maps from order k to order l tensors over R^n, one for each diagram.

    Args:
        n: Dimension of the vectors.
        outputs: The l.
        inputs: The k.
        diagrams: On ``outputs + inputs`` points, outputs first.
        form: What joins two inputs or two outputs: a signed permutation matrix, orthogonal; None
            stands for the identity.
        split: The number of points of the output of the maps whose entries are meant: pairs across
            it are joined by the identity. None stands for ``outputs``.
    """

    def __init__(
        self,
        n: int,
        outputs: int,
        inputs: int,
        diagrams: Sequence[Diagram],
        form: Float[np.ndarray, "n n"] | None = None,
        split: int | None = None,
    ) -> None:
        self.n, self.outputs, self.inputs = n, outputs, inputs
        self.dim, self.rows, self.columns = len(diagrams), n**outputs, n**inputs
        self.diagrams, self.form = tuple(diagrams), form
        self.split = outputs if split is None else split
        self.families = _families(self.diagrams, outputs)

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """The naive reference: every map as a matrix of products of Kronecker deltas."""
        n, points = self.n, self.outputs + self.inputs
        stack = np.ones((len(self.diagrams), *(n,) * points))
        index = np.indices((n,) * points, dtype=np.int32) if self.diagrams else None
        for tensor, diagram in zip(stack, self.diagrams, strict=True):
            for block in diagram.blocks:
                for a, b in itertools.pairwise(block):
                    tensor *= self.pair(a, b)[index[a], index[b]]  # type: ignore[index]
            for point in diagram.free:
                tensor *= self.sign(point)[index[point]]  # type: ignore[index]
            if diagram.free:
                tensor *= levi_civita(np.moveaxis(index[list(diagram.free)], 0, -1))  # type: ignore[index]
        return stack.reshape(len(stack), n**self.outputs, n**self.inputs)

    def norms(self) -> Float[np.ndarray, "dim"]:
        """The squared Frobenius norm of every map."""
        levi_civita_norm = math.factorial(self.n)
        return np.array(
            [
                float(self.n) ** len(diagram.blocks) * (levi_civita_norm if diagram.free else 1)
                for diagram in self.diagrams
            ]
        )

    def apply(
        self,
        x: Float[Array, "... n**k channels_in"],
        weights: Float[Array, "dim channels_in channels_out"],
    ) -> Float[Array, "... n**l channels_out"]:
        """The weighted sum of the maps; the batch goes through in chunks that stay in cache."""
        batch, channels_out = x.shape[:-2], weights.shape[-1]
        size = (self.n**self.outputs, channels_out)
        if not self.diagrams or not math.prod(batch):
            return jnp.zeros((*batch, *size), x.dtype)
        mixers = [self._mixer(family, weights) for family in self.families]
        rows = x.reshape(-1, *x.shape[-2:])
        chunk = rows_per_chunk(
            len(rows), self._bytes_per_row(x.shape[-1], channels_out, x.dtype.itemsize)
        )
        y = map_chunks(lambda block: self._apply_rows(block, mixers), chunk, rows)
        return y.reshape(*batch, *size)

    def sign(self, point: int) -> Float[np.ndarray, "n"]:
        """What lowers the index of the Levi-Civita tensor at a point of the input."""
        plain = point < self.split or self.form is None
        return np.ones(self.n) if plain else np.diagonal(self.form)  # type: ignore[arg-type]

    def project(self, kernel: Kernel) -> Kernel:
        """The inner products with every map, through the inverse Gram matrix, as maps again."""
        points, tail = self.outputs + self.inputs, kernel.shape[2:]
        if not self.diagrams:
            return jnp.zeros_like(kernel)
        flat = kernel.reshape(1, *(self.n,) * points, math.prod(tail))
        contract = DiagramMaps(self.n, 0, points, self.diagrams, self.form, self.split)
        reducer = _Reducer(contract, flat)
        inner: list[Array] = [flat] * self.dim
        for family in contract.families:
            for member, bottom, _, _ in family.members:
                inner[member] = reducer.bottom(family.bottoms[bottom], 0).reshape(-1)
        inverse = jnp.asarray(_inverse_gram(self), kernel.dtype)
        weights = jnp.matmul(inverse, jnp.stack(inner), precision=HIGHEST)
        expand = DiagramMaps(self.n, points, 0, self.diagrams, self.form, self.split)
        one = jnp.ones((1, 1), kernel.dtype)
        return expand.apply(one, weights[:, None]).reshape(kernel.shape)

    def gram(self) -> Float[np.ndarray, "dim dim"]:
        """The inner products of the maps, from the diagrams."""
        plain = [d for d in self.diagrams if not d.free]
        free = [d for d in self.diagrams if d.free]
        if any(len(block) != 2 for diagram in plain for block in diagram.blocks):
            return partition_gram(plain, self.n)
        antisymmetric = self.form is not None and self.form[0, 0] == 0
        gram = np.zeros((self.dim, self.dim))
        gram[: len(plain), : len(plain)] = matching_gram(plain, self.n, symplectic=antisymmetric)
        gram[len(plain) :, len(plain) :] = free_gram(free, self.n)
        return gram

    def _bytes_per_row(self, channels_in: int, channels_out: int, itemsize: int) -> int:
        entries = channels_in * self.n**self.inputs + channels_out * self.n**self.outputs
        for family in self.families:
            size = self.n ** (family.through + self._free_outputs(family))
            stacked = len(family.bottoms) * math.factorial(family.through)
            entries += size * (stacked * channels_in + len(family.tops) * channels_out)
        return entries * itemsize

    def _free_outputs(self, family: Family) -> int:
        return family.tops[0].count(_FREE)

    def _mixer(
        self, family: Family, weights: Array
    ) -> Float[Array, "sources*channels_in tops*channels_out"]:
        """The weights of a family as one matrix; zero where a combination is not in the basis."""
        orders, tops = math.factorial(family.through), len(family.tops)
        index = np.full((len(family.bottoms), orders, tops), -1, np.int32)
        for member, bottom, order, top in family.members:
            index[bottom, order, top] = member
        _, channels_in, channels_out = weights.shape
        chosen = weights[np.maximum(index, 0).ravel()]
        if (index < 0).any():
            chosen = jnp.where((index < 0).reshape(-1, 1, 1), jnp.zeros((), weights.dtype), chosen)
        chosen = chosen.reshape(-1, tops, channels_in, channels_out)
        return jnp.swapaxes(chosen, 1, 2).reshape(-1, tops * channels_out)

    def _apply_rows(self, x: Array, mixers: Sequence[Array]) -> Array:
        rows, _, channels = x.shape
        reducer = _Reducer(self, x.reshape(rows, *(self.n,) * self.inputs, channels))
        placed: dict[tuple[Block, ...], list[Array]] = defaultdict(list)
        for family, mixer in zip(self.families, mixers, strict=True):
            axes = range(family.through)
            sources = []
            for bottom in family.bottoms:
                reduced = reducer.bottom(bottom, self._free_outputs(family))
                rest = range(family.through + 1, reduced.ndim)
                sources += [
                    jnp.transpose(reduced, (0, *(1 + order[i] for i in axes), *rest))
                    for order in permutations(family.through)
                ]
            stacked = sources[0] if len(sources) == 1 else jnp.concatenate(sources, -1)
            mixed = jnp.matmul(stacked, mixer, precision=HIGHEST)
            pieces = jnp.split(mixed, len(family.tops), -1) if len(family.tops) > 1 else [mixed]
            for top, piece in zip(family.tops, pieces, strict=True):
                placed[top.blocks].append(self._spread(top, piece))
        return self._join(placed, rows)

    def _spread(self, top: Half, piece: Array) -> Array:
        """The axes of a top in the order of its blocks; length one where the block is closed."""
        rows, *_, channels = piece.shape
        through = top.count(_THROUGH)
        slots = [0] * len(top.kinds)
        for kind, start in ((_THROUGH, 0), (_FREE, through)):
            places = [i for i, k in enumerate(top.kinds) if k == kind]
            for offset, place in enumerate(places):
                slots[place] = 1 + start + offset
                if kind == _FREE:
                    piece = self.lowered(piece, slots[place], top.blocks[place][0])
        carried = [slot for slot in slots if slot]
        if carried != sorted(carried):
            piece = jnp.transpose(piece, (0, *carried, piece.ndim - 1))
        return piece.reshape(rows, *(self.n if slot else 1 for slot in slots), channels)

    def lowered(self, x: Array, axis: int, point: int) -> Array:
        """The axis of a free point times its signs."""
        if point < self.split or self.form is None:
            return x
        shape = [1] * x.ndim
        shape[axis] = self.n
        return x * jnp.asarray(self.sign(point), x.dtype).reshape(shape)

    def _join(self, placed: dict[tuple[Block, ...], list[Array]], rows: int) -> Array:
        """Adds up what was placed: first what shares its blocks, then over the blocks."""
        total: Array | None = None
        for blocks, pieces in placed.items():
            value = functools.reduce(jnp.add, pieces)
            channels = value.shape[-1]
            lengths = dict(zip((block[0] for block in blocks), value.shape[1:-1], strict=True))
            value = value.reshape(
                rows, *(lengths.get(point, 1) for point in range(self.outputs)), channels
            )
            for block in blocks:
                for a, b in itertools.pairwise(block):
                    shape = [1] * value.ndim
                    shape[1 + a] = shape[1 + b] = self.n
                    value = value * jnp.asarray(self.pair(a, b), value.dtype).reshape(shape)
            total = value if total is None else total + value
        assert total is not None
        full = (rows, *(self.n,) * self.outputs, total.shape[-1])
        return jnp.broadcast_to(total, full).reshape(rows, -1, total.shape[-1])

    def pair(self, a: int, b: int) -> Float[np.ndarray, "n n"]:
        """What joins two points."""
        through = a < self.split <= b
        return np.eye(self.n) if through or self.form is None else self.form


class _Reducer:
    """The bottoms of diagrams on one input; what they share is computed once."""

    def __init__(self, maps: DiagramMaps, x: Float[Array, "rows ... channels"]) -> None:
        self._maps = maps
        self._known: dict[tuple[tuple[Block, ...], frozenset[Block]], Array] = {
            (tuple((p,) for p in range(maps.inputs)), frozenset()): x
        }

    def bottom(self, half: Half, free_outputs: int) -> Array:
        """``[rows, n (every through block), n (every free output), channels]``."""
        closed = frozenset(
            b for b, kind in zip(half.blocks, half.kinds, strict=True) if kind == _CLOSED
        )
        value = self._reduced(half.blocks, closed)
        if not half.count(_FREE) and not free_outputs:
            return value
        kinds = [kind for kind in half.kinds if kind != _CLOSED]
        axes = [1 + i for kind in (_THROUGH, _FREE) for i, k in enumerate(kinds) if k == kind]
        points = [b[0] for b, kind in zip(half.blocks, half.kinds, strict=True) if kind != _CLOSED]
        for i, (kind, point) in enumerate(zip(kinds, points, strict=True)):
            if kind == _FREE:
                value = self._maps.lowered(value, 1 + i, self._maps.outputs + point)
        value = jnp.transpose(value, (0, *axes, value.ndim - 1))
        return _contract_levi_civita(value, self._maps.n, half.count(_FREE), free_outputs)

    def _reduced(self, blocks: tuple[Block, ...], closed: frozenset[Block]) -> Array:
        key = (blocks, closed)
        if key not in self._known:
            if closed:
                block = max(closed)
                open_blocks = [b for b in blocks if b not in closed or b == block]
                value = self._reduced(blocks, closed - {block})
                self._known[key] = value.sum(1 + open_blocks.index(block))
            else:
                self._known[key] = self._diagonal(blocks)
        return self._known[key]

    def _diagonal(self, blocks: tuple[Block, ...]) -> Array:
        """Over every block of several points: joins its last point to the others."""
        block = next(b for b in blocks if len(b) > 1)
        *others, last = block
        finer = tuple(sorted([b for b in blocks if b != block] + [tuple(others), (last,)]))
        value = self._reduced(finer, frozenset())
        first, second = (1 + finer.index(b) for b in (tuple(others), (last,)))
        maps = self._maps
        through = others[0] < maps.split - maps.outputs <= last
        return take_diagonal(value, first, second, None if through else maps.form)


@functools.cache
def _inverse_gram(maps: DiagramMaps) -> Float[np.ndarray, "dim dim"]:
    """Through the normalised Gram matrix, whose entries are of the order of one."""
    scale = 1 / np.sqrt(maps.norms())
    return np.linalg.inv(maps.gram() * scale[:, None] * scale) * scale[:, None] * scale


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


@functools.cache
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


def _families(diagrams: Sequence[Diagram], outputs: int) -> tuple[Family, ...]:
    groups: dict[tuple[int, int, int], list[tuple[int, Half, int, Half]]] = defaultdict(list)
    for index, diagram in enumerate(diagrams):
        bottom, order, top = _split(diagram, outputs)
        kind = (top.count(_THROUGH), bottom.count(_FREE), top.count(_FREE))
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
        kind = _THROUGH if above and below else _CLOSED
        kind = _FREE if len(block) == 1 and block[0] in diagram.free else kind
        if above:
            top.append((above, kind))
        if below:
            bottom.append((below, kind))
        if kind == _THROUGH:
            through[above] = below
    top_half, bottom_half = (
        Half(*zip(*sorted(h), strict=True)) if h else Half((), ()) for h in (top, bottom)
    )
    sources = [
        b for b, kind in zip(bottom_half.blocks, bottom_half.kinds, strict=True) if kind == _THROUGH
    ]
    order = tuple(sources.index(through[above]) for above in sorted(through))
    return bottom_half, permutations(len(order)).index(order), top_half
