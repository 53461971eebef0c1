"""What `--config` names: a preset of the package or a Python file, either with an argument."""

import re
import sys
from pathlib import Path

from equinet.training.schema import did_you_mean

_MOST_SHOWN = 20  # files that an error message lists


def preset_files() -> dict[str, Path]:
    """The presets of the package by name: config files that are installed with it.

    >>> "potential" in preset_files()
    True
    """
    folder = Path(__file__).parents[1] / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem[0] != "_"}


def split_source(source: str) -> tuple[Path, str | None]:
    """The file and the argument of "file.py:argument" or "preset:argument".

    Raises:
        FileNotFoundError: There is no such preset.

    >>> path, argument = split_source("configs/qm9.py:tiny")
    >>> path.as_posix(), argument
    ('configs/qm9.py', 'tiny')
    >>> split_source("potential:ponita")[0].name
    'potential.py'
    """
    match = re.fullmatch(r"(.*\.py)(?::(.*))?", source)
    if match is not None:
        return Path(match[1]).expanduser(), match[2]
    name, colon, argument = source.partition(":")
    presets = preset_files()
    if name not in presets:
        raise _no_config(source)
    return presets[name], argument if colon else None


def existing_source(source: str) -> tuple[Path, str | None]:
    """As `split_source`, for a file that must be there.

    Raises:
        FileNotFoundError: There is no such file or preset; the message lists those that there are.
    """
    path, argument = split_source(source)
    if not path.is_file():
        raise _no_config(str(path))
    return path, argument


def is_preset(path: Path) -> bool:
    """Whether a config file is a preset of the package."""
    return path.resolve() in {preset.resolve() for preset in preset_files().values()}


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
    """Puts the root of a config's project first on `sys.path`, the file's own folder last.

    The project of a preset is the current folder.
    """
    path = Path.cwd() / "config.py" if is_preset(path) else path
    root, folder = str(config_root(path)), str(path.resolve().parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    if folder not in sys.path:
        sys.path.append(folder)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _no_config(name: str) -> FileNotFoundError:
    folder = Path(name).parent if name.endswith(".py") else Path()
    files = sorted(folder.glob("*.py")) if folder.is_dir() else []
    files += sorted(Path("configs").glob("*.py")) if folder == Path() else []
    shown = [
        path.as_posix() for path in files if path.stem[0] != "_" and "get_config" in _text(path)
    ]
    presets = list(preset_files())
    hint = did_you_mean(name, [*presets, *shown])
    hint = f"{hint} " if hint.startswith("did") else ""
    more = ", ..." if len(shown) > _MOST_SHOWN else ""
    where = f"files: {', '.join(shown[:_MOST_SHOWN])}{more}" if shown else "no config files here"
    return FileNotFoundError(
        f"{name!r} is neither a preset nor an existing Python file: {hint}"
        f"presets: {', '.join(presets)}; {where}"
    )
