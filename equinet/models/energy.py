"""What every potential shares: energies of graphs, and the forces and stress that follow."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.ops.graphs import GraphBatch, sum_graphs


class EnergyModel(nnx.Module):
    r"""A potential: a network that gives every atom an energy.

    .. math:: E = \sum_i \big( E^0_{z_i} + \epsilon_i \big), \quad F = -\frac{dE}{dx}

    A subclass computes :math:`\epsilon_i` in its call, in eV, zero for padding, and lists in
    ``words`` the arguments of its constructor that are its architecture and its scale. The
    reference energies :math:`E^0` are large: the model leaves them out, and they are added on the
    host in float64.

    Args:
        words: Values of all ``words`` of the subclass, among them ``elements``, ``cutoff``,
            ``energy_scale`` and ``reference_energies`` (None: zeros); others are left out.

    Raises:
        ValueError: If the elements are not distinct, or not each has its reference energy.
    """

    words: ClassVar[tuple[str, ...]] = ("elements", "cutoff", "energy_scale", "reference_energies")

    def __init__(self, words: Mapping[str, Any]) -> None:
        elements = tuple(words["elements"])
        references = tuple(words["reference_energies"] or (0.0,) * len(elements))
        if not elements or len(set(elements)) != len(elements):
            raise ValueError(f"elements must be distinct chemical symbols, got {elements}")
        if len(references) != len(elements):
            raise ValueError(
                f"reference_energies must hold one number for each of {len(elements)} elements, "
                f"got {len(references)}"
            )
        own = {"elements": elements, "reference_energies": references}
        self._spec: dict[str, Any] = {name: words[name] for name in self.words} | own
        self.elements, self.reference_energies = elements, references
        self.cutoff, self.energy_scale = float(words["cutoff"]), float(words["energy_scale"])

    @abc.abstractmethod
    def __call__(self, graph: GraphBatch) -> Float[Array, "nodes"]:
        """Energy of every atom in eV, without its reference energy; zero for padding."""

    @property
    def is_invariant(self) -> bool:
        """Whether the energy is invariant under all of O(3); else only approximately."""
        return True

    def spec(self) -> dict[str, Any]:
        """Constructor arguments that rebuild the model, as JSON takes them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self._spec.items()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, rngs: nnx.Rngs | None = None) -> Self:
        """A model of the same architecture, with fresh parameters."""
        build: Any = cls
        return build(**spec, rngs=rngs or nnx.Rngs(0))

    def energy(self, graph: GraphBatch) -> Float[Array, "graphs"]:
        """Energy of every graph in eV, without the reference energies."""
        return sum_graphs(self(graph), graph)

    def energy_and_forces(
        self, graph: GraphBatch
    ) -> tuple[Float[Array, "graphs"], Float[Array, "nodes 3"]]:
        """Energies in eV and forces ``-dE/dx`` in eV/angstrom."""

        def total(positions: Array) -> tuple[Array, Array]:
            energy = self.energy(dataclasses.replace(graph, positions=positions))
            return energy.sum(), energy

        gradient, energy = jax.grad(total, has_aux=True)(graph.positions)
        return energy, -gradient

    def energy_forces_stress(
        self, graph: GraphBatch
    ) -> tuple[Float[Array, "graphs"], Float[Array, "nodes 3"], Float[Array, "graphs 3 3"]]:
        r"""Energies, forces and stress :math:`\sigma = \frac{1}{V} \frac{dE}{d\epsilon}` in eV/A^3.

        The strain acts as :math:`x \mapsto (1 + \epsilon) x` on positions and cell. The stress of
        a graph without a cell is zero.
        """

        def total(positions: Array, strain: Array) -> tuple[Array, Array]:
            strain = (strain + jnp.swapaxes(strain, -1, -2)) / 2
            energy = self.energy(_strained(dataclasses.replace(graph, positions=positions), strain))
            return energy.sum(), energy

        (gradient, virial), energy = jax.grad(total, argnums=(0, 1), has_aux=True)(
            graph.positions, jnp.zeros_like(graph.cell)
        )
        volume = jnp.abs(jnp.linalg.det(graph.cell))
        volume = jnp.where(volume > 0, volume, jnp.inf)
        return energy, -gradient, virial / volume[:, None, None]

    def reference_energy(self, species: np.ndarray) -> float:
        """Sum of the reference energies of one structure in eV, in float64 on the host."""
        return float(np.asarray(self.reference_energies, np.float64)[species].sum())


def _strained(graph: GraphBatch, strain: Array) -> GraphBatch:
    """Positions and cell after the strain of their graph."""
    highest = jax.lax.Precision.HIGHEST
    positions, node_strain = graph.positions, strain[graph.graph_index]
    moved = jnp.einsum("na,nab->nb", positions, node_strain, precision=highest)
    cell = graph.cell + jnp.einsum("gca,gab->gcb", graph.cell, strain, precision=highest)
    return dataclasses.replace(graph, positions=positions + moved, cell=cell)
