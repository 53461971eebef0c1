from .basis import EquivariantBasis as EquivariantBasis
from .basis import equivariant_basis as equivariant_basis

__all__ = [
    "EquivariantBasis",
    "equivariant_basis",
]
