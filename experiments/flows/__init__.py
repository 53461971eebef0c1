"""Fluid flows on periodic squares."""
