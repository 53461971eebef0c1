"""Activations on the sphere: equivariant up to aliasing, which falls as the grid is refined."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, O
from equinet.nn import S2Activation, SeparableS2Activation
from equinet.reps import Irreps
from equinet.testing import assert_equivariant, equivariance_error

REP = Irreps("0e+1o+2e")


def error(layer, key, rep_in=REP, rep_out=REP):
    return equivariance_error(
        jax.jit(layer), rep_in, rep_out, key, num_samples=3, dtype=jnp.float64, batch=(64,)
    )


def test_the_error_falls_as_the_grid_is_refined(key: jax.Array) -> None:
    """And it is what ``aliasing_estimate`` says, but for largest entries instead of means."""
    errors = [error(S2Activation(REP, grid_degree=degree), key) for degree in (4, 15, 27)]
    estimates = [S2Activation(REP, grid_degree=n).aliasing_estimate() for n in (4, 15, 27)]
    assert errors[0] > 0.1  # the control: too coarse a grid is far from equivariant
    assert errors[1] < 3e-3
    assert errors[2] < 1e-4
    ratios = np.array(errors) / np.array(estimates)
    assert np.all((ratios > 1) & (ratios < 40))
    assert S2Activation(REP).grid.degree == 15


@pytest.mark.parametrize("method", ["dense", "separable"])
def test_a_polynomial_is_exact_where_the_grid_carries_it(method: str, key: jax.Array) -> None:
    cube = functools.partial(S2Activation, REP, _cube, method=method)
    options = {"num_samples": 3, "dtype": jnp.float64}
    assert_equivariant(jax.jit(cube(8)), REP, REP, key, atol=1e-12, **options)
    assert error(cube(7), key) > 1e-3  # one degree less
    assert cube(8).aliasing_estimate(rms=3.0) < 1e-13


def _cube(z: jax.Array) -> jax.Array:
    return z * z * z


def test_inversion_is_exact_on_any_grid_with_antipodes(x64: None) -> None:
    """Any function commutes with moving the points; only a coarse grid without -p errs."""
    x = np.random.default_rng(0).normal(size=(4, 9, 2))
    inversion = jnp.asarray(-np.eye(3))
    for degree, exact in ((5, True), (4, False)):
        layer = S2Activation(REP, jax.nn.silu, degree)
        moved = layer(REP.transform(inversion, jnp.asarray(x)))
        difference = np.abs(moved - REP.transform(inversion, layer(jnp.asarray(x)))).max()
        assert (difference < 1e-13) == exact
        assert exact or difference > 1e-2


def test_an_odd_function_also_keeps_values_that_change_sign(key: jax.Array) -> None:
    other = Irreps("0o+1e+2o")
    assert error(S2Activation(other, jnp.tanh, 31), key, other, other) < 1e-3
    # An even function turns them into functions of natural parity, and not into themselves.
    square = S2Activation(REP, jnp.square, 6)
    assert error(square, key, other, REP) < 1e-12
    assert error(square, key, other, other) > 0.5
    with pytest.raises(ValueError, match=r"0o\+1e\+2o changes sign.*must be odd, as tanh"):
        S2Activation(other)


def test_without_parity(key: jax.Array) -> None:
    rep = Irreps("0e+1e+2e", group=SO(3))
    assert error(S2Activation(rep), key, rep, rep) < 3e-3
    assert O(3) != rep.group


def test_identity_and_scale(key: jax.Array, x64: None) -> None:
    x = jax.random.normal(key, (500, 9, 2), jnp.float64)
    identity = S2Activation(REP, _identity, 4)
    np.testing.assert_allclose(identity(x), x, atol=1e-6)  # its second moment is found in float32
    assert 0.9 < float(jnp.mean(S2Activation(REP)(x) ** 2)) < 1.1


def _identity(z: jax.Array) -> jax.Array:
    return z


def test_estimate_grows_with_the_input_and_is_larger_for_a_kink() -> None:
    smooth, kink = S2Activation(REP), S2Activation(REP, jax.nn.relu)
    assert smooth.aliasing_estimate() < 2e-4 < 5e-3 < kink.aliasing_estimate() < 2e-2
    assert smooth.aliasing_estimate(rms=5.0) > 10 * smooth.aliasing_estimate(rms=1.0)
    assert smooth.aliasing_estimate(num_samples=8) == smooth.aliasing_estimate(num_samples=8)


def test_separable(key: jax.Array, x64: None) -> None:
    layer = SeparableS2Activation(REP)
    x = jax.random.normal(key, (4, 10, 2), jnp.float64)
    found = layer(x)
    np.testing.assert_array_equal(found[:, 0], layer.sphere.activation(x[:, 0]))
    np.testing.assert_array_equal(found[:, 1:], S2Activation(REP)(x[:, 1:])[:, 1:])
    # The scalar inside of the sphere acts on the other degrees, the gate does not.
    assert np.abs(layer(x.at[:, 1].add(1.0))[:, 1:] - found[:, 1:]).max() > 0.1
    np.testing.assert_array_equal(layer(x.at[:, 0].add(1.0))[:, 1:], found[:, 1:])


def test_separable_is_equivariant_and_its_scalars_exactly(key: jax.Array) -> None:
    layer = SeparableS2Activation(REP, jax.nn.silu, 27)
    assert error(layer, key, layer.rep_in, layer.rep_out) < 1e-5
    coarse = SeparableS2Activation(REP, jax.nn.silu, 4)
    assert error(coarse, key, coarse.rep_in, coarse.rep_out) > 0.1
    scalars = jax.jit(lambda x: coarse(x)[..., :1, :])
    rep_in = coarse.rep_in
    assert_equivariant(scalars, rep_in, Irreps("0e"), key, num_samples=3, dtype=jnp.float64)


def test_finite_second_derivatives_at_zero_and_no_state(x64: None) -> None:
    layer = SeparableS2Activation(REP)
    zeros = jnp.zeros((2, 10, 2))

    def squared_gradient(x: jax.Array) -> jax.Array:
        return jnp.sum(jax.grad(lambda x: jnp.sum(layer(x)))(x) ** 2)

    assert np.isfinite(jax.jit(jax.grad(squared_gradient))(zeros)).all()
    assert not jax.tree.leaves(nnx.state(layer))
    again = SeparableS2Activation(REP)
    assert nnx.graphdef(again) == nnx.graphdef(layer)
    assert jax.eval_shape(layer, zeros.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_bad_input() -> None:
    for rep in ("0e+2e", "2x0e+1o", "1o+0e", ""):
        with pytest.raises(ValueError, match="every degree from 0 once and in order"):
            S2Activation(rep)
    with pytest.raises(ValueError, match=r"expected all parities of 0o\+1e or all the opposite"):
        S2Activation("0e+1e")
    with pytest.raises(ValueError, match="grid too coarse: for lmax=2 a grid of degree 4 is nee"):
        S2Activation(REP, grid_degree=3)
    with pytest.raises(ValueError, match=r"\[..., 10, channels\] for 2x0e\+1o\+2e"):
        SeparableS2Activation(REP)(jnp.ones((4, 9, 2)))
