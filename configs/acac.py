"""Acetylacetone at 300 K, 15 atoms: 450 to train on, the official 650 test.

    EQUINET_DATA=DIR equinet train --config=configs/acac.py --workdir=runs/acac

DIR/acac/ holds train_300K.xyz, test_MD_300K.xyz and isolated_atoms.xyz
(https://github.com/davkovacs/BOTNet-datasets). ``acac.py:ponita`` trains a network on positions and
orientations instead, on rotated molecules.
"""

from ml_collections import ConfigDict

from configs import common

DURATION = "25 minutes on 2 cores"


def get_config(network: str = "irreps") -> ConfigDict:
    """Train on the first 450 select on the last 50, test on the 300 K file."""
    return common.molecular_files(
        steps=20_000,
        network=network,
        train="acac/train_300K.xyz@:450",
        validation="acac/train_300K.xyz@450:",
        test="acac/test_MD_300K.xyz",
        isolated_atoms="acac/isolated_atoms.xyz",
    )
