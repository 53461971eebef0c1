"""Sections of a config as frozen dataclasses: each value is checked once, by its annotation."""

import ast
import contextlib
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_LONGEST = 100  # letters of a key that are compared: the time grows with their square


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of an error message: the most similar choice, or all choices if none is similar.

    Args:
        word: What was given.
        choices: What is possible.

    >>> did_you_mean("stpes", ["steps", "seed"])
    'did you mean steps?'
    """
    choices, word = [str(choice) for choice in choices], word[:_LONGEST]
    last = word.rsplit(".", 1)[-1]
    near = [choice for choice in choices if choice.lower() == word.lower()]
    # A right name in the wrong section: training.channels for model.channels.
    near += [choice for choice in choices if choice.rsplit(".", 1)[-1] == last]
    near += [choice for choice in choices if _initials(choice) == last]
    near = near or difflib.get_close_matches(word, choices, n=1)
    # The beginning of a name in any section: batch for training.batch_size.
    near = near or [choice for choice in choices if _begins(choice, last)]
    if near:
        return f"did you mean {near[0]}?"
    return f"expected one of {', '.join(choices[:40])}{', ...' if len(choices) > 40 else ''}"


def _begins(name: str, start: str) -> bool:
    return len(start) > 2 and name.rsplit(".", 1)[-1].startswith(start)


def _initials(name: str) -> str:
    """The first letters of the words of the last part: "lr" of "training.learning_rate"."""
    return "".join(part[:1] for part in name.rsplit(".", 1)[-1].split("_"))


@dataclasses.dataclass(frozen=True)
class Choice:
    """A section of a config whose keys depend on one of them, such as the name of a network.

    It stands in the annotation of a field: ``model: Annotated[Any, Choice("name", NETWORKS)]``.

    Args:
        key: The key that chooses.
        options: From each value of that key to the dataclass of the section. The dataclass has the
            key as a field whose default is that value.
        other: Makes the dataclass of a value that is none of the options, or raises `ValueError`;
            None: only the options are possible.
    """

    key: str
    options: Mapping[str, type]
    other: typing.Callable[[str], type] | None = None

    def default(self) -> Any:
        """The section of the first option, with every key at its default."""
        return next(iter(self.options.values()))()

    def section(self, values: Mapping[str, Any], name: str) -> type:
        """The dataclass that the values of a section choose.

        Args:
            values: The keys and values of the section.
            name: What error messages call the section.

        Raises:
            ValueError: There is no such option.
        """
        option = values.get(self.key, next(iter(self.options)))
        if option in self.options:
            return self.options[option]
        if self.other is None or not isinstance(option, str) or ":" not in option:
            raise ValueError(
                f"{name}.{self.key}: got {option!r}: {did_you_mean(str(option), self.options)}"
            )
        with blame(f"{name}.{self.key}"):
            return self.other(option)


def choice_of(kind: Any) -> Choice | None:
    """The `Choice` in an annotation, None if there is none."""
    marks = getattr(kind, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Choice)), None)


def section_type(kind: Any, values: Mapping[str, Any], name: str) -> type | None:
    """The dataclass that an annotation stands for, given the values of the section; else None."""
    choice = choice_of(kind)
    if choice is not None:
        return choice.section(values, name)
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def field_types(cls: Any) -> dict[str, Any]:
    """The annotations of the fields of a dataclass by name, as objects and with their marks."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


@contextlib.contextmanager
def blame(name: str) -> Iterator[None]:
    """Puts the name of a section or key in front of the message of a `ValueError`.

    >>> with blame("config.model"):
    ...     raise ValueError("layers must be at least 1, got 0")
    Traceback (most recent call last):
    ValueError: config.model: layers must be at least 1, got 0
    """
    try:
        yield
    except ValueError as error:
        text, short = str(error), name.removeprefix("config.")
        if text.startswith(("config.", f"unknown key {name}", f"missing key {name}")):
            raise
        head = "config." if text.startswith(f"{short}.") and short != name else f"{name}: "
        raise ValueError(head + text) from error


