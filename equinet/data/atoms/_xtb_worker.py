"""The process that samples and labels molecules: a script that ``equinet.data.atoms.xtb`` runs.

It reads one JSON object of settings from stdin and writes one JSON object for each configuration to
stdout. It does not import equinet, so that it starts quickly, and ends when its output is no longer
read.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float


class Molecule:
    """A molecule from its SMILES string, with an embedded and relaxed initial geometry.

    Attributes:
        numbers: Atomic numbers, ``[atoms]``.
        positions: Positions in angstrom, ``[atoms, 3]``.
        charge: Total charge.
        unpaired: Number of unpaired electrons.

    Raises:
        ValueError: If the SMILES string cannot be parsed or embedded.

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
        self.positions = graph.GetConformer().GetPositions()
        self.charge = Chem.GetFormalCharge(graph)
        self.unpaired = sum(atom.GetNumRadicalElectrons() for atom in graph.GetAtoms())


def tight_binding(method: str, molecule: Molecule, *, accuracy: float) -> Any:
    """The ASE calculator of tblite for a molecule, for labels that depend on the positions alone.

    Args:
        method: ``"GFN2-xTB"``, ``"GFN1-xTB"`` or ``"IPEA1-xTB"``.
        molecule: The molecule, whose charge and spin are used.
        accuracy: Accuracy of tblite; smaller values converge more tightly, its default is 1.
    """
    from tblite.ase import TBLite

    return TBLite(
        method=method,
        accuracy=accuracy,
        charge=float(molecule.charge),
        multiplicity=molecule.unpaired + 1,
        cache_api=False,
        verbosity=0,
    )


def restarting(method: str, molecule: Molecule, *, accuracy: float) -> Any:
    """An ASE calculator for the dynamics, which starts from the previous wavefunction.

    The calculator of tblite is equally exact, but its bookkeeping (all properties, all changes of
    the atoms) takes longer than the tight binding of a small molecule.
    """
    from ase.calculators.calculator import Calculator
    from ase.units import Bohr, Hartree
    from tblite.interface import Calculator as TightBinding

    class Restarting(Calculator):
        implemented_properties: ClassVar[list[str]] = ["energy", "forces"]
        last: Any = None

        def check_state(self, atoms: Any, tol: float = 0.0) -> list[str]:
            same = self.atoms is not None and np.array_equal(self.atoms.positions, atoms.positions)
            return [] if same else ["positions"]

        def calculate(self, atoms: Any = None, *args: Any) -> None:
            super().calculate(atoms, *args)
            binding.update(atoms.positions / Bohr)
            self.last = binding.singlepoint(self.last)
            energy, gradient = (self.last.get(name) for name in ("energy", "gradient"))
            self.results = {"energy": energy * Hartree, "forces": -gradient * (Hartree / Bohr)}

    binding = TightBinding(
        method,
        molecule.numbers,
        molecule.positions / Bohr,
        charge=float(molecule.charge),
        uhf=molecule.unpaired,
    )
    binding.set("verbosity", 0)
    binding.set("accuracy", accuracy)
    return Restarting()


def trajectory(
    molecule: Molecule, settings: Mapping[str, Any], rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "atoms 3"]]:
    """Yields positions in angstrom every ``spacing_steps`` steps of equilibrated Langevin dynamics.

    Initial velocities are drawn at the temperature, and the centre of mass is fixed.
    """
    import ase
    from ase.constraints import FixCom
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import thermalize_momenta
    from ase.units import fs

    atoms = ase.Atoms(numbers=molecule.numbers, positions=molecule.positions)
    atoms.set_constraint(FixCom())
    accuracy = settings["dynamics_accuracy"]
    atoms.calc = restarting(settings["method"], molecule, accuracy=accuracy)
    thermalize_momenta(atoms, temperature_K=settings["temperature_K"], rng=rng)
    dynamics = Langevin(
        atoms,
        timestep=settings["timestep_fs"] * fs,
        temperature_K=settings["temperature_K"],
        friction=settings["friction_per_fs"] / fs,
        fixcm=False,
        rng=rng,
    )
    dynamics.run(settings["equilibration_steps"])
    while True:
        dynamics.run(settings["spacing_steps"])
        yield atoms.get_positions() - atoms.get_positions().mean(axis=0)


def walk(settings: Mapping[str, Any], walker: int, configurations: int) -> Iterator[dict[str, Any]]:
    """Yields the configurations of one trajectory; they depend only on the seed and the walker.

    The wavefunctions of the dynamics are converged loosely. The labels are computed separately and
    tightly, so that they depend only on the positions.

    Raises:
        ValueError: If the SMILES string cannot be parsed.
        RuntimeError: If a wavefunction does not converge.
    """
    import ase

    rng = np.random.default_rng([settings["seed"], walker])
    molecule = Molecule(settings["molecule"], seed=int(rng.integers(2**31 - 1)))
    label = tight_binding(settings["method"], molecule, accuracy=settings["label_accuracy"])
    path = trajectory(molecule, settings, rng)
    for _ in range(configurations):
        atoms = ase.Atoms(numbers=molecule.numbers, positions=next(path), calculator=label)
        yield {
            "numbers": molecule.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces().tolist(),
        }


def main() -> None:
    """Runs the walkers in the job from stdin; a failure is reported as a separate line."""
    # What libraries print to stdout must not be mixed with the configurations.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    for walker, configurations in job["walkers"]:
        try:
            for index, configuration in enumerate(walk(job["settings"], walker, configurations)):
                print(
                    json.dumps({"walker": walker, "index": index, **configuration}),
                    file=out,
                    flush=True,
                )
        except BrokenPipeError:
            os._exit(1)
        except (ImportError, RuntimeError, ValueError) as error:
            failure = {"kind": type(error).__name__, "walker": walker, "error": str(error)}
            print(json.dumps(failure), file=out, flush=True)
            return


if __name__ == "__main__":
    main()
