"""The config of the graph task: every key, its type and its default."""

import dataclasses
from typing import Annotated, Any, Literal

from equinet.models import GIN, SPEN, AdjacencyMLP
from equinet.training import Choice, TaskConfig, section_of

SEPARATION = ("exp", "graph8c", "sr25", "csl")
"""The sets for which the pairs of graphs that a network cannot distinguish are counted."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: what is read, and how pairs are counted.

    Attributes:
        set: The set of graphs.
        fold: Index of the fold that is tested, from zero.
        inits: Number of random networks all of which must give a pair equal outputs for it to count
            as undistinguished; with zero, pairs are not counted.
        tolerance: Largest difference of two outputs that count as equal, relative to their root
            mean square.
    """

    set: Literal["exp", "graph8c", "sr25", "csl", "mutag", "ptc", "enzymes", "proteins"] = "exp"
    fold: int = 0
    inits: int = 5
    tolerance: float = 1e-11

    def __post_init__(self) -> None:
        if self.fold < 0 or self.inits < 0 or self.tolerance <= 0:
            raise ValueError(
                "data.fold and data.inits: expected 0 or more, data.tolerance: a number above 0, "
                f"got {self.fold}, {self.inits} and {self.tolerance}"
            )


def _network(build: Any, name: str, layers: int) -> type[Any]:
    return section_of(
        build,
        {"name": name},
        omit=("identities", "average_degree", "average_nodes"),
        rename={"num_layers": "layers"},
        defaults={"channels": 32, "layers": layers},
    )


def _averaged(build: Any, name: str, layers: int) -> type[Any]:
    base = _network(build, name, layers)

    @dataclasses.dataclass(frozen=True)
    class AveragedSection(base):
        """A network averaged over frames.

        Attributes:
            frame_size: Largest number of elements of a frame that are listed; a larger frame is
                sampled.
            frame_samples: Number of elements that are drawn for a prediction where a frame is
                sampled.
        """

        frame_size: int = 64
        frame_samples: int = 8

        def __post_init__(self) -> None:
            _check_positive(self, "frame_size", "frame_samples")

    return AveragedSection


@dataclasses.dataclass(frozen=True)
class SPENConfig(
    section_of(
        SPEN,
        {"name": "spen"},
        omit=("channels", "average_nodes"),
        rename={"num_layers": "layers"},
    )
):
    """The network of "spen", on ego-networks.

    Attributes:
        channels: Channels of scalars and vectors.
        pair_channels: Channels of the matrices.
        hops: Radius of the ego-networks, in edges.
        whitening: The input of the readout is scaled to variance one in all directions whose
            variance is at least this fraction of the largest.
    """

    channels: int = 32
    pair_channels: int = 16
    hops: int = 1
    whitening: float = 1e-1

    def __post_init__(self) -> None:
        _check_positive(self, "channels", "pair_channels", "hops")
        if not 0 < self.whitening <= 1:
            raise ValueError(
                f"model.whitening: expected more than 0 and at most 1, got {self.whitening}"
            )


def _check_positive(section: Any, *names: str) -> None:
    for name in names:
        if getattr(section, name) < 1:
            raise ValueError(f"model.{name}: expected 1 or more, got {getattr(section, name)}")


NETWORKS = Choice(
    "name",
    {
        "spen": SPENConfig,
        "gin": _network(GIN, "gin", 5),
        "gin_id": _network(GIN, "gin_id", 5),
        "mlp": _network(AdjacencyMLP, "mlp", 2),
        "fa_gin": _averaged(GIN, "fa_gin", 5),
        "fa_gin_id": _averaged(GIN, "fa_gin_id", 5),
        "fa_mlp": _averaged(AdjacencyMLP, "fa_mlp", 2),
    },
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphConfig(TaskConfig):
    """The config of the graph task.

    Attributes:
        data_dir: Folder of the data sets; the environment variable EQUINET_DATA where it is empty.
        data: The set of graphs, the fold, and how pairs are counted.
        model: The network: "gin"; "gin_id", with the index of a node as a feature; "mlp" on the
            adjacency matrix; "fa_..." the same averaged over frames; "spen" on ego-networks.
    """

    data_dir: str = ""
    data: DataConfig = DataConfig()
    model: Annotated[Any, NETWORKS] = dataclasses.field(default_factory=NETWORKS.default)
