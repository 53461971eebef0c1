"""3BPA at 300 K, 27 atoms: 400 configurations to train on, the last 50 held out.

    EQUINET_DATA=DIR equinet train --config=configs/3bpa.py --workdir=runs/3bpa

DIR/3bpa/ holds train_300K.xyz and iso_atoms.xyz (https://github.com/davkovacs/BOTNet-datasets).
``3bpa.py:ponita`` trains a network on positions and orientations instead, on rotated molecules.
The last 50 configurations of the training file are neither trained nor selected on: they are held
out, but they are not the official test. With the official files:
``--config.data.test=3bpa/test_300K.xyz``.
"""

from ml_collections import ConfigDict

from configs import common

DURATION = "25 minutes on 2 cores"


def get_config(network: str = "irreps") -> ConfigDict:
    """Train on 0 to 400, select on 400 to 450, test on 450 to 500."""
    return common.molecular_files(
        steps=16_000,
        network=network,
        train="3bpa/train_300K.xyz@:400",
        validation="3bpa/train_300K.xyz@400:450",
        test="3bpa/train_300K.xyz@450:",
        isolated_atoms="3bpa/iso_atoms.xyz",
    )
