"""Graphs in slots: one padded layout, in which a sum over neighbours is a reshape and a sum."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equinet.chunks import map_chunks, rows_per_chunk


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GraphBatch:
    """A padded batch of graphs whose edges lie in slots, ``degree`` of them per receiver.

    Edge ``e`` points from ``senders[e]`` to ``receivers[e] = e // degree``; its vector is
    ``positions[sender] + shifts @ cell - positions[receiver]``. A slot without an edge is a self
    loop with ``edge_mask`` False. ``reverse[e]`` is the slot of the opposite edge (sender and
    receiver exchanged, shift negated), so that a sum over *senders* is a gather followed by the
    same reshape and sum: no scatter, and a result that no order of execution changes.

    Attributes:
        positions: Node positions in angstrom, ``[nodes, 3]``.
        species: Index into the model's table of elements, ``[nodes]``.
        senders: Neighbour of each slot, ``[edges]`` with ``edges = nodes * degree``.
        receivers: Owner of each slot, sorted, ``[edges]``.
        reverse: Slot of the opposite edge; an empty slot names itself, ``[edges]``.
        shifts: Lattice translation in units of the cell vectors, ``[edges, 3]``.
        cell: Rows are the cell vectors, zeros for a molecule, ``[graphs, 3, 3]``.
        graph_index: Graph of each node, sorted, ``[nodes]``.
        node_mask: False for padding nodes, ``[nodes]``.
        edge_mask: False for empty slots, ``[edges]``.
        graph_mask: False for padding graphs, ``[graphs]``.
    """

    positions: Float[Array, "*shards nodes 3"]
    species: Int[Array, "*shards nodes"]
    senders: Int[Array, "*shards edges"]
    receivers: Int[Array, "*shards edges"]
    reverse: Int[Array, "*shards edges"]
    shifts: Float[Array, "*shards edges 3"]
    cell: Float[Array, "*shards graphs 3 3"]
    graph_index: Int[Array, "*shards nodes"]
    node_mask: Bool[Array, "*shards nodes"]
    edge_mask: Bool[Array, "*shards edges"]
    graph_mask: Bool[Array, "*shards graphs"]

    @property
    def num_nodes(self) -> int:
        """Number of node slots, padding included."""
        return self.species.shape[-1]

    @property
    def num_graphs(self) -> int:
        """Number of graph slots, padding included."""
        return self.graph_mask.shape[-1]

    @property
    def degree(self) -> int:
        """Number of edge slots of each node."""
        return self.senders.shape[-1] // self.num_nodes


def gather_senders(
    x: Float[Array, "nodes *rest"], graph: GraphBatch
) -> Float[Array, "edges *rest"]:
    """What each receiver's neighbours hold: ``x[senders]``. Empty slots repeat their own node."""
    return x[graph.senders]


def edge_vectors(graph: GraphBatch, far: float) -> Float[Array, "edges 3"]:
    """Vectors from receiver to sender; empty slots get a constant vector of length ``far``.

    Args:
        graph: The batch; ``shifts`` are in units of the cell vectors.
        far: Length given to empty slots: beyond the cutoff they count for nothing, and no
            function of them is at a singular point.

    Returns:
        ``x_sender + shift @ cell - x_receiver`` in the unit of the positions.
    """
    offsets = graph.positions[graph.senders] - jnp.repeat(graph.positions, graph.degree, axis=0)
    lattice = graph.cell[graph.graph_index]
    lattice = jnp.repeat(lattice, graph.degree, axis=0)
    shifts = jnp.einsum("ea,eab->eb", graph.shifts, lattice, precision=jax.lax.Precision.HIGHEST)
    empty = jnp.zeros_like(offsets).at[:, 0].set(far)
    return jnp.where(graph.edge_mask[:, None], offsets + shifts, empty)


def by_receiver(
    x: Float[Array, "edges *rest"], graph: GraphBatch
) -> Float[Array, "nodes degree *rest"]:
    """The slots of every node as an axis of their own."""
    return x.reshape(graph.num_nodes, graph.degree, *x.shape[1:])


def _mask_slots(x: Array, graph: GraphBatch) -> Array:
    mask = by_receiver(graph.edge_mask, graph)
    return mask.reshape(mask.shape + (1,) * (x.ndim - 1))


