"""The tables against e3nn-jax (signs included), and against their defining properties."""

import itertools
from collections.abc import Iterable

import e3nn_jax
import numpy as np
import pytest

from equinet.reps import clebsch_gordan, so3_generators

DEGREES = range(13)


def paths(degrees: Iterable[int]) -> list[tuple[int, int, int]]:
    triples = itertools.product(degrees, repeat=3)
    return [(l1, l2, l3) for l1, l2, l3 in triples if abs(l1 - l2) <= l3 <= l1 + l2]


def test_equals_e3nn_with_signs() -> None:
    for l1, l2, l3 in itertools.product(range(7), repeat=3):
        expected = e3nn_jax.clebsch_gordan(l1, l2, l3)
        np.testing.assert_allclose(clebsch_gordan(l1, l2, l3), expected, rtol=0, atol=2e-14)


def test_number_of_paths() -> None:
    counts = [
        sum(np.any(clebsch_gordan(*t)) for t in paths(range(lmax + 1))) for lmax in range(1, 7)
    ]
    assert counts == [5, 15, 34, 65, 111, 175]


def test_orthogonality_to_degree_12() -> None:
    for l1, l2, l3 in paths([0, 1, 2, 5, 9, 12]):
        table = clebsch_gordan(l1, l2, l3)
        gram = (2 * l3 + 1) * np.einsum("ijk,ijl->kl", table, table)
        np.testing.assert_allclose(gram, np.eye(2 * l3 + 1), rtol=0, atol=1e-13)


def test_complete_to_degree_12() -> None:
    l1, l2 = 12, 5
    blocks = [np.sqrt(2 * l + 1) * clebsch_gordan(l1, l2, l) for l in range(l1 - l2, l1 + l2 + 1)]
    change = np.concatenate(blocks, axis=2).reshape(25 * 11, 25 * 11)
    np.testing.assert_allclose(change @ change.T, np.eye(25 * 11), rtol=0, atol=1e-13)


@pytest.mark.parametrize("l", [1, 2, 5, 12])
def test_permutation_symmetry(l: int) -> None:
    table = clebsch_gordan(l, 3, 2)
    sign = (-1) ** (l + 3 + 2)
    np.testing.assert_allclose(clebsch_gordan(3, l, 2), sign * table.swapaxes(0, 1), atol=1e-15)
    assert np.any(table) == (l <= 5)


def test_invariant_under_generators_at_degree_12() -> None:
    table = clebsch_gordan(12, 11, 7)
    x1, x2, x3 = so3_generators(12), so3_generators(11), so3_generators(7)
    total = (
        np.einsum("aij,jkl->aikl", x1, table)
        + np.einsum("akj,ijl->aikl", x2, table)
        + np.einsum("alj,ikj->aikl", x3, table)
    )
    np.testing.assert_allclose(total, 0, atol=1e-13)


@pytest.mark.parametrize("l", DEGREES)
def test_generators_equal_e3nn_and_close(l: int) -> None:
    x = so3_generators(l)
    np.testing.assert_allclose(x, e3nn_jax.generators(l), rtol=0, atol=1e-13)
    np.testing.assert_allclose(x[0] @ x[1] - x[1] @ x[0], x[2], atol=1e-12)
    np.testing.assert_allclose(x[1] @ x[2] - x[2] @ x[1], x[0], atol=1e-12)
    casimir = -np.einsum("aij,ajk->ik", x, x)
    np.testing.assert_allclose(casimir, l * (l + 1) * np.eye(2 * l + 1), atol=1e-11)


def test_tables_are_cached_float64_and_read_only() -> None:
    for table in (clebsch_gordan(2, 1, 1), so3_generators(2)):
        assert table.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            table[0, 0, 0] = 1.0
    assert clebsch_gordan(2, 1, 1) is clebsch_gordan(2, 1, 1)


def test_forbidden_triples_are_zero() -> None:
    assert clebsch_gordan(1, 1, 3).shape == (3, 3, 7)
    assert not np.any(clebsch_gordan(1, 1, 3))


def test_negative_degree_raises() -> None:
    with pytest.raises(ValueError, match=">= 0"):
        clebsch_gordan(1, -1, 1)
    with pytest.raises(ValueError, match=">= 0"):
        so3_generators(-1)
