"""Batches of the graph task: dense matrices for some models, ego-networks for the others."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from equinet.data import EgoNetworks, SubgraphBudget, ego_networks, join_subgraphs
from equinet.training import split_shards
from experiments.graphs.dense_graphs import DenseGraph, buckets, pad_graphs, rounded_nodes


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """A graph, with its ego-networks where the model works on them.

    Attributes:
        graph: The graph.
        networks: Its ego-networks.
        means: The output of frozen layers for them, ``SPEN.means``, if it is known.
    """

    graph: DenseGraph
    networks: EgoNetworks | None = None
    means: Float[np.ndarray, "channels"] | None = None


@dataclasses.dataclass(frozen=True)
class Collator:
    """Makes batches for a model.

    Attributes:
        hops: Radius of ego-networks; zero: the model takes dense matrices.
        nodes: Number of nodes to which matrices are padded; None: that of the batch, rounded.
        budget: Sizes to which ego-networks are padded at least.
    """

    hops: int = 0
    nodes: int | None = None
    budget: SubgraphBudget | None = None

    @classmethod
    def of(cls, section: Any, max_nodes: int) -> "Collator":
        """The collator for a section ``config.model``.

        Networks without symmetry need one size for all graphs.
        """
        if section.name == "spen":
            return cls(hops=section.hops)
        return cls(nodes=None if section.name == "gin" else max_nodes)

    def for_batches(self, examples: Sequence[Example], batch_size: int) -> "Collator":
        """The collator for random batches of these examples: most of them get the same shape."""
        if not self.hops:
            return self
        networks = [_networks_of(example) for example in examples]
        return dataclasses.replace(self, budget=SubgraphBudget.typical(networks, batch_size))

    def example(self, graph: DenseGraph) -> Example:
        """The example of a graph; its ego-networks are found once."""
        networks = ego_networks(graph.adjacency, self.hops) if self.hops else None
        return Example(graph, networks)

    def __call__(
        self, examples: Sequence[Example], which: range, shards: int, dtype: Any = np.float32
    ) -> dict[str, Any]:
        """Shards of equal size, the last filled up with copies that the mask leaves out."""
        index, mask = split_shards(len(examples), range(shards), shards)
        parts = [[examples[i] for i in row] for row in index]
        labels = np.array([[example.graph.label for example in part] for part in parts], np.int32)
        chosen = list(which)
        means = [[example.means for example in parts[i]] for i in chosen]
        if means[0][0] is not None:
            inputs: PyTree[np.ndarray] = np.array(means)
        elif self.hops:
            inputs = self._networks(parts, which)
        else:
            inputs = self._matrices(parts, which)
        return {
            "inputs": _cast(inputs, dtype),
            "labels": labels[chosen],
            "mask": mask[chosen].astype(dtype),
        }

    def _matrices(self, parts: list[list[Example]], which: range) -> PyTree[np.ndarray]:
        largest = max(example.graph.num_nodes for part in parts for example in part)
        nodes = self.nodes or rounded_nodes(largest)
        batches = [pad_graphs([example.graph for example in parts[i]], nodes) for i in which]
        arrays = [(batch.adjacency, batch.features, batch.mask) for batch in batches]
        return tuple(np.stack(each) for each in zip(*arrays, strict=True))

    def _networks(self, parts: list[list[Example]], which: range) -> PyTree[np.ndarray]:
        found = [[_networks_of(example) for example in part] for part in parts]
        budget = SubgraphBudget.covering(found[0], len(found[0]))
        for networks in found[1:]:
            budget = budget | SubgraphBudget.covering(networks, len(networks))
        if self.budget is not None:
            budget = budget | self.budget
        features = [[example.graph.features for example in part] for part in parts]
        batches = [join_subgraphs(found[i], features[i], budget) for i in which]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)


def batches_by_size(
    examples: Sequence[Example], batch_size: int
) -> Iterator[tuple[Int[np.ndarray, "batch"], list[Example]]]:
    """All examples once, a batch of about one size at a time; the last one filled with copies."""
    for index in buckets([example.graph for example in examples], batch_size):
        full = np.concatenate([index, np.full(batch_size - len(index), index[-1])])
        yield index, [examples[i] for i in full]


def permuted(graph: DenseGraph, order: Int[np.ndarray, "n"]) -> DenseGraph:
    """The same graph with its nodes in another order."""
    adjacency = graph.adjacency[np.ix_(order, order)]
    return dataclasses.replace(graph, adjacency=adjacency, features=graph.features[order])


def _networks_of(example: Example) -> EgoNetworks:
    if example.networks is None:
        raise ValueError(f"{example.graph.source}: expected an example with ego-networks, got none")
    return example.networks


def _cast(tree: PyTree[np.ndarray], dtype: Any) -> PyTree[np.ndarray]:
    return jax.tree.map(
        lambda x: x.astype(dtype) if np.issubdtype(x.dtype, np.floating) else x, tree
    )
