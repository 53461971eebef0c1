"""The process that samples and labels molecules: a script that ``equinet.data.xtb`` runs.

It reads one JSON object of settings from stdin and writes one JSON object a frame to stdout. It
needs nothing of equinet, so that it starts quickly, and ends when nobody reads it any more.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

HARTREE_IN_EV = 27.211386245988  # CODATA 2018
BOHR_IN_ANGSTROM = 0.529177210903  # CODATA 2018
BOLTZMANN_IN_EV_PER_K = 8.617333262e-5  # CODATA 2018
DALTON_IN_EV_FS2_PER_ANGSTROM2 = 103.642696562  # CODATA 2018


class Molecule:
    """A molecule in a first geometry, from its SMILES.

    Attributes:
        numbers: Atomic numbers, ``[atoms]``.
        masses: Masses in dalton, ``[atoms]``.
        positions: Positions in angstrom, ``[atoms, 3]``.
        charge: Total charge.
        unpaired: Number of unpaired electrons.

    Raises:
        ValueError: If the SMILES cannot be read or embedded.

    >>> Molecule("O", seed=1).numbers
    array([8, 1, 1])
    """

    def __init__(self, smiles: str, seed: int) -> None:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

        rdBase.DisableLog("rdApp.*")
        graph = Chem.MolFromSmiles(smiles)
        if graph is None or graph.GetNumAtoms() == 0:
            raise ValueError(f"got the molecule {smiles!r}, expected a SMILES string such as 'CCO'")
        graph = Chem.AddHs(graph)
        parameters = rdDistGeom.ETKDGv3()
        parameters.randomSeed = seed
        if rdDistGeom.EmbedMolecule(graph, parameters) != 0:
            raise ValueError(f"rdkit finds no geometry for the molecule {smiles!r}")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(graph):
            rdForceFieldHelpers.MMFFOptimizeMolecule(graph)
        else:
            rdForceFieldHelpers.UFFOptimizeMolecule(graph)
        self.numbers = np.array([atom.GetAtomicNum() for atom in graph.GetAtoms()])
        self.masses = np.array([atom.GetMass() for atom in graph.GetAtoms()])
        self.positions = graph.GetConformer().GetPositions()
        self.charge = Chem.GetFormalCharge(graph)
        self.unpaired = sum(atom.GetNumRadicalElectrons() for atom in graph.GetAtoms())


class TightBinding:
    """Energy and forces of a molecule by a tight-binding method of tblite.

    Args:
        molecule: The molecule.
        method: ``"GFN2-xTB"``, ``"GFN1-xTB"`` or ``"IPEA1-xTB"``.
        accuracy: tblite's accuracy; smaller is tighter, 1 its default.
        restart: Start each calculation from the last wavefunction. Quicker, but the result depends
            on the calculations before, within the accuracy.
    """

    def __init__(self, molecule: Molecule, method: str, *, accuracy: float, restart: bool) -> None:
        from tblite.interface import Calculator

        self._calculator = Calculator(
            method,
            molecule.numbers,
            molecule.positions / BOHR_IN_ANGSTROM,
            charge=float(molecule.charge),
            uhf=molecule.unpaired,
        )
        self._calculator.set("verbosity", 0)
        self._calculator.set("accuracy", accuracy)
        self._restart = restart
        self._last: Any = None

    def __call__(
        self, positions: Float[np.ndarray, "atoms 3"]
    ) -> tuple[float, Float[np.ndarray, "atoms 3"]]:
        """Returns the energy in eV and the forces in eV/angstrom."""
        self._calculator.update(positions / BOHR_IN_ANGSTROM)
        self._last = self._calculator.singlepoint(self._last if self._restart else None)
        energy = float(self._last.get("energy")) * HARTREE_IN_EV
        forces = -self._last.get("gradient") * (HARTREE_IN_EV / BOHR_IN_ANGSTROM)
        return energy, forces


def trajectory(
    molecule: Molecule, settings: Mapping[str, Any], rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "atoms 3"]]:
    r"""Yields the positions after every step of Langevin dynamics, centred.

    The BAOAB splitting: half a kick, half a drift, the exact Ornstein-Uhlenbeck step

    .. math:: v \leftarrow e^{-\gamma h} v + \sqrt{(1 - e^{-2 \gamma h})\, k T / m}\; \xi

    half a drift, half a kick. Its positions follow the canonical distribution far more closely than
    those of other schemes at the same time step.

    References:
        Leimkuhler and Matthews, arXiv:1203.5428, section 4.
    """
    forces_of = TightBinding(
        molecule, settings["method"], accuracy=settings["dynamics_accuracy"], restart=True
    )
    step = settings["timestep_fs"]
    mass = molecule.masses[:, None] * DALTON_IN_EV_FS2_PER_ANGSTROM2
    thermal = np.sqrt(BOLTZMANN_IN_EV_PER_K * settings["temperature_K"] / mass)
    decay = np.exp(-settings["friction_per_fs"] * step)
    noise = np.sqrt(1 - decay**2) * thermal
    x = molecule.positions
    v = thermal * rng.normal(size=x.shape)
    forces = forces_of(x)[1]
    while True:
        v = v + 0.5 * step * forces / mass
        x = x + 0.5 * step * v
        v = decay * v + noise * rng.normal(size=x.shape)
        x = x + 0.5 * step * v
        x = x - x.mean(axis=0)
        forces = forces_of(x)[1]
        v = v + 0.5 * step * forces / mass
        yield x


def walk(settings: Mapping[str, Any], walker: int, frames: int) -> Iterator[dict[str, Any]]:
    """Yields the frames of one independent trajectory; they depend on seed and walker alone.

    The dynamics converges its wavefunctions loosely. The labels are computed afresh and tightly, so
    that they depend on the positions alone.

    Raises:
        ValueError: If the molecule is not understood.
        RuntimeError: If a wavefunction does not converge.
    """
    rng = np.random.default_rng([settings["seed"], walker])
    molecule = Molecule(settings["molecule"], seed=int(rng.integers(2**31 - 1)))
    label = TightBinding(
        molecule, settings["method"], accuracy=settings["label_accuracy"], restart=False
    )
    path = trajectory(molecule, settings, rng)
    for _ in range(settings["equilibration_steps"]):
        next(path)
    for _ in range(frames):
        for _ in range(settings["spacing_steps"] - 1):
            next(path)
        positions = next(path)
        energy, forces = label(positions)
        yield {
            "numbers": molecule.numbers.tolist(),
            "positions": positions.tolist(),
            "energy": energy,
            "forces": forces.tolist(),
        }


def main() -> None:
    """Runs the walkers that stdin asks for; a failure is reported as a line of its own."""
    # Whatever a library prints to stdout must not end up between the frames.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    for walker, frames in job["walkers"]:
        try:
            for index, frame in enumerate(walk(job["settings"], walker, frames)):
                print(json.dumps({"walker": walker, "index": index, **frame}), file=out, flush=True)
        except BrokenPipeError:
            os._exit(1)
        except (ImportError, RuntimeError, ValueError) as error:
            failure = {"kind": type(error).__name__, "walker": walker, "error": str(error)}
            print(json.dumps(failure), file=out, flush=True)
            return


if __name__ == "__main__":
    main()
