"""Representations as values: how a group acts on the axis -2 of a feature."""

from equinet.reps.actions import Images as Images
from equinet.reps.actions import Points as Points
from equinet.reps.actions import Transformable as Transformable
from equinet.reps.actions import WithoutChannels as WithoutChannels
from equinet.reps.algebra import Scalar as Scalar
from equinet.reps.algebra import Tensor as Tensor
from equinet.reps.algebra import Vector as Vector
from equinet.reps.basis import EquivariantBasis as EquivariantBasis
from equinet.reps.basis import equivariant_basis as equivariant_basis
from equinet.reps.clebsch_gordan import clebsch_gordan as clebsch_gordan
from equinet.reps.clebsch_gordan import complex_clebsch_gordan as complex_clebsch_gordan
from equinet.reps.clebsch_gordan import so3_generators as so3_generators
from equinet.reps.irrep import Irrep as Irrep
from equinet.reps.irreps import Irreps as Irreps
from equinet.reps.irreps import from_irreps_array as from_irreps_array
from equinet.reps.irreps import to_irreps_array as to_irreps_array
from equinet.reps.outer import outer_product as outer_product
from equinet.reps.powers import antisymmetric_power as antisymmetric_power
from equinet.reps.powers import symmetric_power as symmetric_power
from equinet.reps.regular import Regular as Regular
from equinet.reps.rep import Rep as Rep
from equinet.reps.restriction import restrict as restrict
from equinet.reps.wigner import wigner_d as wigner_d
from equinet.reps.wigner import wigner_matrices as wigner_matrices
from equinet.reps.wigner import wigner_table as wigner_table
