"""Graphs for the tests of ops."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.data.atoms import Budget, Configuration, collate, to_graph
from equinet.ops.graphs import GraphBatch


@pytest.fixture
def make_graph() -> Callable[..., GraphBatch]:
    """Makes one shard of two random molecules, a lone atom and a small crystal, padded."""

    def make(dtype: Any = np.float64, budget: Budget | None = None) -> GraphBatch:
        rng = np.random.default_rng(0)
        molecules = [
            Configuration(numbers=np.full(n, 6), positions=rng.uniform(-1.5, 1.5, (n, 3)))
            for n in (5, 4)
        ]
        lone = Configuration(numbers=np.array([6]), positions=np.zeros((1, 3)))
        crystal = Configuration(
            numbers=np.array([6, 6]),
            positions=rng.uniform(0, 1, (2, 3)),
            cell=1.8 * np.eye(3) + 0.1 * rng.normal(size=(3, 3)),
            pbc=(True, True, True),
        )
        configurations = [molecules[0], lone, crystal, molecules[1]]
        graphs = [
            to_graph(configuration, cutoff=2.0, elements=("C",)) for configuration in configurations
        ]
        batch = collate(graphs, range(1), shards=1, budget=budget, dtype=dtype)
        return jax.tree.map(lambda array: jnp.asarray(array[0]), batch["graph"])

    return make
