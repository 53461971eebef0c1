"""Configs: a Python file with `get_config`, typed overrides, JSON in the workdir."""

import dataclasses
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from equinet.training.schema import (
    build_section,
    choice_of,
    did_you_mean,
    field_types,
    parse_value,
    section_type,
)
from equinet.training.sources import existing_source, make_importable
from equinet.training.task import load_task


def load_config(source: str, overrides: Sequence[tuple[str, str]] = ()) -> Any:
    """The config of a file: the values of the file, overrides, and the defaults of the task.

    The file says which task it is for and which keys differ from the defaults, which are those of
    the dataclass `Config` of the task. Every key and value is checked, before any data are read.
    The root of the file's project and then the file's own folder become importable, so that
    the config can import its neighbours and name a task that lives beside it.

    Args:
        source: The name of a preset or the path of a file, "potential" or "path/to/file.py", with
            an argument if there is one, "potential:ponita". The file has `get_config(argument)`,
            which returns a `ConfigDict` or a dictionary.
        overrides: Pairs of a dotted key and the text of its new value.

    Returns:
        A frozen dataclass, the `Config` of the task.

    Raises:
        FileNotFoundError: There is no such preset or file.
        ValueError: The file fails, or a key is unknown, or a value has a wrong type.
    """
    path, argument = existing_source(source)
    make_importable(path)
    config = _call_get_config(path, argument)
    if not isinstance(config.get("task"), str):
        raise ValueError(f'{path}: expected config.task = "module.of.task:Class"')
    return complete_config(config, overrides)


def complete_config(config: ConfigDict, overrides: Sequence[tuple[str, str]] = ()) -> Any:
    """The config of a task: the given values, overrides, and defaults for everything else.

    Args:
        config: The key `task` and whatever differs from the defaults of the task.
        overrides: Pairs of a dotted key and the text of its new value.

    Raises:
        ValueError: A key is unknown, or a value has a wrong type.
    """
    for key, text in overrides:  # it decides about the other keys
        if key == "task":
            config.task = text
    cls = type(load_task(str(config.task))).Config
    others = [(key, text) for key, text in overrides if not _choose(config, cls, key, text)]
    for key, text in others:
        _override(config, cls, key, text)
    tree = config.copy_and_resolve_references().to_dict()
    _check_plain(tree)
    return build_section(cls, tree, "config")


def to_json(config: Any) -> str:
    """A config as JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Any:
    """The config that `to_json` wrote; a key that it lacks takes its default.

    Raises:
        ValueError: It is no config of its task.
    """
    tree = _tuples(json.loads(text))
    if not isinstance(tree, dict) or not isinstance(tree.get("task"), str):
        raise ValueError("expected a config with the key task")
    return build_section(type(load_task(tree["task"])).Config, tree, "config")


def flatten(config: Any) -> dict[str, Any]:
    """Dotted keys and their values.

    Args:
        config: A dataclass, a dictionary or a `ConfigDict`.

    >>> flatten({"model": {"lmax": 2}, "task": "x:Y"})
    {'model.lmax': 2, 'task': 'x:Y'}
    """
    if dataclasses.is_dataclass(config):
        config = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict) or dataclasses.is_dataclass(value):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _check_plain(tree: Mapping[str, Any]) -> None:
    """Raises ValueError where a value is not plain data."""
    for key, value in _leaves(tree):
        if not isinstance(value, bool | int | float | str | None):
            raise ValueError(
                f"config.{key}: a config holds numbers, strings, booleans, None and tuples of "
                f"them; got {type(value).__name__}"
            )


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
    except ValueError as error:  # the config's own message about its argument
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} fails: {type(error).__name__}: {error}") from error
    if isinstance(config, dict):
        config = ConfigDict(config)
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"{path}: get_config must return a ConfigDict or a dictionary, got {type(config)}"
        )
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


def _choose(config: Any, cls: type, key: str, text: str) -> bool:
    """Sets a key that chooses a section; False where the key is another one.

    What the file says about another option of the same section is dropped.
    """
    section_key, _, last = key.rpartition(".")
    kind = field_types(cls).get(section_key)
    choice = choice_of(kind)
    if choice is None or last != choice.key:
        return False
    values = config.get(section_key, ConfigDict())
    known = field_types(choice.section({last: text}, f"config.{section_key}"))
    kept = {name: value for name, value in values.items() if name in known}
    with config.ignore_type():
        config[section_key] = ConfigDict(kept | {last: text})
    return True


def _override(config: Any, cls: type, key: str, text: str) -> None:
    """Sets one key, of the type that its dataclass declares."""
    *parents, last = key.split(".")
    section, kinds = config, field_types(cls)
    for depth, parent in enumerate(parents):
        values = section.get(parent, ConfigDict())
        name = ".".join(["config", *parents[: depth + 1]])
        inner = section_type(kinds[parent], values, name) if parent in kinds else None
        if inner is None:
            raise _unknown(key, cls, config)
        if parent not in section:
            section[parent] = ConfigDict()
        section, kinds = section[parent], field_types(inner)
    if last not in kinds:
        raise _unknown(key, cls, config)
    below = section_type(kinds[last], section.get(last, ConfigDict()), f"config.{key}")
    if below is not None:
        keys = ", ".join(f"{key}.{name}" for name in field_types(below))
        raise ValueError(f"config.{key} is a section: set one of {keys}")
    value = parse_value(text, kinds[last], f"config.{key}")
    with section.ignore_type():
        section[last] = value


def _unknown(key: str, cls: type, config: Any) -> ValueError:
    """The error of a key that does not exist, or has no effect in this config."""
    section, _, last = key.rpartition(".")
    choice = choice_of(field_types(cls).get(section))
    if choice is not None:
        values = config.get(section, ConfigDict())
        now = values.get(choice.key, next(iter(choice.options)))
        others = [name for name, option in choice.options.items() if last in field_types(option)]
        if others:
            return ValueError(
                f"config.{key} has no effect with {section}.{choice.key}={now}: it is a key of "
                f"{section}.{choice.key}={' or '.join(others)}"
            )
    return ValueError(f"unknown key config.{key}: {did_you_mean(key, _keys(cls, config))}")


def _keys(cls: type, values: Any, prefix: str = "") -> Iterator[str]:
    """All dotted keys of a dataclass of sections, as the given values choose them."""
    for name, kind in field_types(cls).items():
        given: Any = values.get(name, {})
        given = given if isinstance(given, Mapping | ConfigDict) else {}
        inner = section_type(kind, given, f"config.{prefix}{name}")
        if inner is None:
            yield prefix + name
        else:
            yield from _keys(inner, given, f"{prefix}{name}.")
