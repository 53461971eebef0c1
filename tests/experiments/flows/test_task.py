"""The task of flows: its data, windows, losses, rollouts, every model three steps, bad input."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.training import evaluate, load_config, train
from experiments.flows.config import DEFAULTS, DataConfig
from experiments.flows.data import load_flows, simulated
from experiments.flows.navier_stokes import NavierStokes, simulate
from experiments.flows.periodic import resample
from experiments.flows.shallow_water import ShallowWater, WaterState, simulate_water
from experiments.flows.task import (
    FlowTask,
    Forecast,
    collate_batch,
    make_network,
    relative_errors,
    scores,
    symmetry_error,
    training_loss,
)

CONFIGS = Path(__file__).parents[3] / "configs"
TINY = {
    "data.size": "8",
    "data.transfer": "12",
    "data.solver": "12",
    "data.interval": "0.1",
    "data.time_step": "0.05",
    "data.frames_in": "2",
    "data.frames_out": "3",
    "data.samples": "4",
    "data.validation": "2",
    "data.test": "2",
    "model.channels": "2",
    "model.modes": "3",
    "model.layers": "1",
    "training.steps": "3",
    "training.batch_size": "4",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
    "training.checkpoint_every": "3",
}
SECTION = DataConfig(
    size=8,
    transfer=12,
    solver=12,
    interval=0.1,
    time_step=0.05,
    frames_in=2,
    frames_out=3,
    samples=4,
    validation=2,
    test=2,
)


def config(model, **changes):
    overrides = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(f"{CONFIGS}/navier_stokes.py:{model}", list(overrides.items()))


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).normal(size=(4, 5, 8, 8, 1)).astype(np.float32)


@pytest.mark.parametrize("equation", ["navier_stokes", "shallow_water"])
def test_frames_follow_one_another(equation):
    """The solver takes each frame of the solver's grid to the next, with the config's numbers."""
    section = dataclasses.replace(SECTION, equation=equation, viscosity=0.01, rotation=2.0)
    found, coarse = simulated(section, jax.random.key(3), 2, (12, 8))
    assert found.shape == (2, 5, 12, 12, 1 if equation == "navier_stokes" else 3)
    assert coarse.shape[1:4] == (5, 8, 8)
    fields = jnp.asarray(found.transpose(1, 0, 4, 2, 3))
    if equation == "navier_stokes":
        after = simulate(NavierStokes(0.01), fields[:-1], 1, every=2, time_step=0.05)[0]
    else:
        state = WaterState(fields[:-1, :, 0], fields[:-1, :, 1:])
        water = ShallowWater(rotation=2.0, viscosity=0.01)
        later = simulate_water(water, state, 1, every=2, time_step=0.05)
        after = jnp.concatenate([later.height[0][:, :, None], later.velocity[0]], axis=2)
    np.testing.assert_allclose(after, fields[1:], atol=1e-5)
    assert np.abs(np.diff(found, axis=1)).max() > 1e-3


@pytest.mark.parametrize("equation", ["navier_stokes", "shallow_water"])
def test_splits_units_and_cache(equation, tmp_path, monkeypatch):
    section = dataclasses.replace(SECTION, equation=equation, cache=str(tmp_path / "flows"))
    flows = load_flows(section)
    assert [len(x) for x in (flows.train, flows.validation, flows.test)] == [4, 2, 2]
    assert flows.fine.shape[:4] == (2, 5, 12, 12)
    deviation = np.sqrt(np.mean(flows.train**2, axis=(0, 1, 2, 3)))
    np.testing.assert_allclose(deviation[0], 1, rtol=1e-5)
    np.testing.assert_allclose(np.mean(deviation[1:] ** 2) if len(deviation) > 1 else 1, 1, 1e-5)
    change = np.sqrt(np.mean(np.diff(flows.train, axis=1) ** 2))
    assert flows.change == pytest.approx(change, rel=1e-5)
    assert not np.allclose(flows.validation, flows.test)
    fine = jnp.asarray(flows.fine.transpose(0, 1, 4, 2, 3))
    np.testing.assert_allclose(
        resample(fine, 8), flows.test.transpose(0, 1, 4, 2, 3), atol=1e-5
    )  # modes up to 3 are all that the solver keeps

    def fail(*_):
        raise AssertionError("the cache was not used")

    monkeypatch.setattr("experiments.flows.data.simulated", fail)
    again = load_flows(dataclasses.replace(section, teacher_forcing=False))
    np.testing.assert_array_equal(again.train, flows.train)
    assert again.change == flows.change
    with pytest.raises(AssertionError, match="cache was not used"):
        load_flows(dataclasses.replace(section, seed=1))
    monkeypatch.setitem(DEFAULTS[equation], "amplitude", 0.05)
    with pytest.raises(AssertionError, match="cache was not used"):
        load_flows(section)


def test_windows(frames):
    """Window e of teacher forcing starts in flow e // 3 at e % 3; else a flow is one example."""
    batch = collate_batch(frames, SECTION, [0, 5, 11], range(2), 2)
    assert batch["frames"].shape == (2, 2, 8, 8, 1, 3)
    np.testing.assert_array_equal(batch["mask"], [[1, 1], [1, 0]])
    expected = np.moveaxis(frames[1, 2:5], 0, -1)
    np.testing.assert_array_equal(batch["frames"][0, 1], expected)
    np.testing.assert_array_equal(batch["frames"][1, 0], np.moveaxis(frames[3, 2:5], 0, -1))
    free = dataclasses.replace(SECTION, teacher_forcing=False)
    whole = collate_batch(frames, free, [3], range(1), 1)
    np.testing.assert_array_equal(whole["frames"][0, 0], np.moveaxis(frames[3], 0, -1))


