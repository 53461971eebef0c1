"""What all convolutions over edges share: their signature, checks, chunks and shardings."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet._sharding import keep_sharding
from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.edges._aligned_rows import check_rotations
from equinet.ops.edges.rotations import Rotations, edge_rotations
from equinet.ops.graphs import GraphBatch
from equinet.ops.graphs._messages import sum_messages
from equinet.ops.products._base import irreps_of_one_group
from equinet.precision import floating
from equinet.reps import Irreps


class ConvolutionBase:
    """A sum over neighbours of equivariant messages; subclasses say which.

    A subclass is a frozen dataclass with these attributes as fields, the property ``num_radial``
    and the method ``_message``.

    Attributes:
        rep_in: Irreps of the node features.
        rep_out: Irreps of the result.
        chunk_bytes: Bound on the bytes of messages held at a time; None for all at once.
    """

    rep_in: Irreps
    rep_out: Irreps
    chunk_bytes: int | None

    @property
    def num_radial(self) -> int:
        """Number of radial functions of a channel."""
        raise NotImplementedError

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding; zero, since the messages are exact."""
        return 0.0

    @property
    def bytes_moved(self) -> int:
        """Bytes of feature, radial weights and message in float32, for one edge and channel."""
        return 4 * (self.rep_in.dim + self.num_radial + self.rep_out.dim)

    @property
    def _orders(self) -> int:
        """Highest order m that the rotations need."""
        return min(self.rep_in.lmax, self.rep_out.lmax)

    def _numbers(self, channels: int) -> int:
        """Numbers held at a time for one edge."""
        return 2 * (self.rep_in.dim + self.rep_out.dim + self.num_radial) * channels

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Any:
        """Functions of the directions of the edges that the messages need.

        A convolution accepts the edge features of any other one of the same kind whose degrees are
        at least as high, so that the layers of a network share them.

        Args:
            vectors: From receiver to sender, any length, ``[edges, 3]``.

        Returns:
            The rotations that align the edges with the polar axis.
        """
        return edge_rotations(max(self.rep_in.lmax, self.rep_out.lmax), vectors, self._orders)

    def messages(
        self,
        x: Float[Array, "edges dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges num_radial channels"],
        weights: Any = None,
    ) -> Float[Array, "edges dim_out channels_out"]:
        """The message of every edge.

        Args:
            x: Features of the senders, ``[edges, rep_in.dim, channels]``.
            edges: From ``edge_features``.
            radial: Weights that depend on the edge, ``[edges, num_radial, channels]``, or
                ``[edges, 1, channels]`` for one function of the distance.
            weights: Weights that all edges share; ones if absent.

        Returns:
            ``[edges, rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        x, radial = floating(x), floating(radial)
        self._check(x, edges, radial, weights)
        if x.shape[0] == 0:
            return jnp.zeros((0, self.rep_out.dim, self._channels_out(x)), x.dtype)
        return keep_sharding(
            self._message, x, edges, radial, weights, ndim=3, mixed=(-2, -1), like=(x,)
        )

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges num_radial channels"],
        graph: GraphBatch,
        weights: Any = None,
    ) -> Float[Array, "nodes dim_out channels_out"]:
        """Convolves: the messages of the senders, summed over the slots of every node.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            edges: From ``edge_features``.
            radial: Weights that depend on the edge, zero on empty slots, as for ``messages``.
            graph: Senders and slots.
            weights: Weights that all edges share; ones if absent.

        Returns:
            ``[nodes, rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        x, radial = floating(x), floating(radial)
        return keep_sharding(
            self._convolve,
            x,
            edges,
            radial,
            graph,
            weights,
            ndim=3,
            mixed=(-2, -1),
            like=(x,),
        )

    def _convolve(
        self, x: Array, edges: Any, radial: Array, graph: GraphBatch, weights: Any
    ) -> Array:
        def messages(x: Array, edges: Any, radial: Array) -> Array:
            return self.messages(x, edges, radial, weights)

        numbers = self._numbers(x.shape[-1])
        return sum_messages(messages, numbers, x, edges, radial, graph, self.chunk_bytes)

    def _message(self, x: Array, edges: Any, radial: Array, weights: Any) -> Array:
        """The messages of checked arrays."""
        raise NotImplementedError

    def _channels_out(self, x: Array) -> int:
        return x.shape[-1]

    def _check(self, x: Array, edges: Any, radial: Array, weights: Any) -> None:
        """Raises a ValueError where a shape does not fit."""
        shape = (x.shape[0], self.rep_in.dim, x.shape[-1])
        if x.shape != shape:
            raise ValueError(f"x must have shape [edges, {shape[1]}, channels], got {x.shape}")
        check_radial(radial, shape[0], self.num_radial, shape[2])
        self._check_edges(edges, shape[0])

    def _check_edges(self, edges: Any, count: int) -> None:
        check_rotations(edges, count, max(self.rep_in.lmax, self.rep_out.lmax), self._orders)


def check_radial(radial: Array, edges: int, num_radial: int, channels: int) -> None:
    """Refuses radial weights of another shape.

    Raises:
        ValueError: If the shape is neither of the two.
    """
    shape = (edges, num_radial, channels)
    if radial.shape not in (shape, (edges, 1, channels)):
        raise ValueError(
            f"radial must have shape {shape}, or {(edges, 1, channels)} for one function that all "
            f"weights share, got {radial.shape}"
        )


def weigh_radial(radial: Array, weights: Array | None, num_radial: int, dtype: Any) -> Array:
    """Radial weights times the weights that all edges share, ``[edges, num_radial, channels]``.

    Raises:
        ValueError: If the shared weights have another shape.
    """
    edges, _, channels = radial.shape
    radial = jnp.broadcast_to(radial.astype(dtype), (edges, num_radial, channels))
    if weights is None:
        return radial
    if weights.shape != (num_radial, channels):
        raise ValueError(f"weights must have shape {(num_radial, channels)}, got {weights.shape}")
    return radial * weights.astype(dtype)[None]


def aligned_messages(
    convolution: Any, product: Any, x: Array, edges: Rotations, radial: Array
) -> Array:
    """Rotates features so that the edge is the polar axis, multiplies there, and rotates back.

    Blocks of edges run one after another, so that temporaries stay in cache.
    """
    first, last = product.rows

    def some_edges(x: Array, edges: Rotations, radial: Array) -> Array:
        count, _, channels = x.shape
        batch = radial.swapaxes(0, 1).reshape(radial.shape[1], count * channels)
        aligned = first.rotate(edges, x)
        z = product.multiply(aligned.reshape(aligned.shape[0], count * channels), batch)
        return last.rotate_back(edges, z.reshape(z.shape[0], count, channels))

    row_bytes = 2 * convolution._numbers(x.shape[-1]) * x.dtype.itemsize
    return map_chunks(some_edges, rows_per_chunk(x.shape[0], row_bytes), x, edges, radial)


def check_count(edges: Any, count: int) -> None:
    """Refuses edge features of another number of edges.

    Raises:
        ValueError: If the numbers differ.
    """
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(edges)}
    if sizes != {count}:
        raise ValueError(f"got edge features of {sorted(sizes)} edges for {count} edges")


def set_irreps(convolution: Any, *names: str) -> tuple[Irreps, ...]:
    """Converts the fields of these names to irreps of one group.

    Raises:
        ValueError: If the groups differ.
    """
    reps = irreps_of_one_group(*(getattr(convolution, name) for name in names))
    for name, rep in zip(names, reps, strict=True):
        object.__setattr__(convolution, name, rep)
    return reps
