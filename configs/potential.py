"""Ethanol under GFN2-xTB, data made on the spot: a trained force field in 4 minutes on 2 cores.

    equinet train --config=configs/potential.py --workdir=runs/ethanol

``potential.py:<network>``: irreps (the default) or ponita, which is trained on rotated molecules.
Any molecule: ``--config.data.smiles=CC(=O)C``.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(network: str = "irreps") -> ConfigDict:
    """Ethanol at 500 K: 500 configurations to train on, 50 to select on, 100 to test on."""
    return common.potential(
        network,
        steps=7000,
        batch_size=8,
        warmup_steps=200,
        log_every=100,
        validate_every=1000,
        checkpoint_every=1000,
    )
