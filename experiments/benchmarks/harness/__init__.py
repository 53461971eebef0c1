"""Machinery shared by the benchmarks."""
