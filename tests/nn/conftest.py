"""What the tests of layers share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from equinet.data.atoms import Configuration, collate, to_graph
from equinet.ops.graphs import GraphBatch


@pytest.fixture(scope="session")
def train() -> Callable:
    """Takes a few Adam steps on the mean square distance from 1 of a function of the module."""

    def train(module: nnx.Module, function: Callable[[nnx.Module], jax.Array]) -> nnx.Module:
        graphdef, params = nnx.split(module)
        optimizer = optax.adam(0.05)

        def loss(params: nnx.State) -> jax.Array:
            return jnp.mean((function(nnx.merge(graphdef, params)) - 1) ** 2)

        @jax.jit
        def step(params: nnx.State, state: optax.OptState) -> tuple:
            value, gradient = jax.value_and_grad(loss)(params)
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
                updates, state = optimizer.update(gradient, state)
            return optax.apply_updates(params, updates), state, value

        state, losses = optimizer.init(params), []
        for _ in range(8):
            params, state, value = step(params, state)
            losses.append(float(value))
        assert losses[-1] < losses[0]
        return nnx.merge(graphdef, params)

    return train


@pytest.fixture(scope="session")
def graph() -> GraphBatch:
    """Two random molecules of two elements and a lone atom, padded, float32."""
    rng = np.random.default_rng(0)
    configurations = [
        Configuration(numbers=rng.choice([1, 6], n), positions=rng.uniform(-1, 1, (n, 3)))
        for n in (4, 1, 3)
    ]
    graphs = [
        to_graph(configuration, cutoff=2.0, elements=("H", "C")) for configuration in configurations
    ]
    batch = collate(graphs, range(1), shards=1)
    return jax.tree.map(lambda array: jnp.asarray(array[0]), batch["graph"])
