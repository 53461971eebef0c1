"""Folded grids: exact to their degree, one point of each orbit, characters that multiply."""

import numpy as np
import pytest

from equinet.ops.folded_grid import MIRRORS, fold_bits, fold_characters, folded_grid
from equinet.ops.spherical_harmonics import harmonics_table
from equinet.reps import Irreps


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1, 6, 12, 18, 25, 32, 140])
def test_exact_for_the_trivial_character(degree: int, bits: int) -> None:
    """Harmonics that no generator changes are integrated: one of them is not zero."""
    points, weights = folded_grid(degree, bits)
    lmax = min(degree, 20)
    mirrored = [harmonics_table(lmax, points * mirror) for mirror in MIRRORS[:bits]]
    table = harmonics_table(lmax, points)
    kept = np.all([np.abs(m - table).max(0) < 1e-9 for m in mirrored], axis=0)
    np.testing.assert_allclose(weights @ table[:, kept], np.arange(kept.sum()) == 0, atol=1e-12)


def test_a_degree_beyond_is_not_integrated() -> None:
    points, weights = folded_grid(6, 1)
    values = weights @ harmonics_table(8, points)[:, 64:]
    assert np.abs(values).max() > 0.1


def test_two_thirds_of_the_points() -> None:
    counts = {degree: 2 * len(folded_grid(degree, 1)[1]) for degree in (6, 12, 18, 24, 30)}
    assert counts == {6: 26, 12: 74, 18: 146, 24: 230, 30: 350}


@pytest.mark.parametrize("degree", [6, 24, 60])
def test_characters_are_signs(degree: int) -> None:
    rep = Irreps.spherical_harmonics(4)
    points = np.random.default_rng(0).normal(size=(5, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    table = harmonics_table(4, points)
    for bit, mirror in enumerate(MIRRORS[: fold_bits(degree)]):
        signs = 1 - 2 * (fold_characters(rep, degree) >> bit & 1)
        np.testing.assert_allclose(harmonics_table(4, points * mirror), signs * table, atol=1e-12)


def test_a_negative_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        folded_grid(-1)
