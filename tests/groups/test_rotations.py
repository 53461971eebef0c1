"""Representations of rotations: round trips, equivariance, continuity, bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from equinet.groups import SO
from equinet.groups import rotations as r

CONTINUOUS = ["6d", "5d", "9d"]
ORDERS = ["".join(p) for p in itertools.product("XYZ", repeat=3) if p[0] != p[1] != p[2]]


@pytest.mark.parametrize("name", list(r.REPRESENTATIONS))
def test_round_trip(name: str, x64: None) -> None:
    to_matrix, from_matrix = r.REPRESENTATIONS[name]
    g = SO(3).sample(jax.random.key(0), (50,))
    half_turns = jnp.asarray(
        [np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]
    )
    g = jnp.concatenate([g, half_turns, jnp.eye(3)[None]])
    np.testing.assert_allclose(to_matrix(from_matrix(g)), g, atol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("n", [2, 3, 5])
def test_any_numbers_are_a_rotation_in_n_dimensions(name: str, n: int, x64: None) -> None:
    to_matrix, from_matrix = r.REPRESENTATIONS[name]
    g = SO(n).sample(jax.random.key(0), (20,))
    numbers = from_matrix(g)
    size = {"6d": n * (n - 1), "5d": n * n - 2 * n + 2, "9d": n * n}[name]
    assert numbers.shape == (20, size)
    np.testing.assert_allclose(to_matrix(numbers), g, atol=1e-12)
    x = jax.random.normal(jax.random.key(1), numbers.shape)
    assert SO(n).contains(to_matrix(x), atol=1e-12).all()


def test_gram_schmidt_and_svd_are_equivariant(x64: None) -> None:
    q = SO(3).sample(jax.random.key(0))
    columns = jax.random.normal(jax.random.key(1), (20, 2, 3))
    moved = (columns @ q.T).reshape(20, 6)
    expected = q @ r.gram_schmidt_to_matrix(columns.reshape(20, 6))
    np.testing.assert_allclose(r.gram_schmidt_to_matrix(moved), expected, atol=1e-12)
    m = jax.random.normal(jax.random.key(2), (20, 3, 3))
    both = q @ r.nearest_rotation(m) @ q
    np.testing.assert_allclose(r.nearest_rotation(q @ m @ q), both, atol=1e-12)


def test_gram_schmidt_is_not_equivariant_from_the_right(x64: None) -> None:
    q = SO(3).sample(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 3))
    one = r.matrix_to_gram_schmidt
    moved = r.gram_schmidt_to_matrix(one(x @ q))
    assert jnp.abs(moved - r.gram_schmidt_to_matrix(one(x)) @ q).max() > 0.1


def test_continuity(x64: None) -> None:
    """The largest ratio of steps along a path through a half turn: bounded, or not."""
    angles = jnp.linspace(np.pi - 1e-3, np.pi + 1e-3, 1001)
    axis = jnp.asarray([1.0, 2, 3]) / np.sqrt(14)
    g = SO(3).exp_coordinates(angles[:, None] * axis[None])
    steps = jnp.linalg.norm((g[1:] - g[:-1]).reshape(-1, 9), axis=-1)
    worst = {}
    for name, (_, from_matrix) in r.REPRESENTATIONS.items():
        x = from_matrix(g).reshape(1001, -1)
        worst[name] = float((jnp.linalg.norm(x[1:] - x[:-1], axis=-1) / steps).max())
    for name in CONTINUOUS:
        assert worst[name] < 3, name
    for name in ("quaternion", "axis_angle"):
        assert worst[name] > 1e4, name


def test_euler_angles_agree_with_scipy(x64: None) -> None:
    g = SO(3).sample(jax.random.key(0), (9,))
    for order in ORDERS:
        for axes in (order, order.lower()):
            angles = r.matrix_to_euler(g, axes)
            theirs = Rotation.from_euler(axes, np.asarray(angles)).as_matrix()
            np.testing.assert_allclose(theirs, g, atol=1e-12, err_msg=axes)


@pytest.mark.parametrize("axes", ["ZYX", "xyz", "ZXZ", "yxy"])
def test_gimbal_lock(axes: str, x64: None) -> None:
    for middle in (np.pi / 2, -np.pi / 2) if len(set(axes)) == 3 else (0.0, np.pi):
        g = r.euler_to_matrix(jnp.asarray([0.3, middle, 0.4]), axes)
        angles, slopes = jax.jit(
            lambda g: (
                r.matrix_to_euler(g, axes),
                jax.jacrev(lambda g: r.matrix_to_euler(g, axes))(g),
            )
        )(g)
        np.testing.assert_allclose(r.euler_to_matrix(angles, axes), g, atol=1e-12)
        assert jnp.isfinite(slopes).all()


def test_quaternions_agree_with_scipy(x64: None) -> None:
    g = SO(3).sample(jax.random.key(0), (9,))
    w, *vector = np.moveaxis(np.asarray(r.matrix_to_quaternion(g)), -1, 0)
    np.testing.assert_allclose(
        Rotation.from_quat(np.stack([*vector, w], -1)).as_matrix(), g, atol=1e-12
    )
    assert (w >= 0).all()


@pytest.mark.parametrize("name", list(r.REPRESENTATIONS))
def test_derivatives_are_finite_at_the_identity(name: str, x64: None) -> None:
    to_matrix, from_matrix = r.REPRESENTATIONS[name]
    one = jnp.eye(3)

    def both(g: jax.Array) -> jax.Array:
        return jnp.sin(to_matrix(from_matrix(g))).sum() + from_matrix(g).sum()

    assert jnp.isfinite(jax.jit(jax.jacfwd(jax.jacrev(both)))(one)).all()


def test_singular_input_has_finite_derivatives() -> None:
    for to_matrix, size in (
        (r.quaternion_to_matrix, 4),
        (r.gram_schmidt_to_matrix, 6),
        (r.stereographic_to_matrix, 5),
        (r.svd_to_matrix, 9),
    ):
        assert jnp.isfinite(jax.jit(jax.jacrev(to_matrix))(jnp.zeros(size))).all()


def test_the_nearest_rotation_of_a_reflection(x64: None) -> None:
    m = jnp.diag(jnp.asarray([3.0, 2.0, -1.0]))
    np.testing.assert_allclose(r.nearest_rotation(m), np.eye(3), atol=1e-15)
    dm = jax.random.normal(jax.random.key(0), (3, 3))
    _, slope = jax.jvp(r.nearest_rotation, (m,), (dm,))
    h = 1e-5
    difference = (r.nearest_rotation(m + h * dm) - r.nearest_rotation(m - h * dm)) / (2 * h)
    np.testing.assert_allclose(slope, difference, atol=1e-8)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="got the representation 'rodrigues', expected one of"):
        r.convert(jnp.ones(4), "quaternion", "rodrigues")
    for axes in ("ZZX", "XYz", "XY", "ABC"):
        with pytest.raises(ValueError, match="got the axes"):
            r.euler_to_matrix(jnp.zeros(3), axes)
    for to_matrix, length in (
        (r.gram_schmidt_to_matrix, 5),
        (r.stereographic_to_matrix, 6),
        (r.svd_to_matrix, 8),
    ):
        with pytest.raises(ValueError, match=f"got {length} numbers on the last axis"):
            to_matrix(jnp.zeros(length))
