"""Diagrams on the indices of a tensor: set partitions, perfect matchings, and their Gram matrices.

A diagram on the points 0, ..., N - 1 names an invariant tensor of order N. The first l points are
the indices of an output, the other k those of an input.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

Block = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Blocks of points, and points that a Levi-Civita tensor joins.

    Args:
        blocks: Disjoint ascending tuples of points in ascending order.
        free: The points of the Levi-Civita tensor, ascending; none without it.
    """

    blocks: tuple[Block, ...]
    free: Block = ()


def partition_diagrams(points: int, n: int) -> list[Diagram]:
    """The set partitions of ``points`` points into at most ``n`` blocks, those with few first.

    The tensors "equal within a block" are then a basis of the invariants of S(n).

    References:
        E. Pearce-Crump, arXiv:2212.08648 (2022).

    Example:
        >>> len(partition_diagrams(4, 4)), len(partition_diagrams(4, 2))
        (15, 8)
    """
    diagrams = [Diagram(blocks) for blocks in _partitions(points) if len(blocks) <= n]
    return sorted(diagrams, key=lambda diagram: len(diagram.blocks))


def matching_diagrams(
    points: Sequence[int], joins: Callable[[int, int], bool] = lambda a, b: True
) -> list[Diagram]:
    """The perfect matchings of the points in which ``joins`` allows every pair.

    Example:
        >>> len(matching_diagrams(range(6)))
        15
    """
    return [Diagram(tuple(sorted(pairs))) for pairs in _matchings(tuple(points), joins)]


def free_diagrams(points: int, n: int) -> list[Diagram]:
    """The matchings of all but ``n`` points, which a Levi-Civita tensor joins.

    References:
        E. Pearce-Crump, arXiv:2212.08630 (2022): the diagrams with free vertices.

    Example:
        >>> free_diagrams(3, 3)
        [Diagram(blocks=(), free=(0, 1, 2))]
    """
    if points < n or (points - n) % 2:
        return []
    everything = range(points)
    return [
        Diagram(diagram.blocks, free)
        for free in itertools.combinations(everything, n)
        for diagram in matching_diagrams([p for p in everything if p not in free])
    ]


def matching_gram(
    diagrams: Sequence[Diagram], n: int, *, symplectic: bool = False
) -> Float[np.ndarray, "d d"]:
    r"""Inner products of matchings: n to the number of loops that two of them form.

    With the symplectic form in place of the Kronecker delta it is
    :math:`s_\pi s_\sigma (-1)^{N/2} (-n)^{loops}`, where s is the parity of the crossings.

    Args:
        diagrams: Perfect matchings.
        n: Dimension of the vectors.
        symplectic: Whether pairs are joined by the symplectic form.
    """
    loops = _loops(_partners(diagrams))
    if not symplectic:
        return float(n) ** loops
    half = len(diagrams[0].blocks) if diagrams else 0
    parity = np.array([(-1.0) ** _crossings(diagram) for diagram in diagrams])
    return np.outer(parity, parity) * (-1.0) ** half * (-float(n)) ** loops


def free_gram(diagrams: Sequence[Diagram], n: int) -> Float[np.ndarray, "d d"]:
    """Inner products of diagrams with a Levi-Civita tensor.

    The pairs of both connect the free points of one to those of the other: n! times the sign of
    that permutation times n to the number of loops, or zero if two free points of one are joined.
    """
    factorial = float(np.prod(np.arange(1, n + 1)))
    gram = np.zeros((len(diagrams), len(diagrams)))
    for i, j in itertools.combinations_with_replacement(range(len(diagrams)), 2):
        sign, loops = _connect(diagrams[i], diagrams[j])
        gram[i, j] = gram[j, i] = sign * factorial * float(n) ** loops
    return gram


def partition_gram(diagrams: Sequence[Diagram], n: int) -> Float[np.ndarray, "d d"]:
    """Inner products of partitions: n to the number of blocks of their join."""
    points = sum(map(len, diagrams[0].blocks)) if diagrams else 0
    labels = np.zeros((len(diagrams), points), np.int64)
    for row, diagram in zip(labels, diagrams, strict=True):
        for block in diagram.blocks:
            row[list(block)] = block[0]
    # The least point of every component, found by letting labels sink along both partitions.
    joint = np.broadcast_to(labels[:, None], (len(diagrams), len(diagrams), points)).copy()
    for _ in range(points):
        for which in (labels[None], labels[:, None]):
            same = which[..., :, None] == which[..., None, :]
            joint = np.where(same, joint[..., None, :], points).min(-1)
    blocks = (joint == np.arange(points)).sum(-1)
    return float(n) ** blocks


