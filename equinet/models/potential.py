"""Interatomic potentials: the NequIP and MACE family, and the table of all that there are."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.linalg import safe_norm
from equinet.models.energy import EnergyModel
from equinet.models.orientation_potential import OrientationPotential
from equinet.nn import (
    MLP,
    Linear,
    MessagePassing,
    ModuleOptions,
    RadialNetwork,
    edge_features,
)
from equinet.ops.graphs import GraphBatch, edge_vectors
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


class Potential(EnergyModel):
    r"""Energy of a molecule or crystal as a sum over its atoms.

    .. math:: E = \sum_i \Big( E^0_{z_i} + s \sum_t R_t\big(h_i^{(t)}\big) \Big), \quad
              h^{(t+1)} = \text{MessagePassing}_t(h^{(t)})

    :math:`h^{(0)}` embeds the element, the readouts :math:`R_t` are linear but the last, a small
    perceptron. ``correlation=1, gate=True`` is the NequIP family, ``correlation=2`` or 3 with
    ``gate=False`` the MACE family. The model itself computes the part without the reference
    energies :math:`E^0`: they are large, and are added on the host in float64.

    Args:
        elements: Chemical symbols, in the order of ``GraphBatch.species``.
        cutoff: Radius of the neighbourhood in angstrom.
        lmax: Highest degree of the filters, and of the hidden irreps if ``hidden`` is absent.
        channels: Number of channels.
        layers: Number of message-passing layers.
        hidden: Irreps between the layers; ``0e+1o+2e+...`` to ``lmax`` if absent.
        correlation: Highest power of the neighbourhood density in each layer.
        gate: Whether each layer ends with a gate.
        product: Which tensor product takes the powers.
        convolution: Which convolution sums over neighbours.
        radial_basis: ``"bessel"`` or ``"gaussian"``.
        num_radial: Functions of the radial basis.
        radial_hidden: Hidden widths of the radial network.
        radial_degree: Number of Chebyshev polynomials of the radial functions.
        readout_hidden: Hidden width of the last readout.
        average_neighbours: Mean number of neighbours in the training data.
        energy_scale: The scale s in eV, e.g. the RMS force of the training data times 1 angstrom.
        reference_energies: :math:`E^0` of each element in eV; zeros if absent.
        chunk_bytes: Bound on the bytes of messages in flight; None: all at once.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is out of range or an option is unknown.

    References:
        Batzner et al., arXiv:2101.03164 (2021); Batatia et al., arXiv:2206.07697 (2022).

    >>> model = Potential(("H", "O"), cutoff=4.0, lmax=1, channels=4, layers=1, rngs=nnx.Rngs(0))
    >>> model.spec()["elements"]
    ['H', 'O']
    """

    def __init__(
        self,
        elements: Sequence[str],
        *,
        cutoff: float = 5.0,
        lmax: int = 2,
        channels: int = 32,
        layers: int = 2,
        hidden: str | None = None,
        correlation: int = 2,
        gate: bool = False,
        product: str = "clebsch_gordan",
        convolution: str = "clebsch_gordan",
        radial_basis: str = "bessel",
        num_radial: int = 8,
        radial_hidden: Sequence[int] = (64, 64),
        radial_degree: int = 16,
        readout_hidden: int = 16,
        average_neighbours: float = 16.0,
        energy_scale: float = 1.0,
        reference_energies: Sequence[float] | None = None,
        chunk_bytes: int | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        hidden = str(_natural(lmax) if hidden is None else Irreps(hidden))
        super().__init__(locals(), rngs=rngs, options=options)
        spec = self.spec()
        _check(spec)
        self.lmax, self.convolution = lmax, convolution
        self.embedding = self.configure(rngs, options).kernel((len(elements), channels))
        self.radial = RadialNetwork(
            cutoff,
            layers * channels,
            basis=radial_basis,
            num_basis=num_radial,
            hidden=radial_hidden,
            degree=radial_degree,
            rngs=rngs,
            **options,
        )
        self.interactions = nnx.List(self._layers(spec, {"rngs": rngs, **options}))
        kept = [interaction.rep_out for interaction in self.interactions]
        scalars = Irreps("0e")
        self.readouts = nnx.List(
            [Linear(rep, scalars, channels, 1, rngs=rngs, **options) for rep in kept[:-1]]
        )
        width = channels * len(blocks(_scalars(kept[-1])))
        self.readout = MLP((width, readout_hidden, 1), rngs=rngs, **options)

    def _layers(self, spec: Mapping[str, Any], shared: dict[str, Any]) -> list[MessagePassing]:
        """The message-passing layers; the last keeps the scalars alone."""
        natural = _natural(self.lmax)
        rep_hidden, rep = Irreps(spec["hidden"]), Irreps("0e")
        names = ("average_neighbours", "correlation", "gate", "product", "convolution")
        layers = []
        for layer in range(spec["layers"]):
            rep_out = rep_hidden if layer < spec["layers"] - 1 else _scalars(rep_hidden)
            plain = spec["correlation"] == 1
            layers.append(
                MessagePassing(
                    rep,
                    rep_out,
                    spec["channels"],
                    rep_edge=natural,
                    rep_density=_with_gates(rep_out, spec["gate"]) if plain else natural,
                    num_types=len(self.elements),
                    chunk_bytes=spec["chunk_bytes"],
                    **{name: spec[name] for name in names},
                    **shared,
                )
            )
            rep = rep_out
        return layers

    def __call__(self, graph: GraphBatch) -> Float[Array, "nodes"]:
        """Energy of every atom in eV, without its reference energy; zero for padding."""
        dtype = self.dtype or graph.positions.dtype
        vectors = edge_vectors(graph, far=2 * self.cutoff)
        edges = edge_features(self.convolution, self._edge_degree(), vectors)
        distances = safe_norm(vectors)
        types = jax.nn.one_hot(graph.species, len(self.elements), dtype=dtype)
        x = jnp.matmul(types, self.embedding[...].astype(dtype))[:, None, :]
        energy = jnp.zeros(graph.num_nodes, dtype)
        radial = jnp.split(self.radial(distances), len(self.interactions), axis=-1)
        for layer, interaction in enumerate(self.interactions):
            x = interaction(x, types, edges, radial[layer], graph)
            if layer < len(self.readouts):
                energy = energy + self.readouts[layer](x)[:, 0, 0]
        scalars = [x[:, b.start, :] for b in blocks(interaction.rep_out) if (b.l, b.p) == (0, 1)]
        energy = energy + self.readout(jnp.concatenate(scalars, axis=-1))[:, 0]
        energy = energy.astype(graph.positions.dtype) * self.energy_scale
        return jnp.where(graph.node_mask, energy, 0)

    def _edge_degree(self) -> int:
        """Highest degree that any convolution turns or couples with."""
        return max(self.lmax, *(interaction.rep_in.lmax for interaction in self.interactions))


def _natural(lmax: int) -> Irreps:
    """``0e + 1o + 2e + ...``: the irreps of functions on the sphere."""
    return Irreps([(1, (l, (-1) ** l)) for l in range(lmax + 1)])


def _scalars(rep: Irreps) -> Irreps:
    count = sum((b.l, b.p) == (0, 1) for b in blocks(rep))
    return Irreps([(count, (0, 1))])


def _with_gates(rep: Irreps, gate: bool) -> Irreps:
    """What the density must hold for the update to be reached; gates are scalars."""
    has_scalar = any((b.l, b.p) == (0, 1) for b in blocks(rep))
    return rep if has_scalar or not gate else Irreps([(1, (0, 1)), *_pairs(rep)])


def _pairs(rep: Irreps) -> list[tuple[int, tuple[int, int]]]:
    return [(1, (b.l, b.p)) for b in blocks(rep)]


def _check(spec: Mapping[str, Any]) -> None:
    if spec["lmax"] < 0:
        raise ValueError(f"lmax must be at least 0, got {spec['lmax']}")
    if spec["layers"] < 1 or spec["channels"] < 1:
        raise ValueError(
            f"layers and channels must be at least 1, got {spec['layers']} and {spec['channels']}"
        )
    if not any((b.l, b.p) == (0, 1) for b in blocks(Irreps(spec["hidden"]))):
        raise ValueError(f"hidden irreps must hold 0e for the energy, got {spec['hidden']}")


POTENTIALS: dict[str, type[EnergyModel]] = {"irreps": Potential, "ponita": OrientationPotential}
"""The networks that a config chooses from by one word."""


def potential_class(network: str) -> type[EnergyModel]:
    """The class of a network: a key of ``POTENTIALS``, or ``"module:Class"`` of your own.

    Args:
        network: The key or the import path of a subclass of ``EnergyModel``.

    Raises:
        ValueError: If there is no such network.

    >>> potential_class("equinet.models.potential:Potential") is potential_class("irreps")
    True
    """
    if network in POTENTIALS:
        return POTENTIALS[network]
    module, colon, name = network.partition(":")
    if not colon:
        raise ValueError(
            f"unknown network {network!r}, expected one of {sorted(POTENTIALS)} or the import path "
            '"module:Class" of a subclass of EnergyModel'
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"no module {module!r} for the network {network!r}: expected an installed one, or one "
            "beside the config file"
        ) from error
    if not isinstance(found, type) or not issubclass(found, EnergyModel):
        raise ValueError(f"{network}: expected a subclass of EnergyModel, got {found!r}")
    return found


def potential_from_spec(spec: Mapping[str, Any], *, rngs: nnx.Rngs | None = None) -> EnergyModel:
    """A potential of any network, with fresh parameters.

    Args:
        spec: ``EnergyModel.spec``, and under ``"network"`` a key of ``POTENTIALS``; ``"irreps"``
            if absent.
        rngs: Key ``params``.

    Raises:
        ValueError: If the network is unknown or has no such argument, or what the network raises.

    >>> type(potential_from_spec({"network": "ponita", "elements": ["H"], "layers": 1})).__name__
    'OrientationPotential'
    """
    arguments = dict(spec)
    network = arguments.pop("network", "irreps")
    kind = potential_class(network)
    known = (*kind.argument_names(), *ModuleOptions.__annotations__)
    for name in arguments:
        if name not in known:
            owners = [key for key, k in POTENTIALS.items() if name in k.argument_names()]
            hint = f"it belongs to {' and '.join(owners)}" if owners else f"expected {known}"
            raise ValueError(f"{name!r} has no effect on the network {network!r}: {hint}")
    return kind.from_spec(arguments, rngs=rngs)
