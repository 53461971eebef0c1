"""A trained potential as an ASE calculator."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from flax import nnx

from equinet.data.atoms import Budget, Graph, ShapeCounter, collate, from_atoms, round_up, to_graph
from equinet.data.extras import require
from equinet.models import EnergyModel, potential_from_spec
from equinet.ops.graphs import GraphBatch
from equinet.training import load_best, load_model_spec, load_run

_calculator = require("ase.calculators.calculator")


def load_potential(workdir: str | Path) -> EnergyModel:
    """The best model of a training.

    Args:
        workdir: Folder of the training.

    Returns:
        The potential with its averaged parameters.

    Raises:
        FileNotFoundError: If the folder is not of a training, or has no model yet.
        ValueError: If it was made by another task, or its checkpoint is damaged.
    """
    load_run(workdir)  # a network of the user's own is importable after this
    spec = load_model_spec(workdir)
    if "model" not in spec:
        raise ValueError(
            f"{workdir} holds no potential: expected the folder of a training of potentials, such "
            f"as `equinet train --config=potential --workdir={workdir}` makes"
        )
    model = potential_from_spec(spec["model"])
    load_best(workdir, model)
    return model


def _compiled(model: EnergyModel, method: str) -> Callable[[GraphBatch], Any]:
    """A method of the model as a compiled function of the graph alone.

    The parameters are passed as a flat list: walking through the modules at every call would take
    longer than the forces of a small molecule.
    """
    leaves, structure = jax.tree.flatten(nnx.split(model))

    @jax.jit
    def function(leaves: list[jax.Array], graph: GraphBatch) -> Any:
        return getattr(nnx.merge(*jax.tree.unflatten(structure, leaves)), method)(graph)

    return lambda graph: function(leaves, graph)


class PotentialCalculator(_calculator.Calculator):
    """An ASE calculator of a potential: energy (eV), forces (eV/A) and stress (eV/A^3).

    Padded sizes are kept from call to call and grow in steps, so that a trajectory compiles once or
    twice; ``compilations`` counts them.

    Args:
        model: The potential.
        dtype: Type of the computation, ``"float32"`` or ``"float64"``.

    Raises:
        ValueError: When asked for an element that the potential was not trained on, or for the
            stress of something without a cell.

    >>> from ase.build import molecule
    >>> from equinet.models import Potential
    >>> model = Potential(("H", "O"), cutoff=4.0, lmax=1, channels=4, rngs=nnx.Rngs(0))
    >>> water = molecule("H2O", calculator=PotentialCalculator(model))
    >>> water.get_forces().shape
    (3, 3)
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self, model: EnergyModel, *, dtype: Literal["float32", "float64"] = "float32"
    ) -> None:
        super().__init__()
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        self.model, self.dtype = model, np.dtype(dtype)
        self._energy_and_forces = _compiled(model, "energy_and_forces")
        self._energy_forces_stress = _compiled(model, "energy_forces_stress")
        self._shapes = ShapeCounter()
        self._budget = Budget(nodes=1, degree=1, graphs=1)

    @classmethod
    def from_workdir(
        cls, workdir: str | Path, *, dtype: Literal["float32", "float64"] = "float32"
    ) -> "PotentialCalculator":
        """The calculator of the best model of a training."""
        return cls(load_potential(workdir), dtype=dtype)

    @property
    def compilations(self) -> int:
        """Number of distinct padded shapes so far."""
        return self._shapes.count

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = _calculator.all_changes,
    ) -> None:
        """Computes what ASE asks for; energy and forces are always computed together."""
        super().calculate(atoms, list(properties), list(system_changes))
        configuration = from_atoms(self.atoms, molecule=None)
        graph = to_graph(configuration, cutoff=self.model.cutoff, elements=self.model.elements)
        reference = self.model.reference_energy(graph.species)
        if "stress" in properties and not all(configuration.pbc):
            raise ValueError("stress needs a cell that is periodic in three directions")
        with jax.enable_x64(self.dtype == np.float64):
            batch = self._pad(graph)
            if "stress" in properties:
                energy, forces, stress = jax.device_get(self._energy_forces_stress(batch))
                voigt = require("ase.stress").full_3x3_to_voigt_6_stress
                self.results["stress"] = voigt(stress[0].astype(np.float64))
            else:
                energy, forces = jax.device_get(self._energy_and_forces(batch))
        total = float(energy[0]) + reference
        self.results |= {
            "energy": total,
            "free_energy": total,
            "forces": forces[: graph.num_nodes].astype(np.float64),
        }

    def _pad(self, graph: Graph) -> GraphBatch:
        fits = graph.num_nodes <= self._budget.nodes and graph.degree <= self._budget.degree
        if not fits:
            # One neighbour to spare: a vibration at the cutoff must not compile again.
            self._budget = round_up(
                max(graph.num_nodes, self._budget.nodes),
                max(min(graph.degree + 1, _most_neighbours(graph)), self._budget.degree, 1),
                1,
            )
        batch = collate([graph], range(1), shards=1, budget=self._budget, dtype=self.dtype)
        self._shapes.add(batch["graph"])
        return jax.tree.map(lambda x: x[0], batch["graph"])


def _most_neighbours(graph: Graph) -> int:
    """A number that no atom's neighbours exceed in a molecule; a crystal may have more."""
    return graph.degree + 1 if graph.cell.any() else max(graph.num_nodes - 1, graph.degree)
