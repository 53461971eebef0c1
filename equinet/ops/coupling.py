"""How a Clebsch-Gordan product is computed: few large matrix products, whatever the paths."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.klein import KleinOrder
from equinet.ops.outer import move_rows, outer
from equinet.ops.paths import Path, blocks, coupling_paths, path_scale
from equinet.reps import Irreps, clebsch_gordan

HIGHEST = jax.lax.Precision.HIGHEST


def orders(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[KleinOrder, ...]:
    """The orders of the three reps: told apart by character where that saves work."""
    split = tuple(KleinOrder(rep) for rep in (rep1, rep2, rep_out))
    work = 16 * split[0].size * split[1].size * split[2].size
    if work < rep1.dim * rep2.dim * rep_out.dim:
        return split
    return tuple(KleinOrder(rep, bits=0) for rep in (rep1, rep2, rep_out))


def fold(
    product: Any, weights: Float[Array, "paths channels"], ordered: tuple[KleinOrder, ...]
) -> Float[Array, "channels classes size_out pairs"]:
    r"""Path weights and couplings as one bilinear map for each channel and character.

    Every entry (i, j, k) of the map belongs to at most one path, so it is the sum of all couplings
    times the weights, spread over the components of each block by three one-hot contractions: the
    cost does not grow with the number of paths, and no gather has to be transposed.

    Args:
        product: The static description: ``rep1``, ``rep2``, ``rep_out``.
        weights: Path weights, ``[paths, channels]``.
        ordered: The orders of the three reps.

    Returns:
        ``[channels, classes, size_out, classes * size1 * size2]``: for character k of the result,
        the pairs of character t of the first factor with the one of the second that gives k.
    """
    tables = _fold_tables(product.rep1, product.rep2, product.rep_out, ordered[0].bits)
    first, second, result, grid, coupling = (jnp.asarray(t, weights.dtype) for t in tables)
    einsum = functools.partial(jnp.einsum, precision=HIGHEST)
    spread = einsum("pc,pxyz->cxyz", weights, grid)
    spread = einsum("cxyz,kfz->ckfxy", spread, result)
    spread = einsum("ckfxy,tax->ckftay", spread, first)
    maps = einsum("ckftay,ktby->ckftab", spread, second) * coupling[None]
    return maps.reshape(*maps.shape[:3], -1)


def multiply_shared(
    product: Any,
    x: Float[Array, "rows dim1 channels"],
    y: Float[Array, "rows dim2 channels"],
    weights: Float[Array, "paths channels"],
) -> Float[Array, "rows dim_out channels"]:
    """The product with weights that all rows share: outer products by character, times the maps.

    Blocks of channels, and of rows where one channel is large, run one after another, so that an
    outer product stays in cache and memory does not grow with the batch.
    """
    ordered = orders(product.rep1, product.rep2, product.rep_out)
    x = ordered[0].sort(jnp.transpose(x, (2, 1, 0)))
    y = ordered[1].sort(jnp.transpose(y, (2, 1, 0)))
    rows = x.shape[-1]
    row_bytes = 2 * product.rep1.dim * product.rep2.dim * x.dtype.itemsize
    block_rows = rows_per_chunk(rows, row_bytes)

    def some_channels(weights: Array, x: Array, y: Array) -> Array:
        maps = fold(product, weights.T, ordered)
        if block_rows == rows:
            return _apply(maps, x, y)
        apply = functools.partial(_apply_rows_first, maps)
        return jnp.moveaxis(
            map_chunks(apply, block_rows, jnp.moveaxis(x, -1, 0), jnp.moveaxis(y, -1, 0)), 0, -1
        )

    block_channels = rows_per_chunk(x.shape[0], block_rows * row_bytes)
    z = map_chunks(some_channels, block_channels, weights.T, x, y)
    return jnp.transpose(ordered[2].unsort(z), (2, 1, 0))


def _apply_rows_first(maps: Array, x: Array, y: Array) -> Array:
    z = _apply(maps, jnp.moveaxis(x, 0, -1), jnp.moveaxis(y, 0, -1))
    return jnp.moveaxis(z, -1, 0)


def _apply(
    maps: Float[Array, "channels classes size_out pairs"],
    x: Float[Array, "channels classes size1 rows"],
    y: Float[Array, "channels classes size2 rows"],
) -> Float[Array, "channels classes size_out rows"]:
    """One matrix product for each character of the result."""
    channels, classes, rows = x.shape[0], x.shape[1], x.shape[-1]
    flat, results = y.reshape(channels, classes, -1), []
    for k in range(classes):
        partner = [t ^ k for t in range(classes)]
        pairs = outer(x, move_rows(flat, partner, partner).reshape(y.shape))
        pairs = pairs.reshape(channels, -1, rows)
        results.append(jnp.matmul(maps[:, k], pairs, precision=HIGHEST))
    return jnp.stack(results, axis=1)


def multiply_rows(
    product: Any,
    x: Float[Array, "rows dim1 channels"],
    y: Float[Array, "rows dim2 channels"],
    weights: Float[Array, "rows paths channels"],
) -> Float[Array, "rows dim_out channels"]:
    """The product with weights of its own for every row, in blocks of rows that stay in cache."""
    channels = x.shape[-1]

    def some_rows(x: Array, y: Array, weights: Array) -> Array:
        x, y, weights = (a.swapaxes(0, 1).reshape(a.shape[1], -1) for a in (x, y, weights))

        def weigh(group: _Group, spread: np.ndarray, coupled: Array) -> Array:
            return coupled * _dot(spread, weights[group.paths])

        z = _accumulate(product, x, y, weigh)
        return z.reshape(product.rep_out.dim, -1, channels).swapaxes(0, 1)

    block = rows_per_chunk(x.shape[0], _lane_bytes(product, x) * channels, in_core=True)
    return map_chunks(some_rows, block, x, y, weights)


def multiply_mixed(
    product: Any,
    x: Float[Array, "rows dim1 u"],
    y: Float[Array, "rows dim2 v"],
    weights: Float[Array, "paths u v *w"],
) -> Float[Array, "rows dim_out out"]:
    """Every channel of one factor with every channel of the other, mixed by path.

    With weights ``[paths, u, v]`` the channels u stay and v are summed ("uvu"); with
    ``[paths, u, v, w]`` both are summed into channels w ("uvw").
    """
    u, v = x.shape[-1], y.shape[-1]
    flat = weights.reshape(weights.shape[0], u * v, -1)

    def some_rows(x: Array, y: Array) -> Array:
        rows = x.shape[0]
        x = jnp.broadcast_to(x.swapaxes(0, 1)[..., None], (x.shape[1], rows, u, v))
        y = jnp.broadcast_to(y.swapaxes(0, 1)[..., None, :], (y.shape[1], rows, u, v))

        def weigh(group: _Group, spread: np.ndarray, coupled: Array) -> Array:
            spread_weights = jnp.einsum(
                "np,pmw->nmw", jnp.asarray(spread, x.dtype), flat[group.paths], precision=HIGHEST
            )
            if weights.ndim == 4:
                coupled = coupled.reshape(-1, rows, u * v)
                return jnp.matmul(coupled, spread_weights, precision=HIGHEST).reshape(
                    coupled.shape[0], -1
                )
            coupled = coupled.reshape(-1, rows, u, v) * spread_weights.reshape(-1, 1, u, v)
            return coupled.sum(-1).reshape(coupled.shape[0], -1)

        z = _accumulate(product, x.reshape(-1, rows * u * v), y.reshape(-1, rows * u * v), weigh)
        return z.reshape(product.rep_out.dim, rows, -1).swapaxes(0, 1)

    block = rows_per_chunk(x.shape[0], _lane_bytes(product, x) * u * v, in_core=True)
    return map_chunks(some_rows, block, x, y)


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """All paths of one block of the first factor.

    Attributes:
        block: Its components.
        order: Their order.
        paths: The paths among all.
        couple: For each character of the result, couplings ``[terms, pairs]``.
        spread: One-hot from the paths to the terms, ``[terms, paths]``.
        place: One-hot from the terms to the components of the result, ``[size_out, terms]``.
    """

    block: slice
    order: KleinOrder
    paths: slice
    couple: tuple[np.ndarray, ...]
    spread: tuple[np.ndarray, ...]
    place: tuple[np.ndarray, ...]


def _accumulate(
    product: Any,
    x: Float[Array, "dim1 lanes"],
    y: Float[Array, "dim2 lanes"],
    weigh: Callable[[_Group, np.ndarray, Array], Array],
) -> Float[Array, "dim_out lanes_out"]:
    """Couple block after block of the first factor, weigh every term, add up the results."""
    ordered = orders(product.rep1, product.rep2, product.rep_out)
    classes, lanes = ordered[0].classes, x.shape[-1]
    flat = ordered[1].sort(y).reshape(classes, -1)
    total: list[list[Array]] = [[] for _ in range(classes)]
    for group in _groups(product.rep1, product.rep2, product.rep_out):
        first = group.order.sort(x[group.block])
        for k in (k for k in range(classes) if len(group.couple[k])):
            partner = [t ^ k for t in range(classes)]
            pairs = outer(first, move_rows(flat, partner, partner).reshape(classes, -1, lanes))
            coupled = _dot(group.couple[k], pairs.reshape(-1, lanes))
            weighed = weigh(group, group.spread[k], coupled)
            total[k].append(_dot(group.place[k], weighed))
    zero = jnp.zeros_like(next(terms[0] for terms in total if terms))
    sums = [functools.reduce(jnp.add, terms, zero) for terms in total]
    return ordered[2].unsort(jnp.stack(sums))


def _lane_bytes(product: Any, x: Array) -> int:
    """Bytes in flight for one row and pair of channels: four times pairs and terms."""
    groups = _groups(product.rep1, product.rep2, product.rep_out)
    return 4 * x.dtype.itemsize * max(sum(table.shape) for g in groups for table in g.couple)


def _dot(table: np.ndarray, x: Array) -> Array:
    return jnp.matmul(jnp.asarray(table, x.dtype), x, precision=HIGHEST)


@functools.cache
def _groups(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[_Group, ...]:
    first, second, result = orders(rep1, rep2, rep_out)
    scale = path_scale(rep1, rep2, rep_out)
    members: dict[int, list[tuple[int, Path]]] = {}
    for index, path in enumerate(coupling_paths(rep1, rep2, rep_out)):
        members.setdefault(path.first, []).append((index, path))
    groups = []
    for i, paths in members.items():
        block = blocks(rep1)[i]
        order = KleinOrder(Irreps([(1, (block.l, block.p))]), first.bits)
        tables = [_terms(order, second, result, paths, scale, k) for k in range(first.classes)]
        couple, spread, place = zip(*tables, strict=True)
        groups.append(
            _Group(
                block.slice,
                order,
                slice(paths[0][0], paths[-1][0] + 1),
                couple,
                spread,
                place,
            )
        )
    return tuple(groups)


def _terms(
    order: KleinOrder,
    second: KleinOrder,
    result: KleinOrder,
    paths: list[tuple[int, Path]],
    scale: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Couplings, paths and places of all terms of character ``k``: a path and a component each."""
    l1 = blocks(order.irreps)[0].l
    places = list(result.place[k])
    partner = second.place[[t ^ k for t in range(order.classes)]]
    couple, spread, place = [], [], []
    for number, (index, path) in enumerate(paths):
        b, c = blocks(second.irreps)[path.second], blocks(result.irreps)[path.result]
        table = np.zeros((order.irreps.dim + 1, second.irreps.dim + 1, 2 * c.l + 1))
        table[:-1, b.slice] = scale[index] * clebsch_gordan(l1, b.l, c.l)
        chosen = table[order.place[:, :, None], partner[:, None, :]]
        for component in range(2 * c.l + 1):
            if c.start + component in places:
                couple.append(chosen[..., component].reshape(-1))
                spread.append(np.eye(len(paths))[number])
                place.append(np.eye(len(places))[places.index(c.start + component)])
    if not couple:
        pairs = order.place.size * second.size
        return np.zeros((0, pairs)), np.zeros((0, len(paths))), np.zeros((len(places), 0))
    return np.stack(couple), np.stack(spread), np.stack(place, axis=1)


