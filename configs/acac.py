"""Acetylacetone at 300 K, 15 atoms: 450 frames to train on, the official 650 test; 25 minutes.

    EQUINET_DATA=DIR equinet train --config=configs/acac.py --workdir=runs/acac

DIR/acac/ holds train_300K.xyz, test_MD_300K.xyz and isolated_atoms.xyz
(https://github.com/davkovacs/BOTNet-datasets).
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Train on the first 450 training frames, select on the last 50, test on the 300 K test."""
    config = common.potential(
        steps=32_000,
        batch_size=5,
        learning_rate=2e-2,
        warmup_steps=500,
        gradient_clip_norm=10.0,
        ema_decay=0.995,
        log_every=500,
        validate_every=2000,
        checkpoint_every=2000,
    )
    config.data.source = "files"
    config.data.train = "acac/train_300K.xyz@:450"
    config.data.validation = "acac/train_300K.xyz@450:"
    config.data.test = "acac/test_MD_300K.xyz"
    config.data.isolated_atoms = "acac/isolated_atoms.xyz"
    common.accurate(config)
    return config
