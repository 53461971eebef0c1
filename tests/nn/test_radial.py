"""Learned radial functions: a perceptron at the nodes, smooth at both ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import RadialNetwork
from equinet.ops.graphs import (
    bessel_basis,
    chebyshev_interpolation,
    gaussian_basis,
    polynomial_envelope,
)

CUTOFF = 4.0


def test_the_perceptron_at_the_nodes_times_the_envelope(x64: None) -> None:
    for word, basis in (("bessel", bessel_basis), ("gaussian", gaussian_basis)):
        radial = RadialNetwork(CUTOFF, 5, basis=word, hidden=(8,), degree=7, rngs=nnx.Rngs(0))
        nodes = CUTOFF * jnp.asarray(chebyshev_interpolation(7)[0])
        scale = CUTOFF**1.5 / 2 if word == "bessel" else 1.0
        functions = radial.mlp(scale * basis(nodes, CUTOFF, 8))
        expected = functions * polynomial_envelope(nodes, CUTOFF)[:, None]
        np.testing.assert_allclose(radial(nodes), expected, atol=1e-12)


def test_interpolates_the_perceptron_between_the_nodes(x64: None) -> None:
    """With enough nodes the functions are those of the perceptron."""
    radial = RadialNetwork(CUTOFF, 5, num_basis=4, hidden=(8,), degree=96, rngs=nnx.Rngs(0))
    r = jnp.linspace(0.2, 3.8, 30)
    direct = radial.mlp(bessel_basis(r, CUTOFF, 4) * (CUTOFF**1.5 / 2))
    expected = direct * polynomial_envelope(r, CUTOFF)[:, None]
    np.testing.assert_allclose(radial(r), expected, atol=1e-5)


def test_zero_from_the_cutoff_on_with_two_derivatives(x64: None) -> None:
    radial = RadialNetwork(CUTOFF, 3, hidden=(8,), degree=8, rngs=nnx.Rngs(0))

    def derivatives(r: jax.Array) -> tuple[jax.Array, ...]:
        first = jax.jacfwd(radial)
        return radial(r), first(r), jax.jacfwd(first)(r), jax.jacrev(jax.jacrev(radial))(r)

    everywhere = jnp.array([0.0, 2.0, CUTOFF - 1e-7, CUTOFF, CUTOFF + 1, 1e3])
    for value, size in zip(
        jax.jit(jax.vmap(derivatives))(everywhere), (1e-12, 1e-9, 1e-3, 1e-3), strict=True
    ):
        assert np.isfinite(value).all()
        assert not np.asarray(value[3:]).any()
        assert np.abs(value[2]).max() < size
        assert np.abs(value[:2]).min() > 0


def test_of_order_one_inside() -> None:
    radial = RadialNetwork(CUTOFF, 256, rngs=nnx.Rngs(0))
    square = jnp.mean(radial(jnp.linspace(1.0, 3.0, 16)) ** 2)
    assert 0.2 < float(square) < 5


def test_types(x64: None) -> None:
    for dtype, expected in ((None, jnp.float64), (jnp.float32, jnp.float32)):
        radial = RadialNetwork(CUTOFF, 3, hidden=(4,), dtype=dtype, rngs=nnx.Rngs(0))
        assert jax.eval_shape(radial, jnp.ones((2, 5))).dtype == expected
        assert jax.eval_shape(radial, jnp.ones((2, 5))).shape == (2, 5, 3)


def test_float64_after_float32() -> None:
    radial = RadialNetwork(CUTOFF, 3, hidden=(4,), degree=8, rngs=nnx.Rngs(0))
    r = np.linspace(0.5, 3.5, 8)
    function = jax.jit(radial)
    low = function(jnp.asarray(r, jnp.float32))
    with jax.enable_x64(True):
        found = np.asarray(function(jnp.asarray(r)))
        coefficients = np.asarray(radial.coefficients(jnp.float64))
        envelope = np.asarray(polynomial_envelope(jnp.asarray(r), CUTOFF))
    expected = np.polynomial.chebyshev.chebval(r / 2 - 1, coefficients).T * envelope[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_allclose(low, expected, atol=1e-4)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"unknown radial basis 'sine', expected one of \['bes"):
        RadialNetwork(CUTOFF, 3, basis="sine", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="degree must be at least 2, got 1"):
        RadialNetwork(CUTOFF, 3, degree=1, rngs=nnx.Rngs(0))
