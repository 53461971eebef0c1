"""Graphs in slots: one padded layout, in which a sum over neighbours is a reshape and a sum."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Num

from equinet.ops.graphs._edge_list import arrange_edges, slots_of_edges
from equinet.precision import HIGHEST


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class GraphBatch:
    """A padded batch of graphs whose edges lie in slots, ``degree`` of them for each receiver.

    Edge ``e`` points from ``senders[e]`` to ``receivers[e] = e // degree``; its vector is
    ``positions[sender] + shifts @ cell - positions[receiver]``. A slot without an edge is a self
    loop with ``edge_mask`` False. ``reverse[e]`` is the slot of the opposite edge (sender and
    receiver exchanged, shift negated), so that a sum over *senders* is a gather followed by a
    reshape and a sum: it needs no scatter, and its result depends on no order of execution.

    ``GraphBatch.from_edges`` makes a batch from an ordinary edge list. All arrays may have leading
    axes, such as one for the shards of a batch.

    Attributes:
        positions: Node positions in angstrom, ``[nodes, 3]``.
        species: Index into the model's table of elements, ``[nodes]``.
        senders: Neighbour of each slot, ``[edges]`` with ``edges = nodes * degree``.
        receivers: Node to which each slot belongs, ``[edges]``: ``e // degree`` for slot e.
        reverse: Slot of the opposite edge, ``[edges]``. An empty slot names itself, or a real edge
            that leaves its node and has no opposite edge.
        shifts: Lattice translation in units of the cell vectors, ``[edges, 3]``.
        cell: Rows are the cell vectors, zeros for a molecule, ``[graphs, 3, 3]``.
        graph_index: Graph of each node, sorted, ``[nodes]``.
        node_mask: False for padding nodes, ``[nodes]``.
        edge_mask: False for empty slots, ``[edges]``.
        graph_mask: False for padding graphs, ``[graphs]``.

    Raises:
        ValueError: If ``receivers`` are not those of the slots. Tracers are not checked.
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

    def __post_init__(self) -> None:
        nodes, receivers = self.species.shape[-1], self.receivers
        if isinstance(receivers, Tracer) or not isinstance(receivers, jax.Array | np.ndarray):
            return
        if isinstance(receivers, jax.Array) and not receivers.is_fully_addressable:
            return
        edges = receivers.shape[-1]
        owners = np.repeat(np.arange(nodes), edges // nodes if nodes else 0)
        if len(owners) != edges or not (np.asarray(receivers) == owners).all():
            raise ValueError(
                f"got receivers that are not those of the slots: with {edges} slots for {nodes} "
                "nodes, slot e must have the receiver e // degree, degree = edges / nodes. For an "
                "ordinary edge list use GraphBatch.from_edges(senders, receivers, num_nodes=...)"
            )

    @classmethod
    def from_edges(
        cls,
        senders: Int[np.ndarray, "list"],
        receivers: Int[np.ndarray, "list"],
        *,
        num_nodes: int | None = None,
        positions: Float[np.ndarray, "n 3"] | None = None,
        shifts: Num[np.ndarray, "list 3"] | None = None,
        cell: Float[np.ndarray, "*g 3 3"] | None = None,
        species: Int[np.ndarray, "n"] | None = None,
        graph_index: Int[np.ndarray, "n"] | None = None,
        pad_nodes: int | None = None,
        pad_degree: int | None = None,
        pad_graphs: int | None = None,
    ) -> "GraphBatch":
        """Makes a batch from an edge list in any order, with any number of edges at each node.

        Works on the host, outside of ``jax.jit``. The values of the edges, such as bond types, are
        brought into the slots by ``edges_to_slots``. Edges without an opposite edge are allowed:
        each takes an empty slot of its sender, so that sums over senders stay exact.

        Args:
            senders: Node at which each edge starts, ``[list]``.
            receivers: Node at which each edge ends, where messages are summed, ``[list]``.
            num_nodes: Number of nodes n; not needed with positions, species or a graph index.
            positions: Positions of the nodes in angstrom, ``[n, 3]``; zeros if not given.
            shifts: Lattice translation of each sender in units of the cell vectors, whole numbers,
                ``[list, 3]``; zeros if not given.
            cell: Cell vectors in rows, ``[3, 3]`` or for every graph ``[graphs, 3, 3]``.
            species: Index of each node's kind, ``[n]``; zeros if not given.
            graph_index: Graph of each node, sorted, ``[n]``; one graph if not given.
            pad_nodes: Number of nodes after padding; None for no padding.
            pad_degree: Number of slots of each node; None for the fewest that hold all edges.
            pad_graphs: Number of graphs after padding; None for no padding.

        Raises:
            ValueError: If shapes do not fit, a node or graph does not exist, or the padding is
                too small.

        Example:
            >>> graph = GraphBatch.from_edges([1, 2, 0], [0, 0, 1], num_nodes=3)
            >>> graph.degree, sum_receivers(jnp.ones(graph.senders.shape), graph).tolist()
            (2, [2.0, 1.0, 0.0])
        """
        arrays = arrange_edges(
            senders,
            receivers,
            num_nodes=num_nodes,
            positions=positions,
            shifts=shifts,
            cell=cell,
            species=species,
            graph_index=graph_index,
            padding=(pad_nodes, pad_degree, pad_graphs),
        )
        return cls(**{name: jnp.asarray(array) for name, array in arrays.items()})

    def tree_flatten_with_keys(self) -> tuple[list, None]:
        """The arrays with their names, for ``jax.tree_util``."""
        return [(jax.tree_util.GetAttrKey(n), getattr(self, n)) for n in _FIELDS], None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Any) -> "GraphBatch":
        """The batch of these leaves, without the checks of the constructor."""
        batch = object.__new__(cls)
        for name, leaf in zip(_FIELDS, leaves, strict=True):
            object.__setattr__(batch, name, leaf)
        return batch

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


