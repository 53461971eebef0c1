"""Dense layers between typed features, and what pulls them towards a symmetry."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, Lorentz, O, OnAxes, S
from equinet.nn import Dense, PenaltyState, SoftEquivariance, equivariance_penalty
from equinet.nn.soft_equivariance import deviation
from equinet.reps import Scalar, Vector, equivariant_basis, restrict
from equinet.testing import assert_equivariant, equivariance_error

SPACE = Vector(O(3))
REP, OUT = Scalar(O(3)) + SPACE, SPACE + SPACE**2
PLANES = tuple(OnAxes(O(2), 3, axes) for axes in ((0, 1), (1, 2), (0, 2)))


class Pair(nnx.Module):
    """Two dense layers, and one thing that is none."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = Dense(REP, OUT, 2, 3, use_bias=True, rngs=rngs)
        self.rest = nnx.List([Dense(OUT, REP, 3, 1, rngs=rngs), nnx.Linear(2, 2, rngs=rngs)])


def test_dense_by_hand_and_of_variance_one() -> None:
    layer = Dense(REP, OUT, 32, 32, use_bias=True, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (64, REP.dim, 32))
    np.testing.assert_allclose(jnp.mean(layer(x) ** 2), 1, atol=0.1)
    layer.bias[...] = jax.random.normal(jax.random.key(1), layer.bias.shape)
    expected = np.einsum("nic,oicd->nod", x, layer.weights) + np.asarray(layer.bias[...])
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)
    half = Dense(REP, OUT, 2, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert jax.eval_shape(half, jnp.ones((5, 4, 2))).dtype == jnp.bfloat16


def test_may_start_equivariant_and_of_variance_one(key: jax.Array) -> None:
    layer = Dense(REP, OUT, 32, 32, equivariant=True, rngs=nnx.Rngs(0))
    assert layer.kernel.shape == (OUT.dim, REP.dim, 32, 32)
    assert float(equivariance_penalty(layer, [O(3)])[0]) < 1e-6
    x = jax.random.normal(key, (64, REP.dim, 32))
    np.testing.assert_allclose(jnp.mean(layer(x) ** 2), 1, atol=0.2)
    assert_equivariant(jax.jit(layer), REP, OUT, key, channels=32, num_samples=2)


@pytest.mark.parametrize("group", [O(3), *PLANES, SO(3), S(3)], ids=str)
def test_projection_is_that_on_the_equivariant_maps(group: object, x64: None) -> None:
    rep_in, rep_out = restrict(REP, group), restrict(OUT, group)
    maps = equivariant_basis(rep_in, rep_out).dense()
    q, _ = np.linalg.qr(maps.reshape(len(maps), -1).T)
    w = np.random.default_rng(0).normal(size=(OUT.dim, REP.dim, 2))
    flat = w.reshape(-1, 2)
    rest = flat - q @ (q.T @ flat)
    found = deviation(jnp.asarray(w), REP, OUT, group)
    assert float(found) == pytest.approx(np.sum(rest**2) / 2, rel=1e-12)
    gradient = jax.grad(deviation)(jnp.asarray(w), REP, OUT, group)
    np.testing.assert_allclose(gradient.reshape(-1, 2), rest, atol=1e-12)


def test_projection_of_a_group_that_is_not_orthogonal(x64: None) -> None:
    V = Vector(Lorentz())
    w = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)))
    gradient = jax.grad(deviation)(w, V, V.dual, Lorentz())
    metric = np.diag([1.0, -1, -1, -1])
    np.testing.assert_allclose(gradient, w - metric * np.sum(w * metric) / 4, atol=1e-12)


