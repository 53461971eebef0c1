from .calculator import PotentialCalculator as PotentialCalculator
from .calculator import load_potential as load_potential
from .config import FileDataConfig as FileDataConfig
from .config import LossConfig as LossConfig
from .config import PotentialConfig as PotentialConfig
from .config import XTBDataConfig as XTBDataConfig
from .dynamics import run_md as run_md
from .task import PotentialTask as PotentialTask

__all__ = [
    "FileDataConfig",
    "LossConfig",
    "PotentialCalculator",
    "PotentialConfig",
    "PotentialTask",
    "XTBDataConfig",
    "load_potential",
    "run_md",
]
