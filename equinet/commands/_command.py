"""What every command is made of: its flags, its help, its function."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Flags = argparse.ArgumentParser


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of `equinet`.

    Attributes:
        name: The word after `equinet`.
        help: One line for `equinet --help`.
        add_flags: Adds the flags to a parser.
        run: From the parsed flags to the result, a dictionary that JSON can hold.
        epilog: Examples that stand below the help and can be pasted into a shell.
        table: The result as text for people, which is then printed on stdout; `--json` prints the
            dictionary instead. Where it is None, the dictionary is always printed.
        overrides: Whether `--config.KEY=VALUE` is accepted.
        more_help: From the command line to text that `--help` shows at its end.
    """

    name: str
    help: str
    add_flags: Callable[[Flags], None]
    run: Callable[[argparse.Namespace], Result]
    epilog: str = ""
    table: Callable[[Result], str] | None = None
    overrides: bool = False
    more_help: Callable[[Sequence[str]], str] | None = None


def add_config(parser: Flags) -> None:
    """Adds `--config`."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="CONFIG",
        help="a preset (potential), a config file (configs/x.py), or either with an argument "
        "(potential:ponita, configs/x.py:argument); see `equinet list`",
    )


def add_workdir(parser: Flags, help: str) -> None:
    """Adds `--workdir`."""
    parser.add_argument("--workdir", required=True, type=_folder, metavar="FOLDER", help=help)


def _folder(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a folder, got nothing")
    return str(Path(text).expanduser())


def add_progress(parser: Flags) -> None:
    """Adds `--progress` and `--no-progress`."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress bars (the default on a terminal), or lines now and then",
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in aligned columns.

    >>> print(columns([("a", "bc"), ("def", "g")]))
    a    bc
    def  g
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
