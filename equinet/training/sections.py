"""Sections made from constructors, and the description of every key of a config."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from equinet.training.schema import Choice, check_type, field_types, type_name

_NOT_KEYS = ("self", "dtype", "param_dtype", "precision", "rngs")
_PLAIN = (bool, int, float, str, type(None))
_UNITS = r"1/eV\^2|\(angstrom/eV\)\^2|\(angstrom\^3/eV\)\^2|eV/angstrom\^3|eV/angstrom|eV"
_UNITS += r"|angstrom|kelvin|femtoseconds|minutes|seconds|bytes|pixels|degrees|steps|GB|MB"
_UNIT = re.compile(rf"(?:\bin |\()({_UNITS})\b\)?")


class ConfigKey(NamedTuple):
    """One key of a config.

    Attributes:
        key: The dotted name, as after ``--config.``.
        type: The type, such as "a number or None".
        default: The value where no override is given.
        unit: The unit, "" if there is none.
        meaning: What the key means.
    """

    key: str
    type: str
    default: Any
    unit: str
    meaning: str


def section_of(
    build: Callable[..., Any],
    choose: Mapping[str, str] | None = None,
    *,
    omit: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> type[Any]:
    """The config section of a network: a frozen dataclass made from its constructor.

    The keys are the arguments that have a default and take plain data (numbers, strings, booleans,
    None, sequences of them), except `dtype`, `param_dtype`, `precision` and `rngs`. Their meanings
    are read from the docstring. Whatever the constructor gains becomes a key, and a key that it
    does not take is an error.

    Args:
        build: A class or a function.
        choose: The key and the value by which a `Choice` finds this section.
        omit: Arguments that are not keys, because the data decide them.
        rename: From names of arguments to the names that their keys shall have.
        defaults: Defaults that differ from the constructor's, by key.

    >>> from flax import nnx
    >>> section_of(nnx.Dropout, omit=["rng_collection"])().deterministic
    False
    """
    rename, defaults = dict(rename or {}), dict(defaults or {})
    function = build.__init__ if isinstance(build, type) else build
    hints = typing.get_type_hints(function)
    meanings = read_fields(build)
    fields: list[Any] = []
    lines: list[str] = []
    arguments: dict[str, str] = {}
    for key, value in (choose or {}).items():
        fields.append((key, str, dataclasses.field(default=value)))
        lines.append(f"    {key}: Which one of the possible sections this is.")
    for name, parameter in inspect.signature(function).parameters.items():
        kind = _plain_kind(hints.get(name))
        if name in (*omit, *_NOT_KEYS) or kind is None:
            continue
        key = rename.get(name, name)
        default = defaults.pop(key, parameter.default)
        if default is inspect.Parameter.empty:
            continue
        default = check_type(default, kind, key)
        fields.append((key, kind, dataclasses.field(default=default)))
        lines.append(f"    {key}: {meanings.get(name, '')}")
        arguments[key] = name
    if defaults:
        raise ValueError(f"{build.__name__} takes no {', '.join(defaults)}: expected {arguments}")
    section = dataclasses.make_dataclass(f"{build.__name__}Section", fields, frozen=True)
    section.__doc__ = "\n".join([f"The options of `{build.__name__}`.", "", "Attributes:", *lines])
    section.arguments = arguments  # type: ignore[attr-defined]
    section.__module__ = getattr(build, "__module__", __name__)
    return section


def constructor_arguments(section: Any) -> dict[str, Any]:
    """The arguments by name that a section of `section_of` stands for.

    >>> from flax import nnx
    >>> section = section_of(nnx.Dropout, omit=["rng_collection"], defaults={"deterministic": True})
    >>> constructor_arguments(section())["deterministic"]
    True
    """
    return {name: getattr(section, key) for key, name in type(section).arguments.items()}


def describe_config(config: Any) -> list[ConfigKey]:
    """All keys of a config in order: name, type, default, unit and meaning.

    The meanings are those of the docstrings of the dataclasses (``Attributes:``) and, where a
    section was made from a constructor, of the constructor (``Args:``). The unit is what follows
    "in" or stands in parentheses there.

    Args:
        config: What `load_config` returned, or any dataclass of sections.

    >>> from equinet.training import TaskConfig
    >>> key = describe_config(TaskConfig())[1]
    >>> key.key, key.type, key.default, key.meaning
    ('training.steps', 'an integer', 1000, 'Number of optimiser steps of the whole run.')
    """
    return list(_described(config, ""))


def read_fields(cls: Any) -> dict[str, str]:
    """The meanings in the ``Attributes:`` or ``Args:`` of a docstring, with those of base classes.

    >>> read_fields(ConfigKey)["unit"]
    'The unit, "" if there is none.'
    """
    bases = cls.__mro__ if isinstance(cls, type) else (cls,)
    found: dict[str, str] = {}
    for base in reversed(bases):
        found |= _read_section(inspect.getdoc(base) if base is not object else "")
    return found


def _described(section: Any, prefix: str) -> typing.Iterator[ConfigKey]:
    meanings = read_fields(type(section))
    for name, kind in field_types(type(section)).items():
        value = getattr(section, name)
        if dataclasses.is_dataclass(value):
            described = _described(value, f"{prefix}{name}.")
            mark = [m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Choice)]
            for each in described:
                chooses = mark and each.key == f"{prefix}{name}.{mark[0].key}"
                yield _chooser(each, mark[0]) if chooses else each
            continue
        meaning = meanings.get(name, "")
        unit = _UNIT.search(meaning)
        yield ConfigKey(prefix + name, type_name(kind), value, unit[1] if unit else "", meaning)


def _chooser(key: ConfigKey, choice: Choice) -> ConfigKey:
    """The key of a `Choice`, described by the options that there are."""
    known = "one of " + ", ".join(choice.options)
    more = ' or "module:Class"' if choice.other is not None else ""
    section = key.key.rpartition(".")[0]
    meaning = f"Which one is used; it decides which other keys {section} has."
    return key._replace(type=known + more, meaning=meaning)


def _read_section(text: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    name, inside, indent = "", False, 0
    for line in (text or "").splitlines():
        if line.strip() in ("Attributes:", "Args:"):
            inside = True
            indent = len(line) - len(line.lstrip()) + 4
            continue
        if not inside or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth < indent:
            inside = False
        elif depth == indent and (match := re.match(r"\s*(\w+)(?: \([^)]*\))?: (.*)", line)):
            name = match[1]
            found[name] = match[2].strip()
        elif name:
            found[name] += " " + line.strip()
    return found


def _plain_kind(kind: Any) -> Any:
    """The annotation of the key for an argument; None if the argument takes no plain data."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN or origin is Literal:
        return kind
    if kind is None:
        return None
    if origin in (typing.Union, types.UnionType):
        parts = [part for part in map(_plain_kind, arguments) if part is not None]
        parts = list(dict.fromkeys(parts))
        if not parts or parts == [type(None)]:
            return None
        return typing.Union[tuple(parts)]  # noqa: UP007
    if origin is tuple and all(_plain_kind(part) for part in arguments if part is not Ellipsis):
        return kind
    if origin in (list, Sequence) and _plain_kind(arguments[0]) is not None:
        return tuple[_plain_kind(arguments[0]), ...]
    return None
