"""Small matrices of every edge times its features, fast on a CPU in every order and mode.

Matrices of ten rows are too small for the matrix product of a library, which a CPU backend calls
once for each of them. Here the sum over the inner axis is written out, which vectorises over
the channels, and all derivatives are operations of the same three kinds. The rotated rows come
first, so that the rows of one order are contiguous in memory.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array, Float

from equinet.ops.primitives import bilinear, bind, primitive
from equinet.precision import HIGHEST


@dataclasses.dataclass(frozen=True)
class RotationPlan:
    """Which entries of an edge are the matrix of which block.

    Attributes:
        blocks: For every block where its matrix begins among the entries, the shape in which it is
            stored, the first row that is used and how many, and where its components begin.
        order: For every row of the result its index among the rows of all blocks in order.
        entries: Numbers stored for an edge.
    """

    blocks: tuple[tuple[int, tuple[int, int], int, int, int], ...]
    order: tuple[int, ...]
    entries: int

    @functools.cached_property
    def inverse(self) -> tuple[int, ...]:
        """The index of each row in the result."""
        return tuple(np.argsort(self.order).tolist())

    def matrices(self, maps: Array) -> Iterator[tuple[Array, slice, tuple[int, ...]]]:
        """The matrix of every block, its components and the indices of its rows."""
        row = 0
        for begin, shape, first, rows, start in self.blocks:
            stored = maps[:, begin : begin + shape[0] * shape[1]].reshape(-1, *shape)
            places = self.inverse[row : row + rows]
            yield stored[:, first : first + rows], slice(start, start + shape[1]), places
            row += rows


def rotate_edges(
    maps: Float[Array, "edges entries"], x: Float[Array, "edges dim channels"], plan: RotationPlan
) -> Float[Array, "rows edges channels"]:
    """The matrices of every edge times its features, rows in the order of the plan."""
    return bind(_to_p, maps, x, plan=plan)


def rotate_back_edges(
    maps: Float[Array, "edges entries"], z: Float[Array, "rows edges channels"], plan: RotationPlan
) -> Float[Array, "edges dim channels"]:
    """The transposed matrices of every edge times rows in the order of the plan."""
    return bind(_from_p, maps, z, plan=plan)


def _to(maps: Array, x: Array, *, plan: RotationPlan) -> Array:
    rows = [
        jnp.einsum("eij,ejc->eic", matrix, x[:, components], precision=HIGHEST)
        for matrix, components, _ in plan.matrices(maps)
    ]
    return jnp.concatenate(rows, axis=1)[:, np.array(plan.order)].swapaxes(0, 1)


def _to_written_out(maps: Array, x: Array, *, plan: RotationPlan) -> Array:
    # Fused into the sums, whatever makes x would be computed once for each of its uses.
    maps, x = jax.lax.optimization_barrier((maps, x))
    wide = x.dtype if x.dtype.itemsize > 2 else jnp.dtype(jnp.float32)
    rows = []
    for matrix, components, _ in plan.matrices(maps.astype(wide)):
        part = x[:, components].astype(wide)
        terms = (matrix[:, :, j, None] * part[:, j, None] for j in range(part.shape[1]))
        rows.append(functools.reduce(operator.add, terms))
    z = jnp.concatenate(rows, axis=1)[:, np.array(plan.order)].swapaxes(0, 1).astype(x.dtype)
    return jax.lax.optimization_barrier(z)


def _from(maps: Array, z: Array, *, plan: RotationPlan) -> Array:
    columns = [
        jnp.einsum("eij,iec->ejc", matrix, z[np.array(places)], precision=HIGHEST)
        for matrix, _, places in plan.matrices(maps)
    ]
    return jnp.concatenate(columns, axis=1)


def _from_written_out(maps: Array, z: Array, *, plan: RotationPlan) -> Array:
    maps, z = jax.lax.optimization_barrier((maps, z))
    wide = z.dtype if z.dtype.itemsize > 2 else jnp.dtype(jnp.float32)
    columns = []
    for matrix, _, places in plan.matrices(maps.astype(wide)):
        terms = (
            matrix[:, i, :, None] * z[place][:, None].astype(wide) for i, place in enumerate(places)
        )
        columns.append(functools.reduce(operator.add, terms))
    x = jnp.concatenate(columns, axis=1).astype(z.dtype)
    return jax.lax.optimization_barrier(x)


def _pair(z: Array, x: Array, *, plan: RotationPlan) -> Array:
    # All pairs of rows and components in one product, of which some are chosen: slicing the blocks
    # first takes longer than it saves.
    pairs = jnp.einsum("iec,ejc->eij", z, x, precision=HIGHEST).reshape(x.shape[0], -1)
    found = [
        pairs[:, chosen] * jnp.asarray(used, x.dtype)[None]
        for chosen, used in _chosen_pairs(plan, x.shape[1])
    ]
    return functools.reduce(operator.add, found)


@functools.cache
def _chosen_pairs(plan: RotationPlan, dim: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pair of row and component of every entry, and whether there is one.

    Blocks of one degree share their entries: as many such arrays as there are blocks of it.
    """
    rounds: list[tuple[np.ndarray, np.ndarray]] = []
    seen: dict[int, int] = {}
    row = 0
    for begin, shape, first, rows, start in plan.blocks:
        copy = seen[begin] = seen.get(begin, -1) + 1
        if copy == len(rounds):
            rounds.append((np.zeros(plan.entries, np.int32), np.zeros(plan.entries)))
        places = np.array(plan.inverse[row : row + rows])[:, None]
        pairs = places * dim + np.arange(start, start + shape[1])
        into = slice(begin + first * shape[1], begin + (first + rows) * shape[1])
        rounds[copy][0][into], rounds[copy][1][into] = pairs.reshape(-1), 1.0
        row += rows
    return rounds


