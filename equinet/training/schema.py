"""A section of a config as a frozen dataclass: every type checked once, every error one line."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of an error line: the nearest choice where one is near, else all of them.

    >>> did_you_mean("stpes", ["steps", "seed"])
    'did you mean steps?'
    """
    choices = [str(choice) for choice in choices]
    near = difflib.get_close_matches(word, choices, n=1)
    if not near:  # a right name in the wrong section: training.channels for model.channels
        last = word.rsplit(".", 1)[-1]
        near = [choice for choice in choices if choice.rsplit(".", 1)[-1] == last][:1]
    if near:
        return f"did you mean {near[0]}?"
    return f"expected one of {', '.join(choices[:40])}{', ...' if len(choices) > 40 else ''}"


def build_section[T](cls: type[T], section: Mapping[str, Any], name: str) -> T:
    """The dataclass `cls` from the config section `name`, with every value checked by its type.

    Args:
        cls: A dataclass; annotations may be bool, int, float, str, tuples of these, Literal,
            optionals, and dataclasses (nested sections). Its `__post_init__` checks ranges.
        section: The values; a missing key takes the default of the dataclass.
        name: What error lines call the section.

    Raises:
        ValueError: An unknown key, a missing one without default, or a value of a wrong type.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Radial:
    ...     cutoff: float
    ...     basis: int = 8
    >>> build_section(Radial, {"cutoff": 5}, "model.radial")
    Radial(cutoff=5.0, basis=8)
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in section:
        if key not in fields:
            raise ValueError(f"unknown key {name}.{key}: {did_you_mean(key, fields)}")
    for key, field in fields.items():
        missing = field.default is dataclasses.MISSING
        if key not in section and missing and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"missing key {name}.{key}")
    return cls(**{key: check_type(section[key], hints[key], f"{name}.{key}") for key in section})


def check_type(value: Any, kind: Any, name: str) -> Any:
    """`value` as the annotation `kind` wants it: an int where a float is asked for is cast.

    Raises:
        ValueError: The value is of another type; the line names the key, the value and the type.

    >>> check_type(3, float | None, "cutoff")
    3.0
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, arguments, kind, name)
    if origin is typing.Literal:
        if value not in arguments:
            hint = did_you_mean(str(value), arguments)
            raise ValueError(f"{name}: got {value!r}: {hint}")
        return value
    if origin is tuple:
        return _check_tuple(value, arguments, kind, name)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build_section(typing.cast(type, kind), value, name)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind or (kind not in (bool, int, float, str) and _is(value, kind)):
        return value
    raise wrong_type(value, kind, name)


def wrong_type(value: Any, kind: Any, name: str) -> ValueError:
    """The error of a value that is not of the type `kind`."""
    return ValueError(f"{name}: expected {type_name(kind)}, got {value!r}")


def type_name(kind: Any) -> str:
    """A type as a reader of an error line would say it.

    >>> type_name(int), type_name(float | None)
    ('an integer', 'a number or None')
    """
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    words |= {type(None): "None", tuple: "a tuple"}
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in typing.get_args(kind))
    if kind in words:
        return words[kind]
    return str(kind) if typing.get_origin(kind) else getattr(kind, "__name__", str(kind))


def _is(value: Any, kind: Any) -> bool:
    kind = typing.get_origin(kind) or kind
    return isinstance(kind, type) and isinstance(value, kind)


def _check_union(value: Any, parts: tuple[Any, ...], kind: Any, name: str) -> Any:
    for part in sorted(parts, key=lambda part: type(value) is not part):
        try:
            return None if value is None and part is type(None) else check_type(value, part, name)
        except ValueError:
            continue
    raise wrong_type(value, kind, name)


def _check_tuple(value: Any, parts: tuple[Any, ...], kind: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise wrong_type(value, kind, name)
    if len(parts) == 2 and parts[1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise ValueError(f"{name}: expected {len(parts)} values, got {value!r}")
    return tuple(
        check_type(item, part, f"{name}[{i}]")
        for i, (item, part) in enumerate(zip(value, parts, strict=True))
    )
