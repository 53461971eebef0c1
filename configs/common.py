"""What several configs of potentials share."""

from typing import Any

from ml_collections import ConfigDict

from equinet.presets.potential import potential


def molecular_files(*, steps: int, network: str = "irreps", **data: Any) -> ConfigDict:
    """A potential for molecules in files below the data directory, for about 25 minutes on 2 cores.

    Args:
        steps: Training steps, of 5 molecules each.
        network: A key of ``NETWORKS`` in ``equinet.presets.potential``.
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
