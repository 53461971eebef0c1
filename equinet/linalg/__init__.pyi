from .eigen import safe_eigh as safe_eigh
from .orthonormal import complete_axes as complete_axes
from .orthonormal import gram_schmidt as gram_schmidt
from .orthonormal import minkowski_gram_schmidt as minkowski_gram_schmidt
from .safe import safe_norm as safe_norm
from .safe import safe_normalize as safe_normalize

__all__ = [
    "complete_axes",
    "gram_schmidt",
    "minkowski_gram_schmidt",
    "safe_eigh",
    "safe_norm",
    "safe_normalize",
]
