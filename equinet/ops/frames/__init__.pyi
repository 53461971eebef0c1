from .blend import BlendFrame as BlendFrame
from .canonical import GramSchmidtFrame as GramSchmidtFrame
from .canonical import LorentzFrame as LorentzFrame
from .frame import Frame as Frame
from .frame import FrameElements as FrameElements
from .multidimensional_scaling import mds as mds
from .multidimensional_scaling import squared_distances as squared_distances
from .permutation import SortFrame as SortFrame
from .permutation import SpectralFrame as SpectralFrame
from .principal import PCAFrame as PCAFrame
from .weighted import SweepFrame as SweepFrame
from .weighted import TupleFrame as TupleFrame

__all__ = [
    "BlendFrame",
    "Frame",
    "FrameElements",
    "GramSchmidtFrame",
    "LorentzFrame",
    "PCAFrame",
    "SortFrame",
    "SpectralFrame",
    "SweepFrame",
    "TupleFrame",
    "mds",
    "squared_distances",
]
