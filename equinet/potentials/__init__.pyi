from .calculator import PotentialCalculator as PotentialCalculator
from .calculator import load_potential as load_potential
from .config import DataConfig as DataConfig
from .config import LossConfig as LossConfig
from .config import ModelConfig as ModelConfig
from .dynamics import run_md as run_md
from .task import PotentialTask as PotentialTask

__all__ = [
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "PotentialCalculator",
    "PotentialTask",
    "load_potential",
    "run_md",
]
