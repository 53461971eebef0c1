"""Point clouds of simple solids, drawn on the spot: something to classify without a data set."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Draw = Callable[[np.random.Generator, int], Float[np.ndarray, "points 3"]]


def draw_shapes(
    rng: np.random.Generator, count: int, points: int, *, noise: float = 0.02
) -> tuple[Float[np.ndarray, "count points 3"], Int[np.ndarray, "count"]]:
    """Surfaces of random solids, stretched at random along their axes, all upright.

    The solids are those of ``SHAPES``; their axes are stretched by factors from 0.7 to 1.3. Clouds
    are centred and have a root mean square radius of one.

    Args:
        rng: Where randomness comes from.
        count: Number of clouds.
        points: Points of each, spread evenly over the surface before it is stretched.
        noise: Standard deviation of a displacement of every coordinate.

    Returns:
        Clouds in float64 and the numbers of their solids in ``SHAPES``, equally frequent up to one.

    Raises:
        ValueError: If a number is out of range.

    >>> clouds, labels = draw_shapes(np.random.default_rng(0), 8, 100)
    >>> clouds.shape, sorted(labels.tolist())
    ((8, 100, 3), [0, 1, 2, 3, 4, 5, 6, 7])
    """
    if min(count, points) < 1 or noise < 0:
        raise ValueError(
            f"expected count and points above 0 and noise of 0 or more, got {count}, {points} "
            f"and {noise}"
        )
    labels = rng.permutation(np.arange(count) % len(SHAPES))
    draws = list(SHAPES.values())
    clouds = np.stack([draws[label](rng, points) for label in labels])
    clouds = clouds * rng.uniform(0.7, 1.3, size=(count, 1, 3))
    clouds = clouds + noise * rng.normal(size=clouds.shape)
    return normalised(clouds), labels


def normalised(clouds: Float[np.ndarray, "... points 3"]) -> Float[np.ndarray, "... points 3"]:
    """Clouds about their centroids, with a root mean square radius of one."""
    clouds = clouds - clouds.mean(-2, keepdims=True)
    radius = np.sqrt((clouds**2).sum(-1).mean(-1))[..., None, None]
    return clouds / np.where(radius > 0, radius, 1)


def _sphere(rng: np.random.Generator, points: int) -> np.ndarray:
    x = rng.normal(size=(points, 3))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _faces(corners: np.ndarray, faces: np.ndarray) -> Draw:
    """Points spread evenly over triangles."""
    a, b, c = (corners[faces[:, k]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=-1)

    def draw(rng: np.random.Generator, points: int) -> np.ndarray:
        chosen = rng.choice(len(faces), points, p=areas / areas.sum())
        u, v = rng.uniform(size=(2, points, 1))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        return a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]

    return draw


def _cube() -> Draw:
    corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], float)
    squares = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    return _faces(corners, np.array([t for a, b, c, d in squares for t in ((a, b, c), (a, c, d))]))


def _tetrahedron() -> Draw:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    return _faces(corners, np.array([(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]))


def _pyramid() -> Draw:
    corners = np.array([[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [0, 0, 1]], float)
    sides = [(k, (k + 1) % 4, 4) for k in range(4)]
    return _faces(corners, np.array([*sides, (0, 1, 2), (0, 2, 3)]))


def _cylinder(rng: np.random.Generator, points: int) -> np.ndarray:
    """Side and two lids: two thirds and a sixth each of the surface of height 2, radius 1."""
    angle = rng.uniform(0, 2 * np.pi, points)
    part = rng.uniform(size=points)
    radius = np.where(part < 2 / 3, 1.0, np.sqrt(rng.uniform(size=points)))
    height = np.where(part < 2 / 3, rng.uniform(-1, 1, points), np.where(part < 5 / 6, 1.0, -1.0))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)


def _cone(rng: np.random.Generator, points: int) -> np.ndarray:
    """Mantle and lid in proportion to their areas, height 2 and radius 1."""
    angle = rng.uniform(0, 2 * np.pi, points)
    radius = np.sqrt(rng.uniform(size=points))
    lid = rng.uniform(size=points) < 1 / (1 + np.sqrt(5))
    height = np.where(lid, -1.0, 1 - 2 * radius)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)


def _torus(rng: np.random.Generator, points: int) -> np.ndarray:
    """Radii 1 and 0.4; angles of the tube by rejection, as the outside has more surface."""
    tube = np.empty(0)
    while len(tube) < points:
        angle = rng.uniform(0, 2 * np.pi, 2 * points)
        kept = rng.uniform(size=2 * points) < (1 + 0.4 * np.cos(angle)) / 1.4
        tube = np.concatenate([tube, angle[kept]])
    tube, angle = tube[:points], rng.uniform(0, 2 * np.pi, points)
    radius = 1 + 0.4 * np.cos(tube)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.4 * np.sin(tube)], -1)


def _helix(rng: np.random.Generator, points: int) -> np.ndarray:
    """Two right-handed turns: the one solid here that differs from its mirror image."""
    t = rng.uniform(-1, 1, points)
    line = np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t), 1.5 * t], -1)
    return line + 0.1 * rng.normal(size=(points, 3))


SHAPES: dict[str, Draw] = {
    "sphere": _sphere,
    "cube": _cube(),
    "tetrahedron": _tetrahedron(),
    "pyramid": _pyramid(),
    "cylinder": _cylinder,
    "cone": _cone,
    "torus": _torus,
    "helix": _helix,
}
"""The solids, by the number that is their label."""
