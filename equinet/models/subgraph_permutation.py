"""Subgraph permutation networks (SPEN): permutation layers on the ego-networks of a graph."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn import MLP, Module, ModuleOptions, PermutationLinear
from equinet.nn.activations import normalized
from equinet.ops.graphs import SubgraphBatch, average_over_subgraphs

ORDERS = (0, 1, 2)
Tensors = tuple[Float[Array, "s c"], Float[Array, "s m c"], Float[Array, "s m m c"]]


class SubgraphLayer(Module):
    r"""All linear maps between scalars, vectors and matrices of a subgraph, then an activation.

    .. math:: y_b = \sigma\Big( \tfrac{1}{\sqrt{A}} \sum_{a} L_{ab}\, x_a \Big), \quad
              a, b \in \{0, 1, 2\}

    with the most general permutation-equivariant :math:`L_{ab}`, which have 1, 1, 2 / 1, 2, 5 /
    2, 5, 15 maps; all subgraphs share their weights, whatever their size.

    Args:
        channels_in: Channels of each order; zero for one that is absent.
        channels_out: Channels of each order of the output.
        activation: Nonlinearity, applied to every entry.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    >>> layer = SubgraphLayer((4, 4, 4), (8, 8, 8), rngs=nnx.Rngs(0))
    >>> [[layer.maps[f"{a}{b}"].maps.num_maps for b in ORDERS] for a in ORDERS]
    [[1, 1, 2], [1, 2, 5], [2, 5, 15]]
    """

    def __init__(
        self,
        channels_in: Sequence[int],
        channels_out: Sequence[int],
        *,
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.activation = normalized(activation)
        self.sources = tuple(order for order in ORDERS if channels_in[order])
        self.targets = tuple(order for order in ORDERS if channels_out[order])
        self.maps = nnx.Dict(
            {
                f"{a}{b}": PermutationLinear(
                    *(a, b, channels_in[a], channels_out[b]),
                    use_bias=a == self.sources[-1],
                    rngs=rngs,
                    **options,
                )
                for a in self.sources
                for b in self.targets
            }
        )

    def __call__(self, x: Sequence[Array], batch: SubgraphBatch) -> list[Array]:
        """Apply the layer.

        Args:
            x: ``[s, c]``, ``[s, m, c]`` and ``[s, m, m, c]``; absent orders without channels.
            batch: The subgraphs.

        Returns:
            The same three arrays with other channels; zero for padding.
        """
        mask, size = batch.mask, batch.mask.shape[-1]
        found = []
        for b in ORDERS:
            parts = [self.maps[f"{a}{b}"](x[a], mask, n=size) for a in self.sources]
            y = sum(parts[1:], start=parts[0]) / math.sqrt(len(parts))
            found.append(_present(self.activation(y), batch, b))
        return found


class SPEN(Module):
    r"""Graphs as sets of ego-networks, with all permutation-equivariant linear maps on each.

    Every subgraph starts with the matrix that holds its adjacency off the diagonal and the features
    of its nodes on it. Before each further layer overlapping subgraphs exchange messages: their
    vectors and matrices are joined by the means over all subgraphs that hold a node or a pair
    (``from_subgraphs`` into the graph, ``to_subgraphs`` back). At last

    .. math:: y_G = \mathrm{MLP}\Big( W\, \tfrac{1}{N} \sum_{s \in G} h^{0}_s + b \Big)

    with N the average number of nodes of a graph. What sets graphs apart is small beside what they
    share: ``standardize`` starts :math:`W, b` such that the readout sees the former.

    Limits: one hop separates two triangles from a hexagon, which colour refinement cannot.
    Graphs whose ego-networks are all alike it cannot separate. In regular graphs without triangles
    those of one hop are stars: circular skip links need more. Strongly regular graphs of equal
    parameters may stay alike at any number of hops.

    Args:
        features_in: Features of a node; may be zero.
        features_out: Width of the output.
        channels: Channels of scalars, vectors and matrices in the hidden layers.
        num_layers: Permutation layers.
        average_nodes: Average number of nodes of a graph.
        shells: Mark the members at distances 0, ..., shells - 1 from the node whose ego-network it
            is, in that network. One marks the node itself; with ``hops + 1`` the network need not
            find the distances itself. Separates more graphs than none.
        frozen: Whether training leaves the layers as they are, random, and changes the readout
            alone: enough where classes are set apart by structure.
        activation: Nonlinearity between the layers.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a number is less than one, or channels are not three.

    References:
        Mitton and Murray-Smith, Subgraph Permutation Equivariant Networks, arXiv:2111.11840 (2021);
        the maps: Maron et al., arXiv:1812.09902 (2019).

    >>> import numpy as np
    >>> from equinet.data import ego_networks, join_subgraphs
    >>> ring = np.roll(np.eye(6, dtype=bool), 1, 1)
    >>> batch = join_subgraphs([ego_networks(ring | ring.T)], [np.ones((6, 1), np.float32)])
    >>> SPEN(1, 3, channels=(8, 8, 4), num_layers=1, rngs=nnx.Rngs(0))(batch).shape
    (1, 3)
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        channels: Sequence[int] = (32, 32, 16),
        num_layers: int = 3,
        average_nodes: float = 1.0,
        shells: int = 0,
        frozen: bool = False,
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if len(channels) != len(ORDERS) or min(*channels, num_layers, features_out) < 1:
            raise ValueError(
                "expected three numbers of channels, layers and outputs, all above zero, got "
                f"channels {tuple(channels)}, {num_layers} layers, {features_out} outputs"
            )
        if min(features_in, shells) < 0 or average_nodes <= 0:
            raise ValueError(
                "expected features_in and shells of 0 or more and average_nodes above 0, got "
                f"{features_in}, {shells} and {average_nodes}"
            )
        self.features_in = features_in
        self.average_nodes, self.shells, self.frozen = average_nodes, shells, frozen
        shared: dict[str, Any] = {"activation": activation, "rngs": rngs, **options}
        c0, c1, c2 = channels
        first = (0, 0, 2 + features_in + shells)
        widths = [first, *[(c0, 2 * c1, 2 * c2)] * (num_layers - 1)]
        self.layers = nnx.List([SubgraphLayer(width, channels, **shared) for width in widths])
        self.kernel = parameters.kernel((c0, c0), init=np.eye(c0))
        self.bias = parameters.bias((c0,))
        self.head = MLP((c0, c0, features_out), use_bias=True, **shared)

    def __call__(self, batch: SubgraphBatch) -> Float[Array, "graphs features_out"]:
        """Predict the outputs of all graphs; rows of padding graphs are arbitrary.

        Raises:
            ValueError: If the nodes have another number of features.
        """
        means = self.means(batch)
        return self.readout(jax.lax.stop_gradient(means) if self.frozen else means)

    def readout(
        self, means: Float[Array, "graphs channels"]
    ) -> Float[Array, "graphs features_out"]:
        """The outputs of graphs whose ``means`` are known, as those of frozen layers may be."""
        kernel, bias = (a[...].astype(means.dtype) for a in (self.kernel, self.bias))
        # Differences of means that nearly agree are at stake.
        seen = jnp.matmul(means, kernel, precision=jax.lax.Precision.HIGHEST)
        return self.head(seen + bias[None])

    def means(self, batch: SubgraphBatch) -> Float[Array, "graphs channels"]:
        """The scalars of all subgraphs of a graph, summed, over the average number of nodes.

        Raises:
            ValueError: If the nodes have another number of features.
        """
        if batch.features.shape[-1] != self.features_in:
            raise ValueError(
                f"expected node features [nodes, {self.features_in}], got {batch.features.shape}"
            )
        x: list[Array] = [jnp.zeros(()), jnp.zeros(()), self._pairs(batch)]
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else _overlap(x, batch), batch)
        graphs = batch.graph_mask.shape[-1]
        total = jax.ops.segment_sum(x[0], batch.graph_index, graphs)
        return total / self.average_nodes

    def _pairs(self, batch: SubgraphBatch) -> Float[Array, "s m m c"]:
        """The adjacency off the diagonal; presence, features and marks on it."""
        features = jnp.asarray(batch.features)
        features = features.astype(self.dtype or features.dtype)
        nodes = batch.mask[..., None].astype(features.dtype)
        marks = [mark[..., None].astype(nodes.dtype) for mark in _shells(batch, self.shells)]
        nodes = jnp.concatenate([nodes, features[batch.index], *marks], axis=-1)
        own = jnp.eye(batch.mask.shape[-1], dtype=nodes.dtype)[None, :, :, None]
        joined = batch.adjacency[..., None].astype(nodes.dtype)
        pairs = jnp.concatenate([joined, own * nodes[..., None, :, :]], axis=-1)
        return _present(pairs, batch, 2)


