"""Representations as values: how a group acts on axis -2 of a feature."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
