"""Workers of the benchmarks: one library each, run in an environment of its own."""
