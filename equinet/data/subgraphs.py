"""Ego-networks of graphs, computed on the host and joined to padded batches."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from equinet.ops.graphs import SubgraphBatch


@dataclasses.dataclass(frozen=True, eq=False)
class EgoNetworks:
    """The ego-networks of one graph, one for each node, as numpy arrays.

    Attributes:
        index: Indices of the members of each subgraph, the node itself first, ``[n, m]``; 0 for
            padding.
        mask: False for padding, ``[n, m]``.
        pairs: The number of each pair of members among all pairs that share a subgraph, from
            zero, ``[n, m, m]``; 0 for padding.
        adjacency: True for members that are connected, ``[n, m, m]``.
        num_pairs: Number of pairs that share a subgraph.
    """

    index: Int[np.ndarray, "n m"]
    mask: Bool[np.ndarray, "n m"]
    pairs: Int[np.ndarray, "n m m"]
    adjacency: Bool[np.ndarray, "n m m"]
    num_pairs: int

    @property
    def num_nodes(self) -> int:
        """Number of nodes of the graph, which equals the number of subgraphs."""
        return self.index.shape[0]

    @property
    def size(self) -> int:
        """Number of members of the largest subgraph."""
        return self.index.shape[1]


@dataclasses.dataclass(frozen=True)
class SubgraphBudget:
    """Sizes to which a batch of subgraphs is padded.

    Attributes:
        nodes: Number of nodes, which equals the number of subgraphs.
        size: Number of members of each subgraph.
        pairs: Number of pairs that share a subgraph.
        graphs: Number of graphs.

    Raises:
        ValueError: If a size is not positive.
    """

    nodes: int
    size: int
    pairs: int
    graphs: int

    def __post_init__(self) -> None:
        if min(self.nodes, self.size, self.pairs, self.graphs) < 1:
            raise ValueError(f"got {self}, expected at least one of each")

    @classmethod
    def covering(cls, networks: Sequence[EgoNetworks], graphs: int) -> "SubgraphBudget":
        """Sizes that hold a batch, rounded to few distinct ones, for each compiles the model again.

        Args:
            networks: The ego-networks of every graph of the batch.
            graphs: Number of graphs of a batch.

        >>> chain = np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
        >>> SubgraphBudget.covering([ego_networks(chain, 1)], 1)
        SubgraphBudget(nodes=8, size=4, pairs=24, graphs=1)
        """
        nodes = sum(network.num_nodes for network in networks)
        pairs = sum(network.num_pairs for network in networks)
        size = max((network.size for network in networks), default=1)
        return cls(_rounded(nodes), -(-size // 2) * 2, _rounded(pairs), graphs)

    @classmethod
    def typical(cls, networks: Sequence[EgoNetworks], graphs: int) -> "SubgraphBudget":
        """Sizes that hold nine of ten random batches.

        United (``|``) with this budget, most batches have one shape.

        Args:
            networks: The ego-networks of all graphs of a data set.
            graphs: Number of graphs of a batch.
        """
        rng = np.random.default_rng(0)
        sizes = np.array([(n.num_nodes, n.size, n.num_pairs) for n in networks])
        batches = [sizes[rng.integers(len(sizes), size=graphs)] for _ in range(200)]
        sums = np.array([(b[:, 0].sum(), b[:, 1].max(), b[:, 2].sum()) for b in batches])
        nodes, size, pairs = (int(math.ceil(x)) for x in np.quantile(sums, 0.9, axis=0))
        return cls(_rounded(nodes), -(-size // 2) * 2, _rounded(pairs), graphs)

    def __or__(self, other: "SubgraphBudget") -> "SubgraphBudget":
        """The maximum of two budgets in every size, a common budget of shards."""
        sizes = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return SubgraphBudget(*(max(both) for both in sizes))


def ego_networks(adjacency: Bool[np.ndarray, "n n"], hops: int = 1) -> EgoNetworks:
    """Computes the ego-network of every node: the subgraph of all nodes within some hops, in numpy.

    Args:
        adjacency: True for connected nodes, ``[n, n]``, symmetric.
        hops: The k of the k-hop neighbourhoods.

    Raises:
        ValueError: If the adjacency is not square, symmetric and boolean, or ``hops`` negative.

    >>> ring = np.roll(np.eye(6, dtype=bool), 1, 1)
    >>> ego_networks(ring | ring.T, 1).index[0].tolist()
    [0, 1, 5]
    """
    n = len(adjacency)
    if adjacency.shape != (n, n) or n == 0 or adjacency.dtype != bool:
        raise ValueError(
            f"expected a boolean adjacency [n, n] with n >= 1, got {adjacency.dtype} "
            f"{adjacency.shape}"
        )
    if (adjacency != adjacency.T).any():
        raise ValueError("expected a symmetric adjacency; use adjacency | adjacency.T")
    if hops < 0:
        raise ValueError(f"expected hops >= 0, got {hops}")
    own = np.eye(n, dtype=bool)
    step = (adjacency | own).astype(np.float32)
    reached = own
    for _ in range(hops):
        reached = (reached.astype(np.float32) @ step) > 0
    size = int(reached.sum(1).max())
    order = np.argsort(np.where(own, 0, np.where(reached, 1, 2)), axis=1, kind="stable")
    index = order[:, :size]
    mask = np.take_along_axis(reached, index, axis=1)
    index = np.where(mask, index, 0)
    both = mask[:, :, None] & mask[:, None, :]
    numbers = index[:, :, None] * n + index[:, None, :]
    shared, inverse = np.unique(numbers[both], return_inverse=True)
    pairs = np.zeros(both.shape, np.int32)
    pairs[both] = inverse
    joined = adjacency[index[:, :, None], index[:, None, :]] & both
    return EgoNetworks(index.astype(np.int32), mask, pairs, joined, len(shared))


def join_subgraphs(
    networks: Sequence[EgoNetworks],
    features: Sequence[Float[np.ndarray, "n f"]],
    budget: SubgraphBudget | None = None,
) -> SubgraphBatch:
    """Builds the padded disjoint union of graphs with their ego-networks, in numpy.

    Args:
        networks: The ego-networks of every graph.
        features: The node features of every graph, ``[n, f]``.
        budget: Sizes with padding; None for ``SubgraphBudget.covering``.

    Raises:
        ValueError: If the graphs exceed the budget, or the shape of features does not fit.
    """
    budget = budget or SubgraphBudget.covering(networks, len(networks))
    width = features[0].shape[-1] if features else 0
    for network, own in zip(networks, features, strict=True):
        if own.shape != (network.num_nodes, width):
            raise ValueError(f"expected features {(network.num_nodes, width)}, got {own.shape}")
    exact = _exact(networks)
    if (exact | budget) != budget:
        raise ValueError(f"expected graphs within {budget}, got {exact}: raise the budget")
    square = (budget.nodes, budget.size, budget.size)
    batch = SubgraphBatch(
        features=np.zeros((budget.nodes, width)),  # type: ignore[arg-type]
        index=np.zeros(square[:2], np.int32),  # type: ignore[arg-type]
        mask=np.zeros(square[:2], bool),  # type: ignore[arg-type]
        pairs=np.zeros(square, np.int32),  # type: ignore[arg-type]
        adjacency=np.zeros(square, bool),  # type: ignore[arg-type]
        pair_mask=np.arange(budget.pairs) < exact.pairs,  # type: ignore[arg-type]
        graph_index=np.full(budget.nodes, budget.graphs - 1, np.int32),  # type: ignore[arg-type]
        graph_mask=np.arange(budget.graphs) < len(networks),  # type: ignore[arg-type]
    )
    node = pair = 0
    for number, (network, own) in enumerate(zip(networks, features, strict=True)):
        rows, m = slice(node, node + network.num_nodes), network.size
        batch.features[rows], batch.graph_index[rows] = own, number  # type: ignore[index]
        batch.index[rows, :m] = network.index + node  # type: ignore[index]
        batch.mask[rows, :m] = network.mask  # type: ignore[index]
        batch.pairs[rows, :m, :m] = network.pairs + pair  # type: ignore[index]
        batch.adjacency[rows, :m, :m] = network.adjacency  # type: ignore[index]
        node, pair = node + network.num_nodes, pair + network.num_pairs
    return batch


def _exact(networks: Sequence[EgoNetworks]) -> SubgraphBudget:
    return SubgraphBudget(
        max(sum(network.num_nodes for network in networks), 1),
        max((network.size for network in networks), default=1),
        max(sum(network.num_pairs for network in networks), 1),
        max(len(networks), 1),
    )


def _rounded(count: int) -> int:
    step = max(8, 2 ** (math.ceil(math.log2(max(count, 1))) - 2))
    return max(-(-count // step), 1) * step
