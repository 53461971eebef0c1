r"""Pieces of four cubes, two of them mirror images, ``tetris.py:<product>``.

    equinet train --config=configs/tetris.py:gaunt --workdir=runs/tetris-gaunt
    equinet train --config=configs/tetris.py:clebsch_gordan --workdir=runs/tetris-cg

Products of functions on the sphere have no pseudoscalar and stop at 7 pieces of 8; products with
all paths reach 8 of 8. Seconds each.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(product: str = "clebsch_gordan") -> ConfigDict:
    """Trained on each piece in one orientation, reported on random ones."""
    return common.tetris(product)
