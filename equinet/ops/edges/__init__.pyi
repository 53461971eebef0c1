from .clebsch_gordan import ClebschGordanConvolution as ClebschGordanConvolution
from .convolution import CONVOLUTIONS as CONVOLUTIONS
from .convolution import EdgeConvolution as EdgeConvolution
from .gaunt import GauntConvolution as GauntConvolution
from .rotations import Rotations as Rotations
from .rotations import edge_rotations as edge_rotations
from .so2 import SO2Convolution as SO2Convolution

__all__ = [
    "CONVOLUTIONS",
    "ClebschGordanConvolution",
    "EdgeConvolution",
    "GauntConvolution",
    "Rotations",
    "SO2Convolution",
    "edge_rotations",
]
