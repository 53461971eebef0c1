"""The image task: splits, every group trained three steps, bad input."""

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from equinet.training import count_parameters, evaluate, load_config, train
from equinet.training.config import flatten
from experiments.digits.config import GROUPS, DataConfig
from experiments.digits.data import deformed, load_digits
from experiments.digits.task import ImageTask, make_model, probabilities

CONFIGS = Path(__file__).parents[3] / "configs"
TINY = {
    "data.samples": "12",
    "data.validation": "4",
    "data.test": "6",
    "data.draws": "2",
    "model.channels": "2",
    "model.blocks": "1",
    "model.radius": "1",
    "model.count": "2",
    "model.draws": "2",
    "model.kernel_width": "4",
    "training.steps": "3",
    "training.batch_size": "4",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
    "training.checkpoint_every": "3",
}


def config(name, **changes):
    source = f"{CONFIGS}/affnist.py:{name}"
    known = flatten(load_config(source))
    overrides = {key: value for key, value in TINY.items() if key in known} | {
        key.replace("__", "."): value for key, value in changes.items()
    }
    return load_config(source, list(overrides.items()))


@pytest.mark.parametrize(
    "group",
    ["gl", *(pytest.param(group, marks=pytest.mark.slow) for group in GROUPS if group != "gl")],
)
def test_every_group_trains_and_is_evaluated(group, tmp_path):
    result = train(config(group), tmp_path / "run")
    assert result["steps"] == 3
    assert np.isfinite(list(result["metrics"].values())).all()
    again = evaluate(tmp_path / "run")
    assert again["metrics"]["accuracy"] == pytest.approx(result["metrics"]["accuracy"])
    curve = np.asarray(result["accuracy_against_strength"])
    assert curve[0, 0] == 0
    if group in ("p4", "p4m"):
        assert result["equivariance_error"]["float64"] < 1e-10


def test_networks_have_about_as_many_parameters():
    counts = []
    for name in GROUPS:
        chosen = load_config(f"{CONFIGS}/affnist.py:{name}")
        counts.append(count_parameters(nnx.eval_shape(lambda config=chosen: make_model(config))))
    assert max(counts) < 1.06 * min(counts)


def test_mnist_is_read_from_the_directory(tmp_path):
    (tmp_path / "mnist").mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "mnist" / "mnist_train.npz", x=images, y=rng.integers(0, 10, 40))
    section = DataConfig(set="mnist", enlarge=1, size=40, samples=20, validation=5, test=10)
    train_, validation, test = load_digits(section, tmp_path)
    assert [len(part) for part in (train_, validation, test)] == [20, 5, 10]
    np.testing.assert_allclose(train_.images[0, 6:34, 6:34], images[0] / 255, rtol=1e-6)
    np.testing.assert_allclose(test.images[-1, 6:34, 6:34], images[-1] / 255, rtol=1e-6)
    with pytest.raises(ValueError, match="ask for fewer"):
        load_digits(DataConfig(set="mnist", enlarge=1, size=40, samples=40, test=1), tmp_path)


def test_the_same_seed_gives_the_same_test():
    test = load_digits(DataConfig(test=5), None)[2]
    first, second, other = (deformed(test, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, second.images)
    assert np.abs(first.images - other.images).max() > 0.1
    assert deformed(test, 0, strength=0.0) is test


def test_batches_and_predictions():
    made = config("gl")
    experiment = ImageTask().build(made, shards=2)
    digits = load_digits(made.data, None)[0]
    batch = experiment.collate([3, 1, 2], range(2))
    np.testing.assert_array_equal(batch["images"][1, 0], digits.images[2])
    assert batch["images"].shape == (2, 2, 24, 24)
    assert batch["mask"].tolist() == [[1.0, 1.0], [1.0, 0.0]]
    found = probabilities(experiment.model, digits, made.model.draws)
    assert found.shape == (2, 12, 10)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="has the groups"):
        load_config(f"{CONFIGS}/affnist.py:glplus", [])
    with pytest.raises(ValueError, match=r"config\.model\.group: got 'o'"):
        config("gl", model__group="o")
    with pytest.raises(ValueError, match=r"config\.data\.size"):
        config("gl", data__size="0")
    with pytest.raises(ValueError, match=r"no effect with model\.group=p4: .*model\.group=gl"):
        config("p4", model__count="3")
    with pytest.raises(ValueError, match=r"config\.model\.count: expected 1 or more, got 0"):
        config("gl", model__count="0")