def sum_receivers(x: Float[Array, "edges *rest"], graph: GraphBatch) -> Float[Array, "nodes *rest"]:
    """Sum over the neighbours of every node; empty slots count zero.

    Accumulates in float32 if ``x`` has a shorter type.
    """
    short = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    wide = x.astype(jnp.float32) if short else x
    total = jnp.where(_mask_slots(x, graph), by_receiver(wide, graph), 0).sum(1)
    return total.astype(x.dtype)


def sum_senders(x: Float[Array, "edges *rest"], graph: GraphBatch) -> Float[Array, "nodes *rest"]:
    """Sum over the edges that leave every node, by way of the opposite edges; no scatter."""
    mask = graph.edge_mask.reshape((-1,) + (1,) * (x.ndim - 1))
    return sum_receivers(jnp.where(mask, x, 0)[graph.reverse], graph)


def mean_receivers(
    x: Float[Array, "edges *rest"], graph: GraphBatch
) -> Float[Array, "nodes *rest"]:
    """Mean over the neighbours of every node; zero for a node without neighbours."""
    count = by_receiver(graph.edge_mask, graph).sum(1).astype(x.dtype)
    count = jnp.maximum(count, 1).reshape((-1,) + (1,) * (x.ndim - 1))
    return sum_receivers(x, graph) / count


def max_receivers(x: Float[Array, "edges *rest"], graph: GraphBatch) -> Float[Array, "nodes *rest"]:
    """Largest value among the neighbours of every node; zero for a node without neighbours."""
    mask = _mask_slots(x, graph)
    largest = jnp.where(mask, by_receiver(x, graph), -jnp.inf).max(1)
    return jnp.where(mask.any(1), largest, 0)


def softmax_receivers(
    logits: Float[Array, "edges *rest"], graph: GraphBatch
) -> Float[Array, "edges *rest"]:
    """Softmax over the neighbours of every node: attention weights; zero on empty slots."""
    mask = _mask_slots(logits, graph)
    slots = by_receiver(logits, graph)
    largest = jax.lax.stop_gradient(jnp.where(mask, slots, -jnp.inf).max(1, keepdims=True))
    shifted = jnp.where(mask, slots - jnp.where(jnp.isfinite(largest), largest, 0), 0)
    weights = jnp.where(mask, jnp.exp(shifted), 0)
    total = weights.sum(1, keepdims=True)
    return (weights / jnp.where(total == 0, 1, total)).reshape(logits.shape)


def sum_graphs(x: Float[Array, "nodes *rest"], graph: GraphBatch) -> Float[Array, "graphs *rest"]:
    """Sum over the nodes of every graph; padding nodes count zero.

    One product with the membership matrix: deterministic on every backend, where a scatter of many
    rows into few is neither that nor fast.
    """
    member = graph.graph_index[None, :] == jnp.arange(graph.num_graphs, dtype=jnp.int32)[:, None]
    member = (member & graph.node_mask[None, :]).astype(x.dtype)
    return jnp.tensordot(member, x, axes=1, precision=jax.lax.Precision.HIGHEST)


def sum_messages(
    messages: Any,
    row_numbers: int,
    x: Float[Array, "nodes dim_in channels_in"],
    edges: Any,
    radial: Float[Array, "edges num_radial channels_in"],
    graph: GraphBatch,
    chunk_bytes: int | None,
) -> Float[Array, "nodes dim_out channels_out"]:
    """Messages of the senders summed over the slots of every node, a block of nodes at a time.

    Args:
        messages: Takes features, edge features and radial weights of some edges.
        row_numbers: Numbers in flight for one edge.
        x: Node features.
        edges: Edge features, any tree of arrays.
        radial: Radial weights, zero on empty slots.
        graph: Senders and slots.
        chunk_bytes: Bound on the bytes in flight; None: all at once.
    """
    slots = jax.tree.map(lambda leaf: by_receiver(leaf, graph), (graph.senders, edges, radial))
    chunk = graph.num_nodes
    if chunk_bytes is not None:
        row_bytes = graph.degree * row_numbers * x.dtype.itemsize
        chunk = rows_per_chunk(graph.num_nodes, row_bytes, chunk_bytes)

    def block(senders: Array, edges: Any, radial: Array) -> Array:
        nodes = senders.shape[0]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (edges, radial))
        found = messages(x[senders.reshape(-1)], *flat)
        wide = found.dtype if found.dtype.itemsize > 2 else jnp.dtype(jnp.float32)
        summed = found.reshape(nodes, graph.degree, -1).astype(wide).sum(1)
        return summed.reshape(nodes, *found.shape[1:]).astype(found.dtype)

    return map_chunks(block, chunk, *slots)
