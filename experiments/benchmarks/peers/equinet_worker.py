"""Our own side as a worker, so that its memory is measured as that of the peers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from equinet.ops.graphs import GraphBatch
from equinet.training import keep_freed_memory
from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.jax_step import prepare
from experiments.benchmarks.potential_step import equinet_case


def setup(case: dict[str, Any]) -> Prepared:
    """The potential of the case's size, in float32, on the padded batch of a training."""
    keep_freed_memory()  # as every training does
    model, batch, edges = equinet_case(case)
    atoms, molecules = int(batch.node_mask.sum()), int(batch.graph_mask.sum())
    graphdef, parameters, rest = nnx.split(model, nnx.Param, ...)

    def evaluate(
        parameters: Any, graph: GraphBatch, positions: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graphdef, parameters, rest)
        padded = jnp.pad(positions, ((0, graph.num_nodes - atoms), (0, 0)))
        energy, forces = model.energy_and_forces(dataclasses.replace(graph, positions=padded))
        return energy[:molecules], forces[:atoms]

    return prepare("equinet", parameters, batch, evaluate, case, edges=edges)