def standardize(model: SPEN, batches: Sequence[SubgraphBatch], smallest: float = 1e-4) -> None:
    r"""Whiten the input of the readout: mean zero and unit covariance over some graphs.

    :math:`W = \Sigma^{-1/2}, b = -W \mu` with the mean and the covariance of ``SPEN.means``.
    Changes the parameters in place; call it once, before the training and outside of ``jit``.

    Args:
        model: The network.
        batches: Training graphs.
        smallest: Directions whose variance is below this part of the largest are not blown up to
            one, but by the same factor as those at the limit.

    Raises:
        ValueError: If there is no batch, or ``smallest`` is not above 0 and at most 1.
    """
    if not batches or not 0 < smallest <= 1:
        raise ValueError(
            f"expected at least one batch and 0 < smallest <= 1, got {len(batches)} batches and "
            f"smallest={smallest}"
        )
    compiled = jax.jit(SPEN.means)
    means = np.concatenate([compiled(model, batch)[batch.graph_mask] for batch in batches])
    means = means.astype(np.float64)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(means.T, bias=True)))
    if not variances[-1] > 0:
        variances = np.ones_like(variances)
    scales = 1 / np.sqrt(np.maximum(variances, smallest * variances[-1]))
    kernel = (directions * scales) @ directions.T
    bias = -means.mean(0) @ kernel
    model.kernel[...] = jnp.asarray(kernel, model.kernel.dtype)
    model.bias[...] = jnp.asarray(bias, model.bias.dtype)


