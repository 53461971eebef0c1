r"""Pieces of four cubes, two of them mirror images, ``tetris.py:<product>``.

    equinet train --config=configs/tetris.py:gaunt --workdir=runs/tetris-gaunt
    equinet train --config=configs/tetris.py:clebsch_gordan --workdir=runs/tetris-cg

Products of functions on the sphere have no pseudoscalar and stop at 7 pieces of 8; products with
all paths reach 8 of 8. Seconds each.
"""

from ml_collections import ConfigDict

DURATION = "seconds"


def get_config(product: str = "clebsch_gordan") -> ConfigDict:
    """Trained on each piece in one orientation, reported on random ones."""
    config = ConfigDict()
    config.task = "experiments.tetris.task:TetrisTask"
    config.model = {"product": product}
    config.training = {
        "steps": 200,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "warmup_steps": 10,
        "gradient_clip_norm": 10.0,
        "ema_decay": 0.9,
        "log_every": 20,
        "validate_every": 50,
        "checkpoint_every": 200,
    }
    return config
