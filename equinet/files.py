"""Files that are there whole or not at all, and the folder of cached results."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def cache_directory() -> Path:
    """Returns the folder for cached results: ``EQUINET_CACHE``, or else the platform's.

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


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that takes the name ``path`` when the block ends without an exception.

    Other processes see the old file or the new one, never a part of it, whenever this process is
    killed. The data are on the disk before the file takes its name. Missing folders are made.

    Args:
        path: The file to write; an existing file is replaced.

    Raises:
        OSError: If the folder cannot be made or written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder) / "a.bin") as file:
    ...         _ = file.write(b"content")
    ...     (Path(folder) / "a.bin").read_bytes()
    b'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    r"""Writes text in UTF-8 with ``\n`` line ends by ``atomic_file``.

    Args:
        path: The file to write; an existing file is replaced.
        text: The whole content.

    Raises:
        OSError: If the folder cannot be made or written.
    """
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
