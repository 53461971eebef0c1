from .lebedev import hemisphere_grid as hemisphere_grid
from .s2grid import S2Grid as S2Grid
from .s2grid import gauss_legendre_grid as gauss_legendre_grid

__all__ = [
    "S2Grid",
    "gauss_legendre_grid",
    "hemisphere_grid",
]
