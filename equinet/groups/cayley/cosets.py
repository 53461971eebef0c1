"""Every state of a Cayley graph has one bit: an exact rank that generators act on row by row.

A state is a permutation, given by the position ``t[v]`` of every value v, and a twist (a number
modulo ``modulus``) of whatever lies at each position. Generators act on positions, so that they
commute with a cyclic group H that renames values along disjoint cycles. One word of
``bits = |H|`` bits holds a coset ``H r``; the bit k is the state ``c^k r`` with c the
generator of H, and a generator of the graph sends words to words and rotates their bits.
Words form a table ``[rows, columns]``: the row says what
twists there are and where the values of the first cycles lie (``leads``), the column how the
remaining values are arranged in the positions left (``tails``). A generator sends a row to one row,
and acts on all of its columns by one of the permutations of the positions left.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8, UInt16, UInt32

from equinet.precision import read_only

Positions = UInt8[np.ndarray, "count values"]
"""Positions of some values, all different, one arrangement a row."""

SHIFT_BITS = 5
"""Low bits of a packed action that hold how far the bits of a word are rotated."""

_LARGEST_TAIL = 6


@dataclasses.dataclass(frozen=True)
class Cosets:
    """How the states of n positions with twists modulo ``modulus`` are laid out.

    Attributes:
        n: Number of positions, and of values.
        modulus: Twists are numbers modulo this; 1 where there are none.
        zero_sum: Whether the twists add up to zero, so that the last one is not stored.
    """

    n: int
    modulus: int = 1
    zero_sum: bool = True

    @property
    def cycles(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Lengths of the cycles of H, on the values of the leads and on the values of the tails."""
        return _cycles(self.n)

    @property
    def bits(self) -> int:
        """Order of H: the states of a word."""
        return math.prod(self.cycles[0] + self.cycles[1])

    @property
    def twists(self) -> int:
        """Number of twists that all positions together can have."""
        return self.modulus ** (self.n - self.zero_sum)

    @property
    def leads(self) -> int:
        """Number of arrangements of the values of the leads, up to H."""
        lead, tail = self.cycles
        return math.perm(self.n, self.n - sum(tail)) // math.prod(lead)

    @property
    def rows(self) -> int:
        """Rows of the table of words."""
        return self.twists * self.leads

    @property
    def columns(self) -> int:
        """Columns of the table of words."""
        tail = self.cycles[1]
        return math.factorial(sum(tail)) // math.prod(tail)

    def identity(self) -> tuple[int, int, int]:
        """Row, column and bit of the state in which value v lies at position v without a twist."""
        positions = np.arange(self.n, dtype=np.uint8)[None]
        lead, tail = self.cycles
        word, shift = _rank(lead + tail, self.n, self.bits, positions)
        row, column = divmod(int(word[0]), self.columns)
        return row, column, int(shift[0])

    def tail_actions(self) -> UInt16[np.ndarray, "permutations columns"]:
        """Where permutations of the free positions send a column: ``column << 5 | rotation``."""
        return _tail_actions(self)

    def predecessors(
        self, permutation: Sequence[int], twist: Sequence[int]
    ) -> tuple[UInt32[np.ndarray, " rows"], UInt32[np.ndarray, " rows"]]:
        """The row from which a generator moves the states of each row.

        The generator puts at position i what lay at ``permutation[i]`` and adds ``twist[i]``.

        Returns:
            The row that each row comes from, and ``tail permutation << 5 | rotation``.
        """
        images = np.asarray(permutation, np.uint8)
        lead, tail = self.cycles
        positions, left = _lead_positions(self)
        source, shift = _rank(lead, self.n, self.bits, images[positions])
        moved = images[left]
        order = sum(
            _lehmer_digit(moved, i) * math.factorial(sum(tail) - 1 - i) for i in range(sum(tail))
        )
        twisted = self._twist_predecessors(images, twist)
        rows = (twisted[:, None] * self.leads + source).reshape(-1)
        actions = np.tile(order << SHIFT_BITS | shift, self.twists)
        return rows.astype(np.uint32), actions.astype(np.uint32)

    def _twist_predecessors(
        self, images: UInt8[np.ndarray, " n"], twist: Sequence[int]
    ) -> Int64[np.ndarray, " twists"]:
        if self.modulus == 1:
            return np.zeros(1, np.int64)
        weights = self.modulus ** np.arange(self.n - self.zero_sum, dtype=np.int64)
        now = np.arange(self.twists)[:, None] // weights % self.modulus
        if self.zero_sum:
            now = np.concatenate([now, -now.sum(1, keepdims=True) % self.modulus], 1)
        before = np.empty_like(now)
        before[:, images] = (now - np.asarray(twist)) % self.modulus
        return before[:, : len(weights)] @ weights


