"""The sections of a config of the graph task: every key, its type and its default."""

import dataclasses
from typing import Literal

from ml_collections import ConfigDict

from equinet.training import default_training
from equinet.training.schema import did_you_mean

SETS = ("exp", "graph8c", "sr25", "csl", "mutag", "ptc", "enzymes", "proteins")
MODELS = ("gin", "gin_id", "mlp", "fa_gin", "fa_gin_id", "fa_mlp", "spen")
SEPARATION = ("exp", "graph8c", "sr25", "csl")
"""The sets whose pairs of graphs are counted that a network cannot tell apart."""
LAYERS = {"spen": 3, "mlp": 2}
HOPS = {"exp": 2, "csl": 4, "graph8c": 2}
"""Radius of ego-networks whose shells are marked; elsewhere it is one, and none is."""
FROZEN = ("exp", "csl")
"""Sets with large ego-networks, so few pair channels, and where a trained readout is enough."""
STEPS = {
    "exp": 600,
    "graph8c": 1000,
    "sr25": 200,
    "csl": 200,
    "mutag": 500,
    "ptc": 500,
    "enzymes": 1500,
    "proteins": 1000,
}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``: what is read, and how pairs are counted.

    Attributes:
        set: The set of graphs.
        fold: Which fold is tested, from zero.
        inits: Random networks that have to fail alike for a pair to count as undistinguished;
            zero: none is counted.
        tolerance: Largest difference of two outputs that counts as none, in units of their root
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


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``: the network.

    Attributes:
        name: "gin"; "gin_id", with the number of a node as a feature; "mlp" on the adjacency
            matrix; "fa_..." the same averaged over frames; "spen" on ego-networks.
        channels: Width of the hidden layers; of "spen" that of scalars and vectors.
        pair_channels: Channels of the matrices of "spen".
        layers: Hidden layers.
        hops: Radius of the ego-networks of "spen".
        shells: Of "spen": how many shells about the node whose ego-network it is are marked.
        whitening: Of "spen": what its readout sees starts with variance one in all directions whose
            variance is at least this part of the largest.
        frozen: Of "spen": whether its layers keep their random weights and the readout alone is
            trained.
        frame_size: Elements of a frame that are listed; a larger frame is sampled.
        frame_samples: Elements drawn for a prediction, where a frame is sampled.
    """

    name: Literal["gin", "gin_id", "mlp", "fa_gin", "fa_gin_id", "fa_mlp", "spen"] = "spen"
    channels: int = 32
    pair_channels: int = 16
    layers: int = 3
    hops: int = 1
    shells: int = 0
    whitening: float = 1e-1
    frozen: bool = False
    frame_size: int = 64
    frame_samples: int = 8

    def __post_init__(self) -> None:
        for key in ("channels", "pair_channels", "layers", "hops", "frame_size", "frame_samples"):
            if getattr(self, key) < 1:
                raise ValueError(f"model.{key}: expected 1 or more, got {getattr(self, key)}")
        if self.shells < 0:
            raise ValueError(f"model.shells: expected 0 or more, got {self.shells}")
        if not 0 < self.whitening <= 1:
            raise ValueError(
                f"model.whitening: expected more than 0 and at most 1, got {self.whitening}"
            )


def graphs_config(words: str) -> ConfigDict:
    """The config of a set and a model: the numbers that suit each.

    Args:
        words: "<set>-<model>".

    Raises:
        ValueError: If there is no such set or model.
    """
    name, dash, model = words.partition("-")
    if name not in SETS:
        raise ValueError(f"configs/graphs.py: no set {name!r}: {did_you_mean(name, SETS)}")
    if model not in MODELS:
        hint = did_you_mean(model, MODELS) if dash else f"expected {name}-<model>, e.g. {name}-spen"
        raise ValueError(f"configs/graphs.py: no model {model!r}: {hint}")
    config = ConfigDict()
    config.task = "experiments.graphs.task:GraphTask"
    config.data_dir = ""
    config.data = ConfigDict(dataclasses.asdict(DataConfig(set=name)))  # type: ignore[arg-type]
    config.model = ConfigDict(dataclasses.asdict(ModelConfig(name=model)))  # type: ignore[arg-type]
    config.model.hops = HOPS.get(name, 1)
    config.model.layers = LAYERS.get(model.removeprefix("fa_"), 5)
    if model == "spen" and name in HOPS:
        config.model.shells = HOPS[name] + 1
    frozen = model == "spen" and name in FROZEN
    if frozen:
        config.model.update(layers=2, pair_channels=4, whitening=1e-8, frozen=True)
    config.training = default_training(
        steps=STEPS[name],
        batch_size=32,
        learning_rate=1e-2 if frozen else 3e-3,
        warmup_steps=50,
        gradient_clip_norm=1.0,
        ema_decay=0.99,
        log_every=50,
        validate_every=100,
        checkpoint_every=1000,
    )
    return config
