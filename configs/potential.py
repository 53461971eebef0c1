"""The preset ``potential`` as a config of this project: a force field of ethanol by GFN2-xTB.

equinet train --config=configs/potential.py --workdir=runs/ethanol
"""

from equinet.presets.potential import DURATION, get_config

__all__ = ["DURATION", "get_config"]
