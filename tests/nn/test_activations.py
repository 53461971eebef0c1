"""Gates and norms: scale, layout, and what happens at the origin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO, Dihedral, Lorentz, O, S
from equinet.nn import Gate, LayerNorm, NormActivation, S2Activation, SeparableLayerNorm
from equinet.nn.activations import normalized, second_moment
from equinet.reps import Irreps, Regular, Scalar, Vector, antisymmetric_power, outer_product
from equinet.testing import assert_equivariant


@pytest.mark.parametrize("activation", [jax.nn.silu, jax.nn.sigmoid, jnp.tanh, jax.nn.relu])
def test_second_moment_is_that_of_normal_numbers(activation: jax.custom_jvp) -> None:
    z = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    mean = float(np.mean(np.square(activation(z))))
    assert second_moment(activation) == pytest.approx(mean, rel=0.02)
    assert float(np.mean(np.square(normalized(activation)(z)))) == pytest.approx(1, rel=0.02)


def test_the_same_function_for_the_same_activation() -> None:
    """Models compare and compile by it."""
    assert normalized(jax.nn.silu) is normalized(jax.nn.silu)


def test_first_use_inside_jit() -> None:
    def quadratic(x: jax.Array) -> jax.Array:
        return x * x

    found = jax.jit(lambda x: normalized(quadratic)(x))(jnp.float32(2.0))
    assert float(found) == pytest.approx(4 / 3**0.5, rel=1e-5)


def test_gate_by_hand(x64: None) -> None:
    gate = Gate("0e+0o+1o+2x0e+1e")
    assert gate.rep_in == Irreps("2x0e+0e+0o+1o+2x0e+1e")
    x = np.random.default_rng(0).normal(size=(5, gate.rep_in.dim, 3))
    gates = np.asarray(normalized(jax.nn.sigmoid)(jnp.asarray(x[:, :2])))
    x_rest = x[:, 2:]
    found = np.asarray(gate(jnp.asarray(x)))
    silu, tanh = (np.asarray(normalized(f)(jnp.asarray(x_rest))) for f in (jax.nn.silu, jnp.tanh))
    np.testing.assert_allclose(found[:, 0], silu[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], tanh[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found[:, 2:5], x_rest[:, 2:5] * gates[:, :1], rtol=1e-12)
    np.testing.assert_allclose(found[:, 5:7], silu[:, 5:7], rtol=1e-12)
    np.testing.assert_allclose(found[:, 7:], x_rest[:, 7:] * gates[:, 1:], rtol=1e-12)


def test_gate_keeps_the_variance() -> None:
    gate = Gate("0e+1o+2e")
    x = jax.random.normal(jax.random.key(0), (256, gate.rep_in.dim, 64))
    square = jnp.mean(gate(x) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.1)


def test_norm_activation_scales_each_irrep_by_its_length(x64: None) -> None:
    layer = NormActivation("0e+2x1o", activation=lambda r: r**2)
    x = np.random.default_rng(0).normal(size=(5, 7, 2))
    squares = [np.sum(x[:, a:b] ** 2, 1, keepdims=True) for a, b in ((0, 1), (1, 4), (4, 7))]
    expected = x * np.repeat(np.concatenate(squares, 1), [1, 3, 3], axis=1)
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-12)


def test_gate_of_any_rep_by_hand(x64: None) -> None:
    """Invariants and permuted entries by themselves, each other term times a gate of its own."""
    V = Vector(O(3))
    gate = Gate(2 * V + Scalar(O(3)) + V**2)
    assert gate.rep_in == 3 * Scalar(O(3)) + 2 * V + Scalar(O(3)) + V**2
    x = np.random.default_rng(0).normal(size=(5, gate.rep_in.dim, 3))
    gates = np.asarray(normalized(jax.nn.sigmoid)(jnp.asarray(x[:, :3])))
    silu = np.asarray(normalized(jax.nn.silu)(jnp.asarray(x)))
    rows = [x[:, 3:6] * gates[:, :1], x[:, 6:9] * gates[:, 1:2], silu[:, 9:10]]
    rows.append(x[:, 10:] * gates[:, 2:])
    np.testing.assert_allclose(gate(jnp.asarray(x)), np.concatenate(rows, 1), rtol=1e-12)


GATED = {
    "entries": (Vector(S(4)) + Vector(S(4)) ** 2 + 3 * Scalar(S(4)), 0),
    "regular": (Regular(Dihedral(3)) + Vector(Dihedral(3)), 1),
    "Lorentz": (Scalar(Lorentz()) + Vector(Lorentz()) + Vector(Lorentz()).dual, 2),
    "both": (
        outer_product(Vector(SO(3)), Vector(S(3))) + outer_product(Scalar(SO(3)), Vector(S(3))),
        1,
    ),
    "pseudoscalar": (antisymmetric_power(Vector(O(3)), 3) + Scalar(O(3)), 1),
    "irreps and tensors": (Irreps("0e+0o+1o") + Vector(O(3)) ** 2, 2),
}


@pytest.mark.parametrize("name", GATED)
def test_gate_commutes_with_any_group(name: str, key: jax.Array) -> None:
    rep, gates = GATED[name]
    gate = Gate(rep)
    assert gate.num_gates == gates
    options = {"num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(gate, gate.rep_in, rep, key, **options)


def test_norm_activation_needs_lengths(key: jax.Array) -> None:
    rep = Vector(S(4)) + 2 * Vector(S(4)) ** 2
    assert_equivariant(NormActivation(rep), rep, rep, key, num_samples=4, dtype=jnp.float64)
    with pytest.raises(ValueError, match=r"not invariant under Lorentz\(\): use a Gate"):
        NormActivation(Vector(Lorentz()))


def test_odd_function_of_pseudoscalars() -> None:
    """An even or general function of 0o would break the inversion without a word."""
    for activation in (jax.nn.silu, jax.nn.relu, jnp.abs):
        with pytest.raises(ValueError, match="odd_activation must be odd"):
            Gate("0o+0e", odd_activation=activation)
    Gate("0e+1o", odd_activation=jax.nn.silu)  # nothing to apply it to


@pytest.mark.parametrize(
    "layer",
    [
        Gate("0e+1o+2e"),
        NormActivation("0e+1o+2e"),
        LayerNorm("0e+1o+2e", 4),
        SeparableLayerNorm("0e+1o+2e", 4),
        S2Activation("0e+1o+2e"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_axis_of_the_representation_is_checked(layer: nnx.Module) -> None:
    with pytest.raises(ValueError, match=r"expected \[\.\.\., \d+, (channels|4)\] for"):
        layer(jnp.ones((3, 8, 4)))
