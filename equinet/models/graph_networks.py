"""Graph networks that separate no more than colour refinement, or have no symmetry.

They are the baselines of the graph tasks. Averaged over frames, the networks that are not
invariant become invariant, and separate graphs that colour refinement cannot.
"""

import dataclasses
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from equinet.groups import S
from equinet.nn import MLP, FrameAveraging, Module, ModuleOptions
from equinet.ops.frames import SpectralFrame
from equinet.precision import HIGHEST
from equinet.reps import Points, Vector


class GIN(Module):
    r"""Graph isomorphism network, as expressive as colour refinement (1-WL) without identities.

    .. math:: h_i \mapsto \mathrm{MLP}\Big( (1 + \epsilon) h_i + \tfrac{1}{D} \sum_{j \sim i} h_j
              \Big), \qquad
              y = \mathrm{MLP}\Big( \tfrac{1}{N} \sum_i (h^0_i, \dots, h^L_i) \Big)

    with D and N the average numbers of neighbours and nodes. With ``identities`` the index of a
    node is one of its features (GIN+ID): the network is no longer invariant, but can approximate
    any function, and is invariant again under ``frame_averaged``.

    Args:
        features_in: Features of a node; may be zero.
        features_out: Width of the output.
        channels: Width of the hidden layers.
        num_layers: Rounds of messages.
        identities: Largest number of nodes if their indices are features; zero if they are not.
        average_degree: Average number of neighbours of a node.
        average_nodes: Average number of nodes of a graph.
        activation: Nonlinearity between the layers of the perceptrons.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a number is too small.

    References:
        Xu et al., How Powerful are Graph Neural Networks?, arXiv:1810.00826 (2019).

    >>> model = GIN(2, 3, channels=8, num_layers=2, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((5, 4, 4)) - jnp.eye(4)[None], jnp.ones((5, 4, 2))).shape
    (5, 3)
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        channels: int = 64,
        num_layers: int = 4,
        identities: int = 0,
        average_degree: float = 1.0,
        average_nodes: float = 1.0,
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        _check_sizes(features_in, features_out, channels, num_layers)
        if identities < 0 or min(average_degree, average_nodes) <= 0:
            raise ValueError(
                "expected identities >= 0 and averages above zero, got "
                f"{identities}, {average_degree} and {average_nodes}"
            )
        self.features_in, self.identities = features_in, identities
        self.average_degree, self.average_nodes = average_degree, average_nodes

        def perceptron(*widths: int) -> MLP:
            return MLP(widths, activation=activation, use_bias=True, rngs=rngs, **options)

        width = 1 + features_in + identities
        widths = [width, *[channels] * (num_layers - 1)]
        self.layers = nnx.List([perceptron(w, channels, channels) for w in widths])
        self.epsilons = nnx.List([parameters.scale((), init=0.0) for _ in widths])
        self.head = perceptron(width + num_layers * channels, channels, features_out)

    def __call__(
        self,
        adjacency: Float[Array, "... n n"],
        features: Float[Array, "... n features_in"],
        mask: Bool[Array, "... n"] | None = None,
    ) -> Float[Array, "... features_out"]:
        """Predict the outputs of graphs, ``[..., features_out]``.

        Args:
            adjacency: ``[..., n, n]``, zero for padding.
            features: ``[..., n, features_in]``.
            mask: False for padding, ``[..., n]``; None: there is none.

        Raises:
            ValueError: If shapes do not fit, or there are more nodes than identities.
        """
        adjacency, features, present = _checked(
            self.dtype, self.features_in, adjacency, features, mask
        )
        n = adjacency.shape[-1]
        parts = [present, features * present]
        if self.identities:
            if n > self.identities:
                raise ValueError(f"expected at most {self.identities} nodes, got {n}")
            own = jnp.eye(n, self.identities, dtype=features.dtype)
            own = own.reshape((1,) * (features.ndim - 2) + own.shape)
            parts.append(own * present)
        x = jnp.concatenate(parts, axis=-1)
        seen = [x]
        for layer, epsilon in zip(self.layers, self.epsilons, strict=True):
            messages = jnp.matmul(adjacency, x, precision=HIGHEST) / self.average_degree
            x = layer((1 + epsilon[...].astype(x.dtype)) * x + messages) * present
            seen.append(x)
        total = jnp.sum(jnp.concatenate(seen, axis=-1), axis=-2)
        return self.head(total / self.average_nodes)


class AdjacencyMLP(Module):
    """A perceptron on the entries of the adjacency matrix and on the features of all nodes.

    It has no symmetry at all: the order of the nodes is part of its input.

    Args:
        nodes: Number of nodes, padding included.
        features_in: Features of a node; may be zero.
        features_out: Width of the output.
        channels: Width of the hidden layers.
        num_layers: Number of hidden layers.
        activation: Nonlinearity between the layers.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a number is too small.

    >>> model = AdjacencyMLP(4, 2, 3, channels=8, num_layers=2, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((5, 4, 4)) - jnp.eye(4)[None], jnp.ones((5, 4, 2))).shape
    (5, 3)
    """

    def __init__(
        self,
        nodes: int,
        features_in: int,
        features_out: int,
        *,
        channels: int = 128,
        num_layers: int = 2,
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        _check_sizes(features_in, features_out, channels, num_layers, nodes)
        self.nodes, self.features_in = nodes, features_in
        self.mlp = MLP(
            (nodes * (nodes + features_in + 1), *[channels] * num_layers, features_out),
            activation=activation,
            use_bias=True,
            rngs=rngs,
            **options,
        )

    def __call__(
        self,
        adjacency: Float[Array, "... n n"],
        features: Float[Array, "... n features_in"],
        mask: Bool[Array, "... n"] | None = None,
    ) -> Float[Array, "... features_out"]:
        """Predict ``[..., features_out]`` of graphs, from the same arguments as ``GIN``.

        Raises:
            ValueError: If shapes do not fit, or there is another number of nodes.
        """
        adjacency, features, present = _checked(
            self.dtype, self.features_in, adjacency, features, mask
        )
        n = adjacency.shape[-1]
        if n != self.nodes:
            raise ValueError(f"expected graphs padded to {self.nodes} nodes, got {n}")
        flat = jnp.concatenate([adjacency, features * present, present], axis=-1)
        return self.mlp(flat.reshape(*flat.shape[:-2], -1))


@dataclasses.dataclass(frozen=True)
class NodePairs:
    """Matrices ``[..., n, n]`` of the pairs of n nodes, such as adjacency matrices.

    Args:
        n: Number of nodes.

    >>> matrix = jnp.array([[0.0, 1.0], [2.0, 3.0]])
    >>> NodePairs(2).transform(jnp.array([1, 0]), matrix).tolist()
    [[3.0, 2.0], [1.0, 0.0]]
    """

    n: int

    @property
    def group(self) -> S:
        """The permutations of the nodes."""
        return S(self.n)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one matrix."""
        return (self.n, self.n)

    def transform(self, g: Array, x: Float[Array, "... n n"]) -> Float[Array, "... n n"]:
        """Move entry (i, j) of the matrices to (g_i, g_j)."""
        rows = self.group.act(g[..., None, :], jnp.swapaxes(x, -1, -2))
        return self.group.act(g[..., None, :], jnp.swapaxes(rows, -1, -2))


