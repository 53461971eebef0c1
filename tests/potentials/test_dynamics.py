"""The calculator and molecular dynamics of a trained potential."""

import json

import ase
import ase.io
import jax
import numpy as np
import pytest
from ase.build import bulk, molecule
from flax import nnx

from equinet.cli import main
from equinet.data.atoms import collate, from_atoms, to_graph
from equinet.models import Potential, potential_from_spec
from equinet.potentials import PotentialCalculator, load_potential, run_md


@pytest.fixture(scope="module")
def workdir(trained_water):
    """A short training of water, which the session shares."""
    return trained_water


@pytest.fixture(scope="module", params=["irreps", "ponita"])
def silicon(request):
    words = {"network": request.param, "cutoff": 4.0, "channels": 4, "layers": 1}
    own = {"irreps": {"lmax": 1}, "ponita": {"basis": 4, "orientations": 6}}[request.param]
    model = potential_from_spec({"elements": ("Si",), **words, **own})
    return PotentialCalculator(model, dtype="float64")


def test_energy_holds_the_references_and_forces_are_its_slope(workdir):
    calculator = PotentialCalculator.from_workdir(workdir, dtype="float64")
    water = molecule("H2O", calculator=calculator)
    forces, positions = water.get_forces(), water.get_positions()
    assert -200 < water.get_potential_energy() < -100  # GFN2-xTB's total energy of water: -138 eV
    step = 1e-4
    energies = []
    for sign in (1, -1):
        water.positions = positions + sign * step * np.eye(3)[:1]
        water.positions[1:] = positions[1:]
        energies.append(water.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(forces[0, 0], -slope, atol=1e-6 * np.abs(forces).max())


def test_float32_and_float64_agree(workdir):
    water = molecule("H2O")
    forces = []
    for dtype in ("float32", "float64"):
        water.calc = PotentialCalculator.from_workdir(workdir, dtype=dtype)
        forces.append(water.get_forces())
        assert forces[-1].dtype == np.float64
    np.testing.assert_allclose(*forces, atol=1e-4)
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got 'float16'"):
        PotentialCalculator(load_potential(workdir), dtype="float16")


def test_stress_is_the_slope_of_the_energy_in_a_small_cell(silicon):
    crystal = bulk("Si", "diamond", a=5.43)  # narrower than the cutoff: images of the atom itself
    crystal.positions[1] += 0.1
    crystal.calc = silicon
    stress = crystal.get_stress(voigt=False)
    cell, step = crystal.cell.array.copy(), 1e-5
    energies = []
    for sign in (1, -1):
        strained = crystal.copy()
        strained.set_cell(
            cell @ (np.eye(3) + sign * step * np.eye(3)[[0]].T @ np.eye(3)[[1]]), True
        )
        strained.calc = silicon
        energies.append(strained.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * step) / crystal.get_volume()
    np.testing.assert_allclose(stress[0, 1], slope, atol=1e-6 * np.abs(stress).max())
    with pytest.raises(ValueError, match="stress needs a cell"):
        ase.Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]], calculator=silicon).get_stress()


def test_energy_is_extensive_and_compilations_are_few(silicon):
    crystal = bulk("Si", "diamond", a=5.43)
    crystal.calc = silicon
    one = crystal.get_potential_energy()
    before = silicon.compilations
    rng = np.random.default_rng(0)
    for _ in range(5):
        crystal.positions += 0.01 * rng.normal(size=(2, 3))
        crystal.get_forces()
    assert silicon.compilations == before
    large = bulk("Si", "diamond", a=5.43) * (2, 1, 1)
    large.calc = silicon
    np.testing.assert_allclose(large.get_potential_energy(), 2 * one, rtol=1e-10)


def test_an_unseen_element_is_named(workdir):
    methane = molecule("CH4", calculator=PotentialCalculator.from_workdir(workdir))
    with pytest.raises(ValueError, match=r"C.*H.*O"):
        methane.get_forces()


