"""Linear maps: the basis counts them, and nothing but them is there."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SE, SO, Cyclic, Lorentz, O, S, Sp
from equinet.nn import Linear
from equinet.reps import (
    Irreps,
    Regular,
    Rep,
    Scalar,
    Vector,
    antisymmetric_power,
    equivariant_basis,
    outer_product,
)
from equinet.testing import assert_equivariant, equivariance_error


def tensors(group, top: int = 2) -> Rep:
    """Scalars, two vectors, a dual vector and matrices."""
    vector = Vector(group)
    return Scalar(group) + 2 * vector + vector.dual + vector**top


SPACE_AND_SET = outer_product(Vector(SO(3)), Vector(S(3))) + outer_product(
    Scalar(SO(3)), Vector(S(3))
)
REPS = {
    "O(3)": (tensors(O(3)), Vector(O(3)) ** 2 + Vector(O(3)), 7),
    "SO(2)": (tensors(SO(2)), tensors(SO(2)), None),
    "Lorentz": (tensors(Lorentz()), tensors(Lorentz()), None),
    "Sp(4)": (tensors(Sp(4)), tensors(Sp(4)), None),
    "S(4)": (Vector(S(4)) ** 2, Vector(S(4)) ** 2 + Scalar(S(4)), 17),
    "Cyclic(5)": (Regular(Cyclic(5)) + Vector(Cyclic(5)), Regular(Cyclic(5)), 5 + 2),
    "SO(3)xS(3)": (SPACE_AND_SET, SPACE_AND_SET, 4),
    "antisymmetric": (antisymmetric_power(Vector(O(4)), 2), Vector(O(4)) ** 2, 1),
    "mixed": (Irreps("0e+1o") + Vector(O(3)) ** 2, Vector(O(3)) + Irreps("0e+1o"), None),
    "SE(3)": (Irreps("2x0e+1o", group=SE(3)), Irreps("1o+0e", group=SE(3)), 3),
}


@functools.cache
def layer(name: str) -> Linear:
    rep_in, rep_out, _ = REPS[name]
    built = Linear(rep_in, rep_out, 3, 2, use_bias=True, rngs=nnx.Rngs(0))
    if built.bias is not None:
        built.bias[...] = jax.random.normal(jax.random.key(7), built.bias.shape)
    return built


@pytest.mark.parametrize("name", REPS)
def test_equivariant_and_equal_to_the_dense_maps(name: str, key: jax.Array) -> None:
    rep_in, rep_out, dim = REPS[name]
    module = layer(name)
    assert dim is None or module.kernel.shape[0] == dim
    function = jax.jit(module)
    options = {"channels": 3, "num_samples": 4}
    assert_equivariant(function, rep_in, rep_out, key, dtype=jnp.float32, **options)
    assert_equivariant(function, rep_in, rep_out, key, dtype=jnp.float64, **options)
    basis, one = equivariant_basis(rep_in, rep_out), Scalar(rep_in.group)
    x = np.random.default_rng(0).normal(size=(4, rep_in.dim, 3))
    kernel = np.asarray(module.kernel[...], np.float64) * basis.scales[:, None, None] / np.sqrt(3)
    expected = np.einsum("boi,nic,bcd->nod", basis.dense(), x, kernel)
    if module.bias is not None:
        fixed = equivariant_basis(one, rep_out)
        bias = np.asarray(module.bias[...], np.float64) * fixed.scales[:, None]
        expected += np.einsum("bo,bd->od", fixed.dense()[..., 0], bias)
    np.testing.assert_allclose(function(x.astype(np.float32)), expected, atol=2e-5)


@pytest.mark.parametrize("name", ["O(3)", "Lorentz", "Sp(4)", "S(4)", "SO(3)xS(3)"])
def test_equivariant_when_trained(name: str, key: jax.Array, train: Callable) -> None:
    rep_in, rep_out, _ = REPS[name]
    x = jax.random.normal(key, (4, rep_in.dim, 3))
    trained = train(layer(name), lambda module: module(x))
    options = {"channels": 3, "num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(jax.jit(trained), rep_in, rep_out, key, **options)


@pytest.mark.parametrize("name", ["O(3)", "S(4)", "Cyclic(5)", "SO(3)xS(3)", "Sp(4)"])
def test_variance_one(name: str) -> None:
    rep_in, rep_out, _ = REPS[name]
    x = jax.random.normal(jax.random.key(1), (64, rep_in.dim, 64))
    square = jnp.mean(Linear(rep_in, rep_out, 64, 64, rngs=nnx.Rngs(0))(x) ** 2, axis=(0, 2))
    assert float(jnp.mean(square)) == pytest.approx(1, abs=0.1)


def test_another_group_fails(key: jax.Array) -> None:
    """Maps of S(4) between matrices are none of O(4), on the same axes."""
    rep = Vector(O(4)) ** 2
    options = {"channels": 3, "num_samples": 1, "dtype": jnp.float64}
    assert equivariance_error(jax.jit(layer("S(4)")), rep, rep + Scalar(O(4)), key, **options) > 0.1


def test_as_many_parameters_as_schur_allows() -> None:
    layer = Linear("2x0e+1o+1e", "0e+3x1o+2e", 4, 5, use_bias=True, rngs=nnx.Rngs(0))
    assert layer.kernel.shape == (2 * 1 + 1 * 3, 4, 5)
    assert layer.bias is not None
    assert layer.bias.shape == (1, 5)


def test_missing_irreps_are_zero_and_biased_scalars_are_not() -> None:
    layer = Linear("1o", "0e+1o+2e", 2, 2, use_bias=True, rngs=nnx.Rngs(0))
    assert layer.bias is not None
    layer.bias[...] = jnp.full((1, 2), 7.0)
    found = layer(jnp.ones((4, 3, 2)))
    np.testing.assert_array_equal(found[:, 0], 7)
    np.testing.assert_array_equal(found[:, 4:], 0)
    assert np.asarray(found[:, 1:4]).all()


def test_variance_one_of_irreps() -> None:
    x = jax.random.normal(jax.random.key(1), (64, 14, 32))
    layer = Linear("3x0e+2x1o+1x2e", "0e+2x1o+2e", 32, 64, rngs=nnx.Rngs(0))
    square = jnp.mean(layer(x) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.15)


def test_each_type_has_weights_of_its_own(x64: None) -> None:
    layer = Linear("0e+1o", "0e+1o", 2, 3, num_types=2, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (4, 4, 2))
    both = [layer(x, jnp.eye(2)[jnp.full(4, kind)]) for kind in (0, 1)]
    mixed = layer(x, jnp.eye(2)[jnp.array([0, 1, 1, 0])])
    np.testing.assert_allclose(mixed[jnp.array([0, 3])], both[0][jnp.array([0, 3])], atol=1e-14)
    np.testing.assert_allclose(mixed[1:3], both[1][1:3], atol=1e-14)
    single = Linear("0e+1o", "0e+1o", 2, 3, rngs=nnx.Rngs(0))
    single.kernel[...] = layer.kernel[...][:, 2:]
    np.testing.assert_allclose(single(x), both[1], atol=1e-14)


def test_any_leading_axes() -> None:
    layer = Linear("0e+1o", "1o", 2, 3, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 2))
    np.testing.assert_allclose(layer(x)[1, 2], layer(x[1, 2]), rtol=1e-6)


@pytest.mark.parametrize("precision", [jax.lax.Precision.HIGHEST, "float32", None])
def test_precision_reaches_the_channel_mixing(precision: object) -> None:
    layer = Linear("0e+1o", "0e+1o", 2, 3, precision=precision, rngs=nnx.Rngs(0))
    text = str(jax.make_jaxpr(layer)(jnp.ones((5, 4, 2))))
    assert ("HIGHEST" in text) == (precision is not None)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"no equivariant map exists but zero from 0e\+1o to 1e"):
        Linear("0e+1o", "1e", 2, 2, rngs=nnx.Rngs(0))
    vector = Vector(O(3))
    with pytest.raises(
        ValueError, match=r"but zero from Vector\(O\(3\)\) to Vector\(O\(3\)\)\*\*2"
    ):
        Linear(vector, vector**2, 2, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"reps of O\(3\) and SO\(3\)"):
        Linear(vector, Vector(SO(3)), 2, 2, rngs=nnx.Rngs(0))
    layer = Linear("0e+1o", Irreps("0e"), 2, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"expected \[\.\.\., 4, 2\].*got \(5, 4, 3\)"):
        layer(jnp.ones((5, 4, 3)))
    with pytest.raises(ValueError, match="num_types=None; types given"):
        layer(jnp.ones((5, 4, 2)), jnp.ones((5, 2)))
    typed = Linear("0e", "0e", 2, 2, num_types=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="num_types=3; types given: None"):
        typed(jnp.ones((5, 1, 2)))
