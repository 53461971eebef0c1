"""The EMLP task: its data have the symmetry they claim, its loss counts every sample once."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import PenaltyState
from equinet.training import load_config, train
from experiments.emlp.config import DataConfig, EMLPConfig, ModelConfig, PenaltyConfig
from experiments.emlp.data import make_data, problem
from experiments.emlp.task import (
    SYMMETRIES,
    EMLPTask,
    Perceptron,
    make_model,
    mean_square,
    report,
    squared_error,
)

CONFIGS = Path(__file__).parents[3] / "configs"
PROBLEMS = ("inertia", "scattering", "o5", "inertia_soft")
SMALL = {"samples": 20, "validation": 10, "test": 10}
TINY = [("model.channels", "2"), ("model.layers", "1")]


def config(name, *overrides):
    return load_config(f"{CONFIGS}/emlp.py:{name}", [*TINY, *overrides])


@pytest.mark.parametrize("name", ["inertia", "scattering", "o5"])
def test_the_functions_have_their_symmetry(name, x64):
    """The labels of transformed inputs are the transformed labels."""
    chosen = problem(DataConfig(problem=name))
    x, y = chosen.draw(np.random.default_rng(0), 6)
    assert x.shape == (6, chosen.rep_in.dim, chosen.channels_in)
    assert y.shape == (6, chosen.rep_out.dim, 1)
    by_hand = LABELS[name]
    np.testing.assert_allclose(by_hand(x), y, rtol=1e-10, atol=1e-12)
    g = chosen.group.sample(jax.random.key(0))
    moved = np.asarray(chosen.rep_in.transform(g, x))
    expected = np.asarray(chosen.rep_out.transform(g, y))
    np.testing.assert_allclose(by_hand(moved), expected, rtol=1e-8, atol=1e-9)


def inertia_tensor(x):
    tensors = []
    for masses, *positions in x:
        total = np.zeros((3, 3))
        for mass, position in zip(masses, np.transpose(positions), strict=True):
            total += mass * (position @ position * np.eye(3) - np.outer(position, position))
        tensors.append(total.reshape(9, 1))
    return np.stack(tensors)


def matrix_element(x):
    eta = np.diag([1.0, -1, -1, -1])
    values = []
    for p, p2, q, q2 in np.swapaxes(x, 1, 2):
        first, second = (
            np.outer(a, b) + np.outer(b, a) - (a @ eta @ b - a @ eta @ a) * eta
            for a, b in ((p, p2), (q, q2))
        )
        values.append(np.sum(first * (eta @ second @ eta)))
    return np.array(values)[:, None, None]


def lengths_and_angle(x):
    a, b = x[..., 0], x[..., 1]
    long, other = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    value = np.sin(long) - other**3 / 2 + np.sum(a * b, 1) / (long * other)
    return value[:, None, None]


LABELS = {"inertia": inertia_tensor, "scattering": matrix_element, "o5": lengths_and_angle}


def test_the_term_along_z_breaks_two_planes_of_three(x64):
    chosen = problem(DataConfig(problem="inertia_soft", epsilon=0.3))
    x, y = chosen.draw(np.random.default_rng(0), 6)
    term = y - inertia_tensor(x)
    np.testing.assert_allclose(term[:, 8, 0], 0.3 * np.sum(x[:, 0] * x[:, 3] ** 2, -1), rtol=1e-9)
    np.testing.assert_allclose(term[:, :8], 0, atol=1e-12)

    def broken(group):
        g = group.sample(jax.random.key(1))
        big = np.asarray(chosen.rep_in.transform(g, x))
        moved = np.einsum("ij,njk,lk->nil", g, y.reshape(6, 3, 3), g).reshape(6, 9, 1)
        label = inertia_tensor(big)
        label[:, 8, 0] += 0.3 * np.sum(big[:, 0] * big[:, 3] ** 2, -1)
        return np.abs(label - moved).max()

    errors = {name: broken(group) for name, group in SYMMETRIES.items()}
    assert errors["O_xy(2)"] < 1e-10
    assert min(errors["O_yz(2)"], errors["O_xz(2)"]) > 0.1


@pytest.mark.parametrize("name", PROBLEMS)
def test_standardised_by_invariants_alone(name):
    data = make_data(DataConfig(problem=name, **SMALL))
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 10)
    assert np.mean(data.train.y.astype(np.float64) ** 2) == pytest.approx(1, rel=1e-5)
    _x, y = data.problem.draw(np.random.default_rng((0, 0)), 20)
    difference = y - data.scale * data.train.y
    constant = difference.mean(0)
    np.testing.assert_allclose(difference, np.broadcast_to(constant, y.shape), atol=1e-5)
    g = data.problem.group.sample(jax.random.key(0))
    moved = data.problem.rep_out.transform(g, jnp.asarray(constant, jnp.float32))
    np.testing.assert_allclose(moved, constant, atol=1e-5)
    again = make_data(DataConfig(problem=name, **SMALL))
    np.testing.assert_array_equal(again.test.x, data.test.x)
    assert not np.array_equal(data.test.x, data.validation.x)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_loss_does_not_depend_on_the_shards(shards):
    data = make_data(DataConfig(**SMALL))
    sizes = [(f"data.{name}", str(size)) for name, size in SMALL.items()]
    experiment = EMLPTask().build(config("inertia", *sizes), shards=shards)
    model, batch = experiment.model, experiment.collate(range(7), range(shards))
    assert batch["mask"].sum() == 7
    value, named = squared_error(model, batch, jax.random.key(0))
    y = model(data.train.x[:7])
    assert float(value) == pytest.approx(float(np.mean((y - data.train.y[:7]) ** 2)), rel=1e-5)
    assert named["mse"] == value


def test_models_of_equal_size():
    for name in PROBLEMS:
        _, counts = make_model(config(name))
        assert counts["equivariant"] <= counts["mlp"] < 1.3 * counts["equivariant"]
    model, counts = make_model(config("o5", ("model.name", "mlp")))
    assert isinstance(model, Perceptron)
    found = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert found == counts["mlp"]


@pytest.mark.slow
def test_report_of_the_soft_model():
    made = config("inertia_soft", ("data.test", "10"))
    section = DataConfig(problem="inertia_soft", **SMALL)
    model, counts = make_model(made)
    data = make_data(section)
    before = int(model.penalty.calls[...])
    found = report(model, data, section, counts)
    assert int(model.penalty.calls[...]) == before
    assert set(found["penalties"]) == set(SYMMETRIES) == set(found["penalty_weights"])
    assert found["penalty_weights"]["O(3)"] == 0
    mse = mean_square(model, data.test, batch_size=4)
    assert found["metrics"]["test_mse"] == pytest.approx(mse * data.scale**2, rel=1e-5)
    assert found["equivariance_error"]["float64"] < 1e-6  # its layers start equivariant
    assert len(jax.tree.leaves(nnx.state(model, PenaltyState))) == 3


@pytest.mark.slow
def test_the_tuning_resumes_bit_for_bit(tmp_path):
    """Killed before the adjustment, whose minimum and count lie in the checkpoint."""
    changes = {
        "data.samples": "20",
        "data.validation": "10",
        "data.test": "10",
        "penalty.warmup_steps": "1",
        "penalty.adjust_step": "5",
        "training.steps": "6",
        "training.batch_size": "4",
        "training.warmup_steps": "0",
        "training.checkpoint_every": "3",
        "training.validate_every": "6",
    }
    made = config("inertia_soft", *changes.items())
    expected = train(made, tmp_path / "run")
    (tmp_path / "run/result.json").unlink()
    shutil.rmtree(tmp_path / "run/best")
    shutil.rmtree(tmp_path / "run/checkpoints/6")
    found = train(made, tmp_path / "run")
    assert found["penalty_weights"] == expected["penalty_weights"]
    assert len(set(found["penalty_weights"].values())) == 4
    for name in ("metrics", "penalties", "least_penalties"):
        assert found[name] == expected[name]


def test_bad_input():
    with pytest.raises(ValueError, match=r"data.samples.*got 0, 2000 and 5000"):
        DataConfig(samples=0)
    with pytest.raises(ValueError, match=r"model.channels and model.layers.*got 0 and 2"):
        ModelConfig(channels=0)
    with pytest.raises(ValueError, match=r"config.penalty has no effect with data.problem=o5"):
        EMLPConfig(data=DataConfig(problem="o5"), penalty=PenaltyConfig(power=2.0))
    with pytest.raises(ValueError, match=r"config.data.problem: got 'inertai': did you mean"):
        config("inertai")
