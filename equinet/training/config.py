"""Configs: a Python file with `get_config`, typed overrides, JSON in the workdir."""

import ast
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from ml_collections import ConfigDict

from equinet.training.schema import check_type, did_you_mean, wrong_type
from equinet.training.settings import TrainingConfig, default_training, training_config


def load_config(source: str, overrides: Sequence[tuple[str, str]] = ()) -> ConfigDict:
    """The config of a file, its engine section completed, with overrides typed by the defaults.

    The root of the file's project and then the file's own folder become importable, so that
    the config can import its neighbours and name a task that lives beside it.

    Args:
        source: "path/to/file.py" or "path/to/file.py:argument"; the file has
            `get_config(argument)`.
        overrides: Pairs of a dotted key and the text of its new value.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file fails, or a key is unknown, or a value is of a wrong type.
    """
    path, argument = split_source(source)
    if not path.is_file():
        there = [p.name for p in sorted(path.parent.glob("*.py"))]
        hint = did_you_mean(path.name, there) if there else f"no .py file in {path.parent}/ at all"
        raise FileNotFoundError(f"no config file {path}: {hint}")
    make_importable(path)
    config = _call_get_config(path, argument)
    training = default_training()
    with training.ignore_type():
        training.update(config.get("training", {}))
    config.training = training
    config.lock()
    for key, text in overrides:
        _override(config, key, text)
    # JSON has no tuples: what a run sees and what is read back from its workdir are the same.
    config = from_json(to_json(config))
    if not isinstance(config.get("task"), str):
        raise ValueError(f'{path}: expected config.task = "module.of.task:Class"')
    training_config(config)
    return config


def split_source(source: str) -> tuple[Path, str | None]:
    """The file and the argument of "file.py:argument".

    Raises:
        ValueError: It is not a Python file.

    >>> path, argument = split_source("configs/qm9.py:tiny")
    >>> str(path), argument
    ('configs/qm9.py', 'tiny')
    """
    match = re.fullmatch(r"(.*\.py)(?::(.*))?", source)
    if match is None:
        raise ValueError(f"a config is a Python file, FILE.py or FILE.py:ARGUMENT; got {source!r}")
    return Path(match[1]), match[2]


def config_root(path: Path) -> Path:
    """The root of a config's project: above its `configs` folder, or the nearest pyproject.toml."""
    folders = path.resolve().parents
    for folder in folders:
        if folder.name == "configs":
            return folder.parent
    for folder in folders:
        if (folder / "pyproject.toml").exists() or (folder / ".git").exists():
            return folder
    return folders[0]


def make_importable(path: Path) -> None:
    """Puts the root of a config's project first on `sys.path`, the file's own folder last."""
    root, folder = str(config_root(path)), str(path.resolve().parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    if folder not in sys.path:
        sys.path.append(folder)


def to_json(config: ConfigDict) -> str:
    """A config as JSON, references resolved.

    Raises:
        ValueError: A value is not plain data.
    """
    tree = config.copy_and_resolve_references().to_dict()
    for key, value in _leaves(tree):
        if not isinstance(value, bool | int | float | str | None):
            raise ValueError(
                f"config.{key}: a config holds numbers, strings, booleans, None and tuples of "
                f"them; got {type(value).__name__}"
            )
    return json.dumps(tree, indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The locked config that `to_json` wrote; lists become tuples."""
    config = ConfigDict(_tuples(json.loads(text)))
    return config.lock()


def flatten(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys and their values.

    >>> flatten({"model": {"lmax": 2}, "task": "x:Y"})
    {'model.lmax': 2, 'task': 'x:Y'}
    """
    flat = {}
    for key in config:
        value = config[key]
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from _leaves(value, name)
    else:
        yield name, tree


def _tuples(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _tuples(value) for key, value in tree.items()}
    return tuple(_tuples(item) for item in tree) if isinstance(tree, list) else tree


def _call_get_config(path: Path, argument: str | None) -> ConfigDict:
    specification = importlib.util.spec_from_file_location(f"_equinet_config_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise ValueError(f"cannot read {path} as a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    try:
        specification.loader.exec_module(module)
        arguments = _arguments(module, argument)
        config = module.get_config(*arguments)
    except ValueError as error:  # the config's own words about its argument
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(config, ConfigDict):
        raise ValueError(f"{path}: get_config must return a ConfigDict, got {type(config)}")
    return config.unlock()


def _arguments(module: Any, argument: str | None) -> tuple[str, ...]:
    if not callable(getattr(module, "get_config", None)):
        raise ValueError("expected a function get_config(argument)")
    parameters = inspect.signature(module.get_config).parameters
    if argument is not None:
        if not parameters:
            raise ValueError(f"takes no argument, got {argument!r}")
        return (argument,)
    if any(p.default is inspect.Parameter.empty for p in parameters.values()):
        raise ValueError("needs an argument: --config=FILE.py:ARGUMENT")
    return ()


def _override(config: ConfigDict, key: str, text: str) -> None:
    *parents, last = key.split(".")
    section = config
    for parent in parents:
        section = section.get(parent) if isinstance(section, ConfigDict) else None
    if not isinstance(section, ConfigDict) or last not in section:
        raise ValueError(f"unknown key config.{key}: {did_you_mean(key, flatten(config))}")
    default = section[last]
    if isinstance(default, ConfigDict):
        keys = ", ".join(f"{key}.{name}" for name in default)
        raise ValueError(f"config.{key} is a section: set one of {keys}")
    kind: Any = section.get_type(last)
    if parents == ["training"]:  # None may stand for a number there: the annotation knows
        kind = get_type_hints(TrainingConfig).get(last, kind)
    with section.ignore_type():
        section[last] = _parse(text, kind, default, f"config.{key}")


def _parse(text: str, kind: Any, default: Any, name: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise wrong_type(text, kind, name)
        return text.lower() in ("true", "1")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is int and type(value) is not int:
        raise wrong_type(text, kind, name)
    if kind is float and type(value) not in (int, float):
        raise wrong_type(text, kind, name)
    if kind in (tuple, list):
        items = {type(item) for item in default}
        inner = items.pop() if len(items) == 1 else Any
        return check_type(value, tuple[inner, ...], name)
    return float(value) if kind is float else value