_FIELDS = tuple(field.name for field in dataclasses.fields(GraphBatch))


def edges_to_slots(
    values: Num[Array, "list *rest"],
    receivers: Int[np.ndarray, "list"],
    graph: GraphBatch,
) -> Num[Array, "edges *rest"]:
    """Brings values of an edge list into the slots of the batch that was made from that list.

    Args:
        values: A row for each edge of the list.
        receivers: The receivers of the list, as given to ``GraphBatch.from_edges``.
        graph: The batch made from the list.

    Returns:
        A row for each slot, zeros on empty slots.

    Raises:
        ValueError: If the list does not fit into the slots.

    Example:
        >>> receivers = [1, 0, 0]
        >>> graph = GraphBatch.from_edges([0, 1, 2], receivers, num_nodes=3)
        >>> edges_to_slots(jnp.array([10.0, 20.0, 30.0]), receivers, graph).tolist()
        [20.0, 30.0, 10.0, 0.0, 0.0, 0.0]
    """
    values = jnp.asarray(values)
    slots = slots_of_edges(np.asarray(receivers), graph.num_nodes, graph.degree)
    if len(slots) != len(values):
        raise ValueError(f"got {len(values)} values for {len(slots)} edges, expected one for each")
    empty = jnp.zeros((graph.num_nodes * graph.degree, *values.shape[1:]), values.dtype)
    return empty.at[slots].set(values)


def gather_senders(
    x: Float[Array, "nodes *rest"], graph: GraphBatch
) -> Float[Array, "edges *rest"]:
    """The features of the sender of every slot, ``x[senders]``; an empty slot repeats its node."""
    return x[graph.senders]


def edge_vectors(graph: GraphBatch, far: float) -> Float[Array, "edges 3"]:
    """Vectors from receiver to sender; empty slots get a constant vector of length ``far``.

    Args:
        graph: The batch; ``shifts`` are in units of the cell vectors.
        far: Length of the vector of empty slots, longer than the cutoff, so that radial functions
            vanish there and no function is taken at a singular point.

    Returns:
        ``x_sender + shift @ cell - x_receiver`` in the unit of the positions.
    """
    offsets = graph.positions[graph.senders] - jnp.repeat(graph.positions, graph.degree, axis=0)
    lattice = graph.cell[graph.graph_index]
    lattice = jnp.repeat(lattice, graph.degree, axis=0)
    shifts = jnp.einsum("ea,eab->eb", graph.shifts, lattice, precision=HIGHEST)
    empty = jnp.zeros_like(offsets).at[:, 0].set(far)
    return jnp.where(graph.edge_mask[:, None], offsets + shifts, empty)


def by_receiver(
    x: Float[Array, "edges *rest"], graph: GraphBatch
) -> Float[Array, "nodes degree *rest"]:
    """Reshapes ``[edges, ...]`` to ``[nodes, degree, ...]``: the slots of every node."""
    return x.reshape(graph.num_nodes, graph.degree, *x.shape[1:])


def _mask_slots(x: Array, graph: GraphBatch) -> Array:
    return by_receiver(_mask_edges(x, graph), graph)


def _mask_edges(x: Array, graph: GraphBatch) -> Array:
    return graph.edge_mask.reshape((-1,) + (1,) * (x.ndim - 1))


def _sum_slots(x: Array, graph: GraphBatch) -> Array:
    """Sum over the slots of every node, accumulated in at least float32."""
    short = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    wide = x.astype(jnp.float32) if short else x
    return by_receiver(wide, graph).sum(1).astype(x.dtype)


def sum_receivers(x: Float[Array, "edges *rest"], graph: GraphBatch) -> Float[Array, "nodes *rest"]:
    r"""Sum over the neighbours of every node, :math:`y_i = \sum_{e\,:\, r(e) = i} x_e`.

    Empty slots count as zero. Sums of bfloat16 and float16 accumulate in float32.
    """
    return _sum_slots(jnp.where(_mask_edges(x, graph), x, 0), graph)


def sum_senders(x: Float[Array, "edges *rest"], graph: GraphBatch) -> Float[Array, "nodes *rest"]:
    r"""Sum over the edges that leave every node, :math:`y_j = \sum_{e\,:\, s(e) = j} x_e`.

    It gathers the opposite edges, so that it needs no scatter.
    """
    return _sum_slots(jnp.where(_mask_edges(x, graph), x, 0)[graph.reverse], graph)


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
    return jnp.tensordot(member, x, axes=1, precision=HIGHEST)
