from .blocks import block_diagonal as block_diagonal
from .blocks import kron as kron
from .eigen import safe_eigh as safe_eigh
from .orthonormal import complete_axes as complete_axes
from .orthonormal import gram_schmidt as gram_schmidt
from .orthonormal import minkowski_gram_schmidt as minkowski_gram_schmidt
from .safe import safe_norm as safe_norm
from .safe import safe_normalize as safe_normalize
from .small_matrices import cofactors as cofactors
from .small_matrices import determinant as determinant
from .small_matrices import expm as expm
from .small_matrices import inverse as inverse
from .small_matrices import logm as logm
from .small_matrices import matmul as matmul
from .small_matrices import phi1 as phi1
from .small_matrices import sqrtm as sqrtm

__all__ = [
    "block_diagonal",
    "cofactors",
    "complete_axes",
    "determinant",
    "expm",
    "gram_schmidt",
    "inverse",
    "kron",
    "logm",
    "matmul",
    "minkowski_gram_schmidt",
    "phi1",
    "safe_eigh",
    "safe_norm",
    "safe_normalize",
    "sqrtm",
]
