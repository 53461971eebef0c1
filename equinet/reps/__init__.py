"""Representations as values: how a group acts on the axis -2 of a feature."""
