"""metrics.jsonl and the progress on stderr."""

import sys

import numpy as np

from equinet.training import read_metrics
from equinet.training.metrics import MetricsWriter, plain


def test_plain_is_json():
    value = {"a": np.float32(0.5), 2: (np.int64(3), np.inf), "c": np.arange(2), "d": None}
    assert plain(value) == {"a": 0.5, "2": [3, None], "c": [0, 1], "d": None}


def test_a_resumed_run_repeats_no_record(tmp_path):
    writer = MetricsWriter(tmp_path, 0)
    for step in (1, 2, 3):
        writer.write(step, "train", {"loss": step / 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "ki')  # a kill while the line was written
    writer = MetricsWriter(tmp_path, 2)
    writer.write(3, "validation", {"loss": float("nan")})
    writer.close()
    assert [(r["step"], r["kind"], r["loss"]) for r in read_metrics(tmp_path)] == [
        (1, "train", 0.5),
        (2, "train", 1.0),
        (3, "validation", None),
    ]


def test_only_the_first_process_writes(tmp_path):
    MetricsWriter(tmp_path, 0, active=False).write(1, "train", {"loss": 1.0})
    assert read_metrics(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "tensorboardX.py").write_text(
        "class SummaryWriter:\n"
        "    calls = []\n"
        "    def __init__(self, folder, purge_step): self.calls.append((folder, purge_step))\n"
        "    def add_scalar(self, *call): self.calls.append(call)\n"
        "    def close(self): self.calls.append('closed')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    writer = MetricsWriter(tmp_path, 4)
    writer.write(5, "train", {"loss": 0.5, "bad": float("nan")})
    writer.close()
    calls = sys.modules.pop("tensorboardX").SummaryWriter.calls
    assert calls == [(str(tmp_path / "tensorboard"), 5), ("train/loss", 0.5, 5), "closed"]
