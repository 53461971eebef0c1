"""The convolutions over edges that are interchangeable in a model by one key."""

from typing import Any, Protocol

from jaxtyping import Array, Float

from equinet.ops.edges.clebsch_gordan import ClebschGordanConvolution
from equinet.ops.edges.gaunt import GauntConvolution
from equinet.ops.edges.so2 import SO2Convolution
from equinet.ops.graphs import GraphBatch
from equinet.reps import Irreps


class EdgeConvolution(Protocol):
    """Interface of every equivariant sum over the neighbours of a node.

    Implementations are frozen dataclasses, hashable and static; the parameters stay outside.

    Attributes:
        rep_in: Irreps of the node features.
        rep_out: Irreps of the result.
        chunk_bytes: Bound on the bytes of messages held at a time; None for all at once.
    """

    rep_in: Irreps
    rep_out: Irreps
    chunk_bytes: int | None

    @property
    def num_radial(self) -> int:
        """Number of radial functions of a channel."""
        ...

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding."""
        ...

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Any:
        """Functions of the directions of the edges, which layers of no higher degree can share."""
        ...

    def messages(
        self,
        x: Float[Array, "edges dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges num_radial channels"],
        weights: Any = None,
    ) -> Float[Array, "edges dim_out channels_out"]:
        """The message of every edge; ``edges`` is the result of ``edge_features``."""
        ...

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels"],
        edges: Any,
        radial: Float[Array, "edges num_radial channels"],
        graph: GraphBatch,
        weights: Any = None,
    ) -> Float[Array, "nodes dim_out channels_out"]:
        """The messages, summed over the neighbours of every node."""
        ...


CONVOLUTIONS = {
    "clebsch_gordan": ClebschGordanConvolution,
    "so2": SO2Convolution,
    "gaunt": GauntConvolution,
}
"""The class of each convolution by its key in a config."""
