"""Products are exchanged by one word: one signature, one meaning of paths and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import jet

from equinet.groups import SO
from equinet.ops.products import PRODUCTS, tensor_product
from equinet.reps import Irreps
from equinet.testing import assert_equivariant

REP = Irreps("0e+1o+2e")


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_protocol(kind: str, key: jax.Array) -> None:
    product = tensor_product(kind, REP, REP, REP)
    assert (product.rep1, product.rep2, product.rep_out) == (REP, REP, REP)
    assert hash(product) == hash(tensor_product(kind, REP, REP, REP))
    assert product == tensor_product(kind, REP, REP, REP)
    assert len(product.paths) > 0
    x = jnp.ones((5, REP.dim, 4))
    for shape in ((product.num_weights, 4), (5, product.num_weights, 4)):
        assert jax.eval_shape(product, x, x, jnp.ones(shape)).shape == x.shape
    allowed = 1e-10 + product.equivariance_error
    assert_equivariant(jax.jit(product), (REP, REP), REP, key, dtype=jnp.float64, atol=allowed)


def test_unknown_word() -> None:
    with pytest.raises(ValueError, match=r"unknown product 'gant', expected one of \['cl.*gaunt"):
        tensor_product("gant", REP, REP, REP)


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_integers_are_floats(kind: str) -> None:
    product = tensor_product(kind, REP, REP, REP)
    x = jnp.arange(5 * 9 * 2).reshape(5, 9, 2) - 40
    weights = jnp.full((product.num_weights, 2), 2)
    expected = product(x.astype(jnp.float32), x.astype(jnp.float32), weights.astype(jnp.float32))
    assert np.abs(expected).max() > 1
    for first, second in ((x, x), (x, x.astype(jnp.float32)), (x.astype(jnp.float32), x)):
        found = product(first, second, weights)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_no_rows(kind: str) -> None:
    product = tensor_product(kind, REP, REP, REP)
    x = jnp.ones((5, 9, 2))
    assert product(x[:0], x[:0]).shape == (0, 9, 2)
    assert product(x[:0, None], x[:1], jnp.ones((product.num_weights, 2))).shape == (0, 1, 9, 2)
    assert jax.grad(lambda x: product(x, x).sum())(x[:0]).shape == (0, 9, 2)
    assert product(x[..., :0], x[..., :0]).shape == (5, 9, 0)


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_two_groups_are_refused(kind: str) -> None:
    rotations = Irreps("0e", group=SO(3))
    with pytest.raises(ValueError, match=r"one group, got \['O\(3\)', 'SO\(3\)'\]"):
        tensor_product(kind, Irreps("0e"), rotations, Irreps("0e"))
    product = tensor_product(kind, rotations, "0e", "0e")
    assert product.rep_out.group == SO(3)


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_taylor_mode(kind: str, x64: None) -> None:
    """The second derivative of a square along a line is twice the square of the direction."""
    product = tensor_product(kind, REP, REP, REP)
    weights = jnp.linspace(1.0, 2.0, product.num_weights)[:, None]
    x, v = (jnp.asarray(np.random.default_rng(i).normal(size=(3, 9, 1))) for i in range(2))
    for weigh in (None, weights):
        value, (first, second) = jet.jet(
            lambda x, weigh=weigh: product(x, x, weigh), (x,), ((v, jnp.zeros_like(v)),)
        )
        np.testing.assert_allclose(value, product(x, x, weigh), atol=1e-12)
        slope = product(x, v, weigh) + product(v, x, weigh)
        np.testing.assert_allclose(first, slope, atol=1e-12)
        np.testing.assert_allclose(second, 2 * product(v, v, weigh), atol=1e-12)