def independent(gram: Float[np.ndarray, "d d"]) -> Int[np.ndarray, "rank"]:
    """Indices, ascending, of a largest set of linearly independent vectors with this Gram matrix.

    Pivoted Cholesky. The tensors of diagrams are far from dependent unless they are: the pivots
    fall from the order of one to rounding errors at once.

    Example:
        >>> independent(np.array([[1.0, 1.0], [1.0, 1.0]])).tolist()
        [0]
    """
    if not len(gram):
        return np.zeros(0, np.int32)
    scale = 1 / np.sqrt(np.diagonal(gram))
    normalized = gram * scale[:, None] * scale
    tolerance = 1e-9
    (factorise,) = scipy.linalg.get_lapack_funcs(("pstrf",), (normalized,))
    _, pivots, rank, _ = factorise(normalized, tol=tolerance)
    return np.sort(pivots[:rank] - 1).astype(np.int32)


def levi_civita(indices: Int[np.ndarray, "... n"]) -> Float[np.ndarray, "..."]:
    """The sign of index tuples ``[..., n]`` as permutations; 0 where an index repeats.

    Example:
        >>> levi_civita(np.array([[0, 1, 2], [1, 0, 2], [0, 0, 2]])).tolist()
        [1.0, -1.0, 0.0]
    """
    first, second = np.triu_indices(indices.shape[-1], 1)
    return np.prod(np.sign(indices[..., second] - indices[..., first]), -1, dtype=np.float64)


def _partitions(points: int) -> Iterator[tuple[Block, ...]]:
    if points == 0:
        yield ()
        return
    last = points - 1
    for blocks in _partitions(last):
        for i, block in enumerate(blocks):
            yield (*blocks[:i], (*block, last), *blocks[i + 1 :])
        yield (*blocks, (last,))


def _matchings(
    points: Block, joins: Callable[[int, int], bool]
) -> Iterator[tuple[tuple[int, int], ...]]:
    if not points:
        yield ()
        return
    first, *rest = points
    for i, other in enumerate(rest):
        if joins(first, other):
            remaining = tuple(rest[:i] + rest[i + 1 :])
            for pairs in _matchings(remaining, joins):
                yield ((first, other), *pairs)


def _partners(diagrams: Sequence[Diagram]) -> Int[np.ndarray, "d points"]:
    points = 2 * len(diagrams[0].blocks) if diagrams else 0
    partners = np.zeros((len(diagrams), points), np.int64)
    for row, diagram in zip(partners, diagrams, strict=True):
        for a, b in diagram.blocks:
            row[a], row[b] = b, a
    return partners


def _loops(partners: Int[np.ndarray, "d points"]) -> Int[np.ndarray, "d d"]:
    """Half the cycles of "along one matching, then along the other", for all pairs at once."""
    d, points = partners.shape
    step = partners[:, partners.T].swapaxes(1, 2) if points else np.zeros((d, d, 0), np.int64)
    place = np.broadcast_to(np.arange(points), step.shape)
    least = place.copy()
    for _ in range(points):
        place = np.take_along_axis(step, place, -1)
        least = np.minimum(least, place)
    return (least == np.arange(points)).sum(-1) // 2


def _crossings(diagram: Diagram) -> int:
    pairs = itertools.combinations(diagram.blocks, 2)
    return sum(a < c < b < d or c < a < d < b for (a, b), (c, d) in pairs)


def _connect(first: Diagram, second: Diagram) -> tuple[float, int]:
    """Sign of the permutation between the free points (0 if none), and the number of loops."""
    along = [_partner_map(first), _partner_map(second)]
    seen: set[int] = set()
    permutation = []
    for start in first.free:
        place, side = start, 1
        seen.add(place)
        while place in along[side]:
            place, side = along[side][place], 1 - side
            seen.add(place)
        if side == 0:  # it ends at a point that the first diagram leaves free
            return 0.0, 0
        permutation.append(second.free.index(place))
    loops = 0
    for start in along[0]:
        if start in seen:
            continue
        place, side = start, 0
        while place not in seen or side == 1:
            seen.add(place)
            nearby = along[side].get(place)
            if nearby is None:
                break
            place, side = nearby, 1 - side
        else:
            loops += 1
    return float(levi_civita(np.array(permutation))), loops


def _partner_map(diagram: Diagram) -> dict[int, int]:
    pairs = itertools.chain(diagram.blocks, (block[::-1] for block in diagram.blocks))
    return {a: b for a, b in pairs}


@functools.lru_cache(16)
def permutations(count: int) -> tuple[tuple[int, ...], ...]:
    """All orders of ``count`` things."""
    return tuple(itertools.permutations(range(count)))
