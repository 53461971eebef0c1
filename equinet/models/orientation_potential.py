"""A potential of convolutions on positions and orientations: PONITA's energy of every atom."""

from collections.abc import Sequence
from typing import Unpack

import jax
from flax import nnx
from jaxtyping import Array, Float

from equinet.models.energy import EnergyModel
from equinet.models.ponita import PONITA, Visit
from equinet.nn import ModuleOptions
from equinet.ops.graphs import GraphBatch
from equinet.ops.orientations import grid_of_size

VARIANTS = ("separable", "positions")


class OrientationPotential(EnergyModel):
    r"""Energy of a molecule or crystal as a sum over its atoms, by PONITA.

    .. math:: E = \sum_i \big( E^0_{z_i} + s\, \mathrm{PONITA}(x, z)_i \big)

    The scalars that go in are the elements, one-hot; forces are the gradient. With ``"separable"``
    the energy is exactly invariant under translations and under the rotations (and reflections)
    that permute the grid of orientations, approximately under others: train it on rotated data.
    With ``"positions"`` there are no orientations and kernels of distances alone; that is exact.

    Args:
        elements: Chemical symbols, in the order of ``GraphBatch.species``.
        cutoff: Radius of the neighbourhood in angstrom.
        channels: Hidden channels.
        layers: Number of blocks.
        basis: Number of functions of the kernel basis.
        degree: Degree of the polynomials of invariants.
        orientations: Number of orientations of ``"separable"``; see ``grid_of_size``.
        resolution: Of ``"separable"``: degree of the polynomials on the disc of the cutoff that
            stand for the kernels, which must resolve a bond; None: perceptrons of every edge.
        widening: Hidden width of the blocks in channels.
        variant: ``"separable"`` or ``"positions"``.
        average_neighbours: Mean number of neighbours in the training data.
        energy_scale: The scale s in eV, e.g. the RMS force of the training data times 1 angstrom.
        reference_energies: :math:`E^0` of each element in eV; zeros if absent.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is out of range or the variant is unknown.

    References:
        Bekkers et al., arXiv:2310.02970 (2023).

    >>> sizes = {"cutoff": 4.0, "channels": 8, "basis": 8, "layers": 1, "orientations": 6}
    >>> model = OrientationPotential(("H", "O"), **sizes, rngs=nnx.Rngs(0))
    >>> model.network.grid, model.is_invariant
    (Grid(kind='octahedron', size=6), False)
    """

    def __init__(
        self,
        elements: Sequence[str],
        *,
        cutoff: float = 5.0,
        channels: int = 32,
        layers: int = 2,
        basis: int = 32,
        degree: int = 3,
        orientations: int = 12,
        resolution: int | None = None,
        widening: int = 4,
        variant: str = "separable",
        average_neighbours: float = 16.0,
        energy_scale: float = 1.0,
        reference_energies: Sequence[float] | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        super().__init__(locals(), rngs=rngs, options=options)
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}, expected one of {VARIANTS}")
        oriented = variant == "separable"
        if resolution is not None and not oriented:
            raise ValueError(
                f'resolution has no effect with variant "positions", got {resolution}: leave it out'
            )
        self.network = PONITA(
            *(len(self.elements), 0, 1, 0),
            grid=grid_of_size(orientations) if oriented else None,
            variant=variant,
            channels=channels,
            basis=basis,
            layers=layers,
            degree=degree,
            cutoff=self.cutoff,
            length=1.0,  # angstrom: a bond is about one
            resolution=resolution,
            widening=widening,
            average_neighbours=average_neighbours,
            rngs=rngs,
            **options,
        )

    @property
    def is_invariant(self) -> bool:
        """Whether the energy is invariant under all of O(3): without orientations."""
        return self.network.grid is None

    def __call__(self, graph: GraphBatch, *, visit: Visit | None = None) -> Float[Array, "nodes"]:
        """Energy of every atom in eV, without its reference energy; zero for padding.

        Args:
            graph: Atoms and their neighbours.
            visit: Of PONITA, for ``equinet.nn.position_orientation.calibrate``.
        """
        types = jax.nn.one_hot(graph.species, len(self.elements), dtype=graph.positions.dtype)
        energy = self.network.on_graph(graph, types, visit=visit)[0][:, 0]
        return energy.astype(graph.positions.dtype) * self.energy_scale
