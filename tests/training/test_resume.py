"""Runs that are killed, moved to other devices and spread over processes, by the real command."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest

EIGHT = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


def flags(toy, workdir, **overrides):
    """The words of a training command."""
    pairs = [f"--config.{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    return ["train", f"--config={toy}", f"--workdir={workdir}", *pairs]


def start(*commands, **environment):
    """A process that runs commands one after another, as `equinet` would; a word sets TOY_...."""
    program = """if True:
        import json, os, sys
        from equinet.cli import main
        code = 0
        for words in json.loads(sys.argv[1]):
            os.environ.update(word.split("=") for word in words if word.startswith("TOY_"))
            code = max(code, main([word for word in words if not word.startswith("TOY_")]))
        sys.exit(code)
    """
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(commands)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def parameters(workdir, step):
    path = (workdir / "checkpoints" / str(step) / "arrays").resolve()
    saved = ocp.StandardCheckpointer().metadata(path).item_metadata.tree
    like = {name: np.empty(x.shape, x.dtype) for name, x in saved.items()}  # of any topology
    return ocp.StandardCheckpointer().restore(path, like)


def same(one, two, rtol=0.0):
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=rtol, atol=rtol)


# Fifteen steps whose numbers do not depend on how the batch is dealt out to shards.
STEPS = {
    "dropout": "0.0",
    "training__steps": 15,
    "training__checkpoint_every": 12,
    "training__schedule": "constant",
}


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """Three runs in two processes of eight devices, on one device until they are resumed.

    The first process finishes "whole" and "short" and is killed in "killed"; the second resumes
    that one, and two copies of "short", taken back to step 12, on all devices.
    """
    folder = tmp_path_factory.mktemp("resume")
    killed = flags(toy, folder / "killed")
    first = start(
        flags(toy, folder / "whole"),
        flags(toy, folder / "short", **STEPS),
        ["TOY_KILL_AFTER=123", *killed],
        **EIGHT,
    )
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    shutil.copytree(folder / "killed", folder / "as_killed")
    for name in ("eight", "split"):
        shutil.copytree(folder / "short", folder / name)
        shutil.rmtree(folder / name / "checkpoints" / "15")
        (folder / name / "result.json").unlink()
    many = STEPS | {"training__mesh": "(('data',-1),)"}
    second = start(
        killed,
        flags(toy, folder / "eight", **many),
        flags(toy, folder / "split", **many, training__parameter_axis="data"),
        **EIGHT,
    )
    out, err = second.communicate()
    assert second.returncode == 0, err
    return folder, [json.loads(line) for line in out.splitlines()]


def test_a_killed_run_goes_on_bit_for_bit(runs, records):
    folder, results = runs
    assert not (folder / "as_killed" / "result.json").exists()
    left = sorted(path.name for path in (folder / "as_killed" / "checkpoints").glob("[0-9]*"))
    assert left, "killed before its first checkpoint: that resumes nothing"
    same(parameters(folder / "killed", 24), parameters(folder / "whole", 24))
    assert records(folder / "killed") == records(folder / "whole")
    whole = json.loads((folder / "whole" / "result.json").read_text())
    assert results[0]["metrics"] == whole["metrics"]
    assert results[0]["best_step"] == whole["best_step"]


@pytest.mark.parametrize("name", ["eight", "split"])
def test_eight_devices_go_on_where_one_stopped(runs, name):
    folder, results = runs
    assert results[1]["device"].startswith("8 x ")
    same(parameters(folder / name, 15), parameters(folder / "short", 15), rtol=1e-5)
    sharding = (folder / name / "checkpoints" / "15" / "arrays" / "_sharding").read_text()
    split = "partition_spec: [data]" in sharding.replace("\\", "").replace('"', "")
    assert split == (name == "split")


@pytest.mark.slow
def test_two_processes_are_one_device(toy, tmp_path, run_toy, records):
    steps = {"dropout": "0.0", "training__steps": 3, "training__log_every": 1}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        start(
            flags(
                toy,
                tmp_path / "two",
                **steps,
                training__mesh="(('data',-1),)",
                training__distributed="true",
            ),
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            JAX_CPU_COLLECTIVES_IMPLEMENTATION="gloo",
            XLA_FLAGS="",
        )
        for number in range(2)
    ]
    try:
        run_toy("one", **steps)
        outputs = [process.communicate(timeout=600) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], outputs
    lines = [out.strip().splitlines()[-1] for out, _ in outputs]
    assert json.loads(lines[0])["steps"] == 3
    assert not lines[1].startswith("{")
    same(parameters(tmp_path / "two", 3), parameters(tmp_path / "one", 3), rtol=1e-5)
    for two, one in zip(records(tmp_path / "two"), records(tmp_path / "one"), strict=True):
        assert two.pop("kind") == one.pop("kind")
        assert two == pytest.approx(one, rel=1e-5)
