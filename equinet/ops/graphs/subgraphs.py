r"""Bags of subgraphs: the ego-networks of a graph, and the maps between it and them.

A graph with n nodes is covered by the neighbourhoods of its nodes, of up to m members each.
Features of nodes lie in one array ``[nodes, channels]``, those of pairs of nodes that share a
subgraph in ``[pairs, channels]``: memory goes with n m^2, not with n^2. A batch of graphs is their
disjoint union.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SubgraphBatch:
    """The ego-networks of a batch of graphs, padded; subgraph i belongs to node i.

    Attributes:
        features: Features of the nodes, ``[nodes, f]``.
        index: Members of each subgraph, its own node first, ``[nodes, m]``.
        mask: False for empty positions, ``[nodes, m]``; for padding nodes all are.
        pairs: Number of the pair of two members, ``[nodes, m, m]``.
        adjacency: Whether two members are joined, ``[nodes, m, m]``.
        pair_mask: False for padding pairs, ``[pairs]``.
        graph_index: Graph of each node, ``[nodes]``; padding nodes name the last graph.
        graph_mask: False for padding graphs, ``[graphs]``.
    """

    features: Float[Array, "*shards nodes f"]
    index: Int[Array, "*shards nodes m"]
    mask: Bool[Array, "*shards nodes m"]
    pairs: Int[Array, "*shards nodes m m"]
    adjacency: Bool[Array, "*shards nodes m m"]
    pair_mask: Bool[Array, "*shards pairs"]
    graph_index: Int[Array, "*shards nodes"]
    graph_mask: Bool[Array, "*shards graphs"]

    @property
    def members(self) -> Bool[Array, "nodes m m"]:
        """True where both positions hold a member, ``[nodes, m, m]``."""
        return self.mask[..., :, None] & self.mask[..., None, :]


def to_subgraphs(
    x: Float[Array, "entries channels"],
    numbers: Int[Array, "*positions"],
    mask: Bool[Array, "*positions"],
) -> Float[Array, "*positions channels"]:
    """Copies features of nodes or pairs into the subgraphs; empty positions are zero.

    Args:
        x: Features of nodes or of pairs.
        numbers: ``batch.index`` or ``batch.pairs``.
        mask: ``batch.mask`` or ``batch.members``.
    """
    return jnp.where(mask[..., None], x[numbers], jnp.zeros((), x.dtype))


def from_subgraphs(
    y: Float[Array, "*positions channels"],
    numbers: Int[Array, "*positions"],
    mask: Bool[Array, "*positions"],
    entries: int,
) -> Float[Array, "entries channels"]:
    r"""The mean over all subgraph positions of a node or a pair; zero where there is none.

    .. math:: x_i = \operatorname{mean}_{(s, a):\, V_s(a) = i} y_{s a}

    Args:
        y: Features of members, or of pairs of them.
        numbers: ``batch.index`` or ``batch.pairs``.
        mask: ``batch.mask`` or ``batch.members``.
        entries: Number of nodes or pairs.
    """
    channels, flat = y.shape[-1], numbers.reshape(-1)
    present = mask.reshape(-1, 1)
    values = jnp.where(present, y.reshape(-1, channels), jnp.zeros((), y.dtype))
    sums = functools.partial(jax.ops.segment_sum, segment_ids=flat, num_segments=entries)
    count = jnp.maximum(sums(present.astype(y.dtype)), 1)
    return sums(values) / count


def average_over_subgraphs(
    y: Float[Array, "*positions channels"],
    numbers: Int[Array, "*positions"],
    mask: Bool[Array, "*positions"],
    entries: int,
) -> Float[Array, "*positions channels"]:
    """Replaces features by their means over the subgraphs that share the node or pair.

    This is ``to_subgraphs`` after ``from_subgraphs``, with the same arguments.
    """
    return to_subgraphs(from_subgraphs(y, numbers, mask, entries), numbers, mask)
