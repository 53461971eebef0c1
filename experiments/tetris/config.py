"""The config of the Tetris task: every key, its type and its default."""

import dataclasses

from equinet.ops.products import PRODUCTS
from equinet.training import TaskConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: how the eight pieces are shown.

    Attributes:
        copies: Rotated copies of each piece to select on, and as many others to report on.
        seed: Seed of the rotations.
    """

    copies: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"data.copies: expected a number above 0, got {self.copies}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        product: The tensor product, a key of ``equinet.ops.products.PRODUCTS``.
        lmax: Highest degree, at least 1.
        channels: Channels of every irrep.
        cutoff: Radius of the neighbourhood of a cube, in edges of a cube.
    """

    product: str = "clebsch_gordan"
    lmax: int = 2
    channels: int = 16
    cutoff: float = 4.0

    def __post_init__(self) -> None:
        if self.product not in PRODUCTS:
            raise ValueError(
                f"model.product: expected one of {', '.join(sorted(PRODUCTS))}, got "
                f"{self.product!r}"
            )
        if min(self.lmax, self.channels) < 1:
            raise ValueError(
                "model.lmax and model.channels: expected numbers above 0, got "
                f"{self.lmax} and {self.channels}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TetrisConfig(TaskConfig):
    """The config of the Tetris task.

    Attributes:
        data: The rotated copies of the pieces.
        model: The network.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
