import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from tblite.ase import TBLite

from equinet.data import walker

SETTINGS = {
    "molecule": "O",
    "method": "GFN2-xTB",
    "temperature_K": 400.0,
    "timestep_fs": 1.0,
    "spacing_steps": 3,
    "equilibration_steps": 5,
    "friction_per_fs": 0.05,
    "dynamics_accuracy": 10.0,
    "label_accuracy": 0.01,
    "seed": 0,
}


def test_labels_are_those_of_tblite():
    frame = list(walker.walk(SETTINGS, 0, 2))[-1]
    atoms = Atoms(frame["numbers"], frame["positions"])
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    np.testing.assert_allclose(frame["energy"], atoms.get_potential_energy(), rtol=1e-7)
    np.testing.assert_allclose(frame["forces"], atoms.get_forces(), atol=1e-5)


def test_forces_are_the_slope_of_the_energy():
    molecule = walker.Molecule("O", seed=1)
    label = walker.TightBinding(molecule, "GFN2-xTB", accuracy=0.01, restart=False)
    x = molecule.positions + 0.05 * np.random.default_rng(0).normal(size=(3, 3))
    forces = label(x)[1]
    step = 1e-3 * np.eye(9).reshape(9, 3, 3)
    slope = [(label(x + h)[0] - label(x - h)[0]) / 2e-3 for h in step]
    np.testing.assert_allclose(forces.ravel(), -np.array(slope), atol=1e-4)


@pytest.mark.parametrize(
    ("smiles", "numbers", "charge", "unpaired"),
    [
        ("O", [8, 1, 1], 0, 0),
        ("[NH4+]", [7, 1, 1, 1, 1], 1, 0),
        ("[CH3]", [6, 1, 1, 1], 0, 1),
        ("[BH4-]", [5, 1, 1, 1, 1], -1, 0),
    ],
)
def test_molecules_from_smiles(smiles, numbers, charge, unpaired):
    molecule = walker.Molecule(smiles, seed=3)
    assert molecule.numbers.tolist() == numbers
    assert (molecule.charge, molecule.unpaired) == (charge, unpaired)
    again = walker.Molecule(smiles, seed=3)
    np.testing.assert_array_equal(molecule.positions, again.positions)


def test_unreadable_smiles():
    with pytest.raises(ValueError, match=r"got the molecule 'C\(\(', expected a SMILES"):
        walker.Molecule("C((", seed=0)


def test_positions_follow_the_canonical_distribution(monkeypatch):
    # Two springs at a large time step, where other schemes are off by a quarter.
    stiffness, atoms = 30.0, 400

    class Springs:
        def __init__(self, *args, **options): ...

        def __call__(self, x):
            stretch = x[::2] - x[1::2]
            force = np.empty_like(x)
            force[::2], force[1::2] = -stiffness * stretch, stiffness * stretch
            return 0.0, force

    monkeypatch.setattr(walker, "TightBinding", Springs)
    molecule = SimpleNamespace(masses=np.full(atoms, 1.0), positions=np.zeros((atoms, 3)))
    settings = {**SETTINGS, "timestep_fs": 1.3}
    path = walker.trajectory(molecule, settings, np.random.default_rng(0))
    samples = np.array([next(path) for _ in range(600)])[100::10]
    variance = np.var(samples[:, ::2] - samples[:, 1::2])
    expected = walker.BOLTZMANN_IN_EV_PER_K * 400 / stiffness
    # 30,000 samples in 5,000 or more independent ones: two per cent.
    np.testing.assert_allclose(variance, expected, rtol=0.06)


def test_a_process_ends_when_nobody_reads_it(tmp_path):
    job = {"settings": SETTINGS, "walkers": [[0, 10**6]]}
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", walker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            json.dump(job, process.stdin)
            process.stdin.close()
            first = json.loads(process.stdout.readline())
            process.stdout.close()
            assert process.wait(timeout=60) == 1
        finally:
            process.kill()
    assert (first["walker"], first["index"]) == (0, 0)
