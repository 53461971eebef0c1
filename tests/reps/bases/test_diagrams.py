"""Diagrams: how many there are, and Gram matrices without tensors against those of the tensors."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from equinet.groups import Sp
from equinet.reps.bases.diagram_maps import DiagramMaps
from equinet.reps.bases.diagrams import (
    Diagram,
    free_diagrams,
    free_gram,
    independent,
    levi_civita,
    matching_diagrams,
    matching_gram,
    partition_diagrams,
    partition_gram,
)

BELL = [1, 1, 2, 5, 15, 52, 203]


def test_partitions_are_counted_by_bell_numbers() -> None:
    assert [len(partition_diagrams(points, points)) for points in range(7)] == BELL


@pytest.mark.parametrize("n", [1, 2, 3])
def test_partitions_into_few_blocks(n: int) -> None:
    assert all(len(diagram.blocks) <= n for diagram in partition_diagrams(5, n))
    stirling = {1: 1, 2: 1 + 15, 3: 1 + 15 + 25}
    assert len(partition_diagrams(5, n)) == stirling[n]


def test_matchings_are_counted_by_double_factorials() -> None:
    assert [len(matching_diagrams(range(2 * k))) for k in range(5)] == [1, 1, 3, 15, 105]
    assert matching_diagrams(range(3)) == []


@pytest.mark.parametrize(("points", "n"), [(3, 3), (5, 3), (6, 4), (8, 2), (4, 3), (2, 3)])
def test_free_diagrams_choose_the_free_points(points: int, n: int) -> None:
    expected = 0
    if points >= n and (points - n) % 2 == 0:
        pairs = (points - n) // 2
        expected = (
            math.comb(points, n) * math.factorial(2 * pairs) // (2**pairs * math.factorial(pairs))
        )
    assert len(free_diagrams(points, n)) == expected


def _gram(diagrams: Sequence[Diagram], n: int, split: int, form: np.ndarray | None) -> np.ndarray:
    points = sum(map(len, diagrams[0].blocks)) + len(diagrams[0].free)
    table = DiagramMaps(n, split, points - split, diagrams, form).dense()
    return np.einsum("aij,bij->ab", table, table)


@pytest.mark.parametrize("split", [0, 2, 3])
@pytest.mark.parametrize(
    ("diagrams", "n", "gram", "form"),
    [
        (partition_diagrams(4, 4), 4, partition_gram, None),
        (matching_diagrams(range(6)), 3, matching_gram, None),
        (
            matching_diagrams(range(6)),
            2,
            lambda d, n: matching_gram(d, n, symplectic=True),
            Sp(2).form,
        ),
        (free_diagrams(5, 3), 3, free_gram, None),
        (free_diagrams(6, 4), 4, free_gram, None),
        (free_diagrams(4, 2), 2, free_gram, None),
    ],
    ids=["partitions", "matchings", "symplectic", "free 3", "free 4", "free 2"],
)
def test_gram_matrices(
    diagrams: list[Diagram],
    n: int,
    gram: Callable[[list[Diagram], int], np.ndarray],
    form: np.ndarray | None,
    split: int,
) -> None:
    np.testing.assert_array_equal(gram(diagrams, n), _gram(diagrams, n, split, form))


@pytest.mark.parametrize(("points", "n", "rank"), [(6, 2, 10), (8, 3, 91), (8, 4, 105)])
def test_dependent_matchings_are_left_out(points: int, n: int, rank: int) -> None:
    diagrams = matching_diagrams(range(points))
    chosen = independent(matching_gram(diagrams, n))
    assert len(chosen) == rank
    assert len(set(chosen.tolist())) == rank


def test_levi_civita() -> None:
    signs = levi_civita(np.indices((3, 3, 3)).reshape(3, -1).T)
    assert np.count_nonzero(signs) == 6
    assert signs.sum() == 0
