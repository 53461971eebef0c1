"""Functions of known symmetry."""