@functools.lru_cache
def _cycles(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Coprime cycles of at most 32 states on n values; the longest, and what fits, are tails.

    >>> _cycles(11), _cycles(9)
    (((2, 3), (1, 5)), ((4,), (5,)))
    """
    lengths = [
        some
        for count in range(4)
        for some in itertools.combinations(range(2, 32), count)
        if sum(some) <= n and math.prod(some) < 32 and math.lcm(*some) == math.prod(some)
    ]
    lead = list(max(lengths, key=lambda some: (math.prod(some), -sum(some))))
    tail = [lead.pop()] if lead else []
    while lead and sum(tail) + lead[-1] <= _LARGEST_TAIL:
        tail.insert(0, lead.pop())
    fixed = n - sum(lead) - sum(tail)
    in_tail = min(fixed, max(0, _LARGEST_TAIL - sum(tail)))
    return (1,) * (fixed - in_tail) + tuple(lead), (1,) * in_tail + tuple(tail)


def _blocks(cycles: Sequence[int], n: int) -> list[tuple[int, int]]:
    """Each cycle with the number of positions that are free when its values are placed."""
    free = n - np.cumsum([0, *cycles])
    return [(cycle, int(positions)) for cycle, positions in zip(cycles, free, strict=False)]


@functools.lru_cache(maxsize=16)  # some megabytes each
def _canonical(cycle: int, n: int) -> tuple[Positions, Int64[np.ndarray, "..."]]:
    """Positions of a cycle's values up to H, smallest first; rank and rotation of all others."""
    chosen = [t for t in itertools.permutations(range(n), cycle) if t[0] == min(t)]
    positions = np.asarray(chosen, np.uint8)
    codes = np.zeros((n,) * cycle + (2,), np.int64)
    for rotation in range(cycle):
        rotated = np.roll(positions, rotation, axis=1)
        codes[tuple(rotated.T)] = np.stack(
            [np.arange(len(positions)), np.full(len(positions), rotation)], 1
        )
    return read_only(positions), read_only(codes)


def _arrangements(cycles: Sequence[int], n: int) -> Positions:
    """All positions that the values of these cycles can have up to H, sorted by their rank."""
    positions = np.zeros((1, 0), np.uint8)
    for cycle, free in reversed(_blocks(cycles, n)):
        first = _canonical(cycle, free)[0]
        rest = np.repeat(positions[None], len(first), axis=0)
        for taken in np.sort(first, axis=1).T:
            rest += rest >= taken[:, None, None]
        head = np.repeat(first[:, None], len(positions), axis=1)
        positions = np.concatenate([head, rest], axis=2).reshape(-1, cycle + positions.shape[1])
    return positions


def _rank(
    cycles: Sequence[int], n: int, bits: int, positions: Positions
) -> tuple[Int64[np.ndarray, " count"], Int64[np.ndarray, " count"]]:
    """Rank of the coset of each arrangement, and the power of c that leads from its first state."""
    rest = positions.astype(np.uint8)
    rank, shift = np.zeros(len(rest), np.int64), np.zeros(len(rest), np.int64)
    for cycle, free in _blocks(cycles, n):
        first, rest = rest[:, :cycle], rest[:, cycle:].copy()
        chosen, codes = _canonical(cycle, free)
        digit, rotation = np.moveaxis(codes[tuple(first.T)], -1, 0)
        rank = rank * len(chosen) + digit
        # The power of c that rotates this cycle by one and leaves the others alone.
        one = next(k for k in range(bits) if k % cycle == 1 % cycle and k % (bits // cycle) == 0)
        shift += rotation * one
        rest -= sum((first[:, i, None] < rest).astype(np.uint8) for i in range(cycle))
    return rank, shift % bits


def _lehmer_digit(images: Positions, i: int) -> Int64[np.ndarray, " count"]:
    return (images[:, i + 1 :] < images[:, i, None]).sum(axis=1)


@functools.lru_cache(maxsize=1)  # as long as the rows of the table of words
def _lead_positions(cosets: Cosets) -> tuple[Positions, Positions]:
    """The positions of the leads' values for every lead, and the positions left, in order."""
    positions = _arrangements(cosets.cycles[0], cosets.n)
    left = np.ones((len(positions), cosets.n), bool)
    np.put_along_axis(left, positions.astype(np.int64), False, axis=1)
    rest = np.nonzero(left)[1].reshape(len(positions), -1).astype(np.uint8)
    return read_only(positions), read_only(rest)


@functools.lru_cache(maxsize=4)
def _tail_actions(cosets: Cosets) -> UInt16[np.ndarray, "permutations columns"]:
    tail = cosets.cycles[1]
    size = sum(tail)
    images = np.asarray(list(itertools.permutations(range(size))), np.uint8)
    moved = images[:, _arrangements(tail, size)].reshape(-1, size)
    column, shift = _rank(tail, size, cosets.bits, moved)
    actions = (column << SHIFT_BITS | shift).astype(np.uint16).reshape(len(images), -1)
    return read_only(actions)
