"""Digits moved by affine maps."""
