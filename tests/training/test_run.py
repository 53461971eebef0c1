"""Whole runs of the toy task in this process."""

import fcntl
import json
import shutil
import signal
import time

import numpy as np
import orbax.checkpoint as ocp
import pytest

from equinet.training import evaluate, load_config, load_model_spec, read_config, train
from equinet.training.checkpoint import Checkpoints
from equinet.training.data import Batches
from equinet.training.run import Run
from equinet.training.workdir import read_origin


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    """A finished run that no test changes: its workdir and its result."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, train(load_config(toy), workdir, source=toy)


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished[0], tmp_path / "run")


def reopen(workdir, step):
    """Takes a copied run back to the checkpoint of a step."""
    for path in (workdir / "checkpoints").iterdir():
        if int(path.name) > step:
            shutil.rmtree(path)
    (workdir / "result.json").unlink()


def test_the_loss_goes_down(finished, records):
    losses = [r["loss"] for r in records(finished[0]) if r["kind"] == "train"]
    errors = [r["mse"] for r in records(finished[0]) if r["kind"] == "validation"]
    assert losses[-1] < losses[0] / 2
    assert errors == sorted(errors, reverse=True)


def test_the_result_has_what_readers_expect(finished, toy):
    workdir, result = finished
    assert result == json.loads((workdir / "result.json").read_text())
    assert set(result) == {
        *("command", "config", "workdir", "status", "steps", "seed", "parameters", "seconds"),
        *("metrics", "equivariance_error", "compilations", "examples_per_second", "best_step"),
        *("peak_memory_mb", "device"),
    }
    assert (result["command"], result["config"], result["steps"]) == ("train", toy, 24)
    assert (result["status"], result["compilations"], result["parameters"]) == ("finished", 1, 36)
    assert result["examples_per_second"] > 0


def test_the_workdir_has_what_readers_expect(finished, toy):
    workdir, _ = finished
    assert read_config(workdir) == load_config(toy)
    assert load_model_spec(workdir) == {"parameters": 36, "channels": 4}
    assert read_origin(workdir)["config"] == toy
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["18", "24"]
    assert [p.name for p in (workdir / "best").iterdir()] == ["24"]


def test_a_finished_run_returns_its_result_again(workdir, finished, toy, monkeypatch):
    monkeypatch.setattr(Run, "__init__", lambda *_: pytest.fail("it trained again"))
    assert train(load_config(toy), workdir, source=toy) == finished[1]


def test_evaluate_finds_the_best_model(finished):
    workdir, result = finished
    report = evaluate(workdir)
    assert report["metrics"]["mse"] == pytest.approx(result["metrics"]["mse"], rel=1e-6)
    assert (report["command"], report["best_step"]) == ("evaluate", 24)
    with pytest.raises(FileNotFoundError, match=r"no data file water\.xyz"):
        evaluate(workdir, "water.xyz")


def test_evaluate_elsewhere(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        evaluate(tmp_path)


def test_the_last_steps_again_are_the_same(finished, workdir, toy, records, caplog):
    """From the checkpoint of step 18: the same parameters, metrics and best model, bit for bit."""
    reopen(workdir, 18)
    began = time.monotonic()
    again = train(load_config(toy), workdir, source=toy)
    assert again["seconds"] <= finished[1]["seconds"] + time.monotonic() - began
    assert again["compilations"] == 2
    assert again["metrics"] == finished[1]["metrics"]
    assert "damaged" not in caplog.text
    assert records(workdir) == records(finished[0])
    one, two = (
        ocp.StandardCheckpointer().restore((w / "checkpoints" / "24" / "arrays").resolve())
        for w in (workdir, finished[0])
    )
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(two[name]))


def test_more_steps_go_on_and_fewer_are_refused(workdir, run_toy, records):
    result = run_toy(workdir.name, training__steps=26)
    assert result["steps"] == 26
    assert max(r["step"] for r in records(workdir)) == 26
    with pytest.raises(ValueError, match=r"is at step 26 already, training\.steps=24"):
        run_toy(workdir.name)


def test_a_workdir_of_another_experiment(workdir, run_toy):
    with pytest.raises(ValueError, match=r"config\.size is 40 there and 41 here"):
        run_toy(workdir.name, size=41)
    with pytest.raises(ValueError, match=r"config.training.learning_rate is 0.1 there and 0.2"):
        run_toy(workdir.name, training__learning_rate=0.2)
    (workdir / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds checkpoints but no config\.json"):
        run_toy(workdir.name)


def test_a_workdir_that_is_a_file_or_in_use(workdir, run_toy, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        run_toy("file")
    with (workdir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is under way"):
            run_toy(workdir.name)


def test_a_nan_stops_the_run_and_keeps_the_last_good_checkpoint(run_toy, tmp_path):
    bad = Batches([0] * 40, list, batch_size=6, seed=0, length=24).indices(4)[0]
    often = {"training__checkpoint_every": 3, "training__log_every": 4}
    with pytest.raises(FloatingPointError, match=r"not finite at step 5 .*checkpoint: step 3 in"):
        run_toy(bad_example=bad, **often)
    path = tmp_path / "run" / "checkpoints"
    assert [step.name for step in path.iterdir()] == ["3"]
    arrays = ocp.StandardCheckpointer().restore((path / "3" / "arrays").resolve())
    assert all(np.all(np.isfinite(x)) for x in arrays.values())
    with pytest.raises(FloatingPointError, match="not finite at step 5"):  # it resumes at 3
        run_toy(bad_example=bad, **often)


def test_time_is_up_and_the_run_goes_on_later(finished, run_toy, records, tmp_path):
    result = run_toy(training__max_minutes=1e-6)
    assert (result["status"], result["reason"], result["steps"]) == ("stopped", "max_minutes", 1)
    assert not (tmp_path / "run" / "result.json").exists()
    assert run_toy()["metrics"] == finished[1]["metrics"]
    assert records(tmp_path / "run") == records(finished[0])


@pytest.fixture
def interrupted(monkeypatch):
    """A signal arrives before the eighth step."""
    advance = Run.advance

    def interrupted(self):
        if self.done == 7:
            signal.raise_signal(signal.SIGTERM)
        return advance(self)

    monkeypatch.setattr(Run, "advance", interrupted)


def test_a_signal_before_anything_was_timed(interrupted, run_toy):
    every = {f"training__{event}_every": 24 for event in ("log", "validate", "checkpoint")}
    result = run_toy(**every)
    assert (result["steps"], result["examples_per_second"]) == (8, None)


def test_a_signal_stops_with_a_checkpoint(interrupted, run_toy, tmp_path):
    result = run_toy()
    assert (result["status"], result["reason"], result["steps"]) == ("stopped", "SIGTERM", 8)
    assert (tmp_path / "run" / "checkpoints" / "8").exists()


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(finished, workdir, run_toy):
    (workdir / "result.json").unlink()
    shutil.rmtree(workdir / "checkpoints" / "24" / "arrays")
    assert run_toy(workdir.name)["metrics"] == finished[1]["metrics"]


def test_a_lost_best_model_is_said(workdir, run_toy, caplog):
    (workdir / "result.json").unlink()
    shutil.rmtree(workdir / "best" / "24")
    result = run_toy(workdir.name)
    assert "the best model, of step 24, is gone" in caplog.text
    assert result["metrics"]["mse"] > 0


def test_a_full_disk_is_one_error(run_toy, monkeypatch, tmp_path):
    def save(self, step, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    with pytest.raises(OSError, match=r"cannot save a checkpoint in .*No space left"):
        run_toy()


def test_best_and_last_are_consistent_when_a_run_dies_between_them(run_toy, monkeypatch, tmp_path):
    """A best model newer than the last checkpoint is found again, an older one is kept for it."""
    advance = Run.advance

    def killed(self):
        if self.done == 17:  # best of steps 8 and 16; checkpoint of step 12, which needs 8
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr(Run, "advance", killed)
    with pytest.raises(KeyboardInterrupt):
        run_toy()
    assert Checkpoints(tmp_path / "run" / "best").steps() == [8, 16]
    monkeypatch.undo()
    run_toy(training__validate_every=12)  # not at 16 this time
    assert Checkpoints(tmp_path / "run" / "best").steps() == [24]


def test_no_selection_metric(run_toy, monkeypatch):
    advance = Run.advance

    def other(self):
        object.__setattr__(self.experiment, "selection", "accuracy")
        return advance(self)

    monkeypatch.setattr(Run, "advance", other)
    with pytest.raises(ValueError, match=r"validate\(\) returned \['mse'\], not the selection"):
        run_toy()