def _shells(batch: SubgraphBatch, count: int) -> list[Bool[Array, "s m"]]:
    """Which members are 0, 1, ..., count - 1 steps from the first."""
    indices = jnp.arange(batch.mask.shape[-1], dtype=jnp.int32)
    shell = jnp.broadcast_to(indices == 0, batch.mask.shape)
    found, reached = [], jnp.zeros_like(shell)
    for _ in range(count):
        found.append(shell)
        reached = reached | shell
        shell = jnp.any(batch.adjacency & shell[..., None, :], axis=-1) & ~reached
    return found


def _overlap(x: Sequence[Array], batch: SubgraphBatch) -> list[Array]:
    """Vectors and matrices beside the means over the subgraphs that hold the node or the pair."""
    nodes, pairs = batch.mask.shape[0], batch.pair_mask.shape[-1]
    vectors = average_over_subgraphs(x[1], batch.index, batch.mask, nodes)
    matrices = average_over_subgraphs(x[2], batch.pairs, batch.members, pairs)
    return [
        x[0],
        jnp.concatenate([x[1], vectors], axis=-1),
        jnp.concatenate([x[2], matrices], axis=-1),
    ]


def _present(y: Array, batch: SubgraphBatch, order: int) -> Array:
    """Zero for padding: activations need not keep zero, and scalars have biases."""
    present = (batch.mask[..., 0], batch.mask, batch.members)[order]
    return jnp.where(present[..., None], y, jnp.zeros((), y.dtype))
