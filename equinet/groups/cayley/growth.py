"""Growth of Cayley graphs: exact numbers of states at every distance, by breadth-first search."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt16, UInt32

from equinet.groups.cayley.cosets import SHIFT_BITS, Cosets
from equinet.groups.cayley.families import CayleyGraph

Words = UInt32[Array, "rows columns"]
"""Sets of states, one bit each, laid out as `Cosets` says."""

Table = tuple[UInt32[Array, " rows"], UInt32[Array, " rows"]]
"""What `Cosets.predecessors` says about one generator."""

_MAX_BYTES = 16 * 2**30
# XLA writes down the bit counts of words before it adds them up: those of one block at a time.
_BLOCK_BYTES = 2**23
# Generators of one kernel: each more costs time to compile, each kernel one pass over the words.
_GENERATORS_AT_ONCE = 12


@dataclasses.dataclass(frozen=True)
class Growth:
    """Layer sizes of a Cayley graph.

    Attributes:
        layers: ``layers[d]`` is the number of states at distance d from the identity.
        complete: Whether no state is missing.
    """

    layers: tuple[int, ...]
    complete: bool

    @property
    def order(self) -> int:
        """Number of states that were reached."""
        return sum(self.layers)

    @property
    def diameter(self) -> int | None:
        """The largest distance; None where the search was stopped before the end."""
        return len(self.layers) - 1 if self.complete else None


def cayley_growth(
    graph: CayleyGraph, *, max_layers: int | None = None, max_bytes: int = _MAX_BYTES
) -> Growth:
    r"""Layer sizes by breadth-first search over all states, one bit each: exact, without hashing.

    .. math:: L_{d+1} = \bigcup_p L_d p \setminus (L_d \cup L_{d-1}),

    with all earlier layers instead of the last two if the generators are not closed under
    inversion. The sum is over whole words: the states of a word ``H r`` differ by a cyclic group H
    that acts on values, which generators do not see, so that ``H r p`` is again a word, with its
    bits rotated. A layer costs one gathered word per generator and ``|H|`` states (30 from n = 10
    on), and the search holds two to four arrays of ``n! / |H|`` words, and nothing else
    of their size.

    Args:
        graph: The graph, from `cayley_graph` or from generators.
        max_layers: Stop after this many layers, the layer of the identity included.
        max_bytes: Refuse a search that needs more memory than this.

    Raises:
        ValueError: If ``max_layers`` is not positive, or more memory than ``max_bytes`` is needed.
        RuntimeError: If the layers do not add up to the order of the group (an internal error).

    Example:
        >>> from equinet.groups.cayley import cayley_graph
        >>> growth = cayley_growth(cayley_graph("lrx", 4))
        >>> growth.layers, growth.order, growth.diameter
        ((1, 3, 5, 6, 5, 3, 1), 24, 6)
    """
    if max_layers is not None and max_layers < 1:
        raise ValueError(f"got max_layers={max_layers}, expected at least 1")
    cosets = Cosets(graph.n, graph.modulus, graph.zero_sum)
    _check_size(graph, cosets, max_bytes)
    search = _Search(graph, cosets)
    layers, total, complete = [1], 1, False
    while not complete and (max_layers is None or len(layers) < max_layers):
        size = search.advance()
        total += size
        complete = size == 0 or total == graph.capacity
        if size:
            layers.append(size)
    _check_order(graph, total, complete)
    return Growth(tuple(layers), complete or total == graph.order)


class _Search:
    """The last layer, what the next one must not contain, and the tables of the generators."""

    def __init__(self, graph: CayleyGraph, cosets: Cosets) -> None:
        self._closed = graph.inverse_closed
        self._bits = cosets.bits
        self._columns = jax.device_put(cosets.tail_actions())
        tables = [jax.device_put(cosets.predecessors(p, twist)) for p, twist in graph.generators]
        groups = -(-len(tables) // _GENERATORS_AT_ONCE)
        self._groups = [tables[first::groups] for first in range(groups)]
        row, column, bit = cosets.identity()
        self._seen, self._frontier = _start((cosets.rows, cosets.columns), row, column, 1 << bit)

    def advance(self) -> int:
        """Replaces the last layer by the next one; its size."""
        reached = None
        for group in self._groups[:-1]:
            reached = _reach(reached, self._frontier, group, self._columns, self._bits)
        step = _next_layer_over_seen if self._closed else _next_layer
        if not self._closed:
            self._seen = _union(self._seen, self._frontier)
        layer = step(
            self._seen, reached, self._frontier, self._groups[-1], self._columns, self._bits
        )
        self._seen, self._frontier = (self._frontier if self._closed else self._seen), layer
        return int(np.asarray(_count(layer)).sum(dtype=np.int64))


@functools.partial(jax.jit, static_argnames="shape")
def _start(shape: tuple[int, int], row: int, column: int, word: int) -> tuple[Words, Words]:
    """No states, and a single one."""
    empty = jnp.zeros(shape, jnp.uint32)
    return empty, empty.at[row, column].set(jnp.asarray(word, jnp.uint32))


@functools.partial(jax.jit, static_argnames="bits", donate_argnames="reached")
def _reach(
    reached: Words | None,
    frontier: Words,
    tables: list[Table],
    columns: UInt16[Array, "permutations columns"],
    bits: int,
) -> Words:
    """Adds to ``reached`` the states that these generators lead to from the last layer."""
    found = [_rotated(frontier, *table, columns, bits) for table in tables]
    return functools.reduce(jnp.bitwise_or, found if reached is None else [reached, *found])


def _rotated(
    frontier: Words,
    rows: UInt32[Array, " rows"],
    actions: UInt32[Array, " rows"],
    columns: UInt16[Array, "permutations columns"],
    bits: int,
) -> Words:
    """The words that a generator leads to, with anything above their last bit."""
    mask, size = jnp.uint32(2**SHIFT_BITS - 1), jnp.uint32(bits)
    action = _take(columns, actions >> jnp.uint32(SHIFT_BITS)).astype(jnp.uint32)
    rotation = (actions & mask)[:, None] + (action & mask)
    rotation = jnp.where(rotation >= size, rotation - size, rotation)
    column = (action >> jnp.uint32(SHIFT_BITS)).astype(jnp.int32)
    words = jnp.take_along_axis(_take(frontier, rows), column, axis=1, mode="promise_in_bounds")
    return (words >> rotation) | (words << (size - rotation))


def _advance(
    seen: Words,
    reached: Words | None,
    frontier: Words,
    tables: list[Table],
    columns: UInt16[Array, "permutations columns"],
    bits: int,
) -> Words:
    found = _reach(reached, frontier, tables, columns, bits)
    return found & jnp.uint32(2**bits - 1) & ~frontier & ~seen


_next_layer = jax.jit(_advance, static_argnames="bits")
# The new layer takes the memory of the one before the last, which is not needed any more. It is
# the only output: a count beside it would make XLA hold what was reached a second time.
_next_layer_over_seen = jax.jit(_advance, static_argnames="bits", donate_argnames="seen")


@functools.partial(jax.jit, donate_argnames="seen")
def _union(seen: Words, frontier: Words) -> Words:
    return seen | frontier


@jax.jit
def _count(words: Words) -> UInt32[Array, "..."]:
    """Numbers of states in blocks of rows; their sum is the number of all states."""

    def count(some: Words) -> UInt32[Array, ""]:
        return jnp.sum(jax.lax.population_count(some), dtype=jnp.uint32)

    rows, columns = words.shape
    most = max(1, _BLOCK_BYTES // (4 * columns))
    if rows <= most:
        return count(words)
    block = max(size for size in range(1, most + 1) if rows % size == 0)
    return jax.lax.map(count, words.reshape(rows // block, block, columns))


def _take(table: UInt32[Array, "..."], index: UInt32[Array, " rows"]) -> UInt32[Array, "..."]:
    return table.at[index].get(mode="promise_in_bounds")


def _check_size(graph: CayleyGraph, cosets: Cosets, max_bytes: int) -> None:
    words = cosets.rows * cosets.columns
    tables = 8 * cosets.rows * len(graph.generators)
    arrays = 2 + (not graph.inverse_closed) + (len(graph.generators) > _GENERATORS_AT_ONCE)
    need = 4 * words * arrays + tables
    if need > max_bytes:
        size = f"{need / 1e9:.3g} GB" if need < 10**15 else "more than a million GB"
        raise ValueError(
            f"{graph.name}: a search needs {size}, over max_bytes={max_bytes:,}: "
            "take a smaller n, or a closed form where there is one"
        )
    if words >= 2**31:
        raise ValueError(
            f"{graph.name}: got {words:,} words of states, expected fewer than 2**31: "
            "take a smaller n"
        )


def _check_order(graph: CayleyGraph, total: int, complete: bool) -> None:
    if not complete:
        return
    if graph.order is not None and total != graph.order:
        raise RuntimeError(f"{graph.name}: reached {total} states of {graph.order}: please report")
    if graph.capacity % total:
        raise RuntimeError(
            f"{graph.name}: reached {total} states, which does not divide {graph.capacity}: "
            "please report"
        )
