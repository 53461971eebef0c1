"""How a Clebsch-Gordan product is computed: by few large matrix products for all paths."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.primitives import bind, dot, linear, move_rows, outer, primitive
from equinet.ops.products._paths import Block, Path, blocks, coupling_paths, path_scale
from equinet.ops.products._sign_blocks import KleinOrder
from equinet.precision import HIGHEST
from equinet.reps import Irreps, clebsch_gordan

PART = 24
"""Components of the second factor that are coupled at once, where every row has weights."""


def orders(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[KleinOrder, ...]:
    """How the components of the three reps are ordered: by their signs where that saves work."""
    split = tuple(KleinOrder(rep) for rep in (rep1, rep2, rep_out))
    work = 16 * split[0].size * split[1].size * split[2].size
    if work < rep1.dim * rep2.dim * rep_out.dim:
        return split
    return tuple(KleinOrder(rep, bits=0) for rep in (rep1, rep2, rep_out))


def fold(
    product: Any, weights: Float[Array, "paths channels"], ordered: tuple[KleinOrder, ...]
) -> Float[Array, "channels classes size_out pairs"]:
    r"""Path weights and couplings as one bilinear map for each channel and character.

    Every entry (i, j, k) of the map belongs to at most one path, so the map is a gather of weights
    times the couplings. Its transpose sums the entries of every path by one-hot contractions, a
    factor at a time: neither cost grows with the number of paths.

    Args:
        product: The static description: ``rep1``, ``rep2``, ``rep_out``.
        weights: Path weights, ``[paths, channels]``.
        ordered: The orders of the three reps.

    Returns:
        ``[channels, classes, size_out, classes * size1 * size2]``: for character k of the result,
        the pairs of character t of the first factor with the one of the second that gives k.
    """
    options = dict(zip(("rep1", "rep2", "rep_out"), (o.irreps for o in ordered), strict=True))
    return bind(_fold_p, weights.T, **options, bits=ordered[0].bits)


def _fold(weights: Array, *, rep1: Irreps, rep2: Irreps, rep_out: Irreps, bits: int) -> Array:
    path, coupling = _entries(rep1, rep2, rep_out, bits)
    table = jnp.asarray(coupling, weights.dtype)
    return weights[..., path] * jnp.expand_dims(table, range(weights.ndim - 1))


def _unfold(maps: Array, *, rep1: Irreps, rep2: Irreps, rep_out: Irreps, bits: int) -> Array:
    """The transpose of `_fold`: ``[..., channels, paths]``."""
    _, coupling = _entries(rep1, rep2, rep_out, bits)
    table = jnp.asarray(coupling, maps.dtype)
    maps = maps * jnp.expand_dims(table, range(maps.ndim - table.ndim))
    first, second, result, grid = (
        jnp.asarray(table, maps.dtype) for table in _memberships(rep1, rep2, rep_out, bits)
    )
    blocks1, blocks2 = first.shape[-1], second.shape[-1]
    triples = []
    for k in range(result.shape[0]):
        pairs = first[:, :, None, :, None] * second[k][:, None, :, None, :]
        pairs = pairs.reshape(-1, blocks1 * blocks2)
        sums = jnp.matmul(maps[..., k, :, :], pairs, precision=HIGHEST)
        triples.append(jnp.einsum("...fn,fz->...nz", sums, result[k], precision=HIGHEST))
    total = functools.reduce(jnp.add, triples)
    total = total.reshape(*total.shape[:-2], -1)
    return jnp.matmul(total, grid.reshape(grid.shape[0], -1).T, precision=HIGHEST)


_fold_p = primitive("fold_weights", _fold)
_unfold_p = primitive("unfold_weights", _unfold)
linear(_fold_p, lambda g, weights, **options: bind(_unfold_p, g, **options))
linear(_unfold_p, lambda g, maps, **options: bind(_fold_p, g, **options))


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
    channels, rows, size = x.shape[0], x.shape[-1], x.dtype.itemsize
    pairs = ordered[0].classes * ordered[0].size * ordered[1].size * size
    block_rows = rows_per_chunk(rows, pairs)
    block_channels = rows_per_chunk(channels, block_rows * pairs, in_core=True)

    def some_maps(weights: Array, x: Array, y: Array) -> Array:
        maps = fold(product, weights.T, ordered)
        if block_rows == rows:
            return map_chunks(_apply, block_channels, maps, x, y)

        def some_channels(maps: Array, x: Array, y: Array) -> Array:
            apply = functools.partial(_apply_rows_first, maps)
            z = map_chunks(apply, block_rows, jnp.moveaxis(x, -1, 0), jnp.moveaxis(y, -1, 0))
            return jnp.moveaxis(z, 0, -1)

        return map_chunks(some_channels, block_channels, maps, x, y)

    map_bytes = pairs * ordered[2].classes * ordered[2].size
    z = map_chunks(some_maps, rows_per_chunk(channels, map_bytes), weights.T, x, y)
    # The rows go back to the front in a separate step: fused, both would write with a stride.
    z = jax.lax.optimization_barrier(jnp.swapaxes(ordered[2].unsort(z), 0, 1))
    return jnp.transpose(z, (2, 0, 1))


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
    """The product with one set of weights for each row, in blocks of rows that stay in cache."""
    channels = x.shape[-1]

    def some_rows(x: Array, y: Array, weights: Array) -> Array:
        x, y, weights = (a.swapaxes(0, 1).reshape(a.shape[1], -1) for a in (x, y, weights))

        def weigh(spread: np.ndarray, coupled: Array, weights: Array) -> Array:
            return coupled * dot(spread, weights)

        z = _accumulate(product, x, y, weights, weigh)
        return z.reshape(product.rep_out.dim, -1, channels).swapaxes(0, 1)

    block = rows_per_chunk(x.shape[0], _signal_bytes(product, x) * channels, in_core=True)
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

        def weigh(spread: np.ndarray, coupled: Array, flat: Array) -> Array:
            spread_weights = jnp.einsum(
                "np,pmw->nmw", jnp.asarray(spread, x.dtype), flat, precision=HIGHEST
            )
            if weights.ndim == 4:
                coupled = coupled.reshape(-1, rows, u * v)
                return jnp.matmul(coupled, spread_weights, precision=HIGHEST).reshape(
                    coupled.shape[0], -1
                )
            coupled = coupled.reshape(-1, rows, u, v) * spread_weights.reshape(-1, 1, u, v)
            return coupled.sum(-1).reshape(coupled.shape[0], -1)

        flat_x, flat_y = (a.reshape(-1, rows * u * v) for a in (x, y))
        z = _accumulate(product, flat_x, flat_y, flat, weigh)
        return z.reshape(product.rep_out.dim, rows, -1).swapaxes(0, 1)

    block = rows_per_chunk(x.shape[0], _signal_bytes(product, x) * u * v, in_core=True)
    return map_chunks(some_rows, block, x, y)


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """All paths of one block of the first factor and some blocks of the second.

    Attributes:
        first: The block of the first factor.
        part: The part of the second factor.
        orders: The orders of both.
        paths: Where its paths end among all.
        couple: For each character of the result, couplings ``[terms, pairs]``.
        spread: One-hot from the paths to the terms, ``[terms, paths]``.
        place: One-hot from the terms to the components of the result, ``[size_out, terms]``.
    """

    first: int
    part: int
    orders: tuple[KleinOrder, KleinOrder]
    paths: int
    couple: tuple[np.ndarray, ...]
    spread: tuple[np.ndarray, ...]
    place: tuple[np.ndarray, ...]


def _accumulate(
    product: Any,
    x: Float[Array, "dim1 batch"],
    y: Float[Array, "dim2 batch"],
    weights: Float[Array, "paths *rest"],
    weigh: Callable[[np.ndarray, Array, Array], Array],
) -> Float[Array, "dim_out batch_out"]:
    """Couples the factors group after group, weighs every term and adds up the results."""
    result = orders(product.rep1, product.rep2, product.rep_out)[2]
    groups = _groups(product.rep1, product.rep2, product.rep_out)
    classes, batch = result.classes, x.shape[-1]
    # Splits, because the transpose of a slice is a sum of padded arrays.
    firsts = jnp.split(x, [block.start for block in blocks(product.rep1)][1:])
    seconds = jnp.split(y, [block.start for block in _starts(product.rep2)][1:])
    own = jnp.split(weights, [group.paths for group in groups][:-1])
    total: list[list[Array]] = [[] for _ in range(classes)]
    for group, weights_here in zip(groups, own, strict=True):
        first = group.orders[0].sort(firsts[group.first])
        flat = group.orders[1].sort(seconds[group.part]).reshape(classes, -1)
        for k in (k for k in range(classes) if len(group.couple[k])):
            partner = [t ^ k for t in range(classes)]
            pairs = outer(first, move_rows(flat, partner, partner).reshape(classes, -1, batch))
            coupled = dot(group.couple[k], pairs.reshape(-1, batch))
            weighed = weigh(group.spread[k], coupled, weights_here)
            total[k].append(dot(group.place[k], weighed))
    zero = jnp.zeros_like(next(terms[0] for terms in total if terms))
    sums = [functools.reduce(jnp.add, terms, zero) for terms in total]
    return result.unsort(jnp.stack(sums))


def _signal_bytes(product: Any, x: Array) -> int:
    """Bytes of temporaries for one row and pair of channels: four times pairs and terms."""
    groups = _groups(product.rep1, product.rep2, product.rep_out)
    return 4 * x.dtype.itemsize * max(sum(table.shape) for g in groups for table in g.couple)


@functools.cache
def _groups(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[_Group, ...]:
    first, _, result = orders(rep1, rep2, rep_out)
    scale = path_scale(rep1, rep2, rep_out)
    members: dict[tuple[int, int], list[tuple[int, Path]]] = {}
    for index, path in enumerate(coupling_paths(rep1, rep2, rep_out)):
        members.setdefault((path.first, _parts(rep2)[path.second]), []).append((index, path))
    groups = []
    for (i, part), paths in members.items():
        own = [j for j, number in enumerate(_parts(rep2)) if number == part]
        both = (
            KleinOrder(_of_blocks(blocks(rep1)[i : i + 1]), first.bits),
            KleinOrder(_of_blocks(blocks(rep2)[own[0] : own[-1] + 1]), first.bits),
        )
        local = [
            (index, dataclasses.replace(path, second=path.second - own[0])) for index, path in paths
        ]
        tables = [_terms(*both, result, local, scale, k) for k in range(first.classes)]
        groups.append(_Group(i, part, both, paths[-1][0] + 1, *zip(*tables, strict=True)))
    return tuple(groups)


def _of_blocks(some: tuple[Block, ...]) -> Irreps:
    return Irreps([(1, (block.l, block.p)) for block in some])


@functools.cache
def _parts(rep: Irreps) -> tuple[int, ...]:
    """The part of each block: consecutive ones, up to `PART` components or half of them.

    The couplings of larger parts are mostly zeros, and smaller ones take longer to compile.
    """
    parts, dim, most = [0], 0, max(PART, rep.dim // 2)
    for block in blocks(rep):
        size = 2 * block.l + 1
        new = dim > 0 and dim + size > most
        parts.append(parts[-1] + new)
        dim = size if new else dim + size
    return tuple(parts[1:])


def _starts(rep: Irreps) -> list[Block]:
    """The first block of every part."""
    return [b for k, b in enumerate(blocks(rep)) if not k or _parts(rep)[k] > _parts(rep)[k - 1]]


def _terms(
    order: KleinOrder,
    second: KleinOrder,
    result: KleinOrder,
    paths: list[tuple[int, Path]],
    scale: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Couplings, paths and components of the terms of character ``k``, as three tables."""
    l1 = blocks(order.irreps)[0].l
    places = list(result.index[k])
    partner = second.index[[t ^ k for t in range(order.classes)]]
    couple, spread, place = [], [], []
    for number, (index, path) in enumerate(paths):
        b, c = blocks(second.irreps)[path.second], blocks(result.irreps)[path.result]
        table = np.zeros((order.irreps.dim + 1, second.irreps.dim + 1, 2 * c.l + 1))
        table[:-1, b.slice] = scale[index] * clebsch_gordan(l1, b.l, c.l)
        chosen = table[order.index[:, :, None], partner[:, None, :]]
        for component in range(2 * c.l + 1):
            if c.start + component in places:
                couple.append(chosen[..., component].reshape(-1))
                spread.append(np.eye(len(paths))[number])
                place.append(np.eye(len(places))[places.index(c.start + component)])
    if not couple:
        pairs = order.index.size * second.size
        return np.zeros((0, pairs)), np.zeros((0, len(paths))), np.zeros((len(places), 0))
    return np.stack(couple), np.stack(spread), np.stack(place, axis=1)


