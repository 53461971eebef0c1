"""A message-passing layer: convolution over neighbours, body-order expansion, residual."""

import math
from typing import Unpack

from flax import nnx
from jaxtyping import Array, Float, PyTree

from equinet.nn.activations import Gate
from equinet.nn.convolution import Convolution
from equinet.nn.linear import Linear
from equinet.nn.module import Module, ModuleOptions
from equinet.nn.product import BodyOrderExpansion
from equinet.ops.graphs import GraphBatch
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


class MessagePassing(Module):
    r"""One equivariant message-passing layer.

    .. math:: A_i = L_A \frac{1}{\bar n} \sum_j \phi(r_{ij})\,
              (Y(\hat r_{ij}) \otimes L_u h_j), \quad
              h_i' = \gamma\Big( \frac{P(A_i) + L_{z_i} h_i}{\sqrt 2} \Big)

    L are equivariant linear maps, :math:`L_z` a separate one for every node type, P the body-order
    expansion to power ``correlation`` and :math:`\gamma` a gate (``gate=True``) or the identity.
    With ``correlation=1`` and a gate this is the layer of NequIP, with ``correlation=3`` and no
    gate the layer of MACE.

    Args:
        rep_in: Irreps of the node features.
        rep_out: Irreps of the new node features.
        channels: Number of channels.
        rep_edge: Irreps of the filters on the edges.
        rep_density: Irreps of the density A.
        num_types: Number of node types.
        average_neighbours: Typical number of neighbours :math:`\bar n`. The messages of neighbours
            are correlated, so their sum grows with their number and not with its square root.
        correlation: Highest power of the density.
        gate: Whether a gate follows.
        product: Tensor product of the powers, a key of ``equinet.ops.products.PRODUCTS``.
        convolution: Convolution over the neighbours, a key of ``equinet.ops.edges.CONVOLUTIONS``.
        chunk_bytes: Bound on the bytes of messages that are in memory at once; None for no bound.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the convolution or product is unknown, or no path exists.

    References:
        Batzner et al., arXiv:2101.03164 (2021); Batatia et al., arXiv:2206.07697 (2022).

    >>> import jax
    >>> rep = Irreps("0e+1o")
    >>> sizes = {"num_types": 2, "average_neighbours": 4.0}
    >>> sizes |= {"rep_edge": rep, "rep_density": rep}
    >>> layer = MessagePassing(rep, rep, 8, **sizes, rngs=nnx.Rngs(0))
    >>> layer.gate.rep_in, layer.skip.num_types
    (Irreps("2x0e+1o"), 2)
    """

    def __init__(
        self,
        rep_in: Irreps,
        rep_out: Irreps,
        channels: int,
        *,
        rep_edge: Irreps,
        rep_density: Irreps,
        num_types: int,
        average_neighbours: float,
        correlation: int = 1,
        gate: bool = True,
        product: str = "clebsch_gordan",
        convolution: str = "clebsch_gordan",
        chunk_bytes: int | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.rep_in, self.rep_out = Irreps(rep_in), Irreps(rep_out)
        self.scale = 1 / max(average_neighbours, 1.0)
        self.gate = Gate(self.rep_out, rngs=rngs, **options) if gate else None
        rep_update = self.rep_out if self.gate is None else self.gate.rep_in
        assert isinstance(rep_update, Irreps)  # a gate of irreps takes irreps
        rep_edge, rep_density = _used(self.rep_in, Irreps(rep_edge), Irreps(rep_density))
        self.convolution = Convolution(
            self.rep_in,
            rep_edge,
            rep_density,
            channels,
            kind=convolution,
            chunk_bytes=chunk_bytes,
            rngs=rngs,
            **options,
        )
        sizes = (channels, channels)
        self.linear_up = Linear(self.rep_in, self.rep_in, *sizes, rngs=rngs, **options)
        self.linear_density = (
            Linear(rep_density, rep_density, *sizes, rngs=rngs, **options)
            if correlation > 1
            else None
        )
        self.expansion = BodyOrderExpansion(
            rep_density,
            rep_update,
            channels,
            correlation=correlation,
            num_types=num_types,
            product=product,
            rngs=rngs,
            **options,
        )
        self.skip = Linear(
            self.rep_in, rep_update, *sizes, num_types=num_types, rngs=rngs, **options
        )

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        types: Float[Array, "nodes num_types"],
        edges: PyTree[Array],
        radial: Float[Array, "edges channels"],
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels"]:
        """Update the node features.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            types: One-hot node types, ``[nodes, num_types]``.
            edges: The result of ``equinet.nn.edge_features`` for this convolution.
            radial: Radial filters, ``[edges, channels]``, zero on empty slots.
            graph: The graph of the edges.

        Returns:
            ``[nodes, rep_out.dim, channels]``.
        """
        x, types, radial = self.cast(x, types, radial)
        density = self.convolution(self.linear_up(x), edges, radial, graph) * self.scale
        if self.linear_density is not None:
            density = self.linear_density(density)
        update = (self.expansion(density, types) + self.skip(x, types)) * math.sqrt(0.5)
        return update if self.gate is None else self.gate(update)


def _used(rep_in: Irreps, rep_edge: Irreps, rep: Irreps) -> tuple[Irreps, Irreps]:
    """The irreps of the filter and of the result that occur in some path."""
    paths = [
        (j, c)
        for j, b in enumerate(blocks(rep_edge))
        for c in blocks(rep)
        if any(abs(a.l - b.l) <= c.l <= a.l + b.l and a.p * b.p == c.p for a in blocks(rep_in))
    ]
    last, used = max((j for j, _ in paths), default=-1), {c for _, c in paths}
    edge = [(1, (b.l, b.p)) for b in blocks(rep_edge)[: last + 1]]
    kept = [(1, (c.l, c.p)) for c in blocks(rep) if c in used]
    return Irreps(edge, group=rep.group), Irreps(kept, group=rep.group)
