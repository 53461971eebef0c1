"""Schedules, optimisers and averages against what they say they are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equinet.training import TrainingConfig
from equinet.training.optimizer import average, learning_rate, make_optimizer
from equinet.training.packing import Packing


def rates(**options):
    config = TrainingConfig(steps=11, learning_rate=2.0, final_fraction=0.25, **options)
    return np.array([learning_rate(config, jnp.int32(step)) for step in range(11)])


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [("cosine", 1.25), ("linear", 1.25), ("exponential", 1.0), ("constant", 2.0)],
)
def test_schedules_end_where_they_say(schedule, middle):
    values = rates(schedule=schedule)
    assert values[0] == pytest.approx(2.0)
    assert values[5] == pytest.approx(middle)
    assert values[-1] == pytest.approx(2.0 if schedule == "constant" else 0.5)


def test_warm_up_is_linear_and_the_end_stays():
    values = rates(schedule="cosine", warmup_steps=4)
    np.testing.assert_allclose(values[:5], [0.4, 0.8, 1.2, 1.6, 2.0], rtol=1e-6)
    assert values[-1] == pytest.approx(0.5)
    assert np.all(np.isfinite(rates(schedule="cosine", warmup_steps=100)))


ARRAYS = {"kernel": (4, 3), "bias": (3,), "other": (2, 2, 2)}


def gradients(step):
    rng = np.random.default_rng(step)
    return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in ARRAYS.items()}


def decayed(params):
    return jax.tree.map(lambda x: x.ndim >= 2, params)


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({"optimizer": "adam"}, optax.adam(0.1)),
        ({"optimizer": "amsgrad"}, optax.amsgrad(0.1)),
        ({"optimizer": "lion", "beta2": 0.99}, optax.lion(0.1, weight_decay=0.0)),
        ({"optimizer": "sgd"}, optax.sgd(0.1, momentum=0.9)),
        (
            {"optimizer": "adamw", "weight_decay": 0.3},
            optax.adamw(0.1, weight_decay=0.3, mask=decayed),
        ),
        (
            {"optimizer": "adam", "gradient_clip_norm": 0.5},
            optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1)),
        ),
    ],
)
def test_packed_updates_are_optax_array_by_array(options, reference):
    with jax.numpy_dtype_promotion("standard"):
        params = gradients(99)
        packing = Packing.of(params)
        packs = packing.pack(params)
        optimizer = make_optimizer(TrainingConfig(**options))
        state, expected_state = optimizer.init(packs), reference.init(params)
        for step in range(3):
            updates, state = optimizer.update(packing.pack(gradients(step)), state, packs)
            packs = jax.tree.map(lambda p, u: p - 0.1 * u, packs, updates)
            updates, expected_state = reference.update(gradients(step), expected_state, params)
            params = optax.apply_updates(params, updates)
    for name, array in packing.unpack(packs).items():
        np.testing.assert_allclose(array, params[name], rtol=2e-5, atol=1e-6)


def test_average_warms_up_and_then_decays():
    ema, params = {"x": jnp.zeros(1)}, {"x": jnp.ones(1)}
    first = average(ema, params, jnp.int32(0), 0.99)["x"][0]
    late = average(ema, params, jnp.int32(10**6), 0.99)["x"][0]
    assert first == pytest.approx(0.9)
    assert late == pytest.approx(0.01, rel=1e-4)
