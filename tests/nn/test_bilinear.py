"""Contractions of tensors of any group: which exist, what they are, that they are equivariant."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, Group, Lorentz, O, S, Sp
from equinet.nn import Bilinear
from equinet.ops.products import ContractionPath, ContractionProduct
from equinet.reps import Irreps, Rep, Scalar, Vector, equivariant_basis, outer_product
from equinet.testing import assert_equivariant, equivariance_error


def closed(group) -> Rep:
    """Scalars, vectors, dual vectors and matrices."""
    vector = Vector(group)
    return Scalar(group) + vector + vector.dual + vector * vector.dual


MIXED = outer_product(Vector(SO(3)), Vector(S(3)))
REPS = {
    "O(3)": closed(O(3)),
    "Lorentz": closed(Lorentz()),
    "Sp(4)": closed(Sp(4)),
    "S(4)": closed(S(4)),
    "SO(3)xS(3)": Scalar(MIXED.group) + 2 * MIXED,
}


def test_paths_by_hand(x64: None) -> None:
    V = Vector(O(3))
    rep, out = V + V**2, Scalar(O(3)) + V + V**2 + V**3
    product = ContractionProduct(rep, rep, out)
    expected = {(0, 0, 1, 0), (1, 1, 2, 0), (0, 1, 1, 1), (1, 0, 1, 1), (0, 0, 0, 2), (1, 1, 1, 2)}
    expected |= {(0, 1, 0, 3), (1, 0, 0, 3)}
    assert set(product.paths) == {ContractionPath(*path) for path in expected}
    x, y = np.random.default_rng(0).normal(size=(2, 5, 12, 2))
    weights = np.random.default_rng(1).normal(size=(8, 2))
    w = {
        (p.first, p.second, p.contracted): weights[i]
        / np.sqrt(3**p.contracted * sum(q.result == p.result for q in product.paths))
        for i, p in enumerate(product.paths)
    }
    u, v = x[:, :3], y[:, :3]
    m, n = x[:, 3:].reshape(5, 3, 3, 2), y[:, 3:].reshape(5, 3, 3, 2)
    rows = [
        w[0, 0, 1] * np.einsum("zic,zic->zc", u, v)[:, None]
        + w[1, 1, 2] * np.einsum("zijc,zijc->zc", m, n)[:, None],
        w[0, 1, 1] * np.einsum("zic,zijc->zjc", u, n)
        + w[1, 0, 1] * np.einsum("zijc,zjc->zic", m, v),
        w[0, 0, 0] * np.einsum("zic,zjc->zijc", u, v).reshape(5, 9, 2)
        + w[1, 1, 1] * np.einsum("zijc,zjkc->zikc", m, n).reshape(5, 9, 2),
        w[0, 1, 0] * np.einsum("zic,zjkc->zijkc", u, n).reshape(5, 27, 2)
        + w[1, 0, 0] * np.einsum("zijc,zkc->zijkc", m, v).reshape(5, 27, 2),
    ]
    found = product(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights))
    np.testing.assert_allclose(found, np.concatenate(rows, 1), atol=1e-13)
    each = jnp.broadcast_to(jnp.asarray(weights), (5, 8, 2))
    np.testing.assert_allclose(product(jnp.asarray(x), jnp.asarray(y), each), found, atol=1e-13)
    ones = jnp.ones((8, 2))
    found = product(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(found, product(jnp.asarray(x), jnp.asarray(y), ones), atol=1e-13)


@pytest.mark.parametrize("name", REPS)
def test_equivariant_random_and_trained(name: str, key: jax.Array, train: Callable) -> None:
    rep = REPS[name]
    layer = Bilinear(rep, rep, rep, 2, rngs=nnx.Rngs(0))
    options = {"num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(jax.jit(layer), (rep, rep), rep, key, **options)
    x, y = jax.random.normal(key, (2, 4, rep.dim, 2))
    trained = train(layer, lambda layer: layer(x, y))
    assert_equivariant(jax.jit(trained), (rep, rep), rep, key, **options)


def test_a_vector_is_no_dual_vector(key: jax.Array) -> None:
    V = Vector(Lorentz())
    with pytest.raises(ValueError, match="the result would be zero; add the dual reps"):
        ContractionProduct(V, V, Scalar(Lorentz()))
    layer = Bilinear(V, V.dual, V * V.dual, 2, rngs=nnx.Rngs(0))
    options = {"num_samples": 1, "dtype": jnp.float64}
    assert equivariance_error(layer, (V, V.dual), V**2, key, **options) > 0.1


def test_a_contraction_of_many_indices(x64: None) -> None:
    V = Vector(S(5))
    product = ContractionProduct(V**2, V**2, Scalar(S(5)))
    x, y = jax.random.normal(jax.random.key(0), (2, 3, 25, 2))
    np.testing.assert_allclose(product(x, y)[:, 0], jnp.sum(x * y, 1) / 5, atol=1e-13)


def test_variance_one_for_independent_factors() -> None:
    rep = REPS["O(3)"]
    layer = Bilinear(rep, rep, rep, 512, rngs=nnx.Rngs(0))
    x, y = jax.random.normal(jax.random.key(1), (2, 64, rep.dim, 512))
    np.testing.assert_allclose(jnp.mean(layer(x, y) ** 2, axis=(0, 2)), 1, atol=0.35)


def test_terms_without_a_path_are_zero_and_derivatives_finite() -> None:
    V = Vector(O(3))
    layer = Bilinear(V, V, Scalar(O(3)) + V, 2, rngs=nnx.Rngs(0))
    x = jnp.zeros((4, 3, 2))
    np.testing.assert_array_equal(layer(x + 1, x + 1)[:, 1:], 0)
    gradient = jax.grad(lambda x: jnp.sum(layer(x, x)))(x)
    assert np.isfinite(gradient).all()
    assert (
        jax.eval_shape(layer, x.astype(jnp.bfloat16), x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    )


def test_bad_input() -> None:
    V = Vector(O(3))
    with pytest.raises(ValueError, match=r"one group, got \['O\(3\)', 'SO\(3\)'\]"):
        ContractionProduct(V, Vector(SO(3)), Scalar(O(3)))
    with pytest.raises(ValueError, match="no contraction"):
        ContractionProduct(V, V, Irreps("0e"))
    product = ContractionProduct(V, V, Scalar(O(3)))
    with pytest.raises(ValueError, match=r"y must have shape \[\.\.\., 3, channels\]"):
        product(jnp.ones((5, 3, 2)), jnp.ones((5, 4, 2)))


@pytest.mark.parametrize("group", [Lorentz(), Sp(4)], ids=str)
def test_invariants_that_no_contraction_gives(group: Group, key: jax.Array) -> None:
    """The Minkowski and the symplectic form: two vectors give a scalar."""
    V, one = Vector(group), Scalar(group)
    layer = Bilinear(V, V, one, 2, rngs=nnx.Rngs(0))
    assert layer.weights.shape == (equivariant_basis(V * V, one).dim, 2)
    assert_equivariant(layer, (V, V), one, key, dtype=jnp.float64, num_samples=4)
    assert np.any(layer(jnp.ones((4, 2)), jnp.arange(8.0).reshape(4, 2)))


def test_irreps_are_coupled_by_clebsch_gordan() -> None:
    layer = Bilinear("1o", "1o", "0e", 2, rngs=nnx.Rngs(0))
    assert np.all(layer(jnp.ones((3, 2)), jnp.ones((3, 2))))