@functools.cache
def _fold_tables(rep1: Irreps, rep2: Irreps, rep_out: Irreps, bits: int) -> tuple[np.ndarray, ...]:
    """One-hot spreads block -> component of the three reps, path -> triple, and all couplings."""
    ordered = [KleinOrder(rep, bits) for rep in (rep1, rep2, rep_out)]
    first, second, result = (order.spread(_membership(order.irreps)) for order in ordered)
    paths, scale = coupling_paths(rep1, rep2, rep_out), path_scale(rep1, rep2, rep_out)
    grid = np.zeros((len(paths), *(table.shape[-1] for table in (first, second, result))))
    coupling = np.zeros((rep1.dim + 1, rep2.dim + 1, rep_out.dim + 1))
    for index, path in enumerate(paths):
        a, b = blocks(rep1)[path.first], blocks(rep2)[path.second]
        c = blocks(rep_out)[path.result]
        grid[index, path.first, path.second, path.result] = 1
        coupling[a.slice, b.slice, c.slice] = scale[index] * clebsch_gordan(a.l, b.l, c.l)
    classes = range(ordered[0].classes)
    partner = np.array([[t ^ k for t in classes] for k in classes])
    # [character of the result, its components, character of the first, components of both]
    places = [order.place for order in ordered]
    chosen = coupling[
        places[0][None, None, :, :, None],
        places[1][partner][:, None, :, None, :],
        places[2][:, :, None, None, None],
    ]
    return first, second[partner], result, grid, chosen


def _membership(rep: Irreps) -> Float[np.ndarray, "dim blocks"]:
    return np.repeat(np.eye(len(blocks(rep))), [2 * b.l + 1 for b in blocks(rep)], axis=0)
