"""The `equinet` command: a table of subcommands, one JSON object as the last line of stdout."""

import argparse
import ast
import contextlib
import dataclasses
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

# Each subcommand imports what it runs: a wrong flag is answered before JAX has loaded.

_EXIT_CODES = {"SIGTERM": 143, "SIGINT": 130}
_USER_ERRORS = (ValueError, OSError, FloatingPointError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; the exit code is 0, 2 for an error, 130 or 143 for a stopped run.

    Everything but the last line of stdout, and all that a task prints, goes to stderr.

    Args:
        argv: The words after `equinet`; those of the process where it is None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    logging.basicConfig(format="equinet: %(levelname)s: %(message)s", level=logging.WARNING)
    if not debug:  # futures that a failed save leaves behind; the error itself is raised
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        options = _parse(arguments)
        with contextlib.redirect_stdout(sys.stderr):
            result = _plain(options.run(options))
    except KeyboardInterrupt:
        return _EXIT_CODES["SIGINT"]
    except _USER_ERRORS as error:
        if debug:
            raise
        print(f"equinet: error: {_one_line(error)}", file=sys.stderr)
        return 2
    if _first_process():
        print(json.dumps(result), flush=True)
    return _EXIT_CODES.get(result.get("reason", ""), 0)


@dataclasses.dataclass(frozen=True)
class Command:
    """One subcommand: its name, its line of help, its flags and what it does."""

    name: str
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see `{self.prog} --help`)")


def _parse(arguments: list[str]) -> argparse.Namespace:
    words, overrides = _split_overrides(arguments)
    parser = _Parser(prog="equinet", description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, allow_abbrev=False)
        command.add_flags(subparser)
        subparser.add_argument("--debug", action="store_true", help="show the traceback of errors")
        subparser.set_defaults(run=command.run, overrides=overrides)
    options = parser.parse_args(words)
    if overrides and options.command != "train":
        raise ValueError(f"equinet {options.command} takes no --config.{overrides[0][0]}")
    return options


