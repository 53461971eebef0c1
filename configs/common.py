"""What several configs of potentials share."""

from typing import Any

from ml_collections import ConfigDict

POTENTIALS: dict[str, dict[str, Any]] = {
    "irreps": {"channels": 32, "lmax": 2, "correlation": 3},
    # With 5 angstrom the network learns far more slowly: distant atoms outnumber the bonded ones.
    "ponita": {"cutoff": 3.5, "channels": 32, "layers": 2, "basis": 32, "orientations": 12},
}
"""Options that suit each network of the potential task; their steps cost about the same."""


def potential(network: str = "irreps", **training: Any) -> ConfigDict:
    """A config of the potential task.

    Args:
        network: A key of ``POTENTIALS``.
        **training: Keys of ``config.training`` that differ from the defaults.

    Raises:
        ValueError: If there is no such network.
    """
    if network not in POTENTIALS:
        raise ValueError(f"the network is one of {', '.join(POTENTIALS)}, got {network!r}")
    config = ConfigDict()
    config.task = "equinet.potentials.task:PotentialTask"
    config.model = {"network": network, **POTENTIALS[network]}
    config.loss = {"energy": 1.0, "forces": 10.0}
    config.training = {
        "learning_rate": 2e-2,
        "gradient_clip_norm": 10.0,
        "ema_decay": 0.995,
        **training,
    }
    return config


def molecular_files(*, steps: int, network: str = "irreps", **data: Any) -> ConfigDict:
    """A potential for molecules in files below the data directory, for about 25 minutes on 2 cores.

    Args:
        steps: Training steps, of 5 molecules each.
        network: A key of ``POTENTIALS``.
        **data: Keys of ``config.data`` that differ from the defaults.
    """
    config = potential(
        network,
        steps=steps,
        batch_size=5,
        warmup_steps=500,
        log_every=500,
        validate_every=2000,
        checkpoint_every=2000,
    )
    config.data = {"source": "files", **data}
    return config
