from . import cayley as cayley
from .decompositions import cartan as cartan
from .decompositions import from_cartan as from_cartan
from .decompositions import from_iwasawa as from_iwasawa
from .decompositions import from_polar as from_polar
from .decompositions import iwasawa as iwasawa
from .decompositions import polar as polar
from .decompositions import polar_log_density as polar_log_density
from .decompositions import spd_log_density as spd_log_density
from .euclidean import SE as SE
from .euclidean import Affine as Affine
from .euclidean import E as E
from .euclidean import SemidirectGroup as SemidirectGroup
from .finite import Cyclic as Cyclic
from .finite import Dihedral as Dihedral
from .finite import FiniteGroup as FiniteGroup
from .general_linear import SL as SL
from .general_linear import GLPlus as GLPlus
from .general_linear import PolarGroup as PolarGroup
from .group import DirectProduct as DirectProduct
from .group import Group as Group
from .lorentz import FullLorentz as FullLorentz
from .lorentz import Lorentz as Lorentz
from .lorentz import boost as boost
from .matrix_lie_group import FormGroup as FormGroup
from .matrix_lie_group import MatrixLieGroup as MatrixLieGroup
from .orthogonal import SO as SO
from .orthogonal import O as O
from .quadrature import Density as Density
from .quadrature import GroupNodes as GroupNodes
from .quadrature import PointSet as PointSet
from .quadrature import group_nodes as group_nodes
from .quadrature import largest_log_singular_value as largest_log_singular_value
from .quadrature import nodes_mass as nodes_mass
from .quadrature import support_radius as support_radius
from .quadrature import symmetric_basis as symmetric_basis
from .rotations import axis_angle_to_matrix as axis_angle_to_matrix
from .rotations import convert as convert
from .rotations import euler_to_matrix as euler_to_matrix
from .rotations import gram_schmidt_to_matrix as gram_schmidt_to_matrix
from .rotations import matrix_to_axis_angle as matrix_to_axis_angle
from .rotations import matrix_to_euler as matrix_to_euler
from .rotations import matrix_to_gram_schmidt as matrix_to_gram_schmidt
from .rotations import matrix_to_quaternion as matrix_to_quaternion
from .rotations import matrix_to_stereographic as matrix_to_stereographic
from .rotations import matrix_to_svd as matrix_to_svd
from .rotations import nearest_rotation as nearest_rotation
from .rotations import quaternion_to_matrix as quaternion_to_matrix
from .rotations import stereographic_to_matrix as stereographic_to_matrix
from .rotations import svd_to_matrix as svd_to_matrix
from .similitude import Scalings as Scalings
from .similitude import Similitudes as Similitudes
from .subgroup import OnAxes as OnAxes
from .symmetric import S as S
from .symplectic import Sp as Sp

__all__ = [
    "SE",
    "SL",
    "SO",
    "Affine",
    "Cyclic",
    "Density",
    "Dihedral",
    "DirectProduct",
    "E",
    "FiniteGroup",
    "FormGroup",
    "FullLorentz",
    "GLPlus",
    "Group",
    "GroupNodes",
    "Lorentz",
    "MatrixLieGroup",
    "O",
    "OnAxes",
    "PointSet",
    "PolarGroup",
    "S",
    "Scalings",
    "SemidirectGroup",
    "Similitudes",
    "Sp",
    "axis_angle_to_matrix",
    "boost",
    "cartan",
    "cayley",
    "convert",
    "euler_to_matrix",
    "from_cartan",
    "from_iwasawa",
    "from_polar",
    "gram_schmidt_to_matrix",
    "group_nodes",
    "iwasawa",
    "largest_log_singular_value",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "matrix_to_gram_schmidt",
    "matrix_to_quaternion",
    "matrix_to_stereographic",
    "matrix_to_svd",
    "nearest_rotation",
    "nodes_mass",
    "polar",
    "polar_log_density",
    "quaternion_to_matrix",
    "spd_log_density",
    "stereographic_to_matrix",
    "support_radius",
    "svd_to_matrix",
    "symmetric_basis",
]