def build_section[T](cls: type[T], section: Mapping[str, Any], name: str) -> T:
    """The dataclass `cls` made from the config section `name`, with every value checked by type.

    Args:
        cls: A dataclass; annotations may be bool, int, float, str, tuples of these, Literal,
            optionals, dataclasses (nested sections) and `Choice`. Its `__post_init__` checks
            ranges.
        section: The values; a missing key takes the default of the dataclass.
        name: What error messages call the section.

    Raises:
        ValueError: A key is unknown, or missing without a default, or a value has a wrong type.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Radial:
    ...     cutoff: float
    ...     basis: int = 8
    >>> build_section(Radial, {"cutoff": 5}, "model.radial")
    Radial(cutoff=5.0, basis=8)
    """
    hints = field_types(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in section:
        if key not in fields:
            raise ValueError(f"unknown key {name}.{key}: {did_you_mean(key, fields)}")
    for key, field in fields.items():
        missing = field.default is dataclasses.MISSING
        if key not in section and missing and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"missing key {name}.{key}")
    values = {key: check_type(section[key], hints[key], f"{name}.{key}") for key in section}
    with blame(name):
        return cls(**values)


def check_type(value: Any, kind: Any, name: str) -> Any:
    """The value as an annotation wants it: an integer is accepted for a number and converted.

    Args:
        value: The value.
        kind: The annotation.
        name: What error messages call the key.

    Raises:
        ValueError: The value has another type; the message names the key, the value and the type.

    >>> check_type(3, float | None, "cutoff")
    3.0
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, Mapping) and (section := section_type(kind, value, name)) is not None:
        return build_section(section, value, name)
    if choice_of(kind) is not None:
        raise ValueError(f"{name}: expected a section with keys, got {value!r}")
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
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind or (kind not in (bool, int, float, str) and _is(value, kind)):
        return value
    raise wrong_type(value, kind, name)


def parse_value(text: str, kind: Any, name: str) -> Any:
    """The value of the text after ``--config.<key>=``, checked by the annotation of the key.

    Args:
        text: The text.
        kind: The annotation.
        name: What error messages call the key.

    Raises:
        ValueError: The text is no value of this type.

    >>> parse_value("1e-3", float | None, "rate"), parse_value("None", float | None, "rate")
    (0.001, None)
    >>> parse_value("12", str, "name"), parse_value("(1, 2)", tuple[int, ...], "widths")
    ('12', (1, 2))
    """
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise wrong_type(text, kind, name)
        return text.lower() in ("true", "1")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, OverflowError):
        value = text
    try:
        return check_type(value, kind, name)
    except OverflowError as error:
        raise wrong_type(text, kind, name) from error
    except ValueError:
        if value is text or str not in _parts(kind):
            if isinstance(value, int | float) and kind in (int, float):
                raise wrong_type(text, kind, name) from None
            raise
        return check_type(text, kind, name)


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types that a union, or the values of a Literal, consist of."""
    if typing.get_origin(kind) is typing.Literal:
        return tuple(type(value) for value in typing.get_args(kind))
    return typing.get_args(kind) or (kind,)


def wrong_type(value: Any, kind: Any, name: str) -> ValueError:
    """The error for a value that is not of the type `kind`."""
    return ValueError(f"{name}: expected {type_name(kind)}, got {value!r}")


def type_name(kind: Any) -> str:
    """A type in the words of an error message.

    >>> type_name(int), type_name(float | None)
    ('an integer', 'a number or None')
    """
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    words |= {type(None): "None", tuple: "a tuple"}
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in typing.get_args(kind))
    if kind in words:
        return words[kind]
    if typing.get_origin(kind) is tuple:
        return _tuple_name(typing.get_args(kind))
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return str(kind) if typing.get_origin(kind) else getattr(kind, "__name__", str(kind))


def _tuple_name(parts: tuple[Any, ...]) -> str:
    many = {int: "integers", float: "numbers", str: "strings", bool: "booleans"}
    if len(set(parts) - {Ellipsis}) > 1 or parts[0] not in many:
        return f"a tuple of {', '.join(type_name(part) for part in parts if part is not Ellipsis)}"
    count = "" if Ellipsis in parts else f"{len(parts)} "
    return f"a tuple of {count}{many[parts[0]]}"


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
