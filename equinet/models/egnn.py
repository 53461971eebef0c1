"""EGNN: positions move along the differences of positions, weighted by functions of invariants."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn import MLP, Module, ModuleOptions
from equinet.nn.activations import normalized


class PairMLP(Module):
    r"""A perceptron applied to every pair of nodes and the features of the pair.

    .. math:: m_{ij} = \mathrm{MLP}\Big( \sigma\Big( \frac{1}{\sqrt 2} \Big(
              \frac{W_r h_i + W_s h_j}{\sqrt{2 H}} + \frac{W_e e_{ij}}{\sqrt E}
              \Big) + b \Big) \Big)

    The first layer is linear in the concatenation :math:`(h_i, h_j, e_{ij})`. Its products with
    node features are computed once per node instead of once per pair, and the features of the pair
    get the same total variance as those of the two nodes, which are more numerous.

    Args:
        nodes: Features H of a node.
        edges: Features E of a pair, at least 1.
        features: Widths of the hidden layers and of the output.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If fewer than two widths are given, or a size is less than 1.

    >>> pairs = PairMLP(8, 3, (16, 4), rngs=nnx.Rngs(0))
    >>> pairs(jnp.ones((2, 5, 8)), jnp.ones((2, 5, 5, 3))).shape
    (2, 5, 5, 4)
    """

    def __init__(
        self,
        nodes: int,
        edges: int,
        features: Sequence[int],
        *,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if len(features) < 2 or min(nodes, edges, *features) < 1:
            raise ValueError(
                "expected sizes above 0 and two widths at least, got "
                f"nodes={nodes}, edges={edges}, features={tuple(features)}"
            )
        self.activation = normalized(jax.nn.silu)
        self.kernel = parameters.kernel((2 * nodes + edges, features[0]))
        self.bias = parameters.bias(features[:1])
        self.mlp = MLP(features, use_bias=True, rngs=rngs, **options)

    def __call__(
        self, h: Float[Array, "... n nodes"], edges: Float[Array, "... n n edges"]
    ) -> Float[Array, "... n n features_out"]:
        """Evaluate: pair (i, j) sees node i first, then node j."""
        h, edges, kernel, bias = self.cast(h, edges, self.kernel, self.bias)
        size = h.shape[-1]
        both = jnp.concatenate([kernel[:size], kernel[size : 2 * size]], axis=1)
        both = both / math.sqrt(4 * size)
        receiver, sender = jnp.split(jnp.matmul(h, both, precision=self.precision), 2, axis=-1)
        receiver = receiver + bias.reshape((1,) * (h.ndim - 1) + (-1,))
        last = kernel[2 * size :] / math.sqrt(2 * edges.shape[-1])
        between = jnp.matmul(edges, last, precision=self.precision)
        first = receiver[..., :, None, :] + sender[..., None, :, :] + between
        return self.mlp(self.activation(first))


class _EGNNLayer(Module):
    r"""One layer of EGNN with velocities.

    .. math::

        m_{ij} &= \phi_e(h_i, h_j, |x_i - x_j|^2, e_{ij}) \\
        x_i' &= x_i + \phi_v(h_i)\, v_i
                + \frac{1}{N_i} \sum_{j \ne i} (x_i - x_j)\, \phi_x(m_{ij}) \\
        h_i' &= h_i + \phi_h \Big( h_i, \sum_{j \ne i} m_{ij} \Big)

    The perceptron :math:`\phi_e` sees squared distances as :math:`\log(1 + |x_i - x_j|^2)`: fed as
    they are, distances of far nodes dominate the input, and positions diverge over the layers.

    Args:
        hidden: Features of nodes and messages.
        edges: Features of a pair beside the distance.
        average_neighbours: The sum of messages is divided by it, so that its size does not depend
            on the number of nodes.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    References:
        Satorras et al., arXiv:2102.09844 (2021), equations 3 to 7.
    """

    def __init__(
        self,
        hidden: int,
        edges: int,
        average_neighbours: float,
        *,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.average_neighbours = average_neighbours
        self.activation = normalized(jax.nn.silu)
        biased: dict[str, Any] = {"use_bias": True, "rngs": rngs, **options}
        self.messages = PairMLP(hidden, edges + 1, (hidden, hidden), rngs=rngs, **options)
        self.coordinates = _small(MLP((hidden, hidden, 1), **biased))
        self.velocities = MLP((hidden, hidden, 1), **biased)
        self.nodes = MLP((2 * hidden, hidden, hidden), **biased)

    def __call__(
        self,
        h: Float[Array, "... n hidden"],
        positions: Float[Array, "... n d"],
        velocities: Float[Array, "... n d"],
        edges: Float[Array, "... n n edges"],
        pairs: Float[Array, "... n n 1"],
    ) -> tuple[Float[Array, "... n hidden"], Float[Array, "... n d"]]:
        """Update features and positions; ``pairs`` is 1 for the pairs that count, else 0."""
        offsets, squares = pair_offsets(positions)
        messages = self.messages(h, jnp.concatenate([jnp.log1p(squares), edges], axis=-1))
        messages = self.activation(messages) * pairs
        count = jnp.maximum(jnp.sum(pairs, axis=-2), 1)
        shift = jnp.sum(offsets * (self.coordinates(messages) * pairs), axis=-2) / count
        moved = positions + shift + velocities * self.velocities(h)
        total = jnp.sum(messages, axis=-2) / self.average_neighbours
        return h + self.nodes(jnp.concatenate([h, total], axis=-1)), moved


class EGNN(Module):
    r"""Equivariant graph network of fully connected nodes, with velocities, in any dimension.

    Features h are embedded invariants, the length of the velocity among them; positions move in
    every layer. Pairs see their first distance beside the present one. Equivariant under E(d) and
    under permutations of the nodes.

    Args:
        scalars_in: Invariants of a node.
        edges_in: Invariants of a pair.
        scalars_out: Invariants to predict for a node.
        hidden: Features of nodes and messages.
        layers: Number of layers.
        average_neighbours: Number by which sums of messages are divided.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is out of range.

    References:
        Satorras et al., "E(n) equivariant graph neural networks", arXiv:2102.09844 (2021).

    >>> x, q = jnp.ones((2, 5, 3)), jnp.ones((2, 5, 1))
    >>> egnn = EGNN(1, 0, 4, hidden=8, layers=2, rngs=nnx.Rngs(0))
    >>> moved, scalars = egnn(x, x, q)
    >>> moved.shape, scalars.shape
    ((2, 5, 3), (2, 5, 4))
    """

    def __init__(
        self,
        scalars_in: int,
        edges_in: int = 0,
        scalars_out: int = 1,
        *,
        hidden: int = 64,
        layers: int = 4,
        average_neighbours: float = 4.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if min(hidden, layers, scalars_out) < 1 or min(scalars_in, edges_in) < 0:
            raise ValueError(
                "hidden, layers and scalars_out must be at least 1, scalars_in and edges_in at "
                f"least 0, got {hidden}, {layers}, {scalars_out}, {scalars_in} and {edges_in}"
            )
        if average_neighbours <= 0:
            raise ValueError(f"average_neighbours must be above 0, got {average_neighbours}")
        self.scalars_in, self.edges_in = scalars_in, edges_in
        sizes = (hidden, edges_in + 1, average_neighbours)
        self.embedding = MLP((scalars_in + 1, hidden), use_bias=True, rngs=rngs, **options)
        self.layers = nnx.List([_EGNNLayer(*sizes, rngs=rngs, **options) for _ in range(layers)])
        self.readout = MLP((hidden, scalars_out), use_bias=True, rngs=rngs, **options)

    def __call__(
        self,
        positions: Float[Array, "... n d"],
        velocities: Float[Array, "... n d"],
        scalars: Float[Array, "... n scalars_in"],
        edges: Float[Array, "... n n edges_in"] | None = None,
        mask: Bool[Array, "... n"] | None = None,
    ) -> tuple[Float[Array, "... n d"], Float[Array, "... n scalars_out"]]:
        """Predict new positions and invariants of every node.

        Args:
            positions: ``[..., n, d]``, in any unit of length.
            velocities: ``[..., n, d]``, in any unit; they are scaled by a learned factor.
            scalars: Invariants of the nodes, ``[..., n, scalars_in]``.
            edges: Invariants of the pairs, ``[..., n, n, edges_in]``, if there are any.
            mask: True for real nodes, ``[..., n]``; padding has no effect and keeps its positions.

        Returns:
            Positions ``[..., n, d]``, in their own type, and invariants ``[..., n, scalars_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        self._check(positions, velocities, scalars, edges)
        dtype = self.dtype or positions.dtype
        pairs = pair_mask(positions, mask).astype(dtype)
        _, first = pair_offsets(positions)
        first = jnp.log1p(first)
        constant = [first] if edges is None else [first, edges.astype(first.dtype)]
        between = jnp.concatenate(constant, axis=-1).astype(dtype)
        speeds = jnp.sum(velocities * velocities, axis=-1, keepdims=True)
        inputs = jnp.concatenate([scalars.astype(speeds.dtype), speeds], axis=-1)
        h, moved = self.embedding(inputs.astype(dtype)), positions.astype(dtype)
        for layer in self.layers:
            h, moved = layer(h, moved, velocities.astype(dtype), between, pairs)
        found = moved.astype(positions.dtype)
        if mask is not None:
            found = jnp.where(mask[..., None], found, positions)
        return found, self.readout(h)

    def _check(self, positions: Array, velocities: Array, scalars: Array, edges: Any) -> None:
        nodes, wanted = positions.shape[:-1], 0 if edges is None else edges.shape[-1]
        if velocities.shape != positions.shape or scalars.shape != (*nodes, self.scalars_in):
            raise ValueError(
                f"expected velocities {positions.shape} like the positions and scalars "
                f"{(*nodes, self.scalars_in)}, got {velocities.shape} and {scalars.shape}"
            )
        if wanted != self.edges_in:
            raise ValueError(f"expected edges with edges_in={self.edges_in} features, got {wanted}")


def pair_offsets(
    positions: Float[Array, "... n d"],
) -> tuple[Float[Array, "... n n d"], Float[Array, "... n n 1"]]:
    """Offsets from node j to node i for every pair (i, j), and their squared lengths."""
    offsets = positions[..., :, None, :] - positions[..., None, :, :]
    return offsets, jnp.sum(offsets * offsets, axis=-1, keepdims=True)


def pair_mask(
    positions: Float[Array, "... n d"], mask: Bool[Array, "... n"] | None = None
) -> Bool[Array, "... n n 1"]:
    """True for pairs of two different real nodes.

    Raises:
        ValueError: If the mask has another shape than the nodes.
    """
    nodes = positions.shape[:-1]
    if mask is None:
        mask = jnp.ones(nodes, bool)
    if mask.shape != nodes:
        raise ValueError(f"expected a mask {nodes}, one entry for every node, got {mask.shape}")
    own = jnp.eye(nodes[-1], dtype=bool).reshape((1,) * (len(nodes) - 1) + (nodes[-1],) * 2)
    return (mask[..., :, None] & mask[..., None, :] & ~own)[..., None]


def _small(mlp: MLP) -> MLP:
    """The perceptron with a small last layer: positions hardly move before they are trained to."""
    last = mlp.kernels[-1]
    last[...] = 1e-2 * last[...]
    return mlp
