"""Groups as values: sample, compose, invert, act."""

from equinet.groups.euclidean import SE as SE
from equinet.groups.euclidean import Affine as Affine
from equinet.groups.euclidean import E as E
from equinet.groups.euclidean import SemidirectGroup as SemidirectGroup
from equinet.groups.finite import Cyclic as Cyclic
from equinet.groups.finite import Dihedral as Dihedral
from equinet.groups.finite import FiniteGroup as FiniteGroup
from equinet.groups.forms import FormGroup as FormGroup
from equinet.groups.general_linear import SL as SL
from equinet.groups.general_linear import GLPlus as GLPlus
from equinet.groups.group import Group as Group
from equinet.groups.group import MatrixLieGroup as MatrixLieGroup
from equinet.groups.lorentz import FullLorentz as FullLorentz
from equinet.groups.lorentz import Lorentz as Lorentz
from equinet.groups.orthogonal import SO as SO
from equinet.groups.orthogonal import O as O
from equinet.groups.polar_group import PolarGroup as PolarGroup
from equinet.groups.product import DirectProduct as DirectProduct
from equinet.groups.similitude import Scalings as Scalings
from equinet.groups.similitude import Similitudes as Similitudes
from equinet.groups.subgroup import OnAxes as OnAxes
from equinet.groups.symmetric import S as S
from equinet.groups.symplectic import Sp as Sp
