"""Grids of orientations: unit vectors, their symmetries, vectors there and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.orientations import (
    POLYHEDRA,
    Grid,
    circle,
    fibonacci,
    lift_vectors,
    polyhedron,
    read_vectors,
)

GRIDS = {name: polyhedron(name) for name in POLYHEDRA} | {
    "circle_7": circle(7),
    "circle_8": circle(8),
    "fibonacci_16": fibonacci(16),
    "fibonacci_16_antipodal": fibonacci(16, antipodal=True),
}
ROTATIONS = {
    "tetrahedron": 12,
    "octahedron": 24,
    "cube": 24,
    "icosahedron": 60,
    "dodecahedron": 60,
    "icosidodecahedron": 60,
    "circle_7": 7,
    "circle_8": 8,
}


@pytest.fixture(params=sorted(GRIDS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_distinct_unit_vectors(name: str) -> None:
    points = GRIDS[name].points
    assert points.dtype == np.float64
    assert not points.flags.writeable
    assert points.shape == (GRIDS[name].size, GRIDS[name].dim)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 1, atol=1e-15)
    overlaps = points @ points.T - 2 * np.eye(len(points))
    assert overlaps.max() < 0.95


@pytest.mark.parametrize("reflections", [False, True])
def test_symmetries_permute_the_points(name: str, reflections: bool) -> None:
    grid = GRIDS[name]
    rotations, permutations = grid.symmetries(reflections=reflections)
    assert rotations.dtype == np.float64
    assert permutations.dtype == np.int32
    if name in ROTATIONS:
        assert len(rotations) == ROTATIONS[name] * (1 + reflections)
    moved = np.einsum("gij,kj->gki", rotations, grid.points)
    np.testing.assert_allclose(moved, grid.points[permutations], atol=1e-14)
    products = np.einsum("gij,gkj->gik", rotations, rotations)
    identity = np.broadcast_to(np.eye(grid.dim), products.shape)
    np.testing.assert_allclose(products, identity, atol=1e-14)
    determinants = np.linalg.det(rotations)
    assert (determinants < 0).sum() == (len(rotations) / 2 if reflections else 0) or (
        name.startswith("fibonacci")
    )
    assert (permutations == np.arange(grid.size)).all(-1).sum() >= 1


def test_symmetries_are_a_group() -> None:
    rotations, permutations = polyhedron("dodecahedron").symmetries()
    known = {tuple(p) for p in permutations}
    assert len(known) == len(rotations)
    assert {tuple(p[q]) for p in permutations for q in permutations[:7]} == known


def test_antipodes_are_the_second_half() -> None:
    antipodal = {name for name, grid in GRIDS.items() if grid.is_antipodal}
    assert antipodal == set(GRIDS) - {"tetrahedron", "circle_7", "fibonacci_16"}
    points = fibonacci(16, antipodal=True).points
    np.testing.assert_array_equal(points[8:], -points[:8])


def test_vectors_there_and_back(name: str, x64: None) -> None:
    grid = GRIDS[name]
    vectors = np.random.default_rng(0).normal(size=(4, grid.dim, 3))
    lifted = lift_vectors(jnp.asarray(vectors), grid)
    np.testing.assert_allclose(lifted[1, 2], grid.points[2] @ vectors[1], atol=1e-14)
    np.testing.assert_allclose(read_vectors(lifted, grid), vectors, atol=1e-13)


def test_regular_grids_are_tight_frames() -> None:
    for name in ROTATIONS:
        grid = GRIDS[name]
        np.testing.assert_allclose(grid.dual, grid.dim / grid.size * grid.points, atol=1e-14)
    grid = fibonacci(5)
    assert np.abs(grid.dual - 3 / 5 * grid.points).max() > 1e-3  # others are not


def test_equal_grids_are_one() -> None:
    assert fibonacci(16) == fibonacci(16) != fibonacci(17)
    assert hash(polyhedron("cube")) == hash(Grid("cube", 8))
    assert fibonacci(9).points is fibonacci(9).points


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fibonacci(3), "grid too small: a fibonacci needs at least 4"),
        (lambda: circle(2), "grid too small"),
        (lambda: fibonacci(9, antipodal=True), "even size, got 9"),
        (lambda: polyhedron("sphere"), "unknown polyhedron"),
        (lambda: Grid("sphere", 9), "unknown grid"),
        (lambda: Grid("cube", 9), "has 8 orientations, got 9"),
        (lambda: lift_vectors(jnp.ones((2, 1)), fibonacci(4)), "3, channels"),
        (lambda: read_vectors(jnp.ones((5, 1)), fibonacci(4)), "4, channels"),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