def _batch_edges(prim: Primitive, edge_axes: tuple[int, ...], axis_out: int) -> None:
    """Map over a batch by joining it with the edges."""

    def rule(arguments: Any, axes: Any, **options: Any) -> tuple[Array, int]:
        size = next(a.shape[i] for a, i in zip(arguments, axes, strict=True) if i is not None)
        joined = []
        for argument, axis, edges in zip(arguments, axes, edge_axes, strict=True):
            moved = jnp.moveaxis(batching.bdim_at_front(argument, axis, size), 0, edges)
            shape = moved.shape
            joined.append(moved.reshape(*shape[:edges], -1, *shape[edges + 2 :]))
        found = bind(prim, *joined, **options)
        shape = found.shape
        split = found.reshape(*shape[:axis_out], size, -1, *shape[axis_out + 1 :])
        return split, axis_out

    batching.primitive_batchers[prim] = rule


def _on_cpu(prim: Primitive, function: Callable[..., Array]) -> None:
    rule = mlir.lower_fun(function, multiple_results=False)
    mlir.register_lowering(prim, rule, platform="cpu")


_to_p = primitive("rotate_edges", _to)
_from_p = primitive("rotate_back_edges", _from)
_pair_p = primitive("pair_edges", _pair)
_on_cpu(_to_p, _to_written_out)
_on_cpu(_from_p, _from_written_out)
_batch_edges(_to_p, (0, 0), 1)
_batch_edges(_from_p, (0, 1), 0)
_batch_edges(_pair_p, (1, 0), 0)
bilinear(
    _to_p,
    lambda g, maps, x, plan: bind(_pair_p, g, x, plan=plan),
    lambda g, maps, x, plan: bind(_from_p, maps, g, plan=plan),
)
bilinear(
    _from_p,
    lambda g, maps, z, plan: bind(_pair_p, z, g, plan=plan),
    lambda g, maps, z, plan: bind(_to_p, maps, g, plan=plan),
)
bilinear(
    _pair_p,
    lambda g, z, x, plan: bind(_to_p, g, x, plan=plan),
    lambda g, z, x, plan: bind(_from_p, g, z, plan=plan),
)
