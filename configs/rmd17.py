"""Revised MD17, ``rmd17.py:<molecule>``: 950 to train on, the 1000 test configurations of split 01.

    EQUINET_DATA=DIR equinet train --config=configs/rmd17.py:aspirin --workdir=runs/aspirin

DIR/rmd17/<molecule>/ holds train_01.xyz and test_01.xyz (https://github.com/divelab/AIRS, from the
figshare record of rMD17). Molecules: aspirin, benzene, ethanol, malonaldehyde, and any other that
lies there in the same form. A network on positions and orientations:
``--config.model.network=ponita --config.model.cutoff=3.5``.
"""

from ml_collections import ConfigDict

from configs import common

DURATION = "25 minutes on 2 cores"


def get_config(molecule: str = "ethanol") -> ConfigDict:
    """Train on the first 950 of the training file, select on the last 50, test officially."""
    return common.molecular_files(
        steps=20_000,
        train=f"rmd17/{molecule}/train_01.xyz@:950",
        validation=f"rmd17/{molecule}/train_01.xyz@950:",
        test=f"rmd17/{molecule}/test_01.xyz",
        energy_key="Energy",
    )
