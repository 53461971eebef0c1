import subprocess
import sys

import pytest

from equinet.data import DATA_SETS, data_directory, data_file, missing_file
from equinet.data.atoms import read_configurations


def test_the_configured_directory_comes_first(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("EQUINET_DATA", str(tmp_path))
    assert data_directory() == tmp_path
    assert data_directory("") == tmp_path
    assert data_directory(str(tmp_path / "a")) == tmp_path / "a"


def test_no_directory_and_a_wrong_one_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("EQUINET_DATA", raising=False)
    with pytest.raises(ValueError, match=r"expected --config.data_dir=DIR or .* EQUINET_DATA"):
        data_directory()
    with pytest.raises(ValueError, match=r"got data_dir='.*nowhere', expected an existing"):
        data_directory(tmp_path / "nowhere")
    monkeypatch.setenv("EQUINET_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"got EQUINET_DATA='.*nowhere'"):
        data_directory()


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_missing_file_says_where_to_get_it(tmp_path, name):
    with pytest.raises(FileNotFoundError) as caught:
        data_file(name, "train", tmp_path)
    assert DATA_SETS[name].source in str(caught.value)
    assert str(tmp_path / name / "train.xyz") in str(caught.value)


def test_an_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of 3bpa, acac, rmd17"):
        data_file("md17", "train", tmp_path)


def test_readers_say_what_is_missing_where_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = str(missing_file("own.npz", "https://a.org", instead="simulate the data"))
    assert text == (
        f"own.npz: no such file (looked for in the folder {tmp_path}). Get it from "
        "https://a.org, or simulate the data"
    )
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read_configurations("own.xyz")


def test_a_relative_path_starts_at_the_current_folder(tmp_path, monkeypatch):
    """EQUINET_DATA is for the public data sets alone; ``~`` is the home folder."""
    text = "1\nProperties=species:S:1:pos:R:3 energy=-13.6\nH 0 0 0\n"
    (tmp_path / "own.xyz").write_text(text)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EQUINET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("own.xyz", "~/own.xyz"):
        assert read_configurations(path, require=("energy",))[0].energy == -13.6


def test_nothing_imports_modules_of_posix_alone():
    """Windows has no ``resource``, ``fcntl`` or ``pwd``."""
    code = (
        "import sys\n"
        "for name in ('resource', 'fcntl', 'pwd', 'termios'): sys.modules[name] = None\n"
        "from equinet.data import *\nfrom equinet.data.atoms import *\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
