"""What the configs share: the sections of the potential task with the defaults of the code."""

import dataclasses

from ml_collections import ConfigDict

from equinet.training import default_training


def potential(**training: object) -> ConfigDict:
    """A config of the potential task with every key at its default.

    Args:
        **training: Keys of ``config.training`` that differ from the engine's defaults.
    """
    from experiments.tasks.potential_config import DataConfig, LossConfig, ModelConfig

    config = ConfigDict()
    config.task = "experiments.tasks.potential:PotentialTask"
    config.data_dir = ""
    for name, section in (("data", DataConfig), ("model", ModelConfig), ("loss", LossConfig)):
        config[name] = ConfigDict(dataclasses.asdict(section()))
    config.training = default_training(**training)
    return config


def accurate(config: ConfigDict) -> ConfigDict:
    """The model that the benchmark configs share: MACE's form at a size for 2 cores."""
    config.model.channels = 32
    config.model.lmax = 2
    config.model.correlation = 3
    config.loss.energy = 1.0
    config.loss.forces = 10.0
    return config
