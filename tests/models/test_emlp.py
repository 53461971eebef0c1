"""The EMLP of every kind of group: equivariant at random and when trained, and at a good scale."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from equinet.groups import SO, Lorentz, O, S, Sp
from equinet.models import EMLP
from equinet.models.emlp import GatedLayer, default_hidden
from equinet.nn import equivariance_penalty
from equinet.reps import Irreps, Rep, Scalar, Vector, outer_product, restrict
from equinet.testing import assert_equivariant, equivariance_error

POINTS = outer_product(Vector(SO(3)), Vector(S(3)))
WEIGHTS = outer_product(Scalar(SO(3)), Vector(S(3)))
# Rep of input, of output, hidden rep where the default does not serve.
CASES: dict[str, tuple[Rep, Rep, Rep | None]] = {
    "O(3)": (Scalar(O(3)) + Vector(O(3)), Vector(O(3)) ** 2, None),
    "Lorentz": (Vector(Lorentz()), Scalar(Lorentz()) + Vector(Lorentz()), None),
    "O(5)": (Vector(O(5)), Scalar(O(5)), None),
    "Sp(4)": (Vector(Sp(4)), Vector(Sp(4)).dual + Scalar(Sp(4)), None),
    "S(4)": (Vector(S(4)) ** 2, Vector(S(4)), None),
    "SO(3)xS(3)": (POINTS + WEIGHTS, POINTS, Scalar(POINTS.group) + POINTS + WEIGHTS),
}


@functools.cache
def model(name: str) -> EMLP:
    rep_in, rep_out, hidden = CASES[name]
    options = {"channels": 2, "num_layers": 2 if name == "O(3)" else 1, "rep_hidden": hidden}
    return EMLP(rep_in, rep_out, 2, 1, **options, rngs=nnx.Rngs(0))


def trained(name: str) -> EMLP:
    """A few steps of Adam on random labels."""
    rep_in, rep_out, _ = CASES[name]
    x = jax.random.normal(jax.random.key(1), (8, rep_in.dim, 2))
    y = jax.random.normal(jax.random.key(2), (8, rep_out.dim, 1))
    graphdef, params = nnx.split(model(name))
    optimizer = optax.adam(0.01)

    @jax.jit
    def step(params: nnx.State, state: optax.OptState) -> tuple:
        def loss(params: nnx.State) -> jax.Array:
            return jnp.mean((nnx.merge(graphdef, params)(x) - y) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, losses = optimizer.init(params), []
    for _ in range(10):
        params, state, value = step(params, state)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    return nnx.merge(graphdef, params)


@pytest.mark.parametrize("name", CASES)
def test_equivariant_random_and_trained(name: str, key: jax.Array) -> None:
    rep_in, rep_out, _ = CASES[name]
    options = {"num_samples": 4, "dtype": jnp.float64}
    function = jax.jit(lambda model, x: model(x))
    for emlp in (model(name), trained(name)):
        assert_equivariant(functools.partial(function, emlp), rep_in, rep_out, key, **options)


def test_a_larger_group_fails(key: jax.Array) -> None:
    """A network of permutations is none of O(4) on the same axes."""
    V = Vector(O(4))
    options = {"num_samples": 1, "dtype": jnp.float64}
    assert equivariance_error(jax.jit(model("S(4)")), V**2, V, key, **options) > 0.1


@pytest.mark.slow
def test_dense_layers_start_equivariant_and_may_leave(key: jax.Array) -> None:
    rep_in, rep_out, _ = CASES["O(3)"]
    words = {"channels": 4, "num_layers": 1, "linear": "dense", "rngs": nnx.Rngs(0)}
    emlp = EMLP(rep_in, rep_out, 2, 1, **words)
    function = jax.jit(lambda emlp, x: emlp(x))
    options = {"num_samples": 1, "dtype": jnp.float64}
    error = equivariance_error(functools.partial(function, emlp), rep_in, rep_out, key, **options)
    assert error < 1e-5  # the weights are rounded to float32
    assert equivariance_penalty(emlp, [O(3)])[0] < 1e-6
    emlp.readout.kernel[...] = emlp.readout.kernel[...] + 1
    assert equivariance_penalty(emlp, [O(3)])[0] > 1
    error = equivariance_error(functools.partial(function, emlp), rep_in, rep_out, key, **options)
    assert error > 0.1


def test_finite_and_twice_differentiable_at_zero() -> None:
    emlp = model("O(3)")

    def squared_gradient(x: jax.Array) -> jax.Array:
        return jnp.sum(jax.grad(lambda x: jnp.sum(emlp(x)))(x) ** 2)

    assert np.isfinite(jax.jit(jax.grad(squared_gradient))(jnp.zeros((3, 4, 2)))).all()


@pytest.mark.parametrize("name", ["O(3)", "Lorentz", "S(4)"])
def test_outputs_start_of_order_one(name: str) -> None:
    rep_in = CASES[name][0]
    x = jax.random.normal(jax.random.key(0), (256, rep_in.dim, 2))
    assert 0.02 < float(jnp.median(jnp.abs(model(name)(x)))) < 5


def test_default_hidden_rep() -> None:
    V, W = Vector(O(3)), Vector(Sp(4))
    assert default_hidden(O(3)) == Scalar(O(3)) + V + V**2
    assert default_hidden(Sp(4)) == Scalar(Sp(4)) + W + W.dual + W * W.dual


def test_irreps_without_products() -> None:
    layer = GatedLayer("0e+1o", "0e+1o", 2, 4, bilinear=False, rngs=nnx.Rngs(0))
    assert layer.gate.rep_in == Irreps("2x0e+1o")
    assert_equivariant(layer, Irreps("0e+1o"), Irreps("0e+1o"), jax.random.key(0))


def test_a_restricted_input_works(key: jax.Array) -> None:
    rep = restrict(Vector(O(3)), SO(3))
    emlp = EMLP(rep, rep**2, 2, 1, channels=2, num_layers=1, rngs=nnx.Rngs(0))
    assert_equivariant(jax.jit(emlp), rep, rep**2, key, num_samples=2, dtype=jnp.float64)


def test_bad_input() -> None:
    V = Vector(O(3))
    with pytest.raises(ValueError, match=r"unknown linear 'sparse', expected one of \['dense'"):
        EMLP(V, V, 1, 1, linear="sparse", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"must be at least 1, got \(1, 1, 32, 0\)"):
        EMLP(V, V, 1, 1, num_layers=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"reps of O\(3\) and SO\(3\)"):
        EMLP(V, Vector(SO(3)), 1, 1, channels=2, num_layers=1, rngs=nnx.Rngs(0))


def test_a_network_that_would_be_zero_is_refused() -> None:
    """Neither a bilinear layer nor a bias leads from a vector to degree 2."""
    options = {"rep_hidden": "2x0e+1o+2e", "channels": 2, "num_layers": 2, "rngs": nnx.Rngs(0)}
    with pytest.raises(ValueError, match="would be zero for every input"):
        EMLP("1o", "2e", 2, 1, bilinear=False, **options)
    assert np.any(EMLP("1o", "2e", 2, 1, **options)(jnp.arange(6.0).reshape(3, 2)))
