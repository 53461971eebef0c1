"""Equivariant convolutions over the edges of a graph."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.edges._aligned_products import GauntInFrame, PathsInFrame
from equinet.ops.edges.rotations import Rotations, check_rotations, edge_rotations
from equinet.ops.edges.so2 import SO2Convolution
from equinet.ops.graphs import GraphBatch, by_receiver, gather_senders, sum_receivers
from equinet.ops.graphs._messages import sum_messages
from equinet.ops.products import ClebschGordanProduct, GauntProduct
from equinet.ops.products._paths import blocks
from equinet.ops.products.gaunt import gaunt_scale
from equinet.precision import HIGHEST
from equinet.reps import Irreps, spherical_harmonics


@dataclasses.dataclass(frozen=True)
class ClebschGordanConvolution:
    r"""Sum over neighbours of the Clebsch-Gordan product with a filter.

    .. math:: z_i = \sum_{j} \sum_{paths} w_{path, c}\, \phi_c(r_{ij})\,
              \big( Y(\hat r_{ij}) \otimes x_j \big)^{path}_c

    The coupling does not depend on the neighbour, so the sum is taken first:
    ``density[i] = sum_j Y(r_ij) (phi(r_ij) * x_j)^T`` is one matrix product per node, and the paths
    are coupled once a node instead of once an edge. Work and memory per edge are those of
    ``phi * x_j`` alone, whatever the number of paths.

    With radial weights for every path, :math:`w_{path, c}(r_{ij})`, that is not possible. Then
    every message is computed in the frame of its edge, where a path couples m with m and -m only.

    Attributes:
        rep_in: Irreps of the node features.
        rep_edge: Irreps of the filter on the edges, e.g. spherical harmonics.
        rep_out: Irreps of the result.
        method: ``"summed"`` as above, or ``"naive"``: a product per edge, the reference, whose
            edge features are the harmonics.
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

    @property
    def num_radial(self) -> int:
        """Radial weights of an edge, where they are not shared: one for each path."""
        return len(self.paths)

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: exact, so zero."""
        return 0.0

    @property
    def flops(self) -> int:
        """Operations of a message with weights of its own, for one channel."""
        return self._in_frame.flops

    @property
    def bytes_moved(self) -> int:
        """Bytes of feature, weights and message in float32, for one edge and channel."""
        return 4 * (self.rep_in.dim + self.num_radial + self.rep_out.dim)

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Any:
        """What messages need of the directions; any layer of no higher degree can share it.

        Args:
            vectors: From receiver to sender, ``[edges, 3]``.

        Returns:
            The rotations into the frames of the edges; for ``method="naive"`` the harmonics
            ``[edges, rep_edge.dim]``.
        """
        if self.method == "naive":
            return _harmonics(self.rep_edge, vectors)
        return _rotations(self, vectors)

    def messages(
        self,
        x: Float[Array, "edges dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges paths channels"],
        weights: None = None,
    ) -> Float[Array, "edges dim_out channels"]:
        """The message of every edge, with path weights of its own.

        Args:
            x: Features of the senders, ``[edges, rep_in.dim, channels]``.
            edges: From ``edge_features``.
            radial: Path weights of every edge, ``[edges, paths, channels]``.
            weights: None: there are no others.

        Returns:
            ``[edges, rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        if self.method == "naive":
            product = dataclasses.replace(self.product, method="naive")
            return product(edges[..., None], x, radial)
        return _messages(self, self._in_frame, x, edges, radial)

    @property
    def _in_frame(self) -> PathsInFrame:
        return PathsInFrame(self.rep_in, self.rep_edge, self.rep_out)

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges *paths channels"],
        weights: Float[Array, "paths channels"] | None,
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels"]:
        """Convolve.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            edges: With path weights shared by all edges the angular part of the filter,
                ``[edges, rep_edge.dim]``; with those of every edge the ``edge_features``.
            radial: Radial part, zero on empty slots: ``[edges, channels]``, or
                ``[edges, paths, channels]``.
            weights: Path weights, ``[paths, channels]``, or None where ``radial`` has them.
            graph: Senders and slots.

        Returns:
            ``[nodes, rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        if weights is None:
            row = _numbers(self) * x.shape[-1]
            return sum_messages(self.messages, row, x, edges, radial, graph, self.chunk_bytes)
        filters = edges
        if self.method == "naive":
            return self._naive(x, filters, radial, weights, graph)
        slots = (by_receiver(a, graph) for a in (graph.senders, filters, radial))
        chunk = graph.num_nodes
        if self.chunk_bytes is not None:
            row_bytes = graph.degree * self.rep_in.dim * x.shape[-1] * x.dtype.itemsize
            chunk = rows_per_chunk(graph.num_nodes, row_bytes, self.chunk_bytes)
        product, channels = self.product, x.shape[-1]

        def block(senders: Array, filters: Array, radial: Array) -> Array:
            nodes, degree = radial.shape[:2]
            neighbours = x[senders.reshape(-1)].reshape(nodes, degree, -1, channels)
            messages = neighbours * radial[:, :, None, :]
            density = jnp.einsum(
                "njb,njx->nbx", filters, messages.reshape(nodes, degree, -1), precision=HIGHEST
            )
            return product.contract(density.reshape(nodes, -1, channels), weights)

        return map_chunks(block, chunk, *slots)

    def _naive(
        self, x: Array, filters: Array, radial: Array, weights: Array, graph: GraphBatch
    ) -> Array:
        product = dataclasses.replace(self.product, method="naive")
        row_weights = radial[:, None, :] * weights[None]
        messages = product(filters[..., None], gather_senders(x, graph), row_weights)
        return sum_receivers(messages, graph)


@dataclasses.dataclass(frozen=True)
class GauntConvolution:
    r"""Sum over neighbours of Gaunt products with a filter of spherical harmonics.

    .. math:: z_i = \sum_j \mathrm{Gaunt}\big( x_j, Y(\hat r_{ij});\ w(r_{ij}) \big)

    In the frame of the edge the filter is a function of the angle to the edge alone. The product is
    then diagonal in m: a Legendre transform for every order, a product at the nodes, and back.

    Attributes:
        rep_in: Irreps of the node features, each degree at most once, of natural parity.
        rep_edge: Irreps of the filter on the edges, likewise.
        rep_out: Irreps of the result, likewise.
        chunk_bytes: Bound on the bytes of messages in flight; None: all at once.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice, or no path exists.

    References:
        Luo, Chen, Krishnapriyan, arXiv:2401.10216 (2024), section 3.3, convolutions.

    >>> convolution = GauntConvolution("0e+1o", "0e+1o+2e", "0e+1o")
    >>> edges = convolution.edge_features(jnp.ones((5, 3)))
    >>> radial = jnp.ones((5, convolution.num_radial, 8))
    >>> convolution.messages(jnp.ones((5, 4, 8)), edges, radial).shape
    (5, 4, 8)
    """

    rep_in: Irreps
    rep_edge: Irreps
    rep_out: Irreps
    chunk_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("rep_in", "rep_edge", "rep_out"):
            object.__setattr__(self, name, Irreps(getattr(self, name)))
        _ = self.product  # raises where it cannot exist

    @property
    def product(self) -> GauntProduct:
        """The product of feature and filter."""
        return GauntProduct(self.rep_in, self.rep_edge, self.rep_out)

    @property
    def paths(self) -> tuple:
        """The triples of blocks (feature, filter, result) that it contains."""
        return self.product.paths

    @property
    def num_radial(self) -> int:
        """Radial weights of an edge: one for each degree of feature, filter and result."""
        return self.product.num_weights

    num_weights = num_radial

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: the quadrature is exact, so zero."""
        return 0.0

    @property
    def flops(self) -> int:
        """Operations of a message, for one channel."""
        return self._in_frame.flops

    @property
    def bytes_moved(self) -> int:
        """Bytes of feature, weights and message in float32, for one edge and channel."""
        return 4 * (self.rep_in.dim + self.num_radial + self.rep_out.dim)

    @property
    def _in_frame(self) -> GauntInFrame:
        return GauntInFrame(self.rep_in, self.rep_edge, self.rep_out)

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Rotations:
        """The rotations into the frames of the edges, ``[edges, 3]``."""
        return _rotations(self, vectors)

    def messages(
        self,
        x: Float[Array, "edges dim_in channels"],
        edges: Rotations,
        radial: Float[Array, "edges num_radial channels"],
        weights: None = None,
    ) -> Float[Array, "edges dim_out channels"]:
        """The message of every edge.

        Args:
            x: Features of the senders, ``[edges, rep_in.dim, channels]``.
            edges: From ``edge_features``.
            radial: Weights of the degrees of feature, filter and result,
                ``[edges, num_radial, channels]``.
            weights: None: there are no others.

        Returns:
            ``[edges, rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        z = _messages(self, self._in_frame, x, edges, radial)
        scale = gaunt_scale(self.rep_in, self.rep_edge, self.rep_out)
        return z * jnp.asarray(scale, z.dtype)[None]

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        edges: Rotations,
        radial: Float[Array, "edges num_radial channels"],
        weights: None,
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels"]:
        """Convolve: messages from the senders, summed over the slots of every node.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            edges: From ``edge_features``.
            radial: As for ``messages``, zero on empty slots.
            weights: None: there are no others.
            graph: Senders and slots.

        Returns:
            ``[nodes, rep_out.dim, channels]``.
        """
        row = _numbers(self) * x.shape[-1]
        return sum_messages(self.messages, row, x, edges, radial, graph, self.chunk_bytes)


CONVOLUTIONS = {
    "clebsch_gordan": ClebschGordanConvolution,
    "so2": SO2Convolution,
    "gaunt": GauntConvolution,
}


def _rotations(convolution: Any, vectors: Array) -> Rotations:
    highest = convolution.rep_in.lmax, convolution.rep_out.lmax
    return edge_rotations(max(highest), vectors, min(highest))


def _numbers(convolution: Any) -> int:
    """Numbers in flight for one edge and channel."""
    return 2 * (convolution.rep_in.dim + convolution.rep_out.dim + convolution.num_radial)


def _messages(convolution: Any, product: Any, x: Array, edges: Rotations, radial: Array) -> Array:
    """Into the frame, multiply there with components and lanes, and back; in blocks of edges."""
    shape = (x.shape[0], convolution.rep_in.dim, x.shape[-1])
    if x.shape != shape:
        raise ValueError(f"x must have shape [edges, {shape[1]}, channels], got {x.shape}")
    if radial.shape != (shape[0], convolution.num_radial, shape[2]):
        raise ValueError(
            f"radial must have shape {(shape[0], convolution.num_radial, shape[2])}, "
            f"got {radial.shape}"
        )
    highest = convolution.rep_in.lmax, convolution.rep_out.lmax
    check_rotations(edges, shape[0], max(highest), min(highest))
    first, last = product.rows

    def some_edges(x: Array, edges: Rotations, radial: Array) -> Array:
        lanes = radial.astype(x.dtype).swapaxes(0, 1).reshape(radial.shape[1], -1)
        turned = first.rotate(edges, x)
        z = product.multiply(turned.reshape(turned.shape[0], -1), lanes)
        return last.rotate_back(edges, z.reshape(z.shape[0], *x.shape[::2]))

    block = rows_per_chunk(shape[0], 2 * _numbers(convolution) * shape[2] * x.dtype.itemsize)
    return map_chunks(some_edges, block, x, edges, radial)


def _harmonics(rep: Irreps, vectors: Array) -> Array:
    """The harmonics of every irrep by its degree."""
    harmonics = spherical_harmonics(rep.lmax, vectors)
    return jnp.concatenate([harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in blocks(rep)], axis=1)
