"""cayleypy as a worker: one of its searches over the case's graph, on the CPU."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from cayleypy import CayleyGraph, PermutationGroups, Puzzles, bfs_bitmask, bfs_numpy

from experiments.benchmarks.harness.worker import Prepared, peak_rss_mb

SEARCHES = {
    "bfs": lambda graph: graph.bfs().layer_sizes,
    "bfs_numpy": bfs_numpy,
    "bfs_bitmask": bfs_bitmask,
}
CUBES = {"cube222_htm": "fixed_HTM", "cube222_qtm": "fixed_QTM"}


def setup(case: dict[str, Any]) -> Prepared:
    """The case's graph and the search that it names."""
    family, n = case["family"], case["n"]
    if family in CUBES:
        definition = Puzzles.rubik_cube(2, metric=CUBES[family])
    else:
        definition = getattr(PermutationGroups, family)(n)

    def search() -> list[int]:
        graph = CayleyGraph(definition, device="cpu")
        return [int(size) for size in SEARCHES[case["search"]](graph)]

    before = peak_rss_mb()
    layers = search()
    return Prepared(
        step=search,
        version=importlib.metadata.version("cayleypy"),
        temp_mb=peak_rss_mb() - before,
        checks={"layers": layers},
    )
