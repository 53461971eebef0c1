import pytest

from equinet.data import DATA_SETS, data_directory, data_file


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
