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
from equinet.data.atoms import (
    Configuration,
    collate,
    subtract_references,
    to_graphs,
    write_configurations,
)
from equinet.models import Potential, potential_from_spec
from equinet.potentials import FileDataConfig, LossConfig, PotentialTask
from equinet.potentials.data import read_part, rotated
from equinet.potentials.task import energy_and_force_errors, potential_loss, predict, some_of
from equinet.training import load_config

CONFIG = str(Path(__file__).parents[2] / "configs/potential.py")
REFERENCES = (-13.6, -2041.0)

loss_and_parts = jax.jit(potential_loss, static_argnames="weights")


def configurations(count, seed=0):
    rng = np.random.default_rng(seed)
    base = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [
        Configuration(
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
    found = to_graphs(configurations(5), cutoff=4.0, elements=("H", "O"))
    return subtract_references(found, REFERENCES)


PONITA = {"network": "ponita", "channels": 4, "layers": 1, "basis": 4, "orientations": 6}


@pytest.fixture(scope="module")
def ponita():
    words = {"elements": ("H", "O"), "cutoff": 4.0, "reference_energies": REFERENCES}
    return potential_from_spec(PONITA | words)


@pytest.mark.parametrize("shards", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 8))])
@pytest.mark.parametrize("network", ["irreps", "ponita"])
def test_the_loss_does_not_depend_on_the_shards(network, model, ponita, graphs, shards):
    model = {"irreps": model, "ponita": ponita}[network]
    weights = LossConfig(energy=2.0, forces=3.0)

    def loss(count):
        batch = jax.tree.map(jnp.asarray, collate(graphs, range(count), shards=count))
        return loss_and_parts(model, batch, weights=weights)

    whole, parts = loss(1), loss(shards)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5)
    energies, forces = predict(model, graphs, 5)
    error = energies - np.array([graph.energy for graph in graphs])
    force_error = np.concatenate(forces) - np.concatenate([graph.forces for graph in graphs])
    expected = 2.0 * np.mean(error**2 / 3) + 3.0 * np.mean(force_error**2)
    np.testing.assert_allclose(whole[0], expected, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_rotated_batches(ponita, graphs, count):
    """The loss of ponita, on shards, is that of the graphs rotated by hand."""
    weights, key = LossConfig(energy=2.0, forces=3.0), jax.random.key(3)
    batch = jax.tree.map(jnp.asarray, collate(graphs, range(count), shards=count))
    loss = loss_and_parts(ponita, batch, weights=weights, key=key)[0]
    by_hand = loss_and_parts(ponita, rotated(batch, key), weights=weights)[0]
    np.testing.assert_allclose(loss, by_hand, rtol=1e-5)
    assert abs(loss - loss_and_parts(ponita, batch, weights=weights)[0]) > 1e-6
    old, new = batch["graph"].positions, rotated(batch, key)["graph"].positions
    gram = [jnp.einsum("sna,sma->snm", x, x) for x in (old, new)]
    same = batch["graph"].graph_index[:, :, None] == batch["graph"].graph_index[:, None]
    np.testing.assert_allclose(jnp.where(same, gram[0] - gram[1], 0), 0, atol=1e-5)
    assert jnp.abs(gram[0] - gram[1]).max() > 0.1  # every graph by another element


@pytest.mark.parametrize(
    "word",
    ["ponita", *(pytest.param(word, marks=pytest.mark.slow) for word in ("fixed", "irreps"))],
)
def test_what_is_built(word, tmp_path):
    """Ponita is calibrated and trained on rotated graphs; irreps need no rotations."""
    write_configurations(tmp_path / "all.xyz", configurations(6))
    network = "irreps" if word == "irreps" else "ponita"
    overrides = {f"data.{part}": "all.xyz" for part in ("train", "validation", "test")} | {
        "data_dir": str(tmp_path),
        "data.source": "files",
        "data.augment": str(word != "fixed"),
        "training.batch_size": "2",
        "model.channels": "4",
        "model.layers": "1",
    }
    if network == "ponita":
        overrides["model.basis"] = "4"
    config = load_config(f"{CONFIG}:{network}", list(overrides.items()))
    experiment = PotentialTask().build(config, shards=2)
    spec = experiment.model_spec["model"]
    assert spec["network"] == network
    assert ("lmax" in spec, "basis" in spec) == (word == "irreps", word != "irreps")
    fresh = nnx.state(potential_from_spec(spec))
    pairs = zip(jax.tree.leaves(nnx.state(experiment.model)), jax.tree.leaves(fresh), strict=True)
    calibrated = sum(not np.array_equal(one, two) for one, two in pairs)
    assert calibrated == (0 if word == "irreps" else 2)  # the kernels of the one layer
    batch = jax.tree.map(jnp.asarray, experiment.collate(experiment.train[:2], range(2)))
    loss = jax.jit(lambda key: experiment.loss(experiment.model, batch, key)[0])
    same = np.isclose(loss(jax.random.key(0)), loss(jax.random.key(1)), rtol=1e-6)
    assert same == (word != "ponita")


def test_some_graphs_are_spread_over_all(graphs):
    shard = some_of(graphs, 2)
    assert shard.graph_mask.sum() == 2
    expected = [graphs[0].centred[1, 0], graphs[3].centred[1, 0]]
    np.testing.assert_allclose(shard.positions[jnp.array([1, 4]), 0], expected, rtol=1e-6)
    assert some_of(graphs, 9).graph_mask.sum() == 5


def crystal_batch():
    cell = np.array([[3.5, 0, 0], [0.3, 3.4, 0], [0, 0.2, 3.6]])
    configuration = configurations(1)[0]
    stress = cell + cell.T
    configuration = Configuration(
        configuration.numbers,
        configuration.positions,
        cell,
        (True,) * 3,
        -2080.0,
        configuration.forces,
        stress,
    )
    graph = to_graphs([configuration], cutoff=4.0, elements=("H", "O"))
    batch = collate(subtract_references(graph, REFERENCES), range(1), shards=1)
    return jax.tree.map(jnp.asarray, batch)


@pytest.mark.slow
def test_turning_changes_no_label_of_an_invariant_network(model):
    """Energies, forces and stresses of a crystal turn with its positions and its cell."""
    weights, batch = LossConfig(stress=2.0), crystal_batch()
    plain, parts = loss_and_parts(model, batch, weights=weights)
    loss, rotated_parts = loss_and_parts(model, batch, weights=weights, key=jax.random.key(3))
    np.testing.assert_allclose(loss, plain, rtol=1e-4)
    for name, part in parts.items():
        np.testing.assert_allclose(rotated_parts[name], part, rtol=1e-4)


@pytest.mark.slow
def test_the_stress_enters_the_loss(model):
    batch = crystal_batch()
    plain, _ = loss_and_parts(model, batch, weights=LossConfig(stress=0.0))
    loss, parts = loss_and_parts(model, batch, weights=LossConfig(stress=2.0))
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
    write_configurations(tmp_path / "all.xyz", configurations(5))
    config = FileDataConfig(train="a", validation="a", test="a")
    energies = [
        configuration.energy for configuration in read_part("all.xyz", config, str(tmp_path))
    ]
    part = read_part("all.xyz@1:3", config, str(tmp_path))
    assert [configuration.energy for configuration in part] == energies[1:3]
    with pytest.raises(ValueError, match="selects no configuration; the file has 5"):
        read_part("all.xyz@7:", config, str(tmp_path))
    with pytest.raises(ValueError, match="expected FILE or FILE@START:STOP, got 'last'"):
        read_part("all.xyz@last", config, str(tmp_path))


def broken(tmp_path, name):
    good = configurations(4)
    path = tmp_path / "data.xyz"
    write_configurations(path, good)
    lines = path.read_text().splitlines()
    if name == "missing":
        path.unlink()
    elif name == "truncated":
        path.write_text("\n".join(lines[:-1]))
    elif name == "no forces":
        write_configurations(
            path, [*good[:2], Configuration(good[2].numbers, good[2].positions, energy=-1.0)]
        )
    elif name == "nan":
        lines[-1] = lines[-1].replace(lines[-1].split()[1], "nan", 1)
        path.write_text("\n".join(lines) + "\n")
    elif name == "same place":
        twice = np.concatenate([good[3].positions[:2], good[3].positions[1:2]])
        configuration = Configuration(good[3].numbers, twice, energy=-1.0, forces=np.zeros((3, 3)))
        write_configurations(path, [*good[:3], configuration])
    elif name == "no neighbours":
        apart = 20.0 * np.arange(9.0).reshape(3, 3)
        configuration = Configuration(good[3].numbers, apart, energy=-1.0, forces=np.zeros((3, 3)))
        write_configurations(path, [*good[:3], configuration])
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", ["data.xyz", "no such file"]),
        ("truncated", ["data.xyz", "configuration 3"]),
        ("no forces", ["data.xyz configuration 2", "forces"]),
        ("nan", ["data.xyz configuration 3", "positions of atom 2", "NaN"]),
        ("same place", ["data.xyz configuration 3", "atom 1", "atom 2"]),
        ("no neighbours", ["data.xyz configuration 3", "cutoff", "larger cutoff"]),
    ],
)
def test_bad_files_are_one_line_that_names_file_and_configuration(tmp_path, capsys, name, words):
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
    "--config.data.configurations=(8,2,2)",
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
    """The command as a process, with a cache of configurations beside the workdir."""
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