def make(config):
    flows = load_flows(config.data)
    return config.data, flows, Forecast(make_network(config), flows.change)


@pytest.fixture(scope="module")
def made():
    return make(config("gfno_p4"))


@pytest.mark.parametrize("teacher_forcing", [True, False])
def test_losses(teacher_forcing, made):
    """Over shards as in one; of one frame, or of all, each after those predicted."""
    section = dataclasses.replace(made[0], teacher_forcing=teacher_forcing)
    flows, model = made[1].train, jax.jit(made[2])
    losses = []
    for shards in (1, 2):
        batch = collate_batch(flows, section, [0, 1, 3], range(shards), shards)
        batch = jax.tree.map(jnp.asarray, batch)
        losses.append(float(training_loss(made[2], batch, 2)[0]))
    errors = []
    for example in (0, 1, 3):
        flow, first = divmod(example, 3) if teacher_forcing else (example, 0)
        window, found = np.moveaxis(flows[[flow], first : first + 2], 1, -1), []
        for _ in range(1 if teacher_forcing else 3):
            found.append(np.asarray(model(jnp.asarray(window))))
            window = np.concatenate([window[..., 1:], found[-1]], axis=-1)
        for step, y in enumerate(found):
            wanted = flows[flow, first + 2 + step]
            errors.append(np.linalg.norm(y[0, ..., 0] - wanted) / np.linalg.norm(wanted))
    np.testing.assert_allclose(losses, np.mean(errors), rtol=1e-4)


def test_scores(made):
    """A model that repeats a frame has the error of standing still; a perfect one has none."""

    class Still(nnx.Module):
        def __call__(self, window):
            return window[..., -1:]

    found = scores(Still(), made[1].test, 2)
    assert found["relative_l2"] == pytest.approx(found["still_relative_l2"], rel=1e-5)
    assert found["rollout_relative_l2"] > found["relative_l2"]
    x = jnp.asarray(np.moveaxis(made[1].test, 1, -1))
    np.testing.assert_allclose(relative_errors(x, x), 0, atol=2e-6)
    np.testing.assert_allclose(relative_errors(2 * x, x), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "equation"),
    [
        ("gfno_p4", "navier_stokes"),
        ("fno", "shallow_water"),
        *(
            pytest.param(model, equation, marks=pytest.mark.slow)
            for model, equation in (
                ("gfno_p4m", "navier_stokes"),
                ("fno", "navier_stokes"),
                ("gfno_p4", "shallow_water"),
                ("gfno_p4m", "shallow_water"),
            )
        ),
    ],
)
def test_every_model_trains_and_is_evaluated(model, equation, tmp_path):
    changes = {"data.equation": equation, "data.cache": str(tmp_path / "flows")}
    made = load_config(f"{CONFIGS}/navier_stokes.py:{model}", [*(TINY | changes).items()])
    result = train(made, tmp_path / "run")
    assert (result["steps"], result["model"], result["equation"]) == (3, model, equation)
    names = {"relative_l2", "rollout_relative_l2", "still_relative_l2", "transfer_12"}
    assert set(result["metrics"]) == names
    assert np.isfinite(list(result["metrics"].values())).all()
    assert (result["equivariance_error"]["float64"] < 1e-11) == (model != "fno")
    assert (result["equivariance_error"]["float32"] < 1e-3) == (model != "fno")
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]


def test_free_rollouts_train(tmp_path):
    result = train(config("gfno_p4", data__teacher_forcing="False"), tmp_path / "run")
    assert result["steps"] == 3
    assert np.isfinite(result["metrics"]["rollout_relative_l2"])


def test_the_network_knows_the_place_where_there_is_a_forcing():
    for forcing, place in (("none", "none"), ("pinwheel", "cosines")):
        section, flows, model = make(config("gfno_p4m", data__forcing=forcing))
        assert model.network.place == place
        assert symmetry_error(model, flows.test, section, np.float64) < 1e-11


def test_bad_input():
    with pytest.raises(ValueError, match=r"navier_stokes.py:<model> is one of fno, .* got 'cnn'"):
        load_config(f"{CONFIGS}/navier_stokes.py:cnn", [])
    with pytest.raises(ValueError, match=r"model.modes: expected 4 or less for images of 8 pixels"):
        config("fno", model__modes="5")
    with pytest.raises(ValueError, match=r"data.samples: expected 1 or more, got 0"):
        DataConfig(samples=0)
    with pytest.raises(ValueError, match=r"expected a solver of at least 8 cells .* got 64, 32"):
        DataConfig(solver=32)
    with pytest.raises(ValueError, match=r"data.viscosity: expected a number above 0, got -1"):
        DataConfig(viscosity=-1.0)
    with pytest.raises(ValueError, match=r"no more than data.interval=0.05, got 0.5"):
        DataConfig(equation="shallow_water", time_step=0.5)
    wild = dataclasses.replace(SECTION, amplitude=1e6)
    with pytest.raises(ValueError, match=r"do not stay finite: lower data.time_step from 0.05"):
        simulated(wild, jax.random.key(0), 1, (8,))


def test_a_network_is_checked_before_the_flows(monkeypatch):
    monkeypatch.setattr("experiments.flows.task.load_flows", lambda _: pytest.fail("flows first"))
    with pytest.raises(ValueError, match="layers"):
        FlowTask().build(config("fno", model__layers="0"), shards=1)
