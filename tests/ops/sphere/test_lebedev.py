"""Grids on half of the sphere: exact for even functions up to their degree, no antipodes."""

import numpy as np
import pytest

from equinet.ops.sphere import hemisphere_grid
from equinet.reps import spherical_harmonics_table


@pytest.mark.parametrize("degree", [0, 1, 6, 12, 18, 25, 32, 140])
def test_exact_for_even_degrees(degree: int) -> None:
    points, weights = hemisphere_grid(degree)
    table = spherical_harmonics_table(min(degree, 20), points)
    even = np.array([l % 2 == 0 for l in range(min(degree, 20) + 1) for _ in range(2 * l + 1)])
    values = (weights @ table)[even]
    np.testing.assert_allclose(values, np.arange(len(values)) == 0, atol=1e-12)


def test_a_degree_beyond_is_not_integrated() -> None:
    points, weights = hemisphere_grid(6)
    values = weights @ spherical_harmonics_table(8, points)[:, 64:]
    assert np.abs(values).max() > 0.1


def test_no_antipodes() -> None:
    points, _ = hemisphere_grid(18)
    assert np.linalg.norm(points[:, None] + points, axis=-1).min() > 0.1


def test_two_thirds_of_the_points() -> None:
    counts = {degree: 2 * len(hemisphere_grid(degree)[1]) for degree in (6, 12, 18, 24, 30)}
    assert counts == {6: 26, 12: 74, 18: 146, 24: 230, 30: 350}


def test_a_negative_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        hemisphere_grid(-1)
