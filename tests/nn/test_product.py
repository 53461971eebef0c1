"""Products with learned weights, and the body order of their powers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import BodyOrderExpansion, TensorProduct
from equinet.ops.products import PRODUCTS, tensor_product
from equinet.reps import Irreps
from equinet.testing import assert_equivariant

REP = Irreps("0e+1o+2e")


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_is_the_op_with_its_weights(kind: str) -> None:
    layer = TensorProduct(REP, REP, REP, 3, kind=kind, rngs=nnx.Rngs(0))
    x, y = jax.random.normal(jax.random.key(0), (2, 5, 9, 3))
    op = tensor_product(kind, REP, REP, REP)
    assert layer.weights.shape == (op.num_weights, 3)
    np.testing.assert_array_equal(layer(x, y), op(x, y, layer.weights[...]))


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_variance_one(kind: str) -> None:
    layer = TensorProduct(REP, REP, REP, 512, kind=kind, rngs=nnx.Rngs(0))
    x, y = jax.random.normal(jax.random.key(1), (2, 64, 9, 512))
    square = jnp.mean(layer(x, y) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.35)


def test_options_of_a_product_reach_it(key: jax.Array) -> None:
    one, four = (
        TensorProduct(
            REP, REP, REP, 512, kind="complete", product_options={"copies": k}, rngs=nnx.Rngs(0)
        )
        for k in (1, 4)
    )
    assert four.weights.shape[0] == 4 * one.weights.shape[0]
    x, y = jax.random.normal(key, (2, 16, 9, 512))
    np.testing.assert_allclose(jnp.mean(four(x, y) ** 2, axis=(0, 2)), 1, atol=0.5)


@pytest.mark.parametrize("mode", ["uvu", "uvw"])
def test_every_pair_of_channels(mode: str, key: jax.Array) -> None:
    options = {"channels_out": 64} if mode == "uvw" else {}
    layer = TensorProduct(REP, REP, REP, 32, mode=mode, channels2=5, **options, rngs=nnx.Rngs(0))
    x, y = jax.random.normal(key, (64, 9, 32)), jax.random.normal(key, (64, 9, 5))
    z = layer(x, y)
    assert z.shape == (64, 9, 64 if mode == "uvw" else 32)
    np.testing.assert_allclose(jnp.mean(z**2, axis=(0, 2)), 1, atol=0.5)
    few = TensorProduct(REP, REP, REP, 2, mode=mode, rngs=nnx.Rngs(0))
    assert_equivariant(few, (REP, REP), REP, key, dtype=jnp.float64, atol=1e-12)


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_a_polynomial_of_the_density_of_its_degree(correlation: int, x64: None) -> None:
    expansion = BodyOrderExpansion(
        REP, Irreps("0e+1o"), 2, correlation=correlation, num_types=2, rngs=nnx.Rngs(0)
    )
    density = jax.random.normal(jax.random.key(0), (3, 9, 2))
    types = jnp.eye(2)[jnp.array([0, 1, 1])]
    steps = np.arange(correlation + 2)
    values = np.stack([np.asarray(expansion(t * density, types)) for t in steps.astype(float)])
    np.testing.assert_allclose(values[0], 0, atol=1e-14)

    def difference(order: int) -> np.ndarray:
        signs = [(-1) ** k * math.comb(order, k) for k in range(order + 1)]
        return np.tensordot(signs, values[: order + 1], 1)

    np.testing.assert_allclose(difference(correlation + 1), 0, atol=1e-9)
    assert np.abs(difference(correlation)).max() > 0.01


def test_only_the_powers_depend_on_the_type() -> None:
    expansion = BodyOrderExpansion(REP, REP, 2, correlation=2, num_types=2, rngs=nnx.Rngs(0))
    scale = expansion.scales[0]
    scale[...] = scale[...] * jnp.array([1.0, 0.0])[:, None, None]
    density = jax.random.normal(jax.random.key(0), (1, 9, 2))
    first, second = (expansion(density, jnp.eye(2)[kind : kind + 1]) for kind in (0, 1))
    linear = expansion.linears[0](density) / math.sqrt(2)
    np.testing.assert_allclose(second, linear, atol=1e-6)
    assert np.abs(first - linear).max() > 0.01


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="correlation must be at least 1, got 0"):
        BodyOrderExpansion(REP, REP, 2, correlation=0, num_types=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="unknown product 'gant'"):
        TensorProduct(REP, REP, REP, 2, kind="gant", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"takes the options \['method'\], got \['copies'\]"):
        TensorProduct(
            REP, REP, REP, 2, kind="gaunt", product_options={"copies": 2}, rngs=nnx.Rngs(0)
        )
    with pytest.raises(ValueError, match="unknown mode 'uvv'"):
        TensorProduct(REP, REP, REP, 2, mode="uvv", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="needs kind='clebsch_gordan', got 'gaunt'"):
        TensorProduct(REP, REP, REP, 2, mode="uvw", kind="gaunt", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="takes no such channels2=3"):
        TensorProduct(REP, REP, REP, 2, channels2=3, rngs=nnx.Rngs(0))
