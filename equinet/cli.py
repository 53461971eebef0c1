"""The `equinet` command: the table of commands, the parser and the errors.

The last line of stdout is one JSON object. Commands whose result is meant for people, such as
`equinet list`, print a table instead, and the JSON object with `--json`.
"""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from equinet import __version__
from equinet.commands import cayley, config, evaluate, init, md, plot, products, train
from equinet.commands import list as list_
from equinet.commands._command import Command

# A command imports what it runs when it runs: a wrong flag is answered before JAX is loaded.
COMMANDS: tuple[Command, ...] = tuple(
    module.COMMAND for module in (list_, config, init, train, evaluate, plot, md, products, cayley)
)
"""All commands, in the order of `equinet --help`."""

_EXIT_CODES = {"SIGTERM": 143, "SIGINT": 130}
_USER_ERRORS = (ValueError, OSError, FloatingPointError, ImportError)
_DESCRIPTION = "Equivariant networks in JAX: train, evaluate and use them."
_EPILOG = """\
start with one of these:
  equinet list                                             what can be trained
  equinet train --config=potential --workdir=runs/ethanol  a force field of ethanol
  equinet COMMAND --help                                   the flags of a command, and examples
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 2 for an error, 130 or 143 for a stopped run.

    Everything but the result, and all that a task prints, goes to stderr.

    Args:
        argv: The words after `equinet`; those of the process if it is None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    logging.basicConfig(format="equinet: %(levelname)s: %(message)s", level=logging.WARNING)
    if not debug:  # futures that a failed save leaves behind; the error itself is raised
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        command, options = _parse(words)
        with contextlib.redirect_stdout(sys.stderr), _progress_bars(options):
            result = _plain(command.run(options))
    except KeyboardInterrupt:
        print("equinet: interrupted", file=sys.stderr)
        return _EXIT_CODES["SIGINT"]
    except _USER_ERRORS as error:
        if debug:
            raise
        print(f"equinet: error: {_one_line(error)}", file=sys.stderr)
        return 2
    if _first_process():
        if result.get("status") == "stopped":
            print("equinet: stopped; the same command goes on from here", file=sys.stderr)
        table = None if getattr(options, "json", False) else command.table
        print(json.dumps(result) if table is None else table(result), flush=True)
    return _EXIT_CODES.get(result.get("reason", ""), 0)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, and whose help can be long and is made when asked."""

    command: Command | None = None
    words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see `{self.prog} --help`)")

    def format_help(self) -> str:
        text = super().format_help()
        if self.command is None or self.command.more_help is None:
            return text
        return f"{text}\n{self.command.more_help(self.words)}\n"


def _parse(arguments: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    words, overrides = _split_overrides(arguments)
    look = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = _Parser(prog="equinet", description=_DESCRIPTION, epilog=_EPILOG, **look)
    parser.add_argument("--version", action="version", version=f"equinet {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        _add_command(subparsers, command, words, look)
    options, unknown = parser.parse_known_args(words)
    command = next(command for command in COMMANDS if command.name == options.command)
    if unknown:
        parser = subparsers.choices[command.name]
        hint = _key_hint(unknown) if command.overrides else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    if overrides and not command.overrides:
        raise ValueError(f"equinet {command.name} takes no --config.{overrides[0][0]}")
    options.overrides = overrides
    return command, options


def _add_command(subparsers: Any, command: Command, words: Sequence[str], look: Any) -> None:
    description = f"{command.help[0].upper()}{command.help[1:]}."
    parser = subparsers.add_parser(
        command.name, help=command.help, description=description, epilog=command.epilog, **look
    )
    parser.command, parser.words = command, words
    command.add_flags(parser)
    if command.table is not None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _split_overrides(arguments: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Takes `--config.key=value` and `--config.key value` out of the words."""
    words, overrides, rest = [], [], iter(arguments)
    for word in rest:
        if not word.startswith("--config."):
            words.append(word)
            continue
        key, equals, text = word.removeprefix("--config.").partition("=")
        value = text if equals else next(rest, "--")
        if value.startswith("--"):
            raise ValueError(f"--config.{key} needs a value: --config.{key}=VALUE")
        overrides.append((key, value))
    return words, overrides


def _key_hint(unknown: Sequence[str]) -> str:
    """How a key of the config is set, where an unknown flag looks like one: `--steps=100`."""
    from equinet.training import TrainingConfig, did_you_mean

    word = unknown[0].partition("=")[0].lstrip("-")
    keys = [f"training.{name}" for name in TrainingConfig.__dataclass_fields__]
    near = did_you_mean(f"training.{word}", keys)
    if not near.startswith("did you mean"):
        return "; keys of the config are set by --config.KEY=VALUE"
    key = near.removeprefix("did you mean ").rstrip("?")
    return f"; keys of the config are set by --config.KEY=VALUE, here --config.{key}=VALUE"


def _progress_bars(options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    from equinet.training.progress import progress_bars

    return progress_bars(getattr(options, "progress", None))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    return text if len(text) <= 1000 else f"{text[:1000]}... (--debug shows all)"


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    from equinet.training.metrics import plain

    return plain(result)


def _first_process() -> bool:
    jax = sys.modules.get("jax")
    return jax is None or jax.process_index() == 0


if __name__ == "__main__":
    sys.exit(main())
