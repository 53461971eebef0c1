"""Every config builds its experiment and trains three tiny steps."""

import json
from pathlib import Path

import numpy as np
import pytest

from equinet.data.atoms import Configuration, write_configurations
from equinet.models import OrientationPotential
from equinet.potentials import load_potential
from equinet.training import describe_config, evaluate, load_config, load_task, train

ROOT = Path(__file__).parents[2]
TINY = {
    "model.channels": "2",
    "model.layers": "1",
    "model.radial_hidden": "(4,)",
    "training.steps": "3",
    "training.batch_size": "2",
    "training.warmup_steps": "1",
    "training.validate_every": "3",
}
FILES = {
    "3bpa": ("3bpa/train_300K.xyz", "3bpa/train_300K.xyz", "3bpa/iso_atoms.xyz"),
    "acac": ("acac/train_300K.xyz", "acac/test_MD_300K.xyz", "acac/isolated_atoms.xyz"),
    "rmd17": ("rmd17/ethanol/train_01.xyz", "rmd17/ethanol/test_01.xyz", ""),
}


def waters(count):
    rng = np.random.default_rng(0)
    base = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [
        Configuration(
            numbers=np.array([8, 1, 1]),
            positions=base + 0.05 * rng.normal(size=(3, 3)),
            energy=-2080.0 + 0.1 * rng.normal(),
            forces=rng.normal(size=(3, 3)),
        )
        for _ in range(count)
    ]


def atom(number, energy):
    return Configuration(numbers=np.array([number]), positions=np.zeros((1, 3)), energy=energy)


def write_with_key(path, configurations, key):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_configurations(path, configurations)
    path.write_text(path.read_text().replace("energy=", f"{key}="))


@pytest.fixture
def data_dir(tmp_path):
    for name, (trained, tested, isolated) in FILES.items():
        key = "Energy" if name == "rmd17" else "energy"
        write_with_key(tmp_path / trained, waters(6), key)
        if tested != trained:
            write_with_key(tmp_path / tested, waters(6), key)
        if isolated:
            write_configurations(tmp_path / isolated, [atom(1, -13.6), atom(8, -2041.0)])
    return tmp_path


@pytest.mark.parametrize(
    "name", ["acac", *(pytest.param(name, marks=pytest.mark.slow) for name in ("3bpa", "rmd17"))]
)
def test_configs_of_files(name, data_dir, tmp_path):
    trained, tested, isolated = FILES[name]
    overrides = TINY | {
        "data_dir": str(data_dir),
        "data.train": f"{trained}@:3",
        "data.validation": f"{trained}@3:5",
        "data.test": f"{tested}@5:",
    }
    config = load_config(str(ROOT / f"configs/{name}.py"), list(overrides.items()))
    assert config.data.isolated_atoms == isolated
    result = train(config, tmp_path / "run")
    assert result["steps"] == 3
    assert np.isfinite(result["metrics"]["force_mae_mev_per_angstrom"])
    assert result["equivariance_error"]["float64"] < 1e-12
    spec = json.loads((tmp_path / "run/model.json").read_text())["model"]
    if isolated:  # the isolated atoms, and one residue for every atom alike
        residues = np.array(spec["reference_energies"]) - [-13.6, -2041.0]
        np.testing.assert_allclose(residues[0], residues[1], atol=1e-8)


def test_the_embedded_default(trained_water):
    result = json.loads((trained_water / "result.json").read_text())
    assert result["configurations"] == 1
    assert result["compilations"] == 1
    names = {"energy", "force"}
    assert names == {key.split("_")[0] for key in result["metrics"] if "label" not in key}


def test_ponita_by_one_word(tmp_path, monkeypatch, trained_water, water):
    """``potential.py:ponita``: trained, read back by the spec of the run, and evaluated."""
    monkeypatch.setenv("EQUINET_CACHE", str(trained_water.parent / "cache"))
    short = {"training.steps": "3", "training.validate_every": "3"}
    overrides = water | short | {"model.basis": "4", "model.orientations": "6"}
    config = load_config(str(ROOT / "configs/potential.py:ponita"), list(overrides.items()))
    assert (config.model.network, config.data.augment) == ("ponita", True)
    result = train(config, tmp_path / "run")
    assert (result["steps"], result["compilations"]) == (3, 1)
    assert isinstance(load_potential(tmp_path / "run"), OrientationPotential)
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]
    with pytest.raises(ValueError, match="the network is one of irreps, ponita, got 'egnn'"):
        load_config(str(ROOT / "configs/potential.py:egnn"))


@pytest.mark.slow
def test_ponita_by_an_override(data_dir, tmp_path):
    trained, tested, _ = FILES["3bpa"]
    overrides = TINY | {
        "data_dir": str(data_dir),
        "data.train": f"{trained}@:3",
        "data.validation": f"{trained}@3:5",
        "data.test": f"{tested}@5:",
        "model.network": "ponita",
    }
    del overrides["model.radial_hidden"]
    config = load_config(str(ROOT / "configs/3bpa.py"), list(overrides.items()))
    result = train(config, tmp_path / "run")
    assert np.isfinite(result["metrics"]["force_mae_mev_per_angstrom"])
    assert result["equivariance_error"]["float64"] > 1e-9  # only approximately invariant


@pytest.mark.parametrize("problem", ["o5", pytest.param("inertia_soft", marks=pytest.mark.slow)])
def test_functions_of_known_symmetry(problem, tmp_path):
    overrides = {
        "data.samples": "20",
        "data.validation": "10",
        "data.test": "10",
        "model.channels": "2",
        "model.layers": "1",
        "training.steps": "3",
        "training.batch_size": "4",
    }
    if problem == "inertia_soft":
        overrides |= {"penalty.warmup_steps": "0", "penalty.adjust_step": "2"}
    config = load_config(str(ROOT / f"configs/emlp.py:{problem}"), list(overrides.items()))
    result = train(config, tmp_path / "run")
    assert (result["steps"], result["samples"], result["problem"]) == (3, 20, problem)
    assert np.isfinite(result["metrics"]["relative_rmse"])
    if problem == "o5":
        assert result["equivariance_error"]["float64"] < 1e-12
        assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]
    else:
        assert set(result["penalty_weights"].values()) != set(config.penalty.weights)


def test_tetris(tmp_path):
    overrides = {
        "data.copies": "1",
        "model.channels": "2",
        "model.lmax": "1",
        "training.steps": "3",
        "training.batch_size": "8",
        "training.validate_every": "3",
    }
    config = load_config(str(ROOT / "configs/tetris.py:gaunt"), list(overrides.items()))
    result = train(config, tmp_path / "run")
    assert (result["steps"], result["product"]) == (3, "gaunt")
    assert result["metrics"]["accuracy"] <= 7 / 8
    assert result["equivariance_error"]["float64"] < 1e-12
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]


def test_every_config_is_complete():
    """Each file of the folder loads with its default argument, and its task exists."""
    files = [path for path in (ROOT / "configs").glob("*.py") if is_config(path)]
    assert len(files) >= 10
    for path in files:
        config = load_config(str(path))
        assert type(load_task(config.task)).Config is type(config)
        assert all(key.meaning for key in describe_config(config)), path


def test_every_task_is_trained_by_some_test():
    """Found in the sources of the tests, not in a list: each config file is named by a test."""
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for path in (ROOT / "configs").glob("*.py"):
        if is_config(path):
            named = f"{path.stem}.py" in sources or path.stem in FILES
            assert named, f"no test loads configs/{path.name}"


def is_config(path):
    return "def get_config(" in path.read_text()
