"""The benchmark of convolutions on images: rows of both parts, and what is refused."""

import json

import pytest

from experiments.benchmarks import lie_convolution
from experiments.benchmarks.harness.race import Ceilings


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(lie_convolution, "FINITE", ("Cyclic(4)",))
    sizes = {"channels": 2, "batch": 2, "size": 5, "width": 3}
    monkeypatch.setattr(lie_convolution, "FINITE_CASE", sizes)
    case = {"channels": 2, "samples": 2, "size": 8, "form": "separable"}
    monkeypatch.setattr(lie_convolution, "SAMPLED", case)
    monkeypatch.setattr(lie_convolution, "VARIED", {"form": ("depthwise",)})
    monkeypatch.setattr(lie_convolution, "SAMPLED_BATCH", 1)
    monkeypatch.setattr(lie_convolution, "measure_ceilings", lambda: Ceilings(1e-3, 1e-3))


def test_both_parts_have_rows(tiny, tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    lie_convolution.main(["--peers", "none", "--repeats", "1", "--json", str(file)])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["part"] for row in rows].count("finite") == 2
    assert [row["part"] for row in rows].count("sampled") == 4
    assert all(row["median_ms"] > 0 and row["parameters"] > 0 for row in rows)
    assert "Cyclic(4)" in capsys.readouterr().out


def test_a_layer_that_does_not_turn_is_refused():
    layer = lie_convolution.finite_layer("Dihedral(4)")
    lie_convolution.judge({"error": lie_convolution.quarter_turn_error(layer)})
    with pytest.raises(ValueError, match="quarter turn is off"):
        lie_convolution.judge({"error": 0.1})
