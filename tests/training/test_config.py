"""Config files, overrides and the engine's own section."""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import pytest

from equinet.training import (
    TrainingConfig,
    constructor_arguments,
    describe_config,
    load_config,
    section_of,
)
from equinet.training.config import flatten, from_json, to_json
from equinet.training.sources import config_root


@pytest.fixture(autouse=True)
def _same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder, text, name="mine.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / "task_of_test.py").write_text(TASK)
    sys.modules.pop("task_of_test", None)
    return str(folder / name)


TASK = """
import dataclasses
from typing import Annotated, Any
from equinet.training import Choice, Task, TaskConfig

@dataclasses.dataclass(frozen=True)
class Round:
    shape: str = "round"
    radius: float = 1.0

@dataclasses.dataclass(frozen=True)
class Square:
    shape: str = "square"
    side: float = 1.0

SHAPES = Choice("shape", {"round": Round, "square": Square})

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TaskConfig):
    name: str = ""
    lmax: int = 1
    double: int = 0
    cutoff: float = 1.0
    none: float | None = None
    flag: bool = False
    widths: tuple[int, ...] = ()
    mixed: tuple[str, int] = ("", 0)
    model: Annotated[Any, SHAPES] = dataclasses.field(default_factory=SHAPES.default)

class MyTask(Task):
    Config = Config
"""
MINE = """
from ml_collections import ConfigDict
def get_config(argument="small"):
    config = ConfigDict({"task": "task_of_test:MyTask", "name": argument, "none": None})
    config.lmax, config.cutoff = 2, 5.0
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
    settings = config.training
    assert (settings.steps, settings.learning_rate) == (7, 1e-3)
    assert (settings.gradient_clip_norm, settings.ema_decay) == (10.0, None)
    assert settings.mesh == (("data", 2), ("model", 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lmax = 4


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
        ("training.lr", "3", "did you mean training.learning_rate"),
        ("training.optimizer", "AdamW", "did you mean adamw"),
        ("lmax", "9" * 5000, "config.lmax: expected an integer"),
        ("lmax", "(" * 5000, "config.lmax: expected an integer"),
        ("cutoff", "9" * 400, "config.cutoff: expected a number"),
        ("x" * 100_000, "3", "unknown key config.xxx"),
        ("model.side", "2", "no effect with model.shape=round: it is a key of model.shape=square"),
        ("model.shape", "rond", "config.model.shape: got 'rond': did you mean round"),
        ("model.radius", "far", "config.model.radius: expected a number"),
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
        ("training.mesh", "2", "training.mesh: expected a tuple"),
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
        ("def get_config(): return 3", "", "must return a ConfigDict or a dictionary"),
        ("def get_config(): return 3", ":x", "takes no argument, got 'x'"),
        ("def get_config(a): return 3", "", "needs an argument"),
        ("def get_config(a): return {}[a]", ":x", "fails: KeyError"),
        ("def get_config(a): raise ValueError('no size ' + a)", ":x", "no size x"),
        (MINE.replace('"task_of_test:MyTask"', "None"), "", "expected config.task"),
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
    with pytest.raises(FileNotFoundError, match=r"min.py. is neither .*did you mean .*mine.py"):
        load_config(str(tmp_path / "min.py"))
    with pytest.raises(FileNotFoundError, match=r"mine.yaml. is neither a preset nor"):
        load_config("mine.yaml")


def test_a_config_imports_its_neighbours(tmp_path):
    """Above `configs` is the root, wherever the command runs; the file's own folder comes last."""
    write(tmp_path, "SIZE = 5", "root_module_of_test.py")
    write(tmp_path / "configs", "LMAX = 3", "neighbour_of_test.py")
    path = write(
        tmp_path / "configs",
        "import root_module_of_test, neighbour_of_test\n"
        + MINE.replace("= 2, 5.0", "= neighbour_of_test.LMAX + root_module_of_test.SIZE, 5.0"),
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


def test_a_choice_of_sections(tmp_path):
    """The chosen section has its own keys only; what the file says of the other one is dropped."""
    path = write(tmp_path, MINE.replace('"none": None', '"model": {"radius": 3.0}'))
    assert flatten(load_config(path).model) == {"shape": "round", "radius": 3.0}
    config = load_config(path, [("model.side", "2"), ("model.shape", "square")])
    assert flatten(config.model) == {"shape": "square", "side": 2.0}
    assert from_json(to_json(config)) == config
    keys = {key.key: key for key in describe_config(config)}
    assert keys["model.shape"].type == "one of round, square"
    assert keys["model.side"].default == 2.0
    assert "model.radius" not in keys


def test_a_config_that_is_a_dictionary(tmp_path):
    text = "def get_config(): return {'task': 'task_of_test:MyTask', 'training': {'steps': 9}}"
    assert load_config(write(tmp_path, text)).training.steps == 9


def test_every_key_is_described(tmp_path):
    keys = describe_config(load_config(write(tmp_path, MINE)))
    assert [key.key for key in keys][:2] == ["task", "training.steps"]
    assert all(key.meaning for key in keys if key.key.startswith("training."))
    by_name = {key.key: key for key in keys}
    assert by_name["training.max_minutes"].unit == "minutes"
    assert by_name["training.ema_decay"].type == "a number or None"


def test_a_section_is_what_its_constructor_takes():
    def build(size, width: int = 3, *, names: Sequence[str] = ("a",), act: Callable = abs, dtype=0):
        """A network.

        Args:
            size: From the data.
            width: Channels in
                pixels.
            names: The names.
        """
        return width, names

    cls = section_of(build, {"kind": "it"}, rename={"width": "channels"}, defaults={"channels": 5})
    section = cls(names=("b", "c"))
    assert flatten(section) == {"kind": "it", "channels": 5, "names": ("b", "c")}
    assert build(0, **constructor_arguments(section)) == (5, ("b", "c"))
    keys = {key.key: key for key in describe_config(section)}
    assert keys["channels"][1:] == ("an integer", 5, "pixels", "Channels in pixels.")
    with pytest.raises(ValueError, match="build takes no widht"):
        section_of(build, defaults={"widht": 3})
