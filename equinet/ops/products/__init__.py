"""Tensor products of irreps of SO(3) and O(3) behind one signature."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
