"""Regular reps, powers, outer products and restrictions are reps, in normal form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SE, SO, Cyclic, Dihedral, E, GLPlus, O, OnAxes, S
from equinet.reps import (
    Irreps,
    Regular,
    Rep,
    Scalar,
    Tensor,
    Vector,
    antisymmetric_power,
    outer_product,
    restrict,
    symmetric_power,
)

POINTS = outer_product(Vector(S(3)), Vector(O(2)))
REPS = [
    Regular(Cyclic(5)),
    Regular(Dihedral(3)),
    Regular(S(3)),
    Vector(S(4)) ** 2,
    Vector(Dihedral(5)),
    symmetric_power(Vector(O(3)), 3),
    antisymmetric_power(Vector(GLPlus(3)), 2),
    antisymmetric_power(Vector(GLPlus(3)), 2).dual,
    symmetric_power(Irreps("0e+1o"), 2),
    POINTS,
    POINTS * POINTS + 2 * POINTS,
    Vector(S(3) * O(2)),
    outer_product(Vector(S(2)), Vector(GLPlus(2)), Irreps("1o")),
    outer_product(Vector(S(2)), Vector(GLPlus(2)).dual).dual,
    restrict(Irreps("0o+1o+2e"), OnAxes(O(2), 3, (0, 1))),
]
every_rep = pytest.mark.parametrize("rep", REPS, ids=repr)


@every_rep
def test_homomorphism_transform_and_lie_matrix(rep: Rep, x64: None) -> None:
    group = rep.group
    g, h = group.sample(jax.random.key(0), (3,)), group.sample(jax.random.key(1), (3,))
    a, b = np.asarray(rep.matrix(g)), np.asarray(rep.matrix(h))
    np.testing.assert_allclose(rep.matrix(group.compose(g, h)), a @ b, atol=1e-11)
    x = np.random.default_rng(0).normal(size=(3, rep.dim, 2))
    np.testing.assert_allclose(rep.transform(g, x), a @ x, atol=1e-11)
    one = jax.tree.map(lambda leaf: leaf[0], g)
    np.testing.assert_allclose(rep.transform(one, x), a[0] @ x, atol=1e-11)
    unit = np.asarray(rep.matrix(group.identity()))
    np.testing.assert_allclose(unit, np.eye(rep.dim), atol=1e-13)
    dual = np.asarray(rep.dual.matrix(g))
    np.testing.assert_allclose(np.swapaxes(dual, -1, -2) @ a, unit[None].repeat(3, 0), atol=1e-10)
    orthogonal = np.abs(np.swapaxes(a, -1, -2) @ a - unit).max() < 1e-10
    assert orthogonal == rep.is_orthogonal
    is_permutation = bool(np.all((np.asarray(a) == 0) | (np.asarray(a) == 1)))
    assert rep.is_permutation <= is_permutation
    algebra = group.lie_algebra()
    if len(jax.tree.leaves(algebra)[0]):
        element = jax.tree.map(lambda stack: jnp.asarray(stack[-1]), algebra)
        step = jax.scipy.linalg.expm(rep.lie_matrix(element))
        parts = element if isinstance(element, tuple) else (element,)
        finite = tuple(
            jax.scipy.linalg.expm(part)
            if part.dtype == jnp.float64 and part.size and e.ndim == 2
            else e
            for part, e in zip(parts, jax.tree.leaves(group.identity()), strict=True)
        )
        finite = finite if isinstance(element, tuple) else finite[0]
        np.testing.assert_allclose(rep.matrix(finite), step, atol=1e-11)
    else:
        assert rep.lie_matrix(algebra).shape == (0, rep.dim, rep.dim)


@every_rep
def test_integers_become_floating(rep: Rep) -> None:
    g = rep.group.sample(jax.random.key(0))
    x = np.arange(rep.dim * 2).reshape(rep.dim, 2)
    result = rep.transform(g, x)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(result, rep.transform(g, x.astype(np.float32)))


def test_permutation_reps_say_so() -> None:
    assert Regular(Cyclic(3)).is_permutation
    assert (Vector(S(3)) ** 2 + Scalar(S(3))).is_permutation
    assert not Vector(Cyclic(3)).is_permutation
    assert not Irreps("0e").is_permutation
    assert not POINTS.is_permutation


def test_powers_are_counted() -> None:
    v = Vector(O(4))
    assert [symmetric_power(v, k).dim for k in range(4)] == [1, 4, 10, 20]
    assert [antisymmetric_power(v, k).dim for k in range(6)] == [1, 4, 6, 4, 1, 0]
    assert symmetric_power(v, 1) == v
    assert antisymmetric_power(v, 0) == Scalar(O(4))
    with pytest.raises(ValueError, match="must be >= 0"):
        symmetric_power(v, -1)


@pytest.mark.slow
def test_restriction_keeps_the_normal_form() -> None:
    h = OnAxes(O(2), 3, (0, 2))
    assert restrict(Tensor(O(3), 2) + Vector(O(3)), h) == Tensor(h, 2) + Vector(h)
    assert restrict(Irreps("0o+1o"), SO(3)) == Irreps("0e+1e", group=SO(3))
    assert restrict(Vector(E(3)), SE(3)) == Vector(SE(3))
    assert restrict(Vector(O(3)), S(3)) == Vector(S(3))
    assert restrict(Tensor(GLPlus(2), 1, 1), SO(2)) == Tensor(SO(2), 2)
    assert restrict(Vector(O(3)), O(3)) == Vector(O(3))


def test_what_is_no_subgroup_is_refused() -> None:
    with pytest.raises(ValueError, match=r"O\(3\) is not a subgroup of SO\(3\)"):
        restrict(Vector(SO(3)), O(3))
    with pytest.raises(ValueError, match="is not a subgroup"):
        restrict(Vector(O(2)), SO(3))


def test_outer_products_are_flattened() -> None:
    a, b, c = Vector(S(2)), Vector(O(2)), Vector(SO(3))
    assert outer_product(outer_product(a, b), c) == outer_product(a, b, c)
    assert outer_product(a, b).group == S(2) * O(2)
    with pytest.raises(ValueError, match="reps of two groups or more"):
        outer_product(a)
    with pytest.raises(ValueError, match="outer products of the reps of its factors first"):
        outer_product(Vector(S(2) * O(2)), c)


def test_reps_of_two_groups_do_not_add() -> None:
    with pytest.raises(ValueError, match="cannot combine reps of"):
        Vector(S(3)) + Vector(O(3))


def test_regular_needs_a_finite_group() -> None:
    with pytest.raises(ValueError, match="needs a finite group"):
        Regular(O(3))
