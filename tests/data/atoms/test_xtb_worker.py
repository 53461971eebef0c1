import json
import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from tblite.ase import TBLite

from equinet.data.atoms import _xtb_worker as walker

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
    configuration = list(walker.walk(SETTINGS, 0, 2))[-1]
    atoms = Atoms(configuration["numbers"], configuration["positions"])
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    np.testing.assert_allclose(configuration["energy"], atoms.get_potential_energy(), rtol=1e-7)
    np.testing.assert_allclose(configuration["forces"], atoms.get_forces(), atol=1e-5)


def test_forces_are_the_slope_of_the_energy():
    molecule = walker.Molecule("O", seed=1)
    x = molecule.positions + 0.05 * np.random.default_rng(0).normal(size=(3, 3))
    atoms = Atoms(molecule.numbers, x)
    atoms.calc = walker.tight_binding("GFN2-xTB", molecule, accuracy=0.01)
    forces = atoms.get_forces()

    def energy(positions):
        atoms.positions = positions
        return atoms.get_potential_energy()

    step = 1e-3 * np.eye(9).reshape(9, 3, 3)
    slope = [(energy(x + h) - energy(x - h)) / 2e-3 for h in step]
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


def test_a_trajectory_moves_about_a_centre_at_rest():
    molecule = walker.Molecule("O", seed=1)
    path = walker.trajectory(molecule, SETTINGS, np.random.default_rng(0))
    first, second = next(path), next(path)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-12)
    assert 1e-3 < np.abs(second - first).max() < 0.5


def test_charge_and_spin_reach_both_calculators_and_they_agree():
    ion = walker.Molecule("[NH4+]", seed=3)
    radical = walker.Molecule("[CH3]", seed=3)
    for molecule, charge, multiplicity in ((ion, 1, 1), (radical, 0, 2)):
        label = walker.tight_binding("GFN2-xTB", molecule, accuracy=0.01)
        assert (label.parameters["charge"], label.parameters["multiplicity"]) == (
            charge,
            multiplicity,
        )
        atoms = [
            Atoms(molecule.numbers, molecule.positions, calculator=c)
            for c in (label, walker.restarting("GFN2-xTB", molecule, accuracy=0.01))
        ]
        np.testing.assert_allclose(*(a.get_forces() for a in atoms), atol=1e-5)


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
