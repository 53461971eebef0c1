"""Clebsch-Gordan convolutions: tensor products with spherical harmonics of the edges."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.edges._aligned_products import AlignedPaths
from equinet.ops.edges._base import (
    ConvolutionBase,
    aligned_messages,
    check_count,
    set_irreps,
    weigh_radial,
)
from equinet.ops.graphs import GraphBatch, by_receiver
from equinet.ops.products import ClebschGordanProduct
from equinet.ops.products._paths import Path, blocks
from equinet.precision import HIGHEST, floating
from equinet.reps import Irreps, spherical_harmonics

_METHODS = ("summed", "aligned", "naive")


@dataclasses.dataclass(frozen=True)
class ClebschGordanConvolution(ConvolutionBase):
    r"""Sum over neighbours of the Clebsch-Gordan product with spherical harmonics of the edge.

    .. math:: z_i = \sum_{j} \sum_{paths} w_{path, c}\, \phi_{path, c}(r_{ij})\,
              \big( Y(\hat r_{ij}) \otimes x_j \big)^{path}_c

    The three methods compute the same map:

    - ``"summed"``: one radial function a channel, :math:`\phi_c`. The coupling does not depend on
      the neighbour, so the sum is taken first: the density
      :math:`\sum_j Y(\hat r_{ij}) (\phi(r_{ij}) \odot x_j)^T` is one small matrix product for each
      node, and the paths are coupled once for each node. Work and memory for each edge do not
      depend on the number of paths.
    - ``"aligned"``: a radial function for every path. Every message is computed after a rotation
      that aligns its edge with the polar axis, where a path couples m with m and -m only.
    - ``"naive"``: one product for each edge, the reference, with either kind of radial functions.

    Attributes:
        rep_in: Irreps of the node features.
        rep_edge: Irreps of the filter; each copy is filled by the harmonics of its degree.
        rep_out: Irreps of the result.
        method: ``"summed"``, ``"aligned"`` or ``"naive"``.
        chunk_bytes: Bound on the bytes of messages held at a time; None for all at once.

    Raises:
        ValueError: If no path exists, the groups differ, or the method is unknown.

    References:
        Thomas et al., arXiv:1802.08219 (2018). Aligned edges: Passaro, Zitnick, arXiv:2302.03655
        (2023).

    >>> convolution = ClebschGordanConvolution("0e+1o", "0e+1o", "0e+1o", method="aligned")
    >>> edges = convolution.edge_features(jnp.ones((5, 3)))
    >>> radial = jnp.ones((5, convolution.num_radial, 8))
    >>> convolution.messages(jnp.ones((5, 4, 8)), edges, radial).shape
    (5, 4, 8)
    """

    rep_in: Irreps
    rep_edge: Irreps
    rep_out: Irreps
    method: str = "summed"
    chunk_bytes: int | None = None

    def __post_init__(self) -> None:
        set_irreps(self, "rep_in", "rep_edge", "rep_out")
        if self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {_METHODS}")
        _ = self.product  # raises where no path exists

    @property
    def product(self) -> ClebschGordanProduct:
        """The product of filter and feature."""
        method = "naive" if self.method == "naive" else "blocked"
        return ClebschGordanProduct(self.rep_edge, self.rep_in, self.rep_out, method=method)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The triples of copies of irreps (filter, feature, result) that are coupled."""
        return self.product.paths

    @property
    def num_radial(self) -> int:
        """Radial functions of a channel: one, or one for each path."""
        return 1 if self.method == "summed" else len(self.paths)

    @property
    def num_weights(self) -> int:
        """Weights of a channel that all edges share: one for each path."""
        return len(self.paths)

    @property
    def flops(self) -> int:
        """Operations of an aligned message, for one channel."""
        return self._aligned.flops

    @property
    def _aligned(self) -> AlignedPaths:
        return AlignedPaths(self.rep_in, self.rep_edge, self.rep_out)

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Any:
        """Functions of the directions of the edges that the messages need.

        A convolution accepts the edge features of any other one with the same method whose degrees
        are at least as high, so that the layers of a network share them.

        Args:
            vectors: From receiver to sender, any length, ``[edges, 3]``.

        Returns:
            The spherical harmonics of degrees 0 to lmax, ``[edges, (lmax + 1)**2]``; for
            ``method="aligned"`` the rotations that align the edges with the polar axis.
        """
        if self.method == "aligned":
            return super().edge_features(vectors)
        return spherical_harmonics(self.rep_edge.lmax, vectors)

    def _check_edges(self, edges: Any, count: int) -> None:
        if self.method == "aligned":
            return super()._check_edges(edges, count)
        if not hasattr(edges, "shape") or edges.shape[-1] < (self.rep_edge.lmax + 1) ** 2:
            raise ValueError(
                f"edges must be harmonics of degrees 0 to {self.rep_edge.lmax}, "
                f"[edges, {(self.rep_edge.lmax + 1) ** 2}], as edge_features gives; got "
                f"{getattr(edges, 'shape', type(edges).__name__)}"
            )
        return check_count(edges, count)

    def _filters(self, harmonics: Array) -> Float[Array, "edges dim_edge"]:
        """The harmonics of the degree of every copy of an irrep of the filter."""
        copies = blocks(self.rep_edge)
        if [b.start for b in copies] == [b.l**2 for b in copies]:
            return harmonics[:, : self.rep_edge.dim]
        return jnp.concatenate([harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in copies], axis=1)

    def _message(self, x: Array, edges: Any, radial: Array, weights: Array | None) -> Array:
        weighed = weigh_radial(radial, weights, len(self.paths), x.dtype)
        if self.method == "aligned":
            return aligned_messages(self, self._aligned, x, edges, weighed)
        return self.product(self._filters(edges)[..., None], x, weighed)

    def _convolve(
        self, x: Array, edges: Any, radial: Array, graph: GraphBatch, weights: Array | None
    ) -> Array:
        if self.method != "summed":
            return super()._convolve(x, edges, radial, graph, weights)
        edge_count = graph.senders.shape[0]
        self._check_edges(edges, edge_count)
        channels = x.shape[-1]
        if radial.shape != (edge_count, 1, channels):
            raise ValueError(
                f"radial must have shape {(edge_count, 1, channels)}, got {radial.shape}; for a "
                "function of every path use method='aligned'"
            )
        if weights is None:
            weights = jnp.ones((len(self.paths), channels), x.dtype)
        filters = self._filters(edges)
        slots = [by_receiver(a, graph) for a in (graph.senders, filters, radial[:, 0])]
        chunk = graph.num_nodes
        if self.chunk_bytes is not None:
            row_bytes = graph.degree * self.rep_in.dim * channels * x.dtype.itemsize
            chunk = rows_per_chunk(graph.num_nodes, row_bytes, self.chunk_bytes)
        product, shared = self.product, floating(weights).astype(x.dtype)

        def some_nodes(senders: Array, filters: Array, radial: Array) -> Array:
            nodes, degree = radial.shape[:2]
            neighbours = x[senders.reshape(-1)].reshape(nodes, degree, -1, channels)
            messages = neighbours * radial[:, :, None, :]
            density = jnp.einsum(
                "njb,njx->nbx", filters, messages.reshape(nodes, degree, -1), precision=HIGHEST
            )
            return product.contract(density.reshape(nodes, -1, channels), shared)

        return map_chunks(some_nodes, chunk, *slots)
