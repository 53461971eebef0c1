"""Import of the packages that only some users need."""

import importlib
from types import ModuleType


def require(module: str, extra: str = "potentials") -> ModuleType:
    """Imports a module of an optional package.

    Raises:
        ImportError: If it is not installed; the message says how to install it.

    >>> require("math").__name__
    'math'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"this needs {package}, which is not installed ({error}): "
            f"pip install 'equinet-jax[{extra}]'"
        ) from error