def test_dynamics_keeps_the_energy_and_writes_the_trajectory(workdir, capsys):
    command = ["md", f"--workdir={workdir}", "--steps=200", "--log_every=50", "--dtype=float64"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert abs(result["metrics"]["energy_fluctuation_mev_per_atom"]) < 5
    assert result["compilations"] == 1
    configurations = ase.io.read(result["trajectory"], ":")
    assert len(configurations) == 5
    assert np.isfinite(configurations[-1].get_forces()).all()


def test_trajectories_of_ase_hold_every_configuration(workdir, tmp_path):
    path = tmp_path / "run.traj"
    run_md(workdir, steps=4, log_every=2, trajectory=str(path))
    frames = ase.io.read(path, ":")
    assert len(frames) == 3
    assert np.isfinite(frames[-1].get_forces()).all()
    with pytest.raises(ValueError, match=r"ends in \.xyz, \.extxyz .* or \.traj .* 'x\.vasp'"):
        run_md(workdir, trajectory="x.vasp")


def test_the_thermostat_is_reproducible(workdir, tmp_path):
    runs = [
        run_md(workdir, ensemble="nvt", steps=20, seed=seed, trajectory=str(tmp_path / "x.xyz"))
        for seed in (1, 1, 2)
    ]
    temperatures = [run["metrics"]["mean_temperature_kelvin"] for run in runs]
    assert temperatures[0] == temperatures[1] != temperatures[2]


def test_bad_numbers_and_a_workdir_without_a_model(workdir, tmp_path):
    with pytest.raises(ValueError, match="steps must be above 0, got 0"):
        run_md(workdir, steps=0)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        run_md(tmp_path)


def test_an_unknown_ensemble_and_a_start_with_an_unseen_element(workdir, tmp_path):
    with pytest.raises(ValueError, match="ensemble must be 'nve' or 'nvt', got 'npt'"):
        run_md(workdir, ensemble="npt")
    ase.io.write(tmp_path / "methane.xyz", molecule("CH4"))
    with pytest.raises(ValueError, match=r"C.*H.*O"):
        run_md(workdir, data=str(tmp_path / "methane.xyz"), steps=1)


def test_an_explosion_is_named(workdir, monkeypatch):
    model = load_potential(workdir)
    nnx.update(model, jax.tree.map(lambda x: x * np.float32(np.nan), nnx.state(model)))
    monkeypatch.setattr("equinet.potentials.calculator.load_potential", lambda workdir: model)
    with pytest.raises(FloatingPointError, match="the total energy is nan at step 0"):
        run_md(workdir, steps=1)


def test_the_calculator_is_the_model_and_its_references(workdir):
    """Not moved by where the molecule lies, and taken up again after a change of the atoms."""
    model = load_potential(workdir)
    water = molecule("H2O", calculator=PotentialCalculator(model, dtype="float64"))
    graph = to_graph(from_atoms(water), cutoff=model.cutoff, elements=model.elements)
    with jax.enable_x64(True):
        batch = collate([graph], range(1), shards=1, dtype=np.float64)["graph"]
        shard = jax.tree.map(lambda x: x[0], batch)
        energy, forces = jax.jit(lambda graph: model.energy_and_forces(graph))(shard)
    expected = float(energy[0]) + model.reference_energy(graph.species)
    assert water.get_potential_energy() == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(water.get_forces(), forces[:3], atol=1e-10)
    water.translate(100.0)
    assert water.get_potential_energy() == pytest.approx(expected, rel=1e-12)
    water.positions[1] += 0.1
    assert abs(water.get_potential_energy() - expected) > 1e-4


def test_the_spec_rebuilds_the_model(workdir):
    model = load_potential(workdir)
    again = Potential.from_spec(model.spec())
    assert again.spec() == model.spec()
    shapes = [jax.tree.map(lambda x: x.shape, nnx.state(m)) for m in (model, again)]
    assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1])
    assert again.interactions[0].convolution.kind == model.interactions[0].convolution.kind
