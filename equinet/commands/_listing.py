"""The presets of the package and the config files of a folder; files are read, never run."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Listed:
    """A config as a listing shows it.

    Attributes:
        name: What `--config` takes: the name of a preset or the path of a file.
        summary: The first line of the file's docstring.
        duration: The value of `DURATION` in the file, such as "4 minutes on 2 cores".
    """

    name: str
    summary: str
    duration: str


def list_presets() -> list[Listed]:
    """The presets of the package."""
    from equinet.training.sources import preset_files

    return [
        dataclasses.replace(listed, name=name)
        for name, path in preset_files().items()
        if (listed := _read(path)) is not None
    ]


def list_files(folder: Path) -> list[Listed]:
    """The config files below a folder: the Python files that have `get_config`."""
    found = (_read(path) for path in sorted(folder.rglob("*.py")))
    return [listed for listed in found if listed is not None]


def _read(path: Path) -> Listed | None:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        return Listed(str(path), f"(cannot be read: {error})", "")
    if "get_config" not in set(_names(tree)):
        return None
    summary = (ast.get_docstring(tree) or "").split("\n", 1)[0]
    return Listed(str(path), summary, _duration(tree))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def _duration(tree: ast.Module) -> str:
    values = {
        ast.unparse(target): node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    value = values.get("DURATION")
    return str(value.value) if isinstance(value, ast.Constant) else ""
