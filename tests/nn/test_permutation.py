"""Layers on sets: counts, spans, padding, other sizes, permutations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import S
from equinet.nn import PermutationLinear
from equinet.ops.graphs import PermutationMaps
from equinet.reps import Vector, equivariant_basis

COUNTS = {(1, 1): 2, (2, 2): 15, (2, 1): 5, (2, 0): 2, (1, 2): 5, (1, 0): 1, (0, 2): 2, (3, 1): 15}
ORDERS = sorted(COUNTS)


def run(maps: PermutationMaps, x: np.ndarray, weights: np.ndarray, **options) -> np.ndarray:
    n = options.pop("n", None)
    return np.asarray(maps(jnp.asarray(x), jnp.asarray(weights), n=n, **options))


def dense(maps: PermutationMaps, n: int) -> np.ndarray:
    """The matrix of every map, ``[maps, n^l, n^k]``."""
    size = n**maps.order_in
    x = np.eye(size).reshape(size, *(n,) * maps.order_in, 1)
    weights = np.eye(maps.num_maps)[:, None, :]
    y = run(maps, x, weights, n=n).reshape(size, n**maps.order_out, maps.num_maps)
    return y.transpose(2, 1, 0)


def draw(order: int, n: int, channels: int = 3, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(order), (batch, *(n,) * order, channels))


def exists(n: int, *sizes: int) -> jax.Array:
    return jnp.asarray(np.arange(n) < np.array(sizes)[:, None])


def permute(x: jax.Array, order: int, g: np.ndarray) -> jax.Array:
    for axis in range(1, order + 1):
        x = jnp.take(x, g, axis=axis)
    return x


@pytest.mark.parametrize("orders", ORDERS)
def test_one_map_for_each_partition(orders: tuple[int, int], x64: None) -> None:
    maps = PermutationMaps(*orders)
    assert maps.num_maps == COUNTS[orders]
    matrices = dense(maps, sum(orders))
    assert np.linalg.matrix_rank(matrices.reshape(maps.num_maps, -1)) == maps.num_maps


@pytest.mark.parametrize("orders", [(1, 1), (2, 1), (2, 2), (0, 2)])
def test_span_is_that_of_all_equivariant_maps(orders: tuple[int, int], x64: None) -> None:
    n, V = max(sum(orders), 2), Vector(S(max(sum(orders), 2)))
    maps = PermutationMaps(*orders)
    basis = equivariant_basis(V ** orders[0], V ** orders[1])
    assert basis.dim == maps.num_maps
    both = np.concatenate([dense(maps, n), basis.dense()]).reshape(2 * basis.dim, -1)
    assert np.linalg.matrix_rank(both) == basis.dim


def test_the_maps_of_pairs_by_hand(x64: None) -> None:
    """Every one of the 15 is a sum of rows, columns, the diagonal or all, put somewhere."""
    x = np.asarray(draw(2, 4, 1, 1))[0, ..., 0]
    one, eye = np.ones(4), np.eye(4)
    vectors = {"diagonal": np.diag(x), "rows": x.mean(1), "columns": x.mean(0)}
    expected = [x, x.T]
    for v in vectors.values():
        expected += [np.outer(v, one), np.outer(one, v), np.diag(v)]
    for total in (x.mean(), np.trace(x) / 4):
        expected += [total * np.ones((4, 4)), total * eye]
    maps = PermutationMaps(2, 2)
    found = run(maps, x[..., None], np.eye(15)[:, None, :]).transpose(2, 0, 1)
    distance = np.abs(found[:, None] - np.stack(expected)).max((-1, -2))
    assert sorted(np.argmin(distance, 1)) == list(range(15))
    assert distance.min(1).max() < 1e-14


@pytest.mark.parametrize("orders", ORDERS)
def test_permutations_commute(orders: tuple[int, int], x64: None) -> None:
    layer = PermutationLinear(*orders, 3, 4, use_bias=True, rngs=nnx.Rngs(0))
    layer.bias[...] = layer.bias[...] + 1
    x, g = draw(orders[0], 5), np.array([2, 0, 1, 4, 3])
    y = layer(x, n=5)
    np.testing.assert_allclose(
        layer(permute(x, orders[0], g), n=5), permute(y, orders[1], g), atol=1e-13
    )
    if orders[1]:
        assert np.abs(layer(x, n=5) - permute(y, orders[1], g)).max() > (0.1 if orders[0] else -1)


@pytest.mark.parametrize("orders", ORDERS)
def test_padding_changes_nothing(orders: tuple[int, int], x64: None) -> None:
    layer = PermutationLinear(*orders, 3, 4, use_bias=True, rngs=nnx.Rngs(0))
    layer.bias[...] = layer.bias[...] + 1
    small, order_in, order_out = draw(orders[0], 3), *orders
    padding = [(0, 0), *[(0, 2)] * order_in, (0, 0)]
    padded = jnp.pad(small, padding, constant_values=jnp.nan)
    mask = exists(5, 3, 3)
    found = layer(padded, mask)
    inside = found[(slice(None), *(slice(3),) * order_out)]
    np.testing.assert_allclose(inside, layer(small, n=3), atol=1e-14)
    outside = np.asarray(found).copy()
    outside[(slice(None), *(slice(3),) * order_out)] = 0
    np.testing.assert_array_equal(outside, 0)


def test_an_empty_set_gives_zeros() -> None:
    layer = PermutationLinear(2, 0, 3, 4, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer(draw(2, 3), jnp.zeros((2, 3), bool)), 0)


def test_sets_of_many_sizes_at_once(x64: None) -> None:
    layer = PermutationLinear(2, 2, 3, 2, rngs=nnx.Rngs(0))
    x, sizes = draw(2, 6, 3, 3), (1, 4, 6)
    found = layer(x, exists(6, *sizes))
    for row, n in enumerate(sizes):
        alone = layer(x[row, :n, :n])
        np.testing.assert_allclose(found[row, :n, :n], alone, atol=1e-14)


def test_variance_does_not_depend_on_the_size() -> None:
    layer = PermutationLinear(2, 2, 64, 64, rngs=nnx.Rngs(0))
    constant = jax.random.normal(jax.random.key(0), (16, 1, 1, 64))
    for n in (3, 12):
        y = layer(jnp.broadcast_to(constant, (16, n, n, 64)))
        np.testing.assert_allclose(jnp.mean(y[:, 0, 1] ** 2), 1, atol=0.2)


def test_derivatives_type_and_jit() -> None:
    layer = PermutationLinear(2, 1, 3, 4, rngs=nnx.Rngs(0))
    x, mask = draw(2, 4), exists(4, 4, 2)
    expected = layer(x, mask)
    np.testing.assert_allclose(jax.jit(layer)(x, mask), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(layer)(x, mask), expected, atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(layer(x, mask) ** 2))(x)
    assert not np.any(gradient[1, 2:])
    assert not np.any(gradient[1, :, 2:])
    assert np.any(gradient[1, :2, :2])
    half = PermutationLinear(2, 1, 3, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert jax.eval_shape(half, x).dtype == jnp.bfloat16


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="orders must be >= 0, got -1 and 1"):
        PermutationMaps(-1, 1)
    layer = PermutationLinear(2, 1, 3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"expected 3 channels, got \(4, 4, 2\)"):
        layer(jnp.ones((4, 4, 2)))
    with pytest.raises(ValueError, match=r"n, n, channels\] with one n, got \(4, 5, 3\)"):
        layer(jnp.ones((4, 5, 3)))
    with pytest.raises(ValueError, match=r"mask \(4,\)"):
        layer(jnp.ones((5, 5, 3)), jnp.ones(4, bool))
    with pytest.raises(ValueError, match=r"pass n=\.\.\. or a mask"):
        PermutationLinear(0, 1, 3, 4, rngs=nnx.Rngs(0))(jnp.ones(3))
