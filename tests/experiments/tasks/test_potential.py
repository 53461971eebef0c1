"""The potential task: loss over shards, reports, slices of files, bad input at the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from equinet.cli import main
from equinet.data import Frame, collate, subtract_references, to_graphs, write_frames
from equinet.models.potential import Potential
from experiments.tasks.potential import energy_and_force_errors, potential_loss, predict
from experiments.tasks.potential_config import DataConfig, LossConfig
from experiments.tasks.potential_data import read_part

CONFIG = str(Path(__file__).parents[3] / "configs/potential.py")
REFERENCES = (-13.6, -2041.0)


def frames(count, seed=0):
    rng = np.random.default_rng(seed)
    base = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [
        Frame(
            numbers=np.array([8, 1, 1]),
            positions=base + 0.1 * rng.normal(size=(3, 3)),
            energy=-2080.0 + rng.normal(),
            forces=rng.normal(size=(3, 3)),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def model():
    words = {"cutoff": 4.0, "lmax": 1, "channels": 4, "layers": 1}
    return Potential(("H", "O"), **words, reference_energies=REFERENCES, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def graphs():
    found = to_graphs(frames(5), cutoff=4.0, elements=("H", "O"))
    return subtract_references(found, REFERENCES)


@pytest.mark.parametrize("shards", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 8))])
def test_the_loss_does_not_depend_on_the_shards(model, graphs, shards):
    weights = LossConfig(energy=2.0, forces=3.0)

    def loss(count):
        batch = jax.tree.map(jnp.asarray, collate(graphs, range(count), shards=count))
        return potential_loss(model, batch, weights)

    whole, parts = loss(1), loss(shards)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5)
    energies, forces = predict(model, graphs, 5)
    error = energies - np.array([graph.energy for graph in graphs])
    force_error = np.concatenate(forces) - np.concatenate([graph.forces for graph in graphs])
    expected = 2.0 * np.mean(error**2 / 3) + 3.0 * np.mean(force_error**2)
    np.testing.assert_allclose(whole[0], expected, rtol=1e-4)


@pytest.mark.slow
def test_the_stress_enters_the_loss(model):
    cell = 3.5 * np.eye(3)
    frame = frames(1)[0]
    frame = Frame(frame.numbers, frame.positions, cell, (True,) * 3, -2080.0, frame.forces, cell)
    graph = to_graphs([frame], cutoff=4.0, elements=("H", "O"))
    batch = jax.tree.map(
        jnp.asarray, collate(subtract_references(graph, REFERENCES), range(1), shards=1)
    )
    plain, _ = potential_loss(model, batch, LossConfig(stress=0.0))
    loss, parts = potential_loss(model, batch, LossConfig(stress=2.0))
    assert float(parts["stress_mean_square"]) > 1
    np.testing.assert_allclose(loss - plain, 2 * parts["stress_mean_square"], rtol=1e-5)


def test_errors_are_in_milli_electron_volts_whatever_the_batch(model, graphs):
    reports = [energy_and_force_errors(model, graphs, size) for size in (1, 2, 5)]
    for name, value in reports[0].items():
        np.testing.assert_allclose([r[name] for r in reports], value, rtol=1e-4)
    labels = np.concatenate([graph.forces for graph in graphs])
    rms = 1e3 * np.sqrt(np.mean(labels**2))
    np.testing.assert_allclose(reports[0]["label_force_rms_mev_per_angstrom"], rms)
    per_atom = reports[0]["energy_mae_mev"] / 3
    np.testing.assert_allclose(reports[0]["energy_mae_mev_per_atom"], per_atom)


def test_slices_of_a_file(tmp_path):
    write_frames(tmp_path / "all.xyz", frames(5))
    config = DataConfig()
    energies = [frame.energy for frame in read_part("all.xyz", config, str(tmp_path))]
    part = read_part("all.xyz@1:3", config, str(tmp_path))
    assert [frame.energy for frame in part] == energies[1:3]
    with pytest.raises(ValueError, match="selects no frame; the file has 5"):
        read_part("all.xyz@7:", config, str(tmp_path))
    with pytest.raises(ValueError, match="expected FILE or FILE@START:STOP, got 'last'"):
        read_part("all.xyz@last", config, str(tmp_path))


def broken(tmp_path, name):
    good = frames(4)
    path = tmp_path / "data.xyz"
    write_frames(path, good)
    lines = path.read_text().splitlines()
    if name == "missing":
        path.unlink()
    elif name == "truncated":
        path.write_text("\n".join(lines[:-1]))
    elif name == "no forces":
        write_frames(path, [*good[:2], Frame(good[2].numbers, good[2].positions, energy=-1.0)])
    elif name == "nan":
        lines[-1] = lines[-1].replace(lines[-1].split()[1], "nan", 1)
        path.write_text("\n".join(lines) + "\n")
    elif name == "same place":
        twice = np.concatenate([good[3].positions[:2], good[3].positions[1:2]])
        frame = Frame(good[3].numbers, twice, energy=-1.0, forces=np.zeros((3, 3)))
        write_frames(path, [*good[:3], frame])
    elif name == "no neighbours":
        apart = 20.0 * np.arange(9.0).reshape(3, 3)
        frame = Frame(good[3].numbers, apart, energy=-1.0, forces=np.zeros((3, 3)))
        write_frames(path, [*good[:3], frame])
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", ["data.xyz", "no such file"]),
        ("truncated", ["data.xyz", "frame 3"]),
        ("no forces", ["data.xyz frame 2", "forces"]),
        ("nan", ["data.xyz frame 3", "positions of atom 2", "NaN"]),
        ("same place", ["data.xyz frame 3", "atom 1", "atom 2"]),
        ("no neighbours", ["data.xyz frame 3", "cutoff", "larger cutoff"]),
    ],
)
def test_bad_files_are_one_line_that_names_file_and_frame(tmp_path, capsys, name, words):
    path = broken(tmp_path, name)
    pairs = {"source": "files", "train": path, "validation": path, "test": path}
    flags = [f"--config.data.{key}={value}" for key, value in pairs.items()]
    command = ["train", f"--config={CONFIG}", f"--workdir={tmp_path / 'run'}", *flags]
    assert main(command) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert all(word in error[0] for word in words), error[0]
    assert not list((tmp_path / "run").glob("checkpoints/*"))


TINY = [
    "--config.data.smiles=O",
    "--config.data.frames=(8,2,2)",
    "--config.data.num_trajectories=1",
    "--config.data.spacing_fs=3",
    "--config.data.equilibration_fs=3",
    "--config.model.channels=4",
    "--config.model.layers=1",
    "--config.training.batch_size=2",
    "--config.training.warmup_steps=1",
    "--config.training.checkpoint_every=50",
    "--config.training.validate_every=50",
    "--config.training.log_every=10",
]


def start(workdir, *overrides, **environment):
    """The command as a process, with a cache of frames beside the workdir."""
    words = ["train", f"--config={CONFIG}", f"--workdir={workdir}", *TINY, *overrides]
    return subprocess.Popen(
        [sys.executable, "-m", "equinet.cli", *words],
        env=os.environ | {"EQUINET_CACHE": str(workdir.parent / "cache")} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    out = process.communicate()[0]
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_numbers(tmp_path):
    steps = "--config.training.steps=400"
    whole = result_of(start(tmp_path / "whole", steps))
    process = start(tmp_path / "killed", steps)
    checkpoints = tmp_path / "killed" / "checkpoints"
    while not list(checkpoints.glob("[0-9]*")):
        time.sleep(0.02)
        assert process.poll() is None, "ended before its first checkpoint"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "result.json").exists()
    resumed = result_of(start(tmp_path / "killed", steps))
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["equivariance_error"] == whole["equivariance_error"]
    one, two = (parameters(tmp_path / name, 400) for name in ("whole", "killed"))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.slow
def test_eight_devices_go_on_where_one_stopped(tmp_path):
    overrides = [
        "--config.training.steps=12",
        "--config.training.checkpoint_every=9",
        "--config.training.schedule=constant",
        "--config.training.learning_rate=1e-3",
    ]
    result_of(start(tmp_path / "one", *overrides))
    shutil.copytree(tmp_path / "one", tmp_path / "eight")
    shutil.rmtree(tmp_path / "eight" / "checkpoints" / "12")
    (tmp_path / "eight" / "result.json").unlink()
    flags = "--xla_force_host_platform_device_count=8"
    result = result_of(start(tmp_path / "eight", *overrides, XLA_FLAGS=flags))
    assert result["device"].startswith("8 x ")
    one, eight = (parameters(tmp_path / name, 12) for name in ("one", "eight"))
    before = parameters(tmp_path / "one", 9)
    assert any(np.abs(one[name] - before[name]).max() > 1e-4 for name in one if "params" in name)
    for name in one:
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-5, atol=1e-5)


def parameters(workdir, step):
    """All arrays of a checkpoint."""
    path = (workdir / "checkpoints" / str(step) / "arrays").resolve()
    saved = ocp.StandardCheckpointer().metadata(path).item_metadata.tree
    like = {name: np.empty(x.shape, x.dtype) for name, x in saved.items()}
    return ocp.StandardCheckpointer().restore(path, like)
