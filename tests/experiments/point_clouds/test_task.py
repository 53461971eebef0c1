"""The point-cloud task: splits, losses, every model trained three steps, bad input."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.training import evaluate, load_config, train
from equinet.training.config import flatten
from experiments.point_clouds.config import DataConfig
from experiments.point_clouds.data import load_clouds, random_rotations, read_airplanes
from experiments.point_clouds.task import PointCloudTask, make_model, training_loss

CONFIGS = Path(__file__).parents[3] / "configs"
TINY = {
    "data.points": "12",
    "data.samples": "10",
    "data.validation": "4",
    "data.test": "5",
    "model.channels": "4",
    "model.layers": "1",
    "model.basis": "4",
    "model.orientations": "4",
    "training.steps": "3",
    "training.batch_size": "4",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
    "training.checkpoint_every": "3",
}


def config(name, **changes):
    source = f"{CONFIGS}/point_clouds.py:{name}"
    known = flatten(load_config(source))
    overrides = {key: value for key, value in TINY.items() if key in known} | {
        key.replace("__", "."): value for key, value in changes.items()
    }
    return load_config(source, list(overrides.items()))


@pytest.fixture
def airplanes(tmp_path):
    """Twenty clouds of 30 points in the form of the file."""
    path = tmp_path / "rotations/airplanes_1024.npz"
    path.parent.mkdir()
    clouds = np.random.default_rng(0).normal(size=(20, 30, 3)) * [1.0, 0.5, 0.2]
    np.savez(path, points=clouds.astype(np.float16))
    return tmp_path


def test_clouds_and_their_rotations_agree(airplanes):
    section = DataConfig(
        set="airplanes", points=12, samples=10, validation=4, test=5, turns="upright"
    )
    still = read_airplanes(airplanes / section.file, 19, 12)
    train_, validation, test = load_clouds(section, airplanes)
    np.testing.assert_allclose(train_.points, still[:10], atol=1e-6)
    for part, start in ((validation, 10), (test, 14)):
        expected = np.einsum("cij,cpj->cpi", part.rotations, still[start : start + len(part)])
        np.testing.assert_allclose(part.points, expected, atol=1e-6)
    np.testing.assert_allclose(validation.rotations[:, 2, 2], 1)
    assert np.abs(test.rotations[:, 2, 2] - 1).max() > 0.1
    np.testing.assert_allclose(np.linalg.det(random_rotations(np.random.default_rng(1), 50)), 1)


@pytest.mark.parametrize(
    "words",
    [
        "airplanes-fa_point_net",
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (
                "shapes-fa_point_net",
                "shapes-point_net",
                "shapes-mds_point_net",
                "shapes-ponita",
                "airplanes-point_net",
                "airplanes-ponita",
            )
        ),
    ],
)
def test_every_model_trains_and_is_evaluated(words, airplanes, tmp_path):
    result = train(config(words, data_dir=str(airplanes)), tmp_path / "run")
    assert result["steps"] == 3
    assert np.isfinite(list(result["metrics"].values())).all()
    error = result["equivariance_error"]["float64"]
    assert (error < 1e-10) == (not words.endswith(("-point_net", "ponita")))
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]


def made(airplanes, count, shards):
    """A model, and a batch of the first training clouds."""
    changes = {"model__stochastic": "False", "data_dir": str(airplanes)}
    experiment = PointCloudTask().build(config("airplanes-fa_point_net", **changes), shards=shards)
    return experiment.model, experiment.collate(range(count), range(shards))


def test_the_loss_does_not_depend_on_the_shards(airplanes):
    losses = []
    for shards in (1, 2):
        model, batch = made(airplanes, 5, shards)
        found = training_loss(model, jax.tree.map(jnp.asarray, batch), jax.random.key(0), "none")
        losses.append(float(found[0]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize("turns", ["upright", "all"])
def test_training_rotates_clouds_and_labels_alike(turns, airplanes):
    """A model that is equivariant has the same loss however clouds are rotated."""
    model, batch = made(airplanes, 4, 1)
    batch = jax.tree.map(jnp.asarray, batch)
    still, rotated = (
        float(training_loss(model, batch, jax.random.key(3), kind)[0]) for kind in ("none", turns)
    )
    np.testing.assert_allclose(rotated, still, rtol=1e-4)


def test_bad_input(airplanes):
    with pytest.raises(ValueError, match="has the sets shapes, airplanes and the models"):
        load_config(f"{CONFIGS}/point_clouds.py:chairs-point_net", [])
    with pytest.raises(ValueError, match="distances do not depend on the rotation"):
        make_model(config("airplanes-mds_point_net"))
    with pytest.raises(ValueError, match=r"orientations: expected one of .*got 5"):
        make_model(config("shapes-ponita", model__orientations="5"))
    with pytest.raises(ValueError, match="20 clouds of 30 points, got 21 and 12"):
        read_airplanes(airplanes / "rotations/airplanes_1024.npz", 21, 12)
    with pytest.raises(FileNotFoundError, match="Get it from"):
        read_airplanes(airplanes / "nothing.npz", 1, 1)
    with pytest.raises(ValueError, match="expected numbers above 0"):
        DataConfig(points=0)
