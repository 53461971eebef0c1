"""Linear maps between tensors of a set that commute with permutations, for sets of any size."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.reps.diagrams import partition_diagrams

HIGHEST = jax.lax.Precision.HIGHEST

Partition = tuple[tuple[int, ...], ...]
"""Blocks of axes in the order of their first axes."""


@dataclasses.dataclass(frozen=True)
class Move:
    """One map: input axes are joined and averaged, what is left becomes blocks of output axes.

    Attributes:
        inputs: Blocks of input axes; the entries where a block's indices agree are read.
        outputs: Blocks of output axes; entries where a block's indices differ stay zero.
        kept: Pairs (output block, input block) that share an index, ascending. Input blocks
            without a partner are averaged, output blocks without one repeat the value.
    """

    inputs: Partition
    outputs: Partition
    kept: tuple[tuple[int, int], ...]

    @property
    def into(self) -> tuple[int, ...]:
        """The output blocks along which the map is not constant."""
        return tuple(output for output, _ in self.kept)


@dataclasses.dataclass(frozen=True)
class PermutationMaps:
    r"""All linear maps from order-k to order-l tensors of a set that permutations commute with.

    There is a map for every partition of the k + l indices. Blocks of input indices alone are means
    over the set instead of sums, so that weights serve sets of every size:

    .. math:: y_{i_1 \dots i_l} = \sum_\pi W_\pi \operatorname{mean}_{j}
              \Big[ \prod_{\text{blocks of } \pi} \delta(\text{indices agree}) \Big]
              x_{j_1 \dots j_k}

    Orders (1, 1) have 2 maps (Deep Sets), (2, 2) 15, (2, 1) 5 and (2, 0) 2. Maps that share their
    output are one matrix product on tensors that are averaged already; nothing larger than input
    and output is made.

    Attributes:
        order_in: k, the number of set axes of the input.
        order_out: l, that of the output.

    Raises:
        ValueError: If an order is negative.

    References:
        Zaheer et al., arXiv:1703.06114 (2017); Maron et al., arXiv:1812.09902 (2019);
        E. Pearce-Crump, arXiv:2303.06208 (2023).

    >>> [PermutationMaps(k, l).num_maps for k, l in ((1, 1), (2, 2), (2, 1), (2, 0))]
    [2, 15, 5, 2]
    """

    order_in: int
    order_out: int

    def __post_init__(self) -> None:
        if min(self.order_in, self.order_out) < 0:
            raise ValueError(f"orders must be >= 0, got {self.order_in} and {self.order_out}")

    @property
    def moves(self) -> tuple[Move, ...]:
        """The maps in the order of the weights."""
        return _moves(self.order_in, self.order_out)

    @property
    def num_maps(self) -> int:
        """The Bell number of ``order_in + order_out``."""
        return len(self.moves)

    @property
    def num_generic(self) -> int:
        """How many maps reach an entry whose indices all differ."""
        return sum(len(move.outputs) == self.order_out for move in self.moves)

    def __call__(
        self,
        x: Float[Array, "... channels_in"],
        weights: Float[Array, "maps channels_in channels_out"],
        mask: Bool[Array, "... n"] | None = None,
        *,
        n: int | None = None,
        precision: jax.lax.Precision | str | None = None,
    ) -> Float[Array, "... channels_out"]:
        """Apply the sum of the maps.

        Args:
            x: ``[..., n, ..., n, channels_in]`` with k axes n.
            weights: A matrix for each map.
            mask: Which elements there are; None: all. Others are ignored and get zeros.
            n: Size of the set, needed where neither input nor mask show it.
            precision: Of the channel mixing.

        Returns:
            ``[..., n, ..., n, channels_out]`` with l axes n.

        Raises:
            ValueError: If shapes do not fit, or the size of the set is unknown.
        """
        n = self._size(x, mask, n)
        batch = x.shape[: x.ndim - 1 - self.order_in]
        x = _masked(x, mask, self.order_in)
        mean = _mean_weights(mask, n, x.dtype)
        reduced: dict[tuple[Partition, tuple[int, ...]], Array] = {}
        total, start = None, 0
        for outputs, group in itertools.groupby(self.moves, lambda move: move.outputs):
            value = None
            for into, same in itertools.groupby(group, lambda move: move.into):
                moves = list(same)
                features = [_read(x, move, mean, reduced) for move in moves]
                kernel = weights[start : start + len(moves)].astype(x.dtype)
                start += len(moves)
                mixed = jnp.matmul(
                    jnp.concatenate(features, axis=-1),
                    kernel.reshape(-1, kernel.shape[-1]),
                    precision=precision,
                )
                absent = [i for i in range(len(outputs)) if i not in into]
                mixed = jnp.expand_dims(mixed, [len(batch) + i for i in absent])
                value = mixed if value is None else value + mixed
            assert value is not None
            spread = _on_diagonals(value, outputs, self.order_out, n)
            total = spread if total is None else total + spread
        assert total is not None
        shape = (*batch, *(n,) * self.order_out, weights.shape[-1])
        return _masked(jnp.broadcast_to(total, shape), mask, self.order_out)

    def _size(self, x: Array, mask: Array | None, n: int | None) -> int:
        last = x.ndim - 1
        sizes = set(x.shape[last - self.order_in : last]) if last >= self.order_in else {-1}
        sizes |= {mask.shape[-1]} if mask is not None else set()
        sizes |= {n} if n is not None else set()
        if not sizes and self.order_out == 0:
            return 1
        if len(sizes) != 1 or -1 in sizes:
            shown = "none" if mask is None else str(mask.shape)
            raise ValueError(
                f"expected [..., {'n, ' * self.order_in}channels] with one n, got {x.shape}, "
                f"mask {shown}, n {n}" + ("" if sizes else ": pass n=... or a mask")
            )
        return sizes.pop()


def _masked(x: Array, mask: Array | None, order: int) -> Array:
    """Zero wherever one of the set axes is at an element that is not there."""
    if mask is None:
        return x
    for axis in range(order):
        shape = (1,) * axis + (mask.shape[-1],) + (1,) * (order - 1 - axis) + (1,)
        batch = (1,) * (x.ndim - len(shape) - (mask.ndim - 1)) + mask.shape[:-1]
        x = jnp.where(mask.reshape(batch + shape), x, 0)
    return x


def _mean_weights(mask: Array | None, n: int, dtype: jnp.dtype) -> Array:
    """What a mean over the set multiplies by: ``[n]``, or ``[..., n]`` with a mask."""
    if mask is None:
        return jnp.full((n,), 1 / max(n, 1), dtype)
    present = mask.astype(dtype)
    return present / jnp.maximum(present.sum(-1, keepdims=True), 1)


def _read(
    x: Array, move: Move, mean: Array, reduced: dict[tuple[Partition, tuple[int, ...]], Array]
) -> Array:
    """The input, joined and averaged, its axes in the order of the output blocks."""
    sources = [source for _, source in move.kept]
    value = _reduce(x, move.inputs, tuple(sorted(sources)), mean, reduced)
    first = value.ndim - 1 - len(sources)
    ranks = [first + sorted(sources).index(source) for source in sources]
    return value.transpose(*range(first), *ranks, value.ndim - 1)


def _reduce(
    x: Array,
    inputs: Partition,
    kept: tuple[int, ...],
    mean: Array,
    reduced: dict[tuple[Partition, tuple[int, ...]], Array],
) -> Array:
    """One axis for each kept block; built from the tensor with one more, each made once."""
    if (inputs, kept) in reduced:
        return reduced[inputs, kept]
    averaged = [block for block in range(len(inputs)) if block not in kept]
    if averaged:
        more = tuple(sorted((*kept, averaged[-1])))
        source = _reduce(x, inputs, more, mean, reduced)
        axis = source.ndim - 1 - len(more) + more.index(averaged[-1])
        value = _average(source, axis, len(more), mean)
    else:
        order = sum(map(len, inputs))
        letters = "".join(
            "abcdefgh"[next(b for b, block in enumerate(inputs) if axis in block)]
            for axis in range(order)
        )
        distinct = "".join(sorted(set(letters)))
        value = x if len(inputs) == order else jnp.einsum(f"...{letters}z->...{distinct}z", x)
    reduced[inputs, kept] = value
    return value


def _average(x: Array, axis: int, order: int, mean: Array) -> Array:
    letters = "abcdefgh"[:order]
    gone = letters[axis - (x.ndim - 1 - order)]
    weights = f"...{gone}" if mean.ndim > 1 else gone
    rule = f"...{letters}z,{weights}->...{letters.replace(gone, '')}z"
    return jnp.einsum(rule, x, mean, precision=HIGHEST)


def _on_diagonals(x: Array, outputs: Partition, order: int, n: int) -> Array:
    """One axis a block to one axis an index: zero where the indices of a block differ."""
    first = x.ndim - 1 - len(outputs)
    repeated = [axis for block in outputs for axis in block[1:]]
    x = jnp.expand_dims(x, [first + axis for axis in repeated])
    for block in outputs:
        for axis in block[1:]:
            shape = [1] * (order + 1)
            shape[block[0]] = shape[axis] = n
            equal = jnp.eye(n, dtype=bool).reshape((1,) * first + tuple(shape))
            x = jnp.where(equal, x, 0)
    return x


@functools.cache
def _moves(order_in: int, order_out: int) -> tuple[Move, ...]:
    points = order_in + order_out
    found = []
    for diagram in partition_diagrams(points, max(points, 1)):
        above = [tuple(i for i in block if i < order_out) for block in diagram.blocks]
        below = [tuple(i - order_out for i in b if i >= order_out) for b in diagram.blocks]
        outputs = tuple(sorted(filter(None, above)))
        inputs = tuple(sorted(filter(None, below)))
        kept = sorted(
            (outputs.index(a), inputs.index(b))
            for a, b in zip(above, below, strict=True)
            if a and b
        )
        found.append(Move(inputs, outputs, tuple(kept)))
    return tuple(
        sorted(found, key=lambda m: (-len(m.outputs), m.outputs, m.into, m.inputs, m.kept))
    )
