"""Checkpoints: exact, whole or absent, and errors that say which and where."""

import errno
import gc
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from equinet.training.checkpoint import Checkpoints, DamagedCheckpointError
from equinet.training.state import shape_structs

# What orbax leaves behind when a read fails half-way; it is collected here, not in a later test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collect():
    yield
    gc.collect()


def arrays(step):
    return {
        "w": jnp.arange(64.0 * 64).reshape(64, 64) + step,
        "half": jnp.full(8, step, jnp.bfloat16),
        "n": jnp.int32(step),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of three checkpoints, to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(folder, keep=3, layout={"k": jnp.zeros((2, 3))})
    for step in (10, 20, 30, 40):
        checkpoints.save(step, arrays(step), {"seconds": step / 2})
    checkpoints.close()
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def open_(folder):
    return Checkpoints(folder, keep=3, layout={"k": jnp.zeros((2, 3))})


LIKE = shape_structs(arrays(0))


def test_round_trip_keeps_the_last(folder):
    checkpoints = open_(folder)
    assert checkpoints.steps() == [20, 30, 40]
    step, restored, meta = checkpoints.restore_latest(LIKE)
    assert (step, meta) == (40, {"seconds": 20.0})
    for name, array in arrays(40).items():
        assert restored[name].dtype == array.dtype
        np.testing.assert_array_equal(np.asarray(restored[name]), np.asarray(array))


def test_nothing_to_restore(tmp_path):
    assert Checkpoints(tmp_path / "new").restore_latest(LIKE) is None


def test_arrays_may_be_given_away_while_they_are_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    bump = jax.jit(
        lambda tree: jax.tree.map(lambda x: x + jnp.ones_like(x), tree), donate_argnums=0
    )
    state = jax.tree.map(jnp.copy, arrays(0))
    for step in (1, 2, 3):
        checkpoints.save(step, state, {})
        for _ in range(20):
            state = bump(state)
    checkpoints.wait()
    for i, step in enumerate((1, 2, 3)):
        restored, _ = checkpoints.restore(step, LIKE)
        np.testing.assert_array_equal(np.asarray(restored["w"]), np.asarray(arrays(20 * i)["w"]))


def largest(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name == "d"]
    return max(files, key=lambda path: path.stat().st_size)


def truncate(step):
    path = largest(step)
    os.truncate(path, path.stat().st_size // 2)


def flip(step):
    data = bytearray(largest(step).read_bytes())
    data[len(data) // 2] ^= 1
    largest(step).write_bytes(data)


DAMAGES = {
    "truncated": truncate,
    "bit": flip,
    "meta": lambda step: (step / "meta" / "metadata").unlink(),
    "meta cut": lambda step: os.truncate(step / "meta" / "metadata", 10),
    "list of arrays": lambda step: (step / "arrays" / "_METADATA").unlink(),
    "manifest": lambda step: os.truncate(step / "arrays" / "manifest.ocdbt", 0),
    "arrays": lambda step: shutil.rmtree(step / "arrays"),
    "empty": lambda step: (shutil.rmtree(step), step.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_put_aside_for_the_one_before(folder, damage, caplog):
    damage(folder / "40")
    checkpoints = open_(folder)
    assert checkpoints.restore_latest(LIKE)[0] == 30
    assert "checkpoints/40 is damaged" in caplog.text
    assert (folder / "40.damaged").exists()
    checkpoints.save(40, arrays(41), {})  # the run comes to step 40 again
    checkpoints.close()
    assert int(open_(folder).restore(40, LIKE)[0]["n"]) == 41


def test_all_damaged(folder):
    for step in (20, 30, 40):
        truncate(folder / str(step))
    with pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"):
        open_(folder).restore_latest(LIKE)


def test_other_arrays_are_no_damage(folder):
    checkpoints = open_(folder)
    wrong_dtype = LIKE | {"half": jax.ShapeDtypeStruct((8,), jnp.float32)}
    with pytest.raises(ValueError, match=r"'half' is \(\(8,\), 'bfloat16'\), this run has"):
        checkpoints.restore_latest(wrong_dtype)
    with pytest.raises(ValueError, match="this run also has 'more'"):
        checkpoints.restore_latest(LIKE | {"more": LIKE["w"]})
    other_model = Checkpoints(folder, layout={"k": jnp.zeros((3, 2))})
    with pytest.raises(ValueError, match=r"'k' is \(\(2, 3\), 'float32'\), the model has \(\(3, 2"):
        other_model.restore_latest(LIKE)
    assert checkpoints.steps() == [20, 30, 40]


def test_a_full_disk_leaves_the_checkpoints_before(folder, monkeypatch):
    def write(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoints = open_(folder)
    monkeypatch.setattr(ocp.StandardCheckpointHandler, "async_save", write)
    with pytest.raises(OSError, match=r"No space left on device \(last good checkpoint: step 40\)"):
        checkpoints.save(50, arrays(50), {})
    monkeypatch.undo()
    assert open_(folder).restore_latest(LIKE)[0] == 40


def test_a_disk_that_would_be_full_is_seen_before(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(OSError, match=r"No space left on device .1 MB free, a checkpoint takes up"):
        open_(folder).save(50, arrays(50), {})
    assert not list(folder.glob("50*"))


def test_a_save_that_fails_in_the_background_is_heard_of(folder, monkeypatch):
    def write(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoints = open_(folder)
    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", write)
    checkpoints.save(50, arrays(50), {})
    with pytest.raises(OSError, match=r"No space left on device \(last good checkpoint: step 40\)"):
        checkpoints.wait()
    monkeypatch.undo()
    assert open_(folder).restore_latest(LIKE)[0] == 40


def test_an_unfinished_save_is_not_taken_for_whole(folder):
    unfinished = Path(shutil.copytree(folder / "40", folder / "50.orbax-checkpoint-tmp"))
    (unfinished / "commit_success.txt").unlink()
    checkpoints = open_(folder)
    assert checkpoints.steps() == [20, 30, 40]
    checkpoints.save(50, arrays(50), {})
    checkpoints.close()
    assert not unfinished.exists()
    assert open_(folder).restore_latest(LIKE)[0] == 50


def test_restore_names_the_damaged_one(folder):
    truncate(folder / "30")
    with pytest.raises(DamagedCheckpointError, match="checkpoints/30 is damaged"):
        open_(folder).restore(30, LIKE)
