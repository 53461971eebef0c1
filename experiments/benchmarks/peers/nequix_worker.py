"""nequix as a worker: runs in `.peers/nequix`."""

from __future__ import annotations

from typing import Any

import ase
import equinox
import jax
import jraph
import numpy as np
from nequix.data import atomic_numbers_to_indices, dict_to_graphstuple, preprocess_graph
from nequix.model import Nequix

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.jax_step import prepare

SIZES: dict[str, dict[str, Any]] = {
    "nequix-2": {"n_layers": 2, "lmax": 3, "hidden_irreps": "64x0e+64x1o"},
    "nequix-4": {"n_layers": 4, "lmax": 3, "hidden_irreps": "128x0e+64x1o+32x2e+32x3o"},
}


def _batch(case: dict[str, Any], elements: list[int]) -> jraph.GraphsTuple:
    indices = atomic_numbers_to_indices(elements)
    frames = [
        dict_to_graphstuple(
            preprocess_graph(
                ase.Atoms(numbers=numbers, positions=positions), indices, case["cutoff"], False
            )
        )
        for numbers, positions in zip(case["numbers"], case["positions"], strict=True)
    ]
    return jraph.batch_np(frames)


def setup(case: dict[str, Any]) -> Prepared:
    """Nequix as its own training script builds it, in float32."""
    elements = sorted({number for numbers in case["numbers"] for number in numbers})
    batch = _batch(case, elements)
    edges = int(np.sum(batch.n_edge))
    model = Nequix(
        jax.random.key(0),
        n_species=len(elements),
        cutoff=case["cutoff"],
        avg_n_neighbors=edges / int(np.sum(batch.n_node)),
        **SIZES[case["size"]],
    )
    parameters, static = equinox.partition(model, equinox.is_array)

    def evaluate(
        parameters: Any, graph: jraph.GraphsTuple, positions: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        graph = graph._replace(nodes={**graph.nodes, "positions": positions})
        energy, forces, _ = equinox.combine(parameters, static)(graph)
        return energy, forces

    return prepare("nequix", parameters, batch, evaluate, case, edges=edges)
