"""Frames: equivariant sets of group elements, over which any function can be averaged."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
