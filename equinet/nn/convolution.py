"""Convolutions over neighbours with learned weights, exchanged by one word."""

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
    """What a convolution needs to know of the directions of the edges, for all layers at once.

    Args:
        kind: A word of ``CONVOLUTIONS``.
        lmax: Highest degree of any layer.
        vectors: From receiver to sender.

    Returns:
        Spherical harmonics for ``"clebsch_gordan"``; for the others rotations into the frame of
        every edge.

    Raises:
        ValueError: If the word is unknown.
    """
    check_convolution(kind)
    if kind == "clebsch_gordan":
        return spherical_harmonics(lmax, vectors)
    return edge_rotations(lmax, vectors)


def check_convolution(kind: str) -> None:
    """Refuse an unknown word.

    Raises:
        ValueError: If the word is unknown.
    """
    if kind not in CONVOLUTIONS:
        raise ValueError(f"unknown convolution {kind!r}, expected one of {sorted(CONVOLUTIONS)}")


class Convolution(Module):
    r"""Sum over neighbours of messages: features, turned by a filter of radius and direction.

    Three filters, each equivariant under rotations and reflections:

    - ``"clebsch_gordan"``: products with spherical harmonics, a weight for every path and channel;
    - ``"so2"``: every map of degrees and channels that keeps the order m in the frame of the edge;
    - ``"gaunt"``: pointwise products with harmonics, a weight for every degree and channel.

    The radial functions belong to the channels.

    Args:
        rep_in: Irreps of the node features.
        rep_edge: Irreps of the filter; for ``"so2"`` the degrees of the features decide instead.
        rep_out: Irreps of the result.
        channels: Number of channels.
        kind: Which filter.
        chunk_bytes: Bound on the bytes of messages in flight; None: all at once.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If the word is unknown, or no path exists.
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
        """Convolve.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels]``.
            edges: From ``edge_features``, for this degree or a higher one.
            radial: Radial functions, zero on empty slots, ``[edges, channels]``.
            graph: Senders and slots.

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
        """The radial function goes with the degrees of the filter, not with those of the rest."""
        first, last = (len(blocks(rep)) for rep in (self.op.rep_in, self.op.rep_out))
        middle = weights[first : weights.shape[0] - last]
        constant = jnp.ones_like(radial)[:, None, :]
        parts = [constant * weights[None, :first], radial[:, None, :] * middle[None]]
        return jnp.concatenate([*parts, constant * weights[None, -last:]], axis=1)
