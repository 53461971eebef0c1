from . import data as data
from . import groups as groups
from . import linalg as linalg
from . import models as models
from . import nn as nn
from . import ops as ops
from . import potentials as potentials
from . import reps as reps
from . import testing as testing
from . import training as training
from .groups import SE as SE
from .groups import SL as SL
from .groups import SO as SO
from .groups import Affine as Affine
from .groups import Cyclic as Cyclic
from .groups import Dihedral as Dihedral
from .groups import E as E
from .groups import GLPlus as GLPlus
from .groups import Lorentz as Lorentz
from .groups import O as O
from .groups import S as S
from .groups import Sp as Sp
from .ops.products import tensor_product as tensor_product
from .reps import Irrep as Irrep
from .reps import Irreps as Irreps
from .reps import Regular as Regular
from .reps import Rep as Rep
from .reps import Scalar as Scalar
from .reps import Tensor as Tensor
from .reps import Vector as Vector
from .reps import clebsch_gordan as clebsch_gordan
from .reps import equivariant_basis as equivariant_basis
from .reps import spherical_harmonics as spherical_harmonics
from .testing import assert_equivariant as assert_equivariant
from .testing import equivariance_error as equivariance_error

__version__: str

__all__ = [
    "SE",
    "SL",
    "SO",
    "Affine",
    "Cyclic",
    "Dihedral",
    "E",
    "GLPlus",
    "Irrep",
    "Irreps",
    "Lorentz",
    "O",
    "Regular",
    "Rep",
    "S",
    "Scalar",
    "Sp",
    "Tensor",
    "Vector",
    "__version__",
    "assert_equivariant",
    "clebsch_gordan",
    "data",
    "equivariance_error",
    "equivariant_basis",
    "groups",
    "linalg",
    "models",
    "nn",
    "ops",
    "potentials",
    "reps",
    "spherical_harmonics",
    "tensor_product",
    "testing",
    "training",
]