def _check_sizes(features_in: int, *sizes: int) -> None:
    if features_in < 0 or min(sizes) < 1:
        raise ValueError(
            "expected features_in >= 0, and features_out, channels, layers and nodes above zero, "
            f"got {features_in} and {sizes}"
        )


def _checked(
    dtype: DTypeLike | None, width: int, adjacency: Array, features: Array, mask: Array | None
) -> tuple[Array, Array, Float[Array, "... n 1"]]:
    """The inputs in the type of the computation, and one for every node that there is."""
    n = adjacency.shape[-1]
    if adjacency.shape[-2:] != (n, n) or features.shape != (*adjacency.shape[:-1], width):
        raise ValueError(
            f"expected adjacency [..., n, n] and features [..., n, {width}], got "
            f"{adjacency.shape} and {features.shape}"
        )
    if mask is not None and mask.shape != adjacency.shape[:-1]:
        raise ValueError(f"expected a mask {adjacency.shape[:-1]}, got {mask.shape}")
    kind = dtype or adjacency.dtype
    present = jnp.ones(adjacency.shape[:-1], kind) if mask is None else mask.astype(kind)
    return adjacency.astype(kind), features.astype(kind), present[..., None]


def frame_averaged(
    network: GIN | AdjacencyMLP, nodes: int, *, size: int = 16, samples: int = 1
) -> FrameAveraging:
    """A network on graphs made invariant by averaging over the spectral orders of the nodes.

    Called as ``model(adjacency, features, mask)``, or with ``key=`` for ``samples`` random orders.
    Graphs with more than ``size`` orders have their frame cut short without a key: then the result
    depends on the order of the nodes (``model.elements(...).degenerate`` tells), and a mean over
    random orders is the estimate to take.

    Args:
        network: The network; it needs no symmetry.
        nodes: Number of nodes, padding included.
        size: Largest number of orders that are listed.
        samples: Orders drawn where a key is given.

    References:
        Puny et al., Frame Averaging for Invariant and Equivariant Network Design,
        arXiv:2110.03336 (2022).

    >>> network = AdjacencyMLP(3, 1, 2, channels=8, rngs=nnx.Rngs(0))
    >>> path = jnp.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> moved = NodePairs(3).transform(jnp.array([2, 0, 1]), path)
    >>> model = frame_averaged(network, 3)
    >>> ones, every = jnp.ones((3, 1)), jnp.ones(3, bool)
    >>> bool(jnp.allclose(model(path, ones, every), model(moved, ones, every), atol=1e-5))
    True
    """
    group = S(nodes)
    reps = NodePairs(nodes), Vector(group), Points(group)
    frame = SpectralFrame(nodes, size)
    return FrameAveraging(
        network, frame, reps, None, of=_frame_inputs, samples=samples, degenerate="keep"
    )


def _frame_inputs(adjacency: Array, features: Array, mask: Array) -> tuple[Array, Array]:
    """What the frame is computed of: features play no part, padding is left out."""
    return adjacency, mask
