"""A force field of a molecule, ethanol if no other is named; labels are computed with GFN2-xTB.

    equinet train --config=potential --workdir=runs/ethanol
    equinet train --config=potential --workdir=runs/acetone --config.data.smiles='CC(=O)C'

``potential:ponita`` trains a network on positions and orientations instead of irreps. Your own
extended XYZ: ``--config.data.source=files`` and the keys ``data.train``, ``data.validation`` and
``data.test``, each ``FILE`` or a part of it, ``FILE@START:STOP``.
"""

from typing import Any

from ml_collections import ConfigDict

DURATION = "4 minutes on 2 cores"

NETWORKS: dict[str, dict[str, Any]] = {
    "irreps": {"channels": 32, "lmax": 2, "correlation": 3},
    # With 5 angstrom the network learns far more slowly: distant atoms outnumber the bonded ones.
    "ponita": {"cutoff": 3.5, "channels": 32, "layers": 2, "basis": 32, "orientations": 12},
}
"""Options that suit each network; their steps cost about the same."""


def get_config(network: str = "irreps") -> ConfigDict:
    """500 configurations at 500 K to train on, 50 to select on, 100 to test on."""
    return potential(
        network,
        steps=7000,
        batch_size=8,
        warmup_steps=200,
        log_every=100,
        validate_every=1000,
        checkpoint_every=1000,
    )


def potential(network: str = "irreps", **training: Any) -> ConfigDict:
    """A config of the potential task.

    Args:
        network: A key of ``NETWORKS``.
        **training: Keys of ``config.training`` that differ from the defaults.

    Raises:
        ValueError: If there is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"the network is one of {', '.join(NETWORKS)}, got {network!r}")
    config = ConfigDict()
    config.task = "equinet.potentials.task:PotentialTask"
    config.model = {"network": network, **NETWORKS[network]}
    config.loss = {"energy": 1.0, "forces": 10.0}
    config.training = {
        "learning_rate": 2e-2,
        "gradient_clip_norm": 10.0,
        "ema_decay": 0.995,
        **training,
    }
    return config
