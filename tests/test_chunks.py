"""Blocks of work: their size divides the rows and fits the budget; joined they equal the whole."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from equinet.chunks import map_chunks, rows_per_chunk


@hypothesis.given(st.integers(1, 500), st.integers(1, 5000), st.integers(1, 10**6))
def test_the_largest_divisor_unless_blocks_of_twice_its_size_fit(
    rows: int, bytes_per_row: int, limit: int
) -> None:
    chunk = rows_per_chunk(rows, bytes_per_row, limit)
    most = max(1, limit // bytes_per_row)
    divisor = max(d for d in range(1, rows + 1) if rows % d == 0 and d <= most)
    assert 1 <= chunk <= most
    assert chunk == divisor if 2 * divisor >= min(most, rows) else chunk > divisor


def test_default_limit_holds_small_work_whole_and_splits_large_work() -> None:
    assert rows_per_chunk(136, 1) == 136
    assert rows_per_chunk(2**20, 2**20) < 2**20


def test_trees_in_blocks_equal_the_whole() -> None:
    rows = jnp.arange(12.0).reshape(6, 2)
    tree = {"a": rows, "b": jnp.arange(6)}

    def function(tree: dict, x: jax.Array) -> tuple[jax.Array, dict]:
        return tree["a"] * x, {"sum": tree["a"].sum(1), "index": tree["b"] + 1}

    whole = function(tree, rows)
    for chunk in (1, 2, 3, 6):
        parts = map_chunks(function, chunk, tree, rows)
        jax.tree.map(np.testing.assert_array_equal, parts, whole)


def test_derivatives_of_first_and_second_order(x64: None) -> None:
    x = jax.random.normal(jax.random.key(0), (6, 3))

    def energy(x: jax.Array, chunk: int) -> jax.Array:
        return map_chunks(lambda x: jnp.sin(x).sum(1) ** 3, chunk, x).sum()

    for derivative in (jax.grad(energy), jax.jacrev(jax.grad(energy)), jax.hessian(energy)):
        np.testing.assert_allclose(derivative(x, 2), derivative(x, 6), atol=1e-12)


def test_one_block_at_a_time() -> None:
    text = jax.jit(lambda x: map_chunks(jnp.sin, 2, x)).lower(jnp.ones((6, 3))).as_text()
    assert "stablehlo.while" in text
    assert "tensor<6x3xf32>" not in text.split("stablehlo.while")[1].split("sine")[1][:60]
