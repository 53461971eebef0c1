"""Our search of a Cayley graph as a worker, compiled afresh at every run."""

from __future__ import annotations

import time
from typing import Any

import jax

import equinet
from equinet.groups.cayley import cayley_graph, cayley_growth
from equinet.groups.cayley import cosets as cayley_cosets
from experiments.benchmarks.harness.worker import Prepared, peak_rss_mb


def setup(case: dict[str, Any]) -> Prepared:
    """The case's graph; JAX has started, nothing is compiled and no table is kept."""
    jax.block_until_ready(jax.device_put(0.0))
    before = peak_rss_mb()

    def search() -> list[int]:
        return list(cayley_growth(cayley_graph(case["family"], case["n"])).layers)

    def fresh() -> list[int]:
        jax.clear_caches()
        for table in (
            cayley_cosets._canonical,
            cayley_cosets._lead_positions,
            cayley_cosets._tail_actions,
        ):
            table.cache_clear()
        return search()

    begin = time.perf_counter()
    layers = fresh()
    middle = time.perf_counter()
    search()
    end = time.perf_counter()
    return Prepared(
        step=fresh,
        version=equinet.__version__,
        compile_s=2 * middle - begin - end,
        temp_mb=peak_rss_mb() - before,
        checks={"layers": layers},
    )
