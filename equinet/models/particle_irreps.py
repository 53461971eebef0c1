"""Interacting particles by message passing on irreps: Clebsch-Gordan convolutions of all pairs."""

import functools
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.linalg import safe_norm
from equinet.models.particles import check_particles
from equinet.nn import MLP, Linear, MessagePassing, Module, ModuleOptions, edge_features
from equinet.ops.graphs import GraphBatch
from equinet.precision import read_only
from equinet.reps import Irreps


class ParticleIrreps(Module):
    r"""Equivariant message passing between all pairs of particles, from velocities to positions.

    A particle starts with the invariants :math:`q^2, |v|^2, |x - \bar x|^2` and the vectors
    :math:`v, x - \bar x`. Filters are spherical harmonics times radial functions

    .. math:: \phi(r_{ij}) = \mathrm{MLP}\big( e^{-r / s_k},\; q_i q_j\, e^{-r / s_k} \big), \qquad
              s_k = 2^{k-2}

    without a cutoff; the vectors of the last layer are the displacements. Equivariant under E(3);
    charges enter by products only.

    Args:
        channels: Copies of every irrep.
        layers: Number of layers.
        hidden: Irreps of the particles between the layers, with 0e and 1o.
        lmax: Highest degree of the filters.
        correlation: Highest power of the sum over the neighbours; 1 is the cheapest by far.
        product: Tensor product for the powers, a key of ``equinet.ops.products.PRODUCTS``.
        convolution: A key of ``equinet.ops.edges.CONVOLUTIONS``.
        radial_hidden: Width of the radial perceptron.
        average_neighbours: Number by which sums over neighbours are divided.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is less than 1, or the hidden irreps lack 0e or 1o.

    References:
        Thomas et al., arXiv:1802.08219 (2018); Batzner et al., arXiv:2101.03164 (2021).

    >>> import jax
    >>> x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    >>> model = ParticleIrreps(4, 1, hidden="0e+1o", lmax=1, rngs=nnx.Rngs(0))
    >>> model(x, x, jnp.ones((2, 5))).shape
    (2, 5, 3)
    """

    def __init__(
        self,
        channels: int = 32,
        layers: int = 3,
        *,
        hidden: Irreps | str = "0e+1o",
        lmax: int = 2,
        correlation: int = 1,
        product: str = "clebsch_gordan",
        convolution: str = "clebsch_gordan",
        radial_hidden: int = 64,
        average_neighbours: float = 4.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if min(channels, layers, radial_hidden, lmax) < 1:
            raise ValueError(
                "channels, layers, radial_hidden and lmax must be at least 1, got "
                f"{channels}, {layers}, {radial_hidden} and {lmax}"
            )
        rep_hidden, natural = Irreps(hidden), Irreps.spherical_harmonics(lmax)
        if not rep_hidden.count("0e") or not rep_hidden.count("1o"):
            raise ValueError(f"hidden irreps must hold 0e and 1o, got {rep_hidden}")
        self.kind = convolution
        self.degree = max(lmax, rep_hidden.lmax)
        shared: dict[str, Any] = {"rngs": rngs, **options}
        vectors = Irreps("0e+1o")
        reps = [vectors, *[rep_hidden] * (layers - 1), vectors]
        self.embedding = Linear(vectors, vectors, _INPUTS, channels, **shared)
        widths = (2 * _SCALES + 2, radial_hidden, layers * channels)
        self.radial = MLP(widths, use_bias=True, **shared)
        self.layers = nnx.List(
            [
                MessagePassing(
                    *(reps[index], reps[index + 1], channels),
                    rep_edge=natural,
                    rep_density=_density(natural if correlation > 1 else vectors, rep_hidden),
                    num_types=1,
                    average_neighbours=average_neighbours,
                    correlation=correlation,
                    product=product,
                    convolution=convolution,
                    **shared,
                )
                for index in range(layers)
            ]
        )
        self.readout = Linear(vectors, "1o", channels, 1, **shared)

    def __call__(
        self,
        positions: Float[Array, "... n 3"],
        velocities: Float[Array, "... n 3"],
        charges: Float[Array, "... n"],
        mask: Bool[Array, "... n"] | None = None,
    ) -> Float[Array, "... n 3"]:
        """New positions.

        Args:
            positions: ``[..., n, 3]``.
            velocities: ``[..., n, 3]``.
            charges: ``[..., n]``.
            mask: True for real particles, ``[..., n]``; padding has no effect and stays.

        Returns:
            ``[..., n, 3]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_particles(positions, velocities, charges, 3)
        positions, charges = jnp.asarray(positions), jnp.asarray(charges)
        nodes, dtype = positions.shape[:-1], self.dtype or positions.dtype
        mask = jnp.ones(nodes, bool) if mask is None else mask
        if mask.shape != nodes:
            raise ValueError(f"expected a mask {nodes}, one entry for every node, got {mask.shape}")
        graph = complete_graph(positions, mask)
        vectors = graph.positions[graph.senders] - jnp.repeat(graph.positions, graph.degree, axis=0)
        edges = edge_features(self.kind, self.degree, vectors)
        radial = self._radial(vectors, charges.reshape(-1), graph).astype(dtype)
        radial = jnp.split(radial, len(self.layers), axis=-1)
        x = self.embedding(_inputs(positions, velocities, charges, mask).astype(dtype))
        types = jnp.ones((x.shape[0], 1), dtype)
        for layer, functions in zip(self.layers, radial, strict=True):
            x = layer(x, types, edges, functions, graph)
        displacement = self.readout(x)[..., 0].reshape(positions.shape).astype(positions.dtype)
        return positions + jnp.where(mask[..., None], displacement, 0)

    def _radial(
        self, vectors: Array, charges: Array, graph: GraphBatch
    ) -> Float[Array, "edges functions"]:
        """The radial functions of all layers, zero on empty slots."""
        distances = safe_norm(vectors, keepdims=True)
        lengths = jnp.asarray(2.0 ** (np.arange(_SCALES) - 2), distances.dtype)[None]
        decays = jnp.exp(-distances / lengths)
        products = charges[graph.senders] * jnp.repeat(charges, graph.degree)
        products = products[:, None].astype(decays.dtype)
        basis = jnp.concatenate([decays, products * decays, products, distances / 8], axis=-1)
        functions = self.radial(basis)
        return functions * graph.edge_mask[:, None].astype(functions.dtype)


_INPUTS = 3
_SCALES = 6


def complete_graph(positions: Float[Array, "... n 3"], mask: Bool[Array, "... n"]) -> GraphBatch:
    """All pairs of every system as one batch of graphs.

    Args:
        positions: ``[..., n, 3]``.
        mask: True for real nodes, ``[..., n]``.

    Returns:
        A node's slots hold the n - 1 others in order; one empty slot where there is no other.

    >>> x = jnp.zeros((2, 3, 3))
    >>> complete_graph(x, jnp.ones((2, 3), bool)).senders.reshape(2, 3, 2).tolist()
    [[[1, 2], [0, 2], [0, 1]], [[4, 5], [3, 5], [3, 4]]]
    """
    size = positions.shape[-2]
    count = int(np.prod(positions.shape[:-2]))
    others, reverse = _others(size)
    degree, flat = others.shape[1], mask.reshape(-1)
    first = np.repeat(np.arange(count, dtype=np.int32) * size, size * degree)
    senders = jnp.asarray(first + np.tile(others.reshape(-1), count))
    receivers = jnp.asarray(np.repeat(np.arange(count * size, dtype=np.int32), degree))
    return GraphBatch(
        positions=positions.reshape(-1, 3),
        species=jnp.zeros(count * size, jnp.int32),
        senders=senders,
        receivers=receivers,
        reverse=jnp.asarray(first * degree + np.tile(reverse.reshape(-1), count)),
        shifts=jnp.zeros((count * size * degree, 3), positions.dtype),
        cell=jnp.zeros((count, 3, 3), positions.dtype),
        graph_index=jnp.asarray(np.repeat(np.arange(count, dtype=np.int32), size)),
        node_mask=flat,
        edge_mask=flat[senders] & flat[receivers] & (senders != receivers),
        graph_mask=jnp.ones(count, bool),
    )


@functools.cache
def _others(size: int) -> tuple[np.ndarray, np.ndarray]:
    """For every node of a system the others, and the slots of the opposite pairs."""
    if size == 1:
        found = np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32)
    else:
        nodes = np.arange(size, dtype=np.int32)
        others = np.stack([np.delete(nodes, i) for i in nodes])
        opposite = np.where(others > nodes[:, None], nodes[:, None], nodes[:, None] - 1)
        found = others, (others * (size - 1) + opposite).astype(np.int32)
    return read_only(found[0]), read_only(found[1])


def _inputs(
    positions: Array, velocities: Array, charges: Array, mask: Array
) -> Float[Array, "nodes 4 inputs"]:
    """Invariants and vectors that a particle starts with; zeros fill the third vector."""
    weights = mask[..., None].astype(positions.dtype)
    count = jnp.maximum(jnp.sum(weights, axis=-2, keepdims=True), 1)
    centre = jnp.sum(positions * weights, axis=-2, keepdims=True) / count
    vectors = jnp.stack([velocities, positions - centre, jnp.zeros_like(positions)], axis=-1)
    squares = jnp.sum(vectors[..., :2] ** 2, axis=-2)
    scalars = jnp.concatenate([squares, charges[..., None].astype(squares.dtype) ** 2], axis=-1)
    return jnp.concatenate([scalars[..., None, :], vectors], axis=-2).reshape(-1, 4, _INPUTS)


def _density(*reps: Irreps) -> Irreps:
    """One copy of every irrep: what sums over neighbours are kept in.

    Without higher powers only what the particles hold is ever read.
    """
    return Irreps([(1, kind) for kind in dict.fromkeys(k for rep in reps for k in _kinds(rep))])


def _kinds(rep: Irreps) -> list[tuple[int, int]]:
    return [(ir.l, ir.p) for _, ir in rep]
