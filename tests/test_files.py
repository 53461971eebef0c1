import os
from pathlib import Path

import pytest

from equinet.files import cache_directory, write_atomically


def test_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUINET_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("EQUINET_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "equinet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "equinet"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a.txt"
    write_atomically(path, "old")
    assert path.read_text() == "old"

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
