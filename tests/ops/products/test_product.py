"""Products are exchanged by one word: one signature, one meaning of paths and weights."""

import jax
import jax.numpy as jnp
import pytest

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
