"""Config files, overrides and the engine's own section."""

import sys

import pytest
from ml_collections import ConfigDict

from equinet.training import TrainingConfig, default_training, load_config
from equinet.training.config import config_root, flatten, from_json, to_json
from equinet.training.settings import training_config


@pytest.fixture(autouse=True)
def _same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder, text, name="mine.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


MINE = """
from ml_collections import ConfigDict
def get_config(argument="small"):
    config = ConfigDict({"task": "a:B", "name": argument, "lmax": 2, "cutoff": 5.0, "none": None})
    config.flag, config.widths, config.mixed = True, (8, 8), ("data", 2)
    config.double = config.get_ref("lmax") * 2
    config.training = {"steps": 7, "learning_rate": 1}
    return config
"""


def test_defaults_argument_and_overrides(tmp_path):
    path = write(tmp_path, MINE)
    overrides = [
        ("lmax", "3"),
        ("cutoff", "6"),
        ("flag", "false"),
        ("widths", "(1,2)"),
        ("none", "4.5"),
        ("mixed", "('model', 3)"),
        ("training.learning_rate", "1e-3"),
        ("training.gradient_clip_norm", "10"),
        ("training.ema_decay", "None"),
        ("training.mesh", "(('data',2),('model',1))"),
        ("training.parameter_axis", "model"),
    ]
    config = load_config(f"{path}:large", overrides)
    assert config.name == "large"
    assert (config.lmax, config.double, config.cutoff) == (3, 6, 6.0)
    assert isinstance(config.cutoff, float)
    assert (config.flag, config.widths, config.none) == (False, (1, 2), 4.5)
    assert config.training.batch_size == TrainingConfig().batch_size
    settings = training_config(config)
    assert (settings.steps, settings.learning_rate) == (7, 1e-3)
    assert (settings.gradient_clip_norm, settings.ema_decay) == (10.0, None)
    assert settings.mesh == (("data", 2), ("model", 1))
    assert config.is_locked


def test_json_keeps_everything(tmp_path):
    config = load_config(write(tmp_path, MINE))
    assert from_json(to_json(config)) == config
    assert flatten(config)["training.mesh"] == (("data", -1),)


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("lmx", "3", "unknown key config.lmx: did you mean lmax"),
        ("training.stpes", "3", "unknown key config.training.stpes: did you mean training.steps"),
        ("model.lmax", "3", "unknown key config.model.lmax: did you mean lmax"),
        ("lmax.x", "3", "unknown key config.lmax.x"),
        ("lmax", "x", "config.lmax: expected an integer, got 'x'"),
        ("lmax", "2.0", "config.lmax: expected an integer, got '2.0'"),
        ("cutoff", "far", "config.cutoff: expected a number"),
        ("flag", "2", "config.flag: expected true or false"),
        ("widths", "3", "config.widths: expected"),
        ("widths", "(1,'x')", r"config.widths\[1\]: expected an integer"),
        ("training", "3", "config.training is a section: set one of .*training.steps"),
        ("training.steps", "-3", "training.steps: expected a number above 0, got -3"),
        ("training.steps", "1.5", "config.training.steps: expected an integer"),
        ("training.optimizer", "adm", "training.optimizer: got 'adm': did you mean adam"),
        ("training.ema_decay", "2.0", "training.ema_decay: expected 0 < x < 1"),
        ("training.weight_decay", "0.1", "adamw"),
        ("training.mesh", "(('model',2),)", 'one of them "data"'),
        ("training.mesh", "2", "training.mesh: expected tuple"),
        ("training.parameter_axis", "model", "training.parameter_axis"),
        ("training.max_minutes", "0", "training.max_minutes: expected a number above 0"),
    ],
)
def test_wrong_overrides(tmp_path, key, text, line):
    path = write(tmp_path, MINE)
    with pytest.raises(ValueError, match=line) as caught:
        load_config(path, [(key, text)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "argument", "line"),
    [
        ("def get_config(:", "", "fails: SyntaxError"),
        ("import nowhere_at_all", "", "fails: ModuleNotFoundError: No module named 'nowhere"),
        ("x = 1", "", "expected a function get_config"),
        ("def get_config(): return 3", "", "must return a ConfigDict"),
        ("def get_config(): return 3", ":x", "takes no argument, got 'x'"),
        ("def get_config(a): return 3", "", "needs an argument"),
        ("def get_config(a): return {}[a]", ":x", "fails: KeyError"),
        ("def get_config(a): raise ValueError('no size ' + a)", ":x", "no size x"),
        (MINE.replace('"a:B"', "None"), "", "expected config.task"),
        (MINE.replace("(8, 8)", "{1}"), "", "config.widths: a config holds numbers"),
        (
            MINE.replace('"steps"', '"stps"'),
            "",
            "unknown key config.training.stps: did you",
        ),
        (MINE.replace('"steps": 7', '"steps": "7"'), "", "training.steps: expected an integer"),
    ],
)
def test_wrong_files(tmp_path, text, argument, line):
    with pytest.raises(ValueError, match=line):
        load_config(write(tmp_path, text) + argument)


def test_no_file(tmp_path):
    write(tmp_path, MINE)
    with pytest.raises(FileNotFoundError, match=r"no config file .*min.py: did you mean mine.py"):
        load_config(str(tmp_path / "min.py"))
    with pytest.raises(ValueError, match="a config is a Python file"):
        load_config("mine.yaml")


def test_a_config_imports_its_neighbours(tmp_path):
    """Above `configs` is the root, wherever the command runs; the file's own folder comes last."""
    write(tmp_path, "SIZE = 5", "root_module_of_test.py")
    write(tmp_path / "configs", "LMAX = 3", "neighbour_of_test.py")
    path = write(
        tmp_path / "configs",
        "import root_module_of_test, neighbour_of_test\n"
        + MINE.replace('"lmax": 2', '"lmax": neighbour_of_test.LMAX + root_module_of_test.SIZE'),
    )
    assert load_config(path).lmax == 8
    assert sys.path[0] == str(tmp_path)
    assert sys.path[-1] == str(tmp_path / "configs")


def test_root_of_a_project(tmp_path):
    path = tmp_path / "a" / "b" / "c.py"
    path.parent.mkdir(parents=True)
    assert config_root(path) == tmp_path / "a" / "b"
    (tmp_path / "pyproject.toml").touch()
    assert config_root(path) == tmp_path
    assert config_root(tmp_path / "configs" / "sub" / "c.py") == tmp_path


def test_default_training_takes_changes():
    section = default_training(steps=3, gradient_clip_norm=10.0)
    assert isinstance(section, ConfigDict)
    assert (section.steps, section.gradient_clip_norm) == (3, 10.0)
    with pytest.raises(ValueError, match="did you mean steps"):
        default_training(step=3)
