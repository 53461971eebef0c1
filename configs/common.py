"""What the configs share: the sections of the potential task with the defaults of the code."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from equinet.training import default_training


def potential(**training: Any) -> ConfigDict:
    """A config of the potential task with every key at its default.

    Args:
        **training: Keys of ``config.training`` that differ from the engine's defaults.
    """
    from equinet.potentials import DataConfig, LossConfig, ModelConfig

    config = ConfigDict()
    config.task = "equinet.potentials.task:PotentialTask"
    config.data_dir = ""
    for name, section in (("data", DataConfig), ("model", ModelConfig), ("loss", LossConfig)):
        config[name] = ConfigDict(dataclasses.asdict(section()))
    config.training = default_training(**training)
    return config


POTENTIALS: dict[str, dict[str, Any]] = {
    "irreps": {"channels": 32, "lmax": 2, "correlation": 3},
    # Far neighbours drown the bonds in kernels of a larger cutoff: 5 angstrom learn far slower.
    "ponita": {"cutoff": 3.5, "channels": 32, "layers": 2, "basis": 32, "orientations": 12},
}
"""Words that suit each network of the potential task; their steps cost about the same."""


def choose_network(config: ConfigDict, network: str) -> None:
    """Gives a config of the potential task a network and the words that suit it.

    Args:
        config: Of ``potential``.
        network: A key of ``POTENTIALS``.

    Raises:
        ValueError: If there is no such network.
    """
    if network not in POTENTIALS:
        raise ValueError(f"the network is one of {', '.join(POTENTIALS)}, got {network!r}")
    config.model.update(network=network, **POTENTIALS[network])


def molecular_files(*, steps: int, network: str = "irreps", **data: Any) -> ConfigDict:
    """A potential for molecules in files below the data directory, for about 25 minutes on 2 cores.

    Args:
        steps: Training steps, of 5 molecules each.
        network: A key of ``POTENTIALS``.
        **data: Keys of ``config.data`` that differ from the task's defaults.
    """
    config = potential(
        steps=steps,
        batch_size=5,
        learning_rate=2e-2,
        warmup_steps=500,
        gradient_clip_norm=10.0,
        ema_decay=0.995,
        log_every=500,
        validate_every=2000,
        checkpoint_every=2000,
    )
    config.data.update(source="files", **data)
    choose_network(config, network)
    config.loss.update(energy=1.0, forces=10.0)
    return config


def emlp(problem: str) -> ConfigDict:
    """A config of the EMLP task: the numbers that were found to suit each problem.

    Args:
        problem: A key of ``PROBLEMS`` in ``experiments.emlp.config``.
    """
    from experiments.emlp.config import DataConfig, ModelConfig, PenaltyConfig

    config = ConfigDict()
    config.task = "experiments.emlp.task:EMLPTask"
    for name, section in (("data", DataConfig), ("model", ModelConfig), ("penalty", PenaltyConfig)):
        config[name] = ConfigDict(dataclasses.asdict(section()))
    config.data.problem = problem
    soft = problem == "inertia_soft"
    if soft:  # unconstrained layers have more parameters
        config.model.channels = 8
    config.training = default_training(
        steps=2000 if soft else 3000,
        batch_size=200,
        optimizer="adamw",
        weight_decay=0.1,
        learning_rate=1e-2,
        warmup_steps=100,
        gradient_clip_norm=10.0,
        ema_decay=0.99,
        log_every=100,
        validate_every=250,
        checkpoint_every=1000,
    )
    return config


def tetris(product: str) -> ConfigDict:
    """A config of the Tetris task.

    Args:
        product: A key of ``equinet.ops.products.product.PRODUCTS``.
    """
    from experiments.tetris.config import DataConfig, ModelConfig

    config = ConfigDict()
    config.task = "experiments.tetris.task:TetrisTask"
    config.data = ConfigDict(dataclasses.asdict(DataConfig()))
    config.model = ConfigDict(dataclasses.asdict(ModelConfig(product=product)))
    config.training = default_training(
        steps=200,
        batch_size=8,
        learning_rate=1e-2,
        warmup_steps=10,
        gradient_clip_norm=10.0,
        ema_decay=0.9,
        log_every=20,
        validate_every=50,
        checkpoint_every=200,
    )
    return config