def _split_overrides(arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
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


def _train_flags(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "--config.KEY=VALUE sets a key of the config, --config.training.steps=100"
    parser.add_argument("--config", required=True, metavar="FILE[:ARGUMENT]", help="a config file")
    _workdir_flag(parser, "folder of the run; a run that it holds is resumed")
    progress = argparse.BooleanOptionalAction
    parser.add_argument("--progress", action=progress, help="a progress bar (a terminal's default)")


def _train(options: argparse.Namespace) -> dict[str, Any]:
    from equinet.training import load_config, train

    config = load_config(options.config, options.overrides)
    return train(config, options.workdir, source=options.config, progress=options.progress)


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    _workdir_flag(parser, "folder of a training")
    parser.add_argument("--data", metavar="FILE", help="evaluate on this file, not the test split")


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from equinet.training import evaluate

    return evaluate(options.workdir, options.data)


def _md_flags(parser: argparse.ArgumentParser) -> None:
    _workdir_flag(parser, "folder of a trained potential")
    parser.add_argument("--ensemble", choices=("nve", "nvt"), default="nve")
    number = {"type": float, "metavar": "NUMBER"}
    parser.add_argument("--temperature", default=300.0, help="kelvin", **number)
    parser.add_argument("--timestep_fs", default=0.5, help="femtoseconds", **number)
    parser.add_argument("--steps", type=int, default=20_000, metavar="NUMBER")
    parser.add_argument("--friction_per_fs", default=0.01, help="of the thermostat", **number)
    parser.add_argument("--seed", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--data", metavar="FILE", help="initial structure; else the workdir's own")
    parser.add_argument("--trajectory", metavar="FILE", help="where to write the frames")
    parser.add_argument("--log_every", type=int, default=100, metavar="NUMBER")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")


def _md(options: argparse.Namespace) -> dict[str, Any]:
    from equinet.potentials import run_md

    words = vars(options)
    drop = ("command", "run", "overrides", "debug")
    return run_md(**{key: value for key, value in words.items() if key not in drop})


def _cayley_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--family", metavar="NAME", help="lrx, pancake, cube222_htm, ...")
    parser.add_argument("--n", type=int, metavar="NUMBER", help="how many things are permuted")
    parser.add_argument(
        "--generators", metavar="JSON", help="instead of a family: [[1, 2, 0], [1, 0, 2]]"
    )
    parser.add_argument("--method", choices=("search", "closed"), default="search")
    parser.add_argument("--max_layers", type=int, metavar="NUMBER", help="stop after so many")
    parser.add_argument(
        "--max_bytes", type=int, default=16 * 2**30, metavar="NUMBER", help="refuse to need more"
    )


def _cayley(options: argparse.Namespace) -> dict[str, Any]:
    if (options.family is None) == (options.generators is None):
        raise ValueError("cayley takes either --family or --generators")
    if options.method == "closed" and (options.family is None or options.max_layers is not None):
        raise ValueError("--method closed takes a --family, and no --max_layers")
    from equinet.groups.cayley import families as cayley_families
    from equinet.groups.cayley import growth as cayley
    from equinet.training.machine import machine

    begin = time.perf_counter()
    if options.method == "closed":
        layers = cayley_families.closed_form(options.family, options.n)
        growth = cayley.Growth(tuple(layers), complete=True)
    else:
        if options.family is None:
            graph = cayley_families.CayleyGraph(_permutations(options.generators))
        else:
            graph = cayley_families.cayley_graph(options.family, options.n)
        growth = cayley.cayley_growth(
            graph, max_layers=options.max_layers, max_bytes=options.max_bytes
        )
    seconds = time.perf_counter() - begin
    width = len(str(max(growth.layers)))
    for distance, size in enumerate(growth.layers):
        print(f"{distance:>8}  {size:>{width}}")
    return {
        "command": "cayley",
        "family": options.family,
        "n": options.n,
        "order": growth.order,
        "diameter": growth.diameter,
        "layers": growth.layers,
        "seconds": round(seconds, 3),
        **machine(),
    }


def _permutations(text: str) -> list[list[int]]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--generators: got {text!r}, expected JSON ({error})") from None
    lists = isinstance(given, list) and all(isinstance(one, list) for one in given)
    if not lists or not all(isinstance(i, int) for one in given for i in one):
        raise ValueError(f"--generators: got {given}, expected lists of integers")
    return given


def _products_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lmax", type=int, default=4, help="highest degree (4)")
    parser.add_argument("--channels", type=int, default=16, help="number of channels (16)")
    parser.add_argument("--batch", type=int, default=256, help="number of rows (256)")
    parser.add_argument("--products", metavar="a,b", help="some of the products (all)")


def _products(options: argparse.Namespace) -> dict[str, Any]:
    from equinet.commands.products import compare_products, table
    from equinet.training.machine import machine

    sizes = {"lmax": options.lmax, "channels": options.channels, "batch": options.batch}
    names = options.products.split(",") if options.products else None
    rows = compare_products(**sizes, products=names, progress=_say)
    print(table(rows))
    return {"command": "products", **sizes, "rows": rows, **machine()}


def _say(line: str) -> None:
    print(f"measuring {line} ...", flush=True)


def _list_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default="configs", help="where the configs are (./configs)")


def _list(options: argparse.Namespace) -> dict[str, Any]:
    folder = Path(options.folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: run in the root of a project or set --folder")
    configs = {}
    for path in sorted(folder.rglob("*.py")):
        if (line := _config_line(path)) is not None:
            configs[str(path)] = line
    width = max(map(len, configs), default=0)
    for path, line in configs.items():
        print(f"{path:{width}}  {line}")
    return {"command": "list", "configs": configs}


def _config_line(path: Path) -> str | None:
    """The first docstring line of a file that has `get_config`; it is read, never run."""
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError as error:
        return f"(does not parse: {error.msg}, line {error.lineno})"
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if "get_config" not in names:
        return None
    return (ast.get_docstring(tree) or "").split("\n", 1)[0]


def _workdir_flag(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--workdir", required=True, metavar="FOLDER", help=help)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 1000 else f"{text[:1000]}... (--debug shows all)"


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    from equinet.training.metrics import plain

    return plain(result)


def _first_process() -> bool:
    jax = sys.modules.get("jax")
    return jax is None or jax.process_index() == 0


COMMANDS = (
    Command("train", "train a config, or resume it", _train_flags, _train),
    Command("evaluate", "report on a trained model", _evaluate_flags, _evaluate),
    Command("md", "molecular dynamics with a trained potential", _md_flags, _md),
    Command("cayley", "layer sizes of a Cayley graph", _cayley_flags, _cayley),
    Command("products", "the tensor products compared on this machine", _products_flags, _products),
    Command("list", "the configs of this project", _list_flags, _list),
)


if __name__ == "__main__":
    sys.exit(main())
