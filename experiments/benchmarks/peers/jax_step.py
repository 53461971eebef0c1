"""The training step that the JAX libraries share: energy, forces, loss, gradient and Adam."""

from __future__ import annotations

import importlib.metadata
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.force_checks import force_checks

_B1 = 0.9  # of Adam
Evaluate = Callable[[Any, Any, jax.Array], tuple[jax.Array, jax.Array]]


def training_step(
    evaluate: Evaluate, optimiser: optax.GradientTransformation
) -> Callable[..., tuple[Any, Any]]:
    """The step as a function of parameters, optimiser state, graph, positions and the labels.

    The loss is the mean squared error of the energies per atom plus that of the forces.
    """

    def loss(
        parameters: Any, graph: Any, positions: jax.Array, energy: jax.Array, forces: jax.Array
    ) -> jax.Array:
        found_energy, found_forces = evaluate(parameters, graph, positions)
        atoms = len(positions) / len(energy)
        energy_loss = jnp.mean(((found_energy - energy) / atoms) ** 2)
        return energy_loss + jnp.mean((found_forces - forces) ** 2)

    def step(parameters: Any, state: Any, *data: Any) -> tuple[Any, Any]:
        updates, state = optimiser.update(jax.grad(loss)(parameters, *data), state)
        return optax.apply_updates(parameters, updates), state

    return step


def prepare(
    library: str,
    parameters: Any,
    graph: Any,
    evaluate: Evaluate,
    case: dict[str, Any],
    *,
    edges: int,
) -> Prepared:
    """The step as `Prepared`, compiled; the old parameters' memory is given to the new ones.

    The graph and the labels are arguments of the step, as in a training, not constants.

    Args:
        library: The name under which pip knows the library.
        parameters: The trained arrays, as a pytree.
        graph: The library's own batch, as a pytree.
        evaluate: Parameters, graph and positions `[nodes, 3]` to energies `[graphs]` and forces
            `[nodes, 3]`.
        case: The case of the benchmark.
        edges: Directed edges of the graph.
    """
    graph = jax.tree.map(jnp.asarray, graph)
    positions = jnp.asarray(case["positions"], jnp.float32).reshape(-1, 3)
    forces = jnp.asarray(case["forces"], jnp.float32).reshape(-1, 3)
    data = (graph, positions, jnp.asarray(case["energy"], jnp.float32), forces)
    optimiser = optax.adam(1e-3, b1=_B1)
    carried = jax.tree.map(jnp.copy, (parameters, optimiser.init(parameters)))
    begin = time.perf_counter()
    step = jax.jit(training_step(evaluate, optimiser), donate_argnums=(0, 1))
    compiled = step.lower(*carried, *data).compile()
    compile_s = time.perf_counter() - begin
    jitted = jax.jit(evaluate)

    def advance() -> None:
        nonlocal carried
        carried = jax.block_until_ready(compiled(*carried, *data))

    def energy_and_forces(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energy, forces = jitted(parameters, graph, jnp.asarray(moved, jnp.float32))
        return np.asarray(energy), np.asarray(forces)

    advance()
    # Adam's first moment after the first step is (1 - b1) times the gradient.
    gradient_norm = float(optax.tree.norm(carried[1][0].mu)) / (1 - _B1)
    return Prepared(
        step=advance,
        version=importlib.metadata.version(library),
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(parameters)),
        compile_s=compile_s,
        temp_mb=compiled.memory_analysis().temp_size_in_bytes / 1e6,
        checks=force_checks(
            energy_and_forces, np.asarray(positions), edges=edges, gradient_norm=gradient_norm
        ),
    )
