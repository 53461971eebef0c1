"""Solids drawn on the spot: points lie where the solid says, evenly, and labels are even."""

import numpy as np
import pytest

from experiments.point_clouds.shapes import SHAPES, draw_shapes, normalised

INSIDE = {
    "sphere": lambda x: np.abs((x**2).sum(-1) - 1),
    "cube": lambda x: np.abs(np.abs(x).max(-1) - 1),
    "tetrahedron": lambda x: np.abs(
        (x @ np.array([[-1, -1, -1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]).T).max(-1) - 1
    ),
    "pyramid": lambda x: np.minimum(
        np.abs(x[:, 2] + 1), np.abs(np.abs(x[:, :2]).max(-1) - (1 - x[:, 2]) / 2)
    ),
    "cylinder": lambda x: np.minimum(
        np.abs((x[:, :2] ** 2).sum(-1) - 1), np.abs(np.abs(x[:, 2]) - 1)
    ),
    "cone": lambda x: np.minimum(
        np.abs(x[:, 2] + 1), np.abs(np.linalg.norm(x[:, :2], axis=-1) - (1 - x[:, 2]) / 2)
    ),
    "torus": lambda x: np.abs((np.linalg.norm(x[:, :2], axis=-1) - 1) ** 2 + x[:, 2] ** 2 - 0.16),
}


@pytest.mark.parametrize("name", INSIDE)
def test_points_lie_on_the_surface(name: str) -> None:
    x = SHAPES[name](np.random.default_rng(0), 500)
    assert x.shape == (500, 3)
    assert INSIDE[name](x).max() < 1e-12
    assert INSIDE[name](x + 0.1).max() > 0.05


def test_points_are_spread_evenly() -> None:
    """The second moments of the surfaces, and the share of a lid."""
    rng = np.random.default_rng(0)
    moments = {name: (SHAPES[name](rng, 200_000) ** 2).mean(0) for name in ("sphere", "cube")}
    np.testing.assert_allclose(moments["sphere"], 1 / 3, atol=0.005)
    np.testing.assert_allclose(moments["cube"], 5 / 9, atol=0.005)
    cone = SHAPES["cone"](rng, 200_000)
    np.testing.assert_allclose((cone[:, 2] == -1).mean(), 1 / (1 + 5**0.5), atol=0.005)
    torus = SHAPES["torus"](rng, 200_000)
    np.testing.assert_allclose((torus[:, :2] ** 2).sum(-1).mean(), 1 + 1.5 * 0.16, atol=0.01)


def test_labels_and_scale() -> None:
    clouds, labels = draw_shapes(np.random.default_rng(0), 20, 64)
    assert np.bincount(labels, minlength=len(SHAPES)).tolist() in ([3, 3, 3, 3, 2, 2, 2, 2],)
    np.testing.assert_allclose(clouds.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose((clouds**2).sum(-1).mean(1), 1, atol=1e-12)
    again, same = draw_shapes(np.random.default_rng(0), 20, 64)
    np.testing.assert_array_equal(again, clouds)
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_array_equal(normalised(np.ones((4, 3))), 0)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="above 0 and noise"):
        draw_shapes(np.random.default_rng(0), 0, 5)
