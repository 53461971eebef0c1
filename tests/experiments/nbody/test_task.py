"""The n-body task: its data are what they claim, its loss counts every system once."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import O
from equinet.training import evaluate, load_config, train
from equinet.training.config import flatten
from experiments.nbody.config import NETWORKS, DataConfig
from experiments.nbody.data import load_data
from experiments.nbody.particles import ParticleState, protocol, simulate
from experiments.nbody.task import (
    NBodyTask,
    augmented,
    make_model,
    mean_square,
    report,
    squared_error,
)

CONFIGS = Path(__file__).parents[3] / "configs"
MODELS = tuple(NETWORKS.options)
TINY = {
    "model.channels": "4",
    "model.layers": "1",
    "model.lmax": "1",
    "model.correlation": "1",
    "model.basis": "4",
    "model.orientations": "4",
}
CG_ONLY = ("model.lmax", "model.correlation")
FEW = {
    "data.source": "simulate",
    "data.samples": "6",
    "data.validation": "3",
    "data.test": "4",
    "data.every": "2",
}
SHORT = {
    "training.steps": "3",
    "training.batch_size": "2",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
    "training.checkpoint_every": "3",
}
SECTION = DataConfig(source="simulate", samples=6, validation=3, test=4, every=2)


def config(name, **changes):
    source = f"{CONFIGS}/nbody.py:{name}"
    known = flatten(load_config(source))
    tiny = {key: value for key, value in TINY.items() if key in known}
    overrides = tiny | FEW | SHORT | {key.replace("__", "."): v for key, v in changes.items()}
    return load_config(source, list(overrides.items()))


def batch_of(count, shards=1):
    """A batch of the first training systems."""
    experiment = NBodyTask().build(config("egnn"), shards=shards)
    return experiment.collate(range(count), range(shards))


@pytest.fixture(scope="module")
def data():
    return load_data(SECTION, None)


@pytest.fixture
def file(tmp_path):
    """Four frames of random numbers, of 8 systems to train on and 5 to test on."""
    rng, arrays = np.random.default_rng(0), {"frames": np.array([0, 30, 40, 48])}
    for part, count in (("train", 8), ("valid", 5)):
        for word in ("loc", "vel"):
            arrays[f"{word}_{part}"] = rng.normal(size=(count, 4, 5, 3))
        arrays[f"charges_{part}"] = rng.choice([-1.0, 1.0], (count, 5, 1))
    path = tmp_path / "nbody" / "charged5.npz"
    path.parent.mkdir()
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("kind", ["charged", "springs", "gravity"])
def test_simulated_targets_follow_from_the_start(kind, x64):
    section = DataConfig(
        source="simulate", kind=kind, bodies=3, samples=4, validation=2, test=2, every=3
    )
    data = load_data(section, None)
    assert data.duration == pytest.approx(0.03)
    assert data.train.positions.shape == (4, 3, 3)
    start = ParticleState(*(jnp.asarray(part, jnp.float64) for part in data.train.parts[:3]))
    end = simulate(protocol(kind), start, 1, every=30).positions[0]
    np.testing.assert_allclose(data.train.targets, end, atol=1e-5)
    assert np.abs(data.train.targets - data.train.positions).max() > 1e-3
    again = load_data(section, None)
    np.testing.assert_array_equal(again.test.positions, data.test.positions)
    assert not np.array_equal(data.test.positions, data.validation.positions)


def test_splits_of_a_file(file):
    section = DataConfig(samples=5, validation=2, test=4)
    data, arrays = load_data(section, file.parents[1]), np.load(file)
    np.testing.assert_allclose(data.train.positions, arrays["loc_train"][:5, 1], rtol=1e-6)
    np.testing.assert_allclose(data.train.targets, arrays["loc_train"][:5, 2], rtol=1e-6)
    np.testing.assert_allclose(data.validation.velocities, arrays["vel_train"][6:, 1], rtol=1e-6)
    np.testing.assert_allclose(data.test.positions, arrays["loc_valid"][:4, 1], rtol=1e-6)
    np.testing.assert_array_equal(data.test.charges, arrays["charges_valid"][:4, :, 0])
    assert data.duration == pytest.approx(1)


def test_files_that_do_not_fit(file, tmp_path):
    folder = file.parents[1]
    with pytest.raises(ValueError, match=r"has 8 systems .* got data.samples=7"):
        load_data(DataConfig(samples=7, validation=2, test=4), folder)
    with pytest.raises(ValueError, match=r"data.end_frame: got 45, .* frames \[0, 30, 40, 48\]"):
        load_data(DataConfig(samples=5, validation=2, test=4, end_frame=45), folder)
    with pytest.raises(FileNotFoundError, match=r"--config.data.source=simulate"):
        load_data(DataConfig(file="nbody/other.npz"), folder)
    arrays = dict(np.load(file))
    arrays["vel_train"][0, 0, 0, 0] = np.nan
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="vel_train holds numbers that are not finite"):
        load_data(DataConfig(samples=5, validation=2, test=4), folder)
    del arrays["vel_train"]
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="expected arrays vel_train"):
        load_data(DataConfig(samples=5, validation=2, test=4), folder)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_loss_does_not_depend_on_the_shards(shards, data):
    model = make_model(config("egnn"))
    batch = batch_of(5, shards)
    assert batch["mask"].sum() == 5
    value, named = jax.jit(squared_error)(model, batch, jax.random.key(0))
    assert float(value) == pytest.approx(mean_square(model, data.train[:5], 2), rel=1e-5)
    assert named["position_mse"] == value


def test_stochastic_frames_in_training_alone(data):
    """Another key, another frame; not where the config asks for all of them, nor in validation."""
    batch = batch_of(5)

    def losses(model):
        loss = jax.jit(lambda key: squared_error(model, batch, key)[0])
        return [float(loss(jax.random.key(seed))) for seed in range(2)]

    drawn = make_model(config("fa_gnn"))
    first, second = losses(drawn)
    assert first != second
    every = make_model(config("fa_gnn", model__stochastic="false"))
    first, second = losses(every)
    assert first == second == pytest.approx(mean_square(drawn, data.train[:5]), rel=1e-5)


def test_augmentation_is_a_motion_and_a_sign(x64, key):
    rng = np.random.default_rng(0)
    x, v, y = (jnp.asarray(rng.normal(size=(2, 4, 5, 3))) for _ in range(3))
    q = jnp.asarray(rng.choice([-1.0, 1.0], (2, 4, 5)))
    found = augmented((x, v, q, y), key)
    centre = x.mean(-2, keepdims=True)
    before = jnp.concatenate([x - centre, v, y - centre], axis=-2)
    after = jnp.concatenate([found[0] - centre, found[1], found[3] - centre], axis=-2)

    def products(a):
        return jnp.matmul(a, jnp.swapaxes(a, -1, -2))

    np.testing.assert_allclose(products(after), products(before), atol=1e-12)
    signs = np.asarray(found[2] / q)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.ptp(signs, axis=-1).max() == 0
    turns = np.linalg.lstsq(np.asarray(before[0, 0]), np.asarray(after[0, 0]))[0]
    assert bool(O(3).contains(turns.T))
    assert np.abs(turns - np.eye(3)).max() > 0.1


@pytest.mark.parametrize("name", [n for n in MODELS if n != "ponita"])
def test_reports(name, data):
    model = make_model(config(name))
    found = report(model, data, SECTION)
    assert found["equivariance_error"]["float64"] < 1e-11
    assert found["equivariance_error"]["float32"] < 1e-3
    errors = [  # one system after the other, from the outputs
        np.mean((np.asarray(model(*data.test[[i]].parts[:3]), float) - data.test.targets[i]) ** 2)
        for i in range(len(data.test))
    ]
    assert found["metrics"]["position_mse"] == pytest.approx(np.mean(errors), rel=1e-4)
    straight = data.test.positions + 0.02 * data.test.velocities
    error = np.mean((straight - data.test.targets) ** 2)
    assert found["metrics"]["straight_line_mse"] == pytest.approx(error, rel=1e-3)
    assert (found["model"], found["training_systems"], found["bodies"]) == (name, 6, 5)


def test_the_symmetry_of_the_grid_is_not_that_of_space(data):
    found = report(make_model(config("ponita")), data, SECTION)
    assert 1e-6 < found["equivariance_error"]["float64"] < 10
    assert np.isfinite(found["metrics"]["position_mse"])
    edges = report(make_model(config("ponita", model__variant="edges")), data, SECTION)
    assert edges["equivariance_error"]["float64"] < 1e-10


def test_training_and_evaluation(file, tmp_path):
    """A run on a file; its report again, from the directory and from the file by name."""
    changes = {"data.source": "file", "data.samples": "5", "data.validation": "2", "data.test": "5"}
    tiny = {key: value for key, value in TINY.items() if key not in CG_ONLY}
    overrides = tiny | SHORT | changes | {"data_dir": str(file.parents[1])}
    made = load_config(f"{CONFIGS}/nbody.py:ponita", list(overrides.items()))
    assert made.data.augment
    result = train(made, tmp_path / "run")
    assert (result["steps"], result["model"], result["compilations"]) == (3, "ponita", 1)
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]
    assert evaluate(tmp_path / "run", str(file))["metrics"] == result["metrics"]


def test_learns():
    """Plain descent on one batch takes the error to a fifth."""
    made = config("egnn", data__samples="60", data__every="10")
    model = make_model(made)
    batch = NBodyTask().build(made, shards=1).collate(range(60), range(1))
    graphdef, params = nnx.split(model)

    @jax.jit
    def step(params):
        def loss(params):
            return squared_error(nnx.merge(graphdef, params), batch, jax.random.key(0))[0]

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.03 * g, params, gradient), value

    losses = []
    for _ in range(60):
        params, value = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.2 * losses[0]


def test_bad_input():
    with pytest.raises(ValueError, match=r"data.samples.*got 0, 300 and 2000"):
        DataConfig(samples=0)
    with pytest.raises(ValueError, match=r"expected 0 <= start < end, got 40 and 30"):
        DataConfig(start_frame=40, end_frame=30)
    with pytest.raises(ValueError, match=r"data.bodies.*got 0, 100 and 0.001"):
        DataConfig(bodies=0)
    with pytest.raises(ValueError, match=r"nbody.py:<model> is one of egnn, .* got 'gnn'"):
        load_config(f"{CONFIGS}/nbody.py:gnn")


def test_a_network_is_checked_before_the_data(monkeypatch):
    """A wrong option of the network is found although no data can be read."""
    monkeypatch.setattr("experiments.nbody.task.load_data", lambda *_: pytest.fail("data first"))
    with pytest.raises(ValueError, match="layers"):
        NBodyTask().build(config("egnn", model__layers="0"), shards=1)
    with pytest.raises(ValueError, match="tensor"):
        NBodyTask().build(config("cg", model__correlation="2", model__product="tensor"), shards=1)
    with pytest.raises(ValueError, match=r"no effect with model.name=egnn: .* model.name=cg"):
        config("egnn", model__lmax="1")
