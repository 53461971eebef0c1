"""One compiled step: what it computes, how often it compiles, what it does with a NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from equinet.training import TrainingConfig
from equinet.training.mesh import make_mesh
from equinet.training.optimizer import make_optimizer
from equinet.training.state import FlatModel, initial_state, place, state_shardings
from equinet.training.step import TrainStep

CONFIG = TrainingConfig(
    steps=10, learning_rate=0.1, schedule="constant", ema_decay=0.5, mesh=(("data", 1),)
)


def loss(model, batch, key):
    value = jnp.mean((model(batch["x"]) - batch["y"]) ** 2)
    return value, {"noise": jax.random.uniform(key)}


def make(loss=loss, config=CONFIG):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    flat, mesh = FlatModel(model), make_mesh(config)
    state = initial_state(flat, model, make_optimizer(config), 0, config.ema_decay is not None)
    shardings = state_shardings(state, mesh, None)
    return flat, TrainStep(flat, loss, config, shardings, mesh), place(state, shardings)


def batch(seed, size=4):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(1, size, n)).astype(np.float32) for n in (3, 2))
    return {"x": x, "y": y}


def test_steps_are_those_of_optax_and_the_average_follows():
    flat, step, state = make()
    params = flat.packing.unpack({k: np.array(v) for k, v in state.params.items()})
    optimizer, ema = optax.adam(0.1), params
    optimizer_state = optimizer.init(params)
    for t in range(3):
        state, metrics = step(state, batch(t))
        value, grads = jax.value_and_grad(
            lambda p, t=t: loss(flat.merge(p, {}), batch(t), jax.random.key(0))[0]
        )(params)
        assert metrics["loss"] == pytest.approx(float(value), rel=1e-6)
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(grads, optimizer_state)
        params = optax.apply_updates(params, updates)
        decay = min(0.5, (1 + t) / (10 + t))
        ema = {k: decay * ema[k] + (1 - decay) * params[k] for k in ema}
    assert int(state.step) == 3
    for mine, expected in [(state.params, params), (state.ema, ema)]:
        for name, array in flat.packing.unpack(mine).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


def test_every_step_has_its_own_random_key():
    _, step, state = make()
    state, first = step(state, batch(0))
    _, second = step(state, batch(0))
    assert first["noise"] != second["noise"]


def test_one_compilation_a_shape():
    _, step, state = make()
    for size in (4, 4, 6, 4, 6):
        state, _ = step(state, batch(0, size))
    assert step.compilations == 2


def test_a_bad_step_and_those_after_it_change_nothing():
    _, step, state = make()
    state, _ = step(state, batch(0))
    before = jax.tree.map(np.array, state)
    bad = batch(1)
    bad["y"][0, 0, 0] = np.nan
    for data in (bad, batch(2)):
        state, metrics = step(state, data)
        assert int(metrics["bad_step"]) == 2
    np.testing.assert_equal(jax.tree.leaves(state.params), jax.tree.leaves(before.params))
    np.testing.assert_equal(jax.tree.leaves(state.opt_state), jax.tree.leaves(before.opt_state))
    assert int(state.step) == 1


def test_a_gradient_that_is_not_finite_is_bad_too():
    _, step, state = make(lambda m, b, k: (jnp.sqrt(jnp.sum(m.bias[...] ** 2)), {}))
    state, metrics = step(state, batch(0))  # the bias is zero: the loss is finite, its slope not
    assert np.isfinite(metrics["loss"])
    assert int(state.bad_step) == 1


def test_a_loss_of_a_wrong_shape_is_named():
    _, step, state = make(lambda m, b, k: (jnp.mean(m(b["x"])), {"each": jnp.ones(3)}))
    with pytest.raises(ValueError, match=r"'each' of shape \(3,\)"):
        step(state, batch(0))
