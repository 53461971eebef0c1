"""Equivariant convolutions over the edges of a graph."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.clebsch_gordan import HIGHEST, ClebschGordanProduct
from equinet.ops.graph import GraphBatch, by_receiver, gather_senders, sum_receivers
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class ClebschGordanConvolution:
    r"""Sum over neighbours of the Clebsch-Gordan product with a filter.

    .. math:: z_i = \sum_{j} \sum_{paths} w_{path, c}\, \phi_c(r_{ij})\,
              \big( Y(\hat r_{ij}) \otimes x_j \big)^{path}_c

    The coupling does not depend on the neighbour, so the sum is taken first:
    ``density[i] = sum_j Y(r_ij) (phi(r_ij) * x_j)^T`` is one matrix product per node, and the paths
    are coupled once a node instead of once an edge. Work and memory per edge are those of
    ``phi * x_j`` alone, whatever the number of paths.

    Attributes:
        rep_in: Irreps of the node features.
        rep_edge: Irreps of the filter on the edges, e.g. spherical harmonics.
        rep_out: Irreps of the result.
        method: ``"summed"`` as above, or ``"naive"``: a product per edge, the reference.
        chunk_bytes: Bound on the bytes of messages in flight; None: all at once.

    Raises:
        ValueError: If no path exists, or the method is unknown.
    """

    rep_in: Irreps
    rep_edge: Irreps
    rep_out: Irreps
    method: str = "summed"
    chunk_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("rep_in", "rep_edge", "rep_out"):
            object.__setattr__(self, name, Irreps(getattr(self, name)))
        if self.method not in ("summed", "naive"):
            raise ValueError(f"unknown method {self.method!r}, expected 'summed' or 'naive'")
        _ = self.product  # raises where no path exists

    @property
    def product(self) -> ClebschGordanProduct:
        """The product of filter and feature."""
        return ClebschGordanProduct(self.rep_edge, self.rep_in, self.rep_out)

    @property
    def paths(self) -> tuple:
        """Every admissible triple of blocks (filter, feature, result)."""
        return self.product.paths

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        filters: Float[Array, "edges dim_edge"],
        radial: Float[Array, "edges channels"],
        weights: Float[Array, "paths channels"],
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels"]:
        """Convolve.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            filters: Angular part of the filter, ``[edges, rep_edge.dim]``.
            radial: Radial part, zero on empty slots, ``[edges, channels]``.
            weights: Path weights, ``[paths, channels]``.
            graph: Senders and slots.

        Returns:
            ``[nodes, rep_out.dim, channels]``.
        """
        if self.method == "naive":
            return self._naive(x, filters, radial, weights, graph)
        neighbours = by_receiver(gather_senders(x.reshape(x.shape[0], -1), graph), graph)
        filters, radial = by_receiver(filters, graph), by_receiver(radial, graph)
        chunk = graph.num_nodes
        if self.chunk_bytes is not None:
            row_bytes = graph.degree * self.rep_in.dim * x.shape[-1] * x.dtype.itemsize
            chunk = rows_per_chunk(graph.num_nodes, row_bytes, self.chunk_bytes)
        product, channels = self.product, x.shape[-1]

        def block(neighbours: Array, filters: Array, radial: Array) -> Array:
            nodes, degree = radial.shape[:2]
            messages = neighbours.reshape(nodes, degree, -1, channels) * radial[:, :, None, :]
            density = jnp.einsum(
                "njb,njx->nbx", filters, messages.reshape(nodes, degree, -1), precision=HIGHEST
            )
            return product.contract(density.reshape(nodes, -1, channels), weights)

        return map_chunks(block, chunk, neighbours, filters, radial)

    def _naive(
        self, x: Array, filters: Array, radial: Array, weights: Array, graph: GraphBatch
    ) -> Array:
        product = dataclasses.replace(self.product, method="naive")
        row_weights = radial[:, None, :] * weights[None]
        messages = product(filters[..., None], gather_senders(x, graph), row_weights)
        return sum_receivers(messages, graph)
