"""Point clouds and their rotations."""
