"""Equivariant networks in JAX and Flax: every symmetry a first-class object, every layer fast."""

__version__ = "0.1.0.dev0"
