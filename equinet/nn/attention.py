"""Equivariant attention over the neighbours in a graph."""

from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.linear import Linear
from equinet.nn.module import Module, ModuleOptions
from equinet.nn.normalization import LayerNorm
from equinet.ops.graphs import GraphBatch, by_receiver, sum_receivers
from equinet.reps import Irreps


class GraphAttention(Module):
    r"""Sum messages over the neighbours with attention weights computed from invariants.

    For head h, where the envelope :math:`u_{ij}` of the edge is one at distance zero and vanishes
    at and beyond the cutoff,

    .. math:: l_{ij}^h = w^h \cdot \lambda(\mathrm{LayerNorm}(q_{ij})) + b^h, \qquad
              a_{ij}^h = u_{ij} \frac{u_{ij}\, e^{l_{ij}^h}}{1 + \sum_k u_{ik}\, e^{l_{ik}^h}},
              \qquad y_i = L \bigoplus_h \sum_j a_{ij}^h v_{ij}^h

    with :math:`\lambda` a smooth leaky ReLU and L an equivariant linear map of all heads. The layer
    norm before the logits l (attention re-normalisation) bounds them.

    **Smoothness.** A softmax over the neighbours, multiplied by an envelope, is not continuous: an
    edge at the cutoff still contributes to the denominator, and all other weights jump when it is
    removed from the list of edges. Here the envelope also multiplies every term of the denominator.
    The constant 1 in the denominator keeps it positive when the last neighbour leaves. The weights
    are as smooth as the envelope (twice differentiable with the polynomial envelope), and it makes
    no difference whether edges beyond the cutoff are listed. For large biases b the sum tends to a
    softmax.

    The values v may come from any convolution. They are given for every edge, with the channels of
    the heads one after the other.

    Args:
        rep: Irreps of the messages.
        rep_out: Irreps of the output.
        channels: Channels of each head.
        channels_out: Channels of the output.
        heads: Number of heads.
        features: Number of invariants of an edge, at least 2: the layer norm maps a single one to
            zero.
        slope: Slope of the leaky ReLU at large negative arguments.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If ``heads`` or ``channels`` is less than 1, or ``features`` less than 2.

    References:
        Liao et al., arXiv:2306.12059 (2023), "Attention re-normalization"; Brody et al.,
        arXiv:2105.14491 (2021). The envelope and the constant 1 in the denominator are not in these
        papers.

    >>> from equinet.data.atoms import Configuration, collate, to_graph
    >>> import numpy as np
    >>> oh = Configuration(numbers=np.array([8, 1]), positions=np.array([[0.0, 0, 0], [0, 0, 1]]))
    >>> graph = collate([to_graph(oh, cutoff=2.0, elements=("H", "O"))], range(1), shards=1)
    >>> graph = jax.tree.map(lambda x: x[0], graph["graph"])
    >>> layer = GraphAttention("0e+1o", "0e+1o", 4, 8, heads=2, features=5, rngs=nnx.Rngs(0))
    >>> edges = len(graph.senders)
    >>> layer(jnp.ones((edges, 4, 8)), jnp.ones((edges, 5)), jnp.ones(edges), graph).shape
    (8, 4, 8)
    """

    def __init__(
        self,
        rep: Irreps | str,
        rep_out: Irreps | str,
        channels: int,
        channels_out: int,
        *,
        heads: int,
        features: int,
        slope: float = 0.2,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if min(heads, channels) < 1 or features < 2:
            raise ValueError(
                f"expected heads and channels of at least 1 and features of at least 2, got "
                f"heads={heads}, channels={channels}, features={features}"
            )
        self.rep, self.rep_out = Irreps(rep), Irreps(rep_out)
        self.heads, self.channels, self.features = heads, channels, features
        self.slope = slope
        self.norm = LayerNorm("0e", features, rngs=rngs, **options)
        self.logits = Linear("0e", "0e", features, heads, use_bias=True, rngs=rngs, **options)
        sizes = (heads * channels, channels_out)
        self.linear_out = Linear(self.rep, self.rep_out, *sizes, rngs=rngs, **options)

    def __call__(
        self,
        messages: Float[Array, "edges dim heads*channels"],
        invariants: Float[Array, "edges features"],
        envelope: Float[Array, "edges"],
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels_out"]:
        """Sum the messages with the attention weights.

        Args:
            messages: Values v, ``[edges, rep.dim, heads * channels]``; empty slots are ignored.
            invariants: The q, from which the logits are computed, ``[edges, features]``.
            envelope: The u, zero at and beyond the cutoff, ``[edges]``; negative values, which
                rounding may cause, are read as zero.
            graph: The graph of the edges.

        Returns:
            ``[nodes, rep_out.dim, channels_out]``, zero for nodes without neighbours.

        Raises:
            ValueError: If a shape does not fit.
        """
        edges = graph.senders.shape[0]
        self._check(messages, (edges, self.rep.dim, self.heads * self.channels), "messages")
        self._check(invariants, (edges, self.features), "invariants")
        self._check(envelope, (edges,), "envelope")
        messages, invariants, envelope = self.cast(messages, invariants, envelope)
        weights = self.weights(invariants, envelope, graph)
        weights = jnp.repeat(weights, self.channels, axis=-1)[:, None, :]
        return self.linear_out(sum_receivers(messages * weights, graph))

    def weights(
        self,
        invariants: Float[Array, "edges features"],
        envelope: Float[Array, "edges"],
        graph: GraphBatch,
    ) -> Float[Array, "edges heads"]:
        """The weights ``a`` of every edge and head, ``[edges, heads]``; zero on empty slots."""
        normed = smooth_leaky_relu(self.norm(invariants[:, None, :]), self.slope)
        return smooth_attention(self.logits(normed)[:, 0, :], envelope, graph)

    def _check(self, array: Array, shape: tuple[int, ...], name: str) -> None:
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {list(shape)}, got {list(array.shape)}")


def smooth_leaky_relu(x: Float[Array, "..."], slope: float = 0.2) -> Float[Array, "..."]:
    r"""A leaky ReLU that is differentiable to every order.

    .. math:: \lambda(x) = \frac{1 + s}{2} x + \frac{1 - s}{2} x\, (2 \sigma(x) - 1)

    Args:
        x: Any array.
        slope: The slope s at large negative x; at large positive x the slope is one.

    References:
        Liao and Smidt, arXiv:2206.11990 (2022).

    >>> print(smooth_leaky_relu(jnp.array([-100.0, 0.0, 100.0])))
    [-20.   0. 100.]
    """
    return x * (slope + (1 - slope) * jax.nn.sigmoid(x))


def smooth_attention(
    logits: Float[Array, "edges heads"], envelope: Float[Array, "edges"], graph: GraphBatch
) -> Float[Array, "edges heads"]:
    r"""Attention weights :math:`a_{ij} = u_{ij}^2 e^{l_{ij}} / (1 + \sum_k u_{ik} e^{l_{ik}})`.

    They are as smooth as the envelope u; see ``GraphAttention``.

    Args:
        logits: The l of every edge and head, ``[edges, heads]``.
        envelope: The u of every edge, zero at and beyond the cutoff, ``[edges]``.
        graph: The graph of the edges.

    Returns:
        ``[edges, heads]``, zero on empty slots. The sum over the slots of a node is below one.
    """
    # Clipping rounding below zero keeps the denominator at one or above.
    cut = jnp.where(graph.edge_mask, jnp.maximum(envelope, 0), 0)
    cut = by_receiver(cut, graph)[..., None]
    mask = by_receiver(graph.edge_mask, graph)[..., None]
    slots = jnp.where(mask, by_receiver(logits, graph), 0)
    # Common factors of exp(-largest) above and below: no logit overflows.
    largest = jax.lax.stop_gradient(jnp.maximum(slots.max(1, keepdims=True), 0))
    powers = cut * jnp.exp(slots - largest)
    total = jnp.exp(-largest) + powers.sum(1, keepdims=True)
    return (cut * powers / total).reshape(logits.shape)
