"""Arrays of integers mean what the same numbers as floats mean, in every method of every group."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import equinet.groups as groups
from equinet.groups import (
    SE,
    SL,
    SO,
    Affine,
    Cyclic,
    Dihedral,
    E,
    FullLorentz,
    GLPlus,
    Group,
    Lorentz,
    MatrixLieGroup,
    O,
    OnAxes,
    S,
    Scalings,
    Similitudes,
    Sp,
)

MATRICES = [O(2), O(3), SO(3), SO(4), E(3), SE(2), GLPlus(2), SL(3), Similitudes(2), Scalings(3)]
MATRICES += [Sp(4), Lorentz(), FullLorentz(), Affine(GLPlus(2)), OnAxes(O(2), 3, (2, 0))]
GROUPS = [*MATRICES, S(5), Cyclic(5), Dihedral(4), SO(3) * S(3)]


def same(f: Callable[[Array], Array], numbers: np.ndarray) -> None:
    found = jax.tree.leaves(f(jnp.asarray(numbers, jnp.int32)))
    expected = jax.tree.leaves(f(jnp.asarray(numbers, jnp.float32)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_points_of_integers_move_as_floats_do(group: Group) -> None:
    g = group.sample(jax.random.key(0))
    points = np.arange(3, 3 + group.vector_dim)
    same(lambda points: group.act(g, points), points)
    assert np.abs(group.act(g, jnp.asarray(points))).max() > 0


@pytest.mark.parametrize("group", MATRICES, ids=str)
def test_matrices_and_coordinates_of_integers(group: MatrixLieGroup) -> None:
    one = np.eye(group.matrix_dim, dtype=np.int32)
    v = np.arange(1, 1 + len(group.lie_algebra()))
    for method in (group.inverse, group.linear_part, group.adjoint, group.log_coordinates):
        same(method, one)
    same(lambda g: group.compose(g, g), one)
    same(group.vee, np.arange(one.size).reshape(one.shape))
    for method in (group.hat, group.left_jacobian, group.right_jacobian):
        same(method, v)
    same(group.exp_coordinates, np.minimum(v, 1))


def test_decompositions_and_parametrisations_of_integers() -> None:
    matrix = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 3]])
    for name in ("polar", "cartan", "iwasawa", "spd_log_density", "polar_log_density"):
        same(getattr(groups, name), matrix)
    same(groups.nearest_rotation, matrix)
    same(groups.boost, np.array([1, 0, 2]))
    for name, numbers in [
        ("quaternion", [1, 2, 3, 4]),
        ("axis_angle", [1, 0, 2]),
        ("euler", [1, 0, 2]),
        ("6d", [1, 0, 2, 0, 1, 1]),
        ("5d", [1, 0, 2, 1, 1]),
        ("9d", [2, 1, 0, 0, 1, 0, 0, 0, 3]),
    ]:
        same(lambda x, name=name: groups.convert(x, name, "matrix"), np.array(numbers))
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for name in ("quaternion", "axis_angle", "euler", "6d", "5d", "9d"):
        same(lambda x, name=name: groups.convert(x, "matrix", name), quarter)
