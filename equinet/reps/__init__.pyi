from . import bases as bases
from ._irreps_entries import MulIrrep as MulIrrep
from ._irreps_entries import SortedIrreps as SortedIrreps
from .actions import Images as Images
from .actions import Points as Points
from .actions import Transformable as Transformable
from .actions import WithoutChannels as WithoutChannels
from .actions import pixel_coordinates as pixel_coordinates
from .bases.basis import EquivariantBasis as EquivariantBasis
from .bases.basis import equivariant_basis as equivariant_basis
from .clebsch_gordan_tables import clebsch_gordan as clebsch_gordan
from .clebsch_gordan_tables import complex_clebsch_gordan as complex_clebsch_gordan
from .clebsch_gordan_tables import so3_generators as so3_generators
from .e3nn import from_irreps_array as from_irreps_array
from .e3nn import to_irreps_array as to_irreps_array
from .harmonics import spherical_harmonics as spherical_harmonics
from .harmonics import spherical_harmonics_table as spherical_harmonics_table
from .irreps import Irrep as Irrep
from .irreps import Irreps as Irreps
from .irreps import IrrepsLike as IrrepsLike
from .irreps import RepLike as RepLike
from .irreps import as_rep as as_rep
from .outer import outer_product as outer_product
from .powers import antisymmetric_power as antisymmetric_power
from .powers import symmetric_power as symmetric_power
from .regular import Regular as Regular
from .rep import Rep as Rep
from .rep import direct_sum as direct_sum
from .rep import tensor_product as tensor_product
from .restriction import restrict as restrict
from .vector import Scalar as Scalar
from .vector import Tensor as Tensor
from .vector import Vector as Vector
from .wigner import wigner_d as wigner_d
from .wigner import wigner_matrices as wigner_matrices
from .wigner import wigner_table as wigner_table

__all__ = [
    "EquivariantBasis",
    "Images",
    "Irrep",
    "Irreps",
    "IrrepsLike",
    "MulIrrep",
    "Points",
    "Regular",
    "Rep",
    "RepLike",
    "Scalar",
    "SortedIrreps",
    "Tensor",
    "Transformable",
    "Vector",
    "WithoutChannels",
    "antisymmetric_power",
    "as_rep",
    "bases",
    "clebsch_gordan",
    "complex_clebsch_gordan",
    "direct_sum",
    "equivariant_basis",
    "from_irreps_array",
    "outer_product",
    "pixel_coordinates",
    "restrict",
    "so3_generators",
    "spherical_harmonics",
    "spherical_harmonics_table",
    "symmetric_power",
    "tensor_product",
    "to_irreps_array",
    "wigner_d",
    "wigner_matrices",
    "wigner_table",
]
