"""The axioms, for every group: random elements and elements near the identity, batched or not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Bool, Float, Int

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
from equinet.random import normal
from equinet.typing import Element

MOTIONS = [O(2), O(3), SO(3), SO(4), E(3), SE(2)]
OTHERS = [GLPlus(2), SL(3), Similitudes(2), Scalings(3), Sp(4), Lorentz(), FullLorentz()]
OTHERS += [Affine(GLPlus(2))]
MATRICES = [*MOTIONS, *OTHERS, OnAxes(O(2), 3, (2, 0))]
DISCRETE = [S(1), S(5), Cyclic(1), Cyclic(5), Dihedral(1), Dihedral(4)]
GROUPS = [*MATRICES, *DISCRETE, SO(3) * S(3), O(2) * Lorentz() * Cyclic(3)]
SHAPES = [(), (1,), (3, 1, 2)]

every_group = pytest.mark.parametrize("group", GROUPS, ids=str)
every_matrix_group = pytest.mark.parametrize("group", MATRICES, ids=str)
few = settings(max_examples=12)


def elements(
    group: Group, seed: Int[Array, ""], shape: tuple[int, ...], near: Bool[Array, ""]
) -> Element:
    """Random elements; of groups of matrices also elements at 1e-7 from the identity."""
    key = jax.random.key(seed)
    g = group.sample(key, shape)
    if not isinstance(group, MatrixLieGroup):
        return g
    v = 1e-7 * normal(key, (*shape, len(group.lie_algebra())), float)
    algebra = group.hat(v)
    one = jnp.broadcast_to(group.identity(), algebra.shape)
    return jnp.where(near, one + algebra + algebra @ algebra / 2, g)


def difference(g: Element, h: Element) -> Float[Array, ""]:
    """The largest difference of two elements, whatever they are made of."""
    pairs = zip(jax.tree.leaves(g), jax.tree.leaves(h), strict=True)
    errors = (x - jnp.broadcast_to(y, x.shape).astype(x.dtype) for x, y in pairs)
    return sum((jnp.abs(error).max().astype(float) for error in errors), jnp.zeros(()))


@functools.partial(jax.jit, static_argnums=0)
def axioms(
    group: Group, seed: Int[Array, ""], near: Bool[Array, ""]
) -> tuple[dict[str, Array], Bool[Array, "..."]]:
    drawn = elements(group, seed, (3, 3, 1, 2), near)
    f, g, h = (jax.tree.map(lambda leaf, i=i: leaf[i], drawn) for i in range(3))
    points = normal(jax.random.key(seed), (3, 1, 2, group.vector_dim), float)
    one = group.identity()
    gh, back = group.compose(g, h), group.inverse(g)
    linear = [group.linear_part(x) for x in (g, h, gh)]
    errors = {
        "f(gh) - (fg)h": difference(group.compose(f, gh), group.compose(group.compose(f, g), h)),
        "g1 - g": difference(group.compose(g, one), g),
        "1g - g": difference(group.compose(one, g), g),
        "gg^-1 - 1": difference(group.compose(g, back), one),
        "g^-1g - 1": difference(group.compose(back, g), one),
        "(gh)x - g(hx)": difference(group.act(gh, points), group.act(g, group.act(h, points))),
        "1x - x": difference(group.act(one, points), points),
        "linear": difference(linear[2], linear[0] @ linear[1]),
    }
    if group.is_orthogonal:
        gram = linear[0] @ jnp.swapaxes(linear[0], -1, -2)
        errors["orthogonal"] = difference(gram, jnp.eye(group.vector_dim))
    inside = [group.contains(x) for x in (g, gh, back)]
    if group.linear_group != group and isinstance(group, MatrixLieGroup):
        inside += [group.linear_group.contains(x) for x in linear]
    return errors, jnp.stack(inside)


@every_group
@few
@given(seed=st.integers(0, 2**31 - 1), near=st.booleans())
def test_axioms(group: Group, seed: int, near: bool) -> None:
    with jax.enable_x64(True):
        errors, contained = axioms(group, seed, near)
    for name, error in errors.items():
        np.testing.assert_allclose(error, 0, atol=5e-13, err_msg=name)
    assert contained.all()


@every_group
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_shapes_of_every_group(group: Group, shape: tuple[int, ...], key: jax.Array) -> None:
    def everything() -> list[Element]:
        g = group.sample(key, shape)
        points = jnp.ones((*shape, group.vector_dim))
        moved, matrices = group.act(g, points), group.linear_part(g)
        return [g, group.inverse(g), group.compose(g, g), moved, matrices, group.contains(g)]

    *elements, moved, matrices, contained = jax.eval_shape(everything)
    one = jax.eval_shape(group.identity)
    expected = [(*shape, *leaf.shape) for leaf in jax.tree.leaves(one)]
    for element in elements:
        assert [leaf.shape for leaf in jax.tree.leaves(element)] == expected
    assert moved.shape == (*shape, group.vector_dim)
    assert matrices.shape == (*shape, group.vector_dim, group.vector_dim)
    assert contained.shape == shape


@every_group
def test_generators_are_members_and_the_algebra_is_their_tangent(group: Group) -> None:
    generators = group.discrete_generators()
    assert np.all(group.contains(generators))
    assert jax.tree.structure(generators) == jax.tree.structure(group.identity())
    algebra = group.lie_algebra()
    counts = {len(leaf) for leaf in jax.tree.leaves(algebra)}
    assert len(counts) == 1
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(algebra))
    tangents = np.asarray(group.lie_linear_part(algebra))
    assert tangents.shape == (counts.pop(), group.vector_dim, group.vector_dim)
    if group.is_orthogonal:
        np.testing.assert_array_equal(tangents, -tangents.swapaxes(-1, -2))


@every_matrix_group
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_shapes(group: MatrixLieGroup, shape: tuple[int, ...], key: jax.Array) -> None:
    def everything() -> list[Array]:
        g = group.sample(key, shape)
        points = jnp.ones((*shape, group.vector_dim))
        matrices = [g, group.inverse(g), group.compose(g, g), group.exp(g)]
        return [*matrices, group.act(g, points), group.vee(g), group.contains(g)]

    *matrices, moved, coordinates, contained = jax.eval_shape(everything)
    size = group.matrix_dim
    assert {matrix.shape for matrix in matrices} == {(*shape, size, size)}
    assert moved.shape == (*shape, group.vector_dim)
    assert coordinates.shape == (*shape, len(group.lie_algebra()))
    assert contained.shape == shape


@pytest.mark.parametrize("group", [O(3), SE(2)], ids=str)
def test_exp_and_coordinates(group: MatrixLieGroup, key: jax.Array, x64: None) -> None:
    v = normal(key, (3, 1, 2, len(group.lie_algebra())), float)
    algebra = group.hat(v)
    factors = jnp.asarray([1.0, -1.0, 0.5, 0.0])[:, None, None, None, None, None]
    g, back, half, one = jax.jit(group.exp)(factors * algebra[None])
    np.testing.assert_allclose(group.vee(algebra), v, atol=1e-14)
    np.testing.assert_allclose(back, group.inverse(g), atol=1e-12)
    np.testing.assert_allclose(group.compose(half, half), g, atol=1e-12)
    np.testing.assert_array_equal(one, np.broadcast_to(group.identity(), one.shape))
    assert group.contains(g, atol=1e-12).all()


@every_matrix_group
def test_lie_algebra_closes_under_brackets(group: MatrixLieGroup) -> None:
    basis = group.lie_algebra()
    d = len(basis)
    assert basis.dtype == np.float64
    assert not basis.flags.writeable
    product = np.einsum("aij,bjk->abik", basis, basis)
    flat = basis.reshape(d, group.matrix_dim**2)
    brackets = (product - product.swapaxes(0, 1)).reshape(d * d, group.matrix_dim**2)
    residual = brackets - brackets @ np.linalg.pinv(flat) @ flat
    np.testing.assert_allclose(residual, 0, atol=1e-14)


@every_matrix_group
def test_discrete_generators_are_members_off_the_identity_component(group: MatrixLieGroup) -> None:
    generators = group.discrete_generators()
    assert generators.shape[1:] == (group.matrix_dim, group.matrix_dim)
    assert np.all(group.contains(generators))
    determinants = np.linalg.det(group.linear_part(generators))
    np.testing.assert_allclose(determinants, -np.ones(len(generators)))
    connected = not isinstance(group, O | E | FullLorentz | OnAxes)
    assert len(generators) == (0 if connected else 2 if group == FullLorentz() else 1)


@every_matrix_group
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtype_is_kept(group: MatrixLieGroup, dtype: str, key: jax.Array) -> None:
    def everything() -> list[Array]:
        g = group.sample(key, (4, 1), dtype)
        points = jnp.ones((5, group.vector_dim), dtype)
        return [g, group.compose(g, g), group.inverse(g), group.act(g, points)]

    assert {str(array.dtype) for array in jax.eval_shape(everything)} == {dtype}
    assert group.identity(dtype).dtype == dtype


def test_default_dtype_follows_x64(key: jax.Array) -> None:
    assert jax.eval_shape(E(3).sample, key).dtype == jnp.float32
    with jax.enable_x64(True):
        assert jax.eval_shape(E(3).sample, key).dtype == jnp.float64


def test_half_precision_samples_are_members(key: jax.Array) -> None:
    assert SE(3).contains(SE(3).sample(key, (4,), jnp.bfloat16)).all()


@pytest.mark.parametrize("group", [O(3), SE(2)], ids=str)
def test_jit_and_vmap_agree_with_eager(group: MatrixLieGroup, key: jax.Array) -> None:
    keys = jax.random.split(key, 3)
    g = jnp.stack([group.sample(k) for k in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(group.sample))(keys), g, atol=1e-6)


@every_matrix_group
def test_contains_refuses_what_is_outside(group: MatrixLieGroup) -> None:
    g = group.identity()
    assert group.contains(g.astype(jnp.int32))
    if isinstance(group, GLPlus):
        assert not group.contains(g.at[0, 0].set(-1.0))
    elif not isinstance(group, Scalings | Similitudes):
        assert not group.contains(1.01 * g)
    if not isinstance(group, GLPlus | Affine):
        assert not group.contains(g.at[0, 0].add(0.1))
    assert group.contains(g.at[0, 0].add(1e-3), atol=1e-2)
    outside = group.contains(jnp.zeros((2, 7, 7)))
    assert outside.shape == (2,)
    assert not outside.any()


def test_exp_has_finite_derivatives_at_zero() -> None:
    group, v = SE(2), jnp.ones(3)

    def f(v: Float[Array, "3"]) -> Float[Array, ""]:
        return (group.exp(group.hat(v)) ** 2).sum()

    derivatives = jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (v,)))(jnp.zeros(3))
    np.testing.assert_allclose(derivatives, [[0, 0, 0], [2, 2, 0]], atol=1e-6)


def test_groups_are_values() -> None:
    assert len(dict.fromkeys(GROUPS + GROUPS[::-1])) == len(GROUPS)
    assert O(3) == O(3) != SO(3)
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def act(group: MatrixLieGroup, x: Float[Array, "3"]) -> Float[Array, "3"]:
        traces.append(group)
        return group.act(group.identity(), x)

    for group in (O(3), O(3), SO(3)):
        act(group, jnp.ones(3))
    assert traces == [O(3), SO(3)]


@pytest.mark.parametrize("kind", [O, SO, E, SE, GLPlus, SL])
@pytest.mark.parametrize("n", [0, -1, 2.0, "3"])
def test_bad_dimension_raises(kind: type, n: object) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(n\) needs an integer n >= 1, got"):
        kind(n)
