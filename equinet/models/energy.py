"""What every potential shares: energies of graphs, and the forces and stress that follow."""

import abc
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn import Module, ModuleOptions
from equinet.nn.module import precision_name
from equinet.ops.graphs import GraphBatch, sum_graphs


class EnergyModel(Module):
    r"""A potential: a network that gives every atom an energy.

    .. math:: E = \sum_i \big( E^0_{z_i} + \epsilon_i \big), \quad F = -\frac{dE}{dx}

    A subclass computes :math:`\epsilon_i` in its call, in eV, zero for padding. The reference
    energies :math:`E^0` are large: the model leaves them out, and they are added on the host in
    float64.

    **The contract of a subclass.** Its constructor takes ``elements``, ``cutoff`` (angstrom),
    ``energy_scale`` (eV) and ``reference_energies`` (eV; None: zeros) among its arguments, further
    arguments that JSON can hold, ``rngs`` and ``ModuleOptions``; it begins with
    ``super().__init__(locals(), rngs=rngs, options=options)``, which stores the arguments for
    ``spec``. Nothing else is asked: the calculator, dynamics and training work with any subclass.
    A config names it by ``"module:Class"``.

    Args:
        arguments: Values of all arguments of the subclass's constructor, by name; other names
            are ignored, so that ``locals()`` serves.
        rngs: Random keys, of which the stream ``params`` is used.
        options: The options of the module.

    Raises:
        ValueError: If the elements are not distinct, or not each has its reference energy.

    >>> import jax.numpy as jnp
    >>> class Uniform(EnergyModel):
    ...     def __init__(self, elements, *, cutoff=5.0, energy_scale=1.0, reference_energies=None,
    ...                  rngs, **options):
    ...         super().__init__(locals(), rngs=rngs, options=options)
    ...     def __call__(self, graph):
    ...         return jnp.where(graph.node_mask, self.energy_scale, 0.0)
    >>> Uniform(("H",), energy_scale=2.0, rngs=nnx.Rngs(0)).spec()["energy_scale"]
    2.0
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        rngs: nnx.Rngs | None = None,
        options: ModuleOptions | None = None,
    ) -> None:
        self.configure(rngs, options or {})
        elements = tuple(arguments["elements"])
        references = tuple(arguments["reference_energies"] or (0.0,) * len(elements))
        if not elements or len(set(elements)) != len(elements):
            raise ValueError(f"elements must be distinct chemical symbols, got {elements}")
        if len(references) != len(elements):
            raise ValueError(
                f"reference_energies must hold one number for each of {len(elements)} elements, "
                f"got {len(references)}"
            )
        own = {"elements": elements, "reference_energies": references}
        stored = {name: _frozen(arguments[name]) for name in self.argument_names()} | own
        # A tuple, not a dict: the structure of a module must have a hash.
        self._spec: tuple[tuple[str, Any], ...] = (*stored.items(), *_stored(options or {}).items())
        self.elements, self.reference_energies = elements, references
        self.cutoff = float(arguments["cutoff"])
        self.energy_scale = float(arguments["energy_scale"])

    @classmethod
    def argument_names(cls) -> tuple[str, ...]:
        """Names of the constructor's arguments that describe the architecture and the scale."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        return tuple(name for name in named if name != "rngs")

    @abc.abstractmethod
    def __call__(self, graph: GraphBatch) -> Float[Array, "nodes"]:
        """Energy of every atom in eV, without its reference energy; zero for padding."""

    @property
    def is_invariant(self) -> bool:
        """Whether the energy is invariant under all of O(3); else only approximately."""
        return True

    def spec(self) -> dict[str, Any]:
        """Constructor arguments that rebuild the model, as JSON takes them.

        Types and precision are among them where they are not the defaults; initialisers and
        metadata, which say how parameters are first made, are not.
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self._spec}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, rngs: nnx.Rngs | None = None) -> Self:
        """A model of the same architecture, with fresh parameters.

        Args:
            spec: What ``spec`` returned.
            rngs: Random keys; None: those of seed 0.

        Raises:
            TypeError: If the constructor has no such argument; the error names similar ones.
        """
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


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _stored(options: ModuleOptions) -> dict[str, str]:
    """The types and the precision by their names, where they are not the defaults."""
    dtype, precision = options.get("dtype"), precision_name(options.get("precision"))
    stored = {"param_dtype": jnp.dtype(options.get("param_dtype", jnp.float32)).name}
    stored = {} if stored["param_dtype"] == "float32" else stored
    stored |= {} if dtype is None else {"dtype": jnp.dtype(dtype).name}
    return stored | ({} if precision is None else {"precision": precision})


def _strained(graph: GraphBatch, strain: Array) -> GraphBatch:
    """Positions and cell after the strain of their graph."""
    highest = jax.lax.Precision.HIGHEST
    positions, node_strain = graph.positions, strain[graph.graph_index]
    moved = jnp.einsum("na,nab->nb", positions, node_strain, precision=highest)
    cell = graph.cell + jnp.einsum("gca,gab->gcb", graph.cell, strain, precision=highest)
    return dataclasses.replace(graph, positions=positions + moved, cell=cell)
