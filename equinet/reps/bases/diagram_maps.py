r"""Equivariant maps between tensor powers as diagrams, applied without building their matrices.

A diagram on l output and k input points is read from right to left: its *bottom* takes the diagonal
over every block of inputs and sums the blocks that no output belongs to (a trace, for a pair); its
*through* blocks are carried to the outputs in some order; its *top* places them, on the diagonal of
blocks of several outputs, and multiplies by the tensors of blocks of outputs alone. All diagrams
with t through blocks share one matrix product: from the bottoms, in all t! orders, each computed
once, to the tops.

References:
    E. Pearce-Crump: the diagrams, arXiv:2212.08648 and arXiv:2212.08630 (2022); their
    multiplication, arXiv:2303.06208 and arXiv:2304.14165 (2023).
"""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.precision import HIGHEST
from equinet.reps.bases.diagram_contractions import (
    FREE,
    THROUGH,
    Family,
    Half,
    Metric,
    Reducer,
    families,
)
from equinet.reps.bases.diagrams import (
    Block,
    Diagram,
    free_gram,
    levi_civita,
    matching_gram,
    partition_gram,
)
from equinet.reps.bases.linear_maps import Kernel, Maps


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
        self.diagrams, self.families = tuple(diagrams), families(diagrams, outputs)
        self.metric = Metric(n, outputs if split is None else split, form)

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """The naive reference: every map as a matrix of products of Kronecker deltas."""
        n, points = self.n, self.outputs + self.inputs
        stack = np.ones((len(self.diagrams), *(n,) * points))
        index = np.indices((n,) * points, dtype=np.int32) if self.diagrams else None
        for tensor, diagram in zip(stack, self.diagrams, strict=True):
            for block in diagram.blocks:
                for a, b in itertools.pairwise(block):
                    tensor *= self.metric.pair(a, b)[index[a], index[b]]  # type: ignore[index]
            for point in diagram.free:
                tensor *= self.metric.sign(point)[index[point]]  # type: ignore[index]
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
        mean: Float[Array, "... n"] | None = None,
    ) -> Float[Array, "... n**l channels_out"]:
        """The weighted sum of the maps; the batch goes through in chunks that stay in cache.

        With ``mean`` every sum over a block of inputs alone has these weights, such as those of a
        mean over the members of a padded set.
        """
        batch, channels_out = x.shape[:-2], weights.shape[-1]
        size = (self.n**self.outputs, channels_out)
        if not self.diagrams or not math.prod(batch):
            return jnp.zeros((*batch, *size), x.dtype)
        mixers = [self._mixer(family, weights) for family in self.families]
        rows = x.reshape(-1, *x.shape[-2:])
        chunk = rows_per_chunk(
            len(rows), self._bytes_per_row(x.shape[-1], channels_out, x.dtype.itemsize)
        )
        means = () if mean is None else (mean.reshape(-1, self.n),)

        def apply_rows(block: Array, *mean: Array) -> Array:
            return self._apply_rows(block, mixers, channels_out, *mean)

        return map_chunks(apply_rows, chunk, rows, *means).reshape(*batch, *size)

    def each(self, x: Array) -> Array:
        """Every diagram by itself: its bottom, then its top."""
        *batch, _, channels = x.shape
        if not self.diagrams:
            return jnp.zeros((*batch, self.rows, 0), x.dtype)
        rows = x.reshape(-1, *(self.n,) * self.inputs, channels)
        reducer = Reducer(self.metric, self.outputs, rows)
        parts: list[Array] = [rows] * self.dim
        for family in self.families:
            free = self._free_outputs(family)
            for member, bottom, order, top in family.members:
                piece = family.permute(reducer.bottom(family.bottoms[bottom], free), order)
                piece = self._spread(family.tops[top], piece)
                parts[member] = self._join({family.tops[top].blocks: [piece]}, len(rows))
        return jnp.concatenate(parts, -1).reshape(*batch, self.rows, self.dim * channels)

    def project(self, kernel: Kernel) -> Kernel:
        """The inner products with every map, through the inverse Gram matrix, as maps again."""
        points, tail, metric = self.outputs + self.inputs, kernel.shape[2:], self.metric
        if not self.diagrams:
            return jnp.zeros_like(kernel)
        flat = kernel.reshape(1, *(self.n,) * points, math.prod(tail))
        contract = DiagramMaps(self.n, 0, points, self.diagrams, metric.form, metric.split)
        reducer = Reducer(metric, 0, flat)
        inner: list[Array] = [flat] * self.dim
        for family in contract.families:
            for member, bottom, _, _ in family.members:
                inner[member] = reducer.bottom(family.bottoms[bottom], 0).reshape(-1)
        inverse = jnp.asarray(_inverse_gram(self), kernel.dtype)
        weights = jnp.matmul(inverse, jnp.stack(inner), precision=HIGHEST)
        expand = DiagramMaps(self.n, points, 0, self.diagrams, metric.form, metric.split)
        one = jnp.ones((1, 1), kernel.dtype)
        return expand.apply(one, weights[:, None]).reshape(kernel.shape)

    def gram(self) -> Float[np.ndarray, "dim dim"]:
        """The inner products of the maps, from the diagrams."""
        plain = [d for d in self.diagrams if not d.free]
        free = [d for d in self.diagrams if d.free]
        if any(len(block) != 2 for diagram in plain for block in diagram.blocks):
            return partition_gram(plain, self.n)
        form = self.metric.form
        antisymmetric = form is not None and form[0, 0] == 0
        gram = np.zeros((self.dim, self.dim))
        gram[: len(plain), : len(plain)] = matching_gram(plain, self.n, symplectic=antisymmetric)
        gram[len(plain) :, len(plain) :] = free_gram(free, self.n)
        return gram

    def _bytes_per_row(self, channels_in: int, channels_out: int, itemsize: int) -> int:
        entries = channels_in * self.n**self.inputs + channels_out * self.n**self.outputs
        for family in self.families:
            size = self.n ** (family.through + self._free_outputs(family))
            sources, targets = family.product(channels_in, channels_out)
            entries += size * (len(sources) * channels_in + len(targets) * channels_out)
        return entries * itemsize

    def _free_outputs(self, family: Family) -> int:
        return family.tops[0].count(FREE)

    def _mixer(
        self, family: Family, weights: Array
    ) -> Float[Array, "sources*channels_in targets*channels_out"]:
        """The weights of a family as one matrix; zero where a combination is not in the basis."""
        _, channels_in, channels_out = weights.shape
        sources, targets = family.product(channels_in, channels_out)
        index = np.full((len(sources), len(targets)), -1, np.int32)
        for member, bottom, order, top in family.members:
            early = (bottom, order) in sources
            source = (bottom, order if early else None)
            index[sources.index(source), targets.index((None if early else order, top))] = member
        chosen = weights[np.maximum(index, 0).ravel()]
        if (index < 0).any():
            chosen = jnp.where((index < 0).reshape(-1, 1, 1), jnp.zeros((), weights.dtype), chosen)
        chosen = chosen.reshape(*index.shape, channels_in, channels_out)
        return jnp.swapaxes(chosen, 1, 2).reshape(len(sources) * channels_in, -1)

    def _apply_rows(
        self, x: Array, mixers: Sequence[Array], channels_out: int, mean: Array | None = None
    ) -> Array:
        rows, _, channels = x.shape
        x = x.reshape(rows, *(self.n,) * self.inputs, channels)
        reducer = Reducer(self.metric, self.outputs, x, mean)
        placed: dict[tuple[Block, ...], list[Array]] = defaultdict(list)
        for family, mixer in zip(self.families, mixers, strict=True):
            sources, targets = family.product(channels, channels_out)
            free = self._free_outputs(family)
            reduced = [
                family.permute(reducer.bottom(family.bottoms[bottom], free), order)
                for bottom, order in sources
            ]
            stacked = reduced[0] if len(reduced) == 1 else jnp.concatenate(reduced, -1)
            mixed = jnp.matmul(stacked, mixer)  # of channels: in the caller's precision
            pieces = jnp.split(mixed, len(targets), -1) if len(targets) > 1 else [mixed]
            for (order, which), piece in zip(targets, pieces, strict=True):
                top = family.tops[which]
                placed[top.blocks].append(self._spread(top, family.permute(piece, order)))
        return self._join(placed, rows)

    def _spread(self, top: Half, piece: Array) -> Array:
        """The axes of a top in the order of its blocks; length one where the block is closed."""
        rows, *_, channels = piece.shape
        through = top.count(THROUGH)
        slots = [0] * len(top.kinds)
        for kind, start in ((THROUGH, 0), (FREE, through)):
            places = [i for i, k in enumerate(top.kinds) if k == kind]
            for offset, place in enumerate(places):
                slots[place] = 1 + start + offset
                if kind == FREE:
                    piece = self.metric.lowered(piece, slots[place], top.blocks[place][0])
        carried = [slot for slot in slots if slot]
        if carried != sorted(carried):
            piece = jnp.transpose(piece, (0, *carried, piece.ndim - 1))
        return piece.reshape(rows, *(self.n if slot else 1 for slot in slots), channels)

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
                    value = value * jnp.asarray(self.metric.pair(a, b), value.dtype).reshape(shape)
            total = value if total is None else total + value
        assert total is not None
        full = (rows, *(self.n,) * self.outputs, total.shape[-1])
        return jnp.broadcast_to(total, full).reshape(rows, -1, total.shape[-1])


@functools.lru_cache(64)
def _inverse_gram(maps: DiagramMaps) -> Float[np.ndarray, "dim dim"]:
    """Through the normalised Gram matrix, whose entries are of the order of one."""
    scale = 1 / np.sqrt(maps.norms())
    return np.linalg.inv(maps.gram() * scale[:, None] * scale) * scale[:, None] * scale
