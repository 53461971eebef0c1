"""Doctests of the experiments; the workers of other libraries need environments of their own."""

collect_ignore_glob = ["benchmarks/peers/*"]
