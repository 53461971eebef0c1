from .convolution import convolve_orientations as convolve_orientations
from .convolution import convolve_positions as convolve_positions
from .convolution import pair_invariants as pair_invariants
from .convolution import slot_features as slot_features
from .convolution import spatial_invariants as spatial_invariants
from .grids import POLYHEDRA as POLYHEDRA
from .grids import Grid as Grid
from .grids import circle as circle
from .grids import fibonacci as fibonacci
from .grids import grid_of_size as grid_of_size
from .grids import lift_vectors as lift_vectors
from .grids import polyhedron as polyhedron
from .grids import read_vectors as read_vectors

__all__ = [
    "POLYHEDRA",
    "Grid",
    "circle",
    "convolve_orientations",
    "convolve_positions",
    "fibonacci",
    "grid_of_size",
    "lift_vectors",
    "pair_invariants",
    "polyhedron",
    "read_vectors",
    "slot_features",
    "spatial_invariants",
]