def test_zero_exactly_where_the_layers_are_equivariant(key: jax.Array, x64: None) -> None:
    layer = Dense(REP, OUT, 2, 3, use_bias=True, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    layer.bias[...] = layer.bias[...] + 1
    group = PLANES[0]
    before = equivariance_penalty(layer, [group])
    assert before[0] > 1
    options = {"channels": 2, "num_samples": 3, "dtype": jnp.float64}
    reps = restrict(REP, group), restrict(OUT, group)
    assert equivariance_error(lambda x: layer(x), *reps, key, **options) > 0.1
    basis = equivariant_basis(*reps)
    fixed = equivariant_basis(Scalar(group), reps[1])
    layer.kernel[...] = basis.project(layer.kernel[...])
    layer.bias[...] = fixed.project(layer.bias[...][:, None])[:, 0]
    penalty = equivariance_penalty(layer, [group, *PLANES[1:]])
    assert penalty[0] < 1e-25
    assert min(penalty[1:]) > 0.1
    assert_equivariant(lambda x: layer(x), *reps, key, **options)


@pytest.mark.slow
def test_sums_over_layers_and_asks_more_of_larger_groups() -> None:
    module = Pair(rngs=nnx.Rngs(0))
    found = equivariance_penalty(module, [O(3), *PLANES])
    parts = [
        equivariance_penalty(layer, [O(3), *PLANES]) for layer in (module.first, module.rest[0])
    ]
    np.testing.assert_allclose(found, parts[0] + parts[1], rtol=1e-6)
    assert all(found[0] > found[1:])


def tuned(penalties: np.ndarray, **options: object) -> SoftEquivariance:
    """The state after penalties ``[calls, groups]`` were seen one after another."""
    soft = SoftEquivariance((O(3), *PLANES), (0.0, 100.0, 10.0, 1.0), **options)
    for row in penalties:
        soft._tune(jnp.asarray(row, jnp.float32))
    return soft


def test_minimum_is_kept_for_each_group_by_itself() -> None:
    """Not overwritten as a whole wherever one group improves."""
    rows = np.array([[9, 0.1, 9, 9], [5, 3, 8, 4], [6, 2, 7, 5], [7, 4, 9, 3]], float)
    soft = tuned(rows, warmup_steps=1, adjust_step=9)
    np.testing.assert_allclose(soft.minimum[...], [5, 2, 7, 3])
    np.testing.assert_allclose(soft.weights[...], [0, 100, 10, 1])
    assert int(soft.calls[...]) == 4


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_weights_are_adjusted_once(power: float) -> None:
    rows = np.array([[0.01, 2, 8, 4], [0.01, 4, 6, 5]], float)
    soft = tuned(rows, adjust_step=2, power=power)
    # The least over the groups of weight > 0 is 2, that of O(3) does not count.
    expected = np.array([0, 100, 10, 1]) / np.array([1, 1, 3, 2.0]) ** power
    np.testing.assert_allclose(soft.weights[...], expected, rtol=1e-6)
    soft._tune(jnp.ones(4))
    np.testing.assert_allclose(soft.weights[...], expected, rtol=1e-6)


def test_no_division_by_a_penalty_of_zero() -> None:
    soft = tuned(np.zeros((2, 4)), adjust_step=2)
    np.testing.assert_allclose(soft.weights[...], [0, 100, 10, 1])


def test_weighted_sum_counts_inside_jit_and_is_no_parameter() -> None:
    class Model(nnx.Module):
        def __init__(self) -> None:
            self.pair = Pair(rngs=nnx.Rngs(0))
            self.soft = SoftEquivariance(PLANES, (1.0, 2.0, 0.0), adjust_step=2)

    graphdef, params, rest = nnx.split(Model(), nnx.Param, ...)

    @jax.jit
    def step(params: nnx.State, rest: nnx.State) -> tuple:
        def loss(params: nnx.State, rest: nnx.State) -> tuple:
            model = nnx.merge(graphdef, params, rest, copy=True)
            total, each = model.soft(model.pair)
            return total, (each, nnx.split(model, nnx.Param, ...)[2])

        return jax.value_and_grad(loss, has_aux=True)(params, rest)

    (total, (each, rest)), gradient = step(params, rest)
    assert float(total) == pytest.approx(float(each[0] + 2 * each[1]), rel=1e-6)
    kinds = {type(leaf) for leaf in jax.tree.leaves(rest, is_leaf=_is_variable)}
    assert kinds == {PenaltyState}
    (_, (_, rest)), _ = step(params, rest)
    model = nnx.merge(graphdef, params, rest, copy=True)
    assert int(model.soft.calls[...]) == 2
    np.testing.assert_allclose(model.soft.minimum[...], each, rtol=1e-6)
    weights = np.array([1, 2, 0]) / np.array([each[0], each[1], 1]) * float(min(each[:2]))
    np.testing.assert_allclose(model.soft.weights[...], weights, rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def _is_variable(leaf: object) -> bool:
    return isinstance(leaf, nnx.Variable)


def test_descent_leads_to_equivariance() -> None:
    layer = Dense(REP, OUT, 2, 2, rngs=nnx.Rngs(0))
    gradient = jax.jit(jax.grad(lambda layer: equivariance_penalty(layer, PLANES[:1])[0]))
    first = float(equivariance_penalty(layer, PLANES[:1])[0])
    for _ in range(20):
        layer.kernel[...] = layer.kernel[...] - gradient(layer).kernel[...]
    assert float(equivariance_penalty(layer, PLANES[:1])[0]) < 1e-6 * first


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"one group, got O\(3\) and SO\(3\)"):
        Dense(SPACE, Vector(SO(3)), 1, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"expected \[\.\.\., 4, 2\]"):
        Dense(REP, OUT, 2, 3, rngs=nnx.Rngs(0))(jnp.ones((4, 3)))
    with pytest.raises(ValueError, match="no Dense layer in Linear"):
        equivariance_penalty(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), [O(3)])
    build = functools.partial(SoftEquivariance, PLANES)
    with pytest.raises(ValueError, match=r"expected 3 weights >= 0.*got \(1.0, 1.0\)"):
        build((1.0, 1.0))
    with pytest.raises(ValueError, match="some of them > 0"):
        build((0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="warmup_steps < adjust_step, got 5 and 5"):
        build((1.0, 1.0, 1.0), warmup_steps=5, adjust_step=5)
