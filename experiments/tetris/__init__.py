"""Eight pieces, two of them mirror images."""
