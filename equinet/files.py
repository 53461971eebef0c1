"""The folder in which expensive results are kept between runs."""

import os
import secrets
import sys
from pathlib import Path


def cache_directory() -> Path:
    """Returns the folder for cached results: ``EQUINET_CACHE``, else the platform's own place.

    >>> cache_directory().is_absolute()
    True
    """
    named = os.environ.get("EQUINET_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "equinet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "equinet" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "equinet"


def write_atomically(path: Path, text: str) -> None:
    """Writes a file such that it is there whole or not at all, whenever the process is killed.

    Raises:
        OSError: If the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
