"""The error of sampled convolutions: rows, the figure, bad input."""

import json

import pytest

from experiments import report
from experiments.studies import group_samples


def test_rows_and_figure(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(group_samples, "WORDS", ("so",))
    monkeypatch.setattr(group_samples, "SIZE", 13)
    monkeypatch.setattr(report, "rows_file", lambda name, folder: tmp_path / f"{name}.jsonl")
    group_samples.main(["--counts", "2", "64", "--draws", "4"])
    lines = (tmp_path / "group_samples.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["points"] for row in rows] == list(group_samples.POINTS)
    for row in rows:
        (few, first), (many, last) = row["samples_and_errors"]
        assert (few, many) == (2, 64)
        assert last < first
        assert row["power"] < 0
    assert "<svg" in (tmp_path / "group_samples.svg").read_text()


def test_bad_input(capsys):
    with pytest.raises(SystemExit):
        group_samples.main(["--counts", "4"])
    assert "two or more counts" in capsys.readouterr().err