@functools.cache
def _memberships(rep1: Irreps, rep2: Irreps, rep_out: Irreps, bits: int) -> tuple[np.ndarray, ...]:
    """One-hot from the components to the blocks of the three reps, from paths to triples.

    The table of the second rep is ordered, for every character of the result, by its partner in
    the first.
    """
    ordered = [KleinOrder(rep, bits) for rep in (rep1, rep2, rep_out)]
    first, second, result = (order.spread(_membership(order.irreps)) for order in ordered)
    paths = coupling_paths(rep1, rep2, rep_out)
    grid = np.zeros((len(paths), *(table.shape[-1] for table in (first, second, result))))
    for index, path in enumerate(paths):
        grid[index, path.first, path.second, path.result] = 1
    return first, second[_partners(len(first))], result, grid


@functools.cache
def _entries(
    rep1: Irreps, rep2: Irreps, rep_out: Irreps, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Path and coupling of each entry of the map, ``[classes, size_out, pairs]``."""
    scale = path_scale(rep1, rep2, rep_out)
    path_of = np.zeros((rep1.dim + 1, rep2.dim + 1, rep_out.dim + 1), np.int32)
    coupling = np.zeros(path_of.shape)
    for index, path in enumerate(coupling_paths(rep1, rep2, rep_out)):
        a, b = blocks(rep1)[path.first], blocks(rep2)[path.second]
        c = blocks(rep_out)[path.result]
        coupling[a.slice, b.slice, c.slice] = scale[index] * clebsch_gordan(a.l, b.l, c.l)
        path_of[a.slice, b.slice, c.slice] = index
    first, second, result = (KleinOrder(rep, bits).index for rep in (rep1, rep2, rep_out))
    # [character of the result, its components, character of the first, components of both]
    chosen = (
        first[None, None, :, :, None],
        second[_partners(len(first))][:, None, :, None, :],
        result[:, :, None, None, None],
    )
    shape = (*result.shape, -1)
    return path_of[chosen].reshape(shape), coupling[chosen].reshape(shape)


def _partners(classes: int) -> np.ndarray:
    return np.array([[t ^ k for t in range(classes)] for k in range(classes)])


def _membership(rep: Irreps) -> Float[np.ndarray, "dim blocks"]:
    return np.repeat(np.eye(len(blocks(rep))), [2 * b.l + 1 for b in blocks(rep)], axis=0)
