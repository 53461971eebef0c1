"""Sums of messages over the slots of every node, in chunks of nodes."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.ops.graphs.graph import GraphBatch, by_receiver


def sum_messages(
    messages: Any,
    row_numbers: int,
    x: Float[Array, "nodes dim_in channels_in"],
    edges: Any,
    radial: Float[Array, "edges num_radial channels_in"],
    graph: GraphBatch,
    chunk_bytes: int | None,
) -> Float[Array, "nodes dim_out channels_out"]:
    """Sums the messages of the senders over the slots of every node, a chunk of nodes at a time.

    Args:
        messages: Function of features, edge features and radial weights of some edges.
        row_numbers: Numbers held at a time for one edge.
        x: Node features.
        edges: Edge features, any tree of arrays.
        radial: Radial weights, zero on empty slots.
        graph: The batch.
        chunk_bytes: Bound on the bytes held at a time; None for all nodes at once.
    """
    slots = jax.tree.map(lambda leaf: by_receiver(leaf, graph), (graph.senders, edges, radial))
    chunk = graph.num_nodes
    if chunk_bytes is not None:
        row_bytes = graph.degree * row_numbers * x.dtype.itemsize
        chunk = rows_per_chunk(graph.num_nodes, row_bytes, chunk_bytes)

    def chunk_of_nodes(senders: Array, edges: Any, radial: Array) -> Array:
        nodes = senders.shape[0]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (edges, radial))
        result = messages(x[senders.reshape(-1)], *flat)
        wide = result.dtype if result.dtype.itemsize > 2 else jnp.dtype(jnp.float32)
        summed = result.reshape(nodes, graph.degree, -1).astype(wide).sum(1)
        return summed.reshape(nodes, *result.shape[1:]).astype(result.dtype)

    return map_chunks(chunk_of_nodes, chunk, *slots)
