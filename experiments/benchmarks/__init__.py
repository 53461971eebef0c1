"""One speed question a file: `python -m experiments.benchmarks.<op>`."""
