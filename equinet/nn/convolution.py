"""Convolutions over the neighbours in a graph with learned weights; ``kind`` selects one."""

import math
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PyTree

from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.ops.edges import (
    CONVOLUTIONS,
    ClebschGordanConvolution,
    GauntConvolution,
    SO2Convolution,
    edge_rotations,
)
from equinet.ops.graphs import GraphBatch
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps, spherical_harmonics


def edge_features(kind: str, lmax: int, vectors: Float[Array, "edges 3"]) -> PyTree[Array]:
    """Functions of the directions of the edges, computed once for the convolutions of all layers.

    Args:
        kind: A key of ``equinet.ops.edges.CONVOLUTIONS``.
        lmax: Highest degree of any layer.
        vectors: Vectors from receiver to sender, ``[edges, 3]``; their length has no effect.

    Returns:
        Spherical harmonics for ``"clebsch_gordan"``; for the other kinds the rotations that align
        every edge with the polar axis.

    Raises:
        ValueError: If the kind is unknown.
    """
    check_convolution(kind)
    if kind == "clebsch_gordan":
        return spherical_harmonics(lmax, vectors)
    return edge_rotations(lmax, vectors)


def check_convolution(kind: str) -> None:
    """Check that a convolution of this kind exists.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in CONVOLUTIONS:
        raise ValueError(f"unknown convolution {kind!r}, expected one of {sorted(CONVOLUTIONS)}")


class Convolution(Module):
    r"""Sum over the neighbours of their features, filtered by distance and direction.

    .. math:: y_{i c} = \sum_j \phi_c(r_{ij})\, F_c(\hat r_{ij})\, x_{j c}

    with radial functions :math:`\phi` that are given for every edge and one of three learned
    filters F, all equivariant under rotations and reflections:

    - ``"clebsch_gordan"``: tensor products with spherical harmonics, with a weight for every path
      and channel;
    - ``"so2"``: after the rotation that aligns the edge with the polar axis, all maps that keep
      the order m; they mix degrees and channels;
    - ``"gaunt"``: pointwise products on the sphere with spherical harmonics, with a weight for
      every degree and channel.

    Args:
        rep_in: Irreps of the node features.
        rep_edge: Irreps of the filter; ignored for ``"so2"``, whose filters have all degrees.
        rep_out: Irreps of the result.
        channels: Number of channels.
        kind: The filter, a key of ``equinet.ops.edges.CONVOLUTIONS``.
        chunk_bytes: Bound on the bytes of messages that are in memory at once; None for no bound.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the kind is unknown, or no path exists.

    References:
        Clebsch-Gordan: Thomas et al., arXiv:1802.08219 (2018); SO(2): Passaro and Zitnick,
        arXiv:2302.03655 (2023); Gaunt: Luo et al., arXiv:2401.10216 (2024).
    """

    def __init__(
        self,
        rep_in: Irreps,
        rep_edge: Irreps,
        rep_out: Irreps,
        channels: int,
        *,
        kind: str = "clebsch_gordan",
        chunk_bytes: int | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        check_convolution(kind)
        self.kind, self.channels = kind, channels
        self.rep_in = Irreps(rep_in)
        self.op: Any
        if kind == "clebsch_gordan":
            self.op = ClebschGordanConvolution(rep_in, rep_edge, rep_out, chunk_bytes=chunk_bytes)
            shapes = ((len(self.op.paths), channels),)
            scales = (1.0,)
        elif kind == "gaunt":
            self.op = GauntConvolution(rep_in, rep_edge, rep_out, chunk_bytes=chunk_bytes)
            shapes = ((self.op.num_weights, channels),)
            scales = (1.0,)
        else:
            self.op = SO2Convolution(
                rep_in,
                rep_out,
                channels,
                channels,
                parity=True,
                chunk_bytes=chunk_bytes,
                precision=self.precision,
            )
            shapes = self.op.weight_shapes
            scales = tuple(1 / math.sqrt(max(shape[-2], 1)) for shape in shapes)
        self.shapes = tuple(shapes)
        # A checkpoint holds no empty arrays.
        self.weights = nnx.List(
            [
                parameters.kernel(shape, scale=scale)
                for shape, scale in zip(shapes, scales, strict=True)
                if math.prod(shape)
            ]
        )

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        edges: PyTree[Array],
        radial: Float[Array, "edges channels"],
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels"]:
        r"""Sum the filtered features of the neighbours of every node.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            edges: The result of ``edge_features`` for this kind and this degree or a higher one.
            radial: Radial functions :math:`\phi`, zero on empty slots, ``[edges, channels]``.
            graph: The graph of the edges.

        Returns:
            ``[nodes, rep_out.dim, channels]``.
        """
        check_feature(x, self.rep_in, self.channels)
        x, radial, *learned = self.cast(x, radial, *self.weights)
        edges = jax.tree.map(lambda a: a.astype(x.dtype), edges)
        weights = [
            learned.pop(0) if math.prod(shape) else jnp.zeros(shape, x.dtype)
            for shape in self.shapes
        ]
        if self.kind == "clebsch_gordan":
            return self.op(x, edges, radial[:, None, :], graph, weights[0])
        if self.kind == "gaunt":
            return self.op(x, edges, self._gaunt_radial(radial, weights[0]), graph)
        return self.op(x, edges, radial[:, None, :], graph, weights)

    def _gaunt_radial(self, radial: Array, weights: Array) -> Array:
        """The weights of the filter times the radial functions; other weights are constant."""
        first, last = (len(blocks(rep)) for rep in (self.op.rep_in, self.op.rep_out))
        middle = weights[first : weights.shape[0] - last]
        constant = jnp.ones_like(radial)[:, None, :]
        parts = [constant * weights[None, :first], radial[:, None, :] * middle[None]]
        return jnp.concatenate([*parts, constant * weights[None, -last:]], axis=1)
