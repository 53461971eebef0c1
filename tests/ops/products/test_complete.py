"""The complete product: every path, by three routes, equivariant, of variance one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.products import ClebschGordanProduct, CompleteProduct, GauntProduct
from equinet.ops.products._gaunt_coefficients import gaunt_scale
from equinet.ops.products._matrices import matrix_coefficient, matrix_degree
from equinet.ops.products._paths import blocks
from equinet.ops.products._poisson import bracket_coefficient
from equinet.ops.products.complete import _METHODS as METHODS
from equinet.ops.products.complete import _scale
from equinet.reps import Irreps, clebsch_gordan
from equinet.testing import assert_equivariant, equivariance_error

NATURAL = Irreps.spherical_harmonics
CASES = {
    "natural": ("0e+1o+2e", "0e+1o+2e", "0e+1o+1e+2e+2o+3o+3e"),
    "proper": ("0e+1e+2e+3e+4e", "0e+1e+2e+3e+4e", "0e+1e+2e+3e+4e+5e+6e+7e+8e"),
    "both": ("0e+1o+1e+2o", "2e+0o+1e", "0e+0o+1o+1e+2e"),
}


def dense(product: CompleteProduct | GauntProduct) -> np.ndarray:
    """The bilinear map as a table [dim1, dim2, dim_out]."""
    x = jnp.eye(product.rep1.dim)[:, None, :, None]
    y = jnp.eye(product.rep2.dim)[None, :, :, None]
    return np.asarray(product(x, y)[..., 0])


def draw(product: CompleteProduct, rows: tuple = (5,), per_row: bool = False) -> tuple:
    """Random factors and weights, numpy float64."""
    rng = np.random.default_rng(0)
    weights = (*(rows if per_row else ()), product.num_weights, 2)
    shapes = ((*rows, product.rep1.dim, 2), (*rows, product.rep2.dim, 2), weights)
    return tuple(rng.normal(size=shape) for shape in shapes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_every_path_has_the_stated_coefficient(case: str, method: str, x64: None) -> None:
    product = CompleteProduct(*CASES[case], method)
    table = dense(product) / _scale(product.rep1, product.rep2, product.rep_out, method)[:, 0]
    for path, size in zip(product.paths, product.coefficients, strict=True):
        a, b = blocks(product.rep1)[path.first], blocks(product.rep2)[path.second]
        c = blocks(product.rep_out)[path.result]
        coupling, at = clebsch_gordan(a.l, b.l, c.l), (a.slice, b.slice, c.slice)
        found = float((table[at] * coupling).sum())
        assert size > 0.05
        np.testing.assert_allclose(abs(found), size, atol=1e-12)
        np.testing.assert_allclose(table[at], found * coupling, atol=1e-12)
        table[at] = 0
    np.testing.assert_allclose(table, 0, atol=1e-12)
    whole = ClebschGordanProduct(product.rep1, product.rep2, product.rep_out)
    assert product.paths == whole.paths
    assert len(product.paths) == {"natural": 18, "proper": 85, "both": len(whole.paths)}[case]


@pytest.mark.parametrize("case", CASES)
def test_poisson_and_vector_are_one_map(case: str, x64: None) -> None:
    product = CompleteProduct(*CASES[case], "poisson")
    args = draw(product)
    other = dataclasses.replace(product, method="vector")
    np.testing.assert_allclose(other(*args), product(*args), atol=1e-12)


def test_even_part_is_the_gaunt_product_and_odd_part_the_bracket(x64: None) -> None:
    """Into natural parity the pointwise product, into the other what changes sign with x and y."""
    product = CompleteProduct(NATURAL(2), NATURAL(2), "0e+1o+2e+3o+1e+2o+3e", "poisson")
    scale = _scale(product.rep1, product.rep2, product.rep_out, "poisson")[:, 0]
    table = dense(product) / scale
    gaunt = GauntProduct(NATURAL(2), NATURAL(2), NATURAL(3))
    expected = dense(gaunt) / gaunt_scale(gaunt.rep1, gaunt.rep2, gaunt.rep_out)[:, 0]
    np.testing.assert_allclose(table[..., :16], expected, atol=1e-12)
    odd = table[..., 16:]
    np.testing.assert_allclose(odd, -odd.swapaxes(0, 1), atol=1e-12)
    cross = odd[1:4, 1:4, :3]
    np.testing.assert_allclose(np.abs(cross[0, 1, 2]), np.abs(cross).max(), atol=1e-12)
    assert bracket_coefficient(1, 1, 2) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", ["natural", "both"])
def test_equivariant_under_rotations_and_inversion(case: str, method: str, key: jax.Array) -> None:
    product = CompleteProduct(*CASES[case], method, copies=2)
    weights = draw(product)[2]
    reps = (product.rep1, product.rep2), product.rep_out
    function = jax.jit(lambda x, y: product(x, y, jnp.asarray(weights, x.dtype)))
    assert_equivariant(function, *reps, key, dtype=jnp.float64, atol=1e-12)
    assert_equivariant(function, *reps, key, dtype=jnp.float32, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_exact_to_degree_ten(method: str, key: jax.Array) -> None:
    rep = Irreps.spherical_harmonics(10, parity=1)
    product = CompleteProduct(rep, rep, rep, method)
    function = jax.jit(product)
    error = equivariance_error(
        function, (rep, rep), rep, key, dtype=jnp.float64, channels=1, batch=(2,), num_samples=2
    )
    assert error < 1e-12


def test_wrong_parity_is_not_equivariant(key: jax.Array) -> None:
    """The control: the cross product of two vectors is not a vector under the inversion."""
    product = CompleteProduct("1o", "1o", "1e")
    assert equivariance_error(product, (Irreps("1o"),) * 2, Irreps("1o"), key) > 1


@pytest.mark.parametrize("method", METHODS)
def test_variance_one(method: str) -> None:
    product = CompleteProduct("0e+1o+2e", "0e+1o+2e", "0e+1o+1e+2e+2o", method, copies=3)
    rng = np.random.default_rng(0)
    shapes = (64, 9, 256), (64, 9, 256), (product.num_weights, 256)
    x, y, weights = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    square = jnp.mean(product(x, y, weights) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.4)


def test_copies_reach_any_path_weights(x64: None) -> None:
    """As a function of the paths one copy is of rank one; 1 x 1 -> 0, 1, 2 needs no more."""
    one = CompleteProduct("0e+1e", "0e+1e", "0e+1e")
    assert one.num_weights == 6
    assert dataclasses.replace(one, copies=4).num_weights == 24
    x, y, weights = draw(dataclasses.replace(one, copies=2))
    parts = [one(x, y, w) for w in np.split(weights, 2)]
    found = dataclasses.replace(one, copies=2)(x, y, weights)
    np.testing.assert_allclose(found, (parts[0] + parts[1]) / np.sqrt(2), atol=1e-12)


def test_weights_per_row_and_broadcasting(x64: None) -> None:
    product = CompleteProduct(*CASES["natural"])
    x, y, weights = draw(product)
    expected = product(x, y, weights)
    rows = np.broadcast_to(weights, (5, *weights.shape))
    np.testing.assert_allclose(product(x, y, rows), expected, atol=1e-12)
    shared = np.broadcast_to(y[0, :, :1], y.shape)
    np.testing.assert_allclose(product(x, y[0, :, :1]), product(x, shared), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_of_every_mode(method: str, x64: None) -> None:
    product = CompleteProduct("0e+1o", "0e+1o", "0e+1o+1e", method)
    x, y, weights = draw(product, (1,))

    def energy(x: jax.Array) -> jax.Array:
        return jnp.sum(product(x, 2 * x + y, weights) ** 2)

    def derivatives(x: jax.Array) -> tuple[jax.Array, ...]:
        forward = jax.jacfwd(jax.jacfwd(energy))(x)
        return jax.jacrev(jax.grad(energy))(x), jax.hessian(energy)(x), forward

    for point in (jnp.asarray(x), jnp.zeros_like(x)):
        reverse, mixed, forward = jax.jit(derivatives)(point)
        assert np.isfinite(reverse).all()
        np.testing.assert_allclose(reverse, mixed, atol=1e-9)
        np.testing.assert_allclose(reverse, forward, atol=1e-9)


def test_float32_then_float64_in_one_process() -> None:
    for method in METHODS:
        product = CompleteProduct(*CASES["natural"], method)
        args = draw(product)
        low = jax.jit(product)(*(jnp.asarray(a, jnp.float32) for a in args))
        assert low.dtype == jnp.float32
        with jax.enable_x64(True):
            found = jax.jit(product)(*args)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(low, found, atol=2e-5)


def test_degree_of_the_matrices_avoids_missing_couplings() -> None:
    assert matrix_coefficient(2, 2, 5, 4) == matrix_coefficient(3, 5, 5, 3) == 0
    assert matrix_degree(((3, 5, 5),)) == 4


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="each irrep at most once, rep2 is 2x1o"):
        CompleteProduct("1o", "1o+1o", "0e")
    with pytest.raises(ValueError, match="no path into 3o: the result would be zero"):
        CompleteProduct("0e", "1o", "3o")
    with pytest.raises(ValueError, match="unknown method 'fast'"):
        CompleteProduct("1o", "1o", "0e", "fast")
    with pytest.raises(ValueError, match="copies must be at least 1"):
        CompleteProduct("1o", "1o", "0e", copies=0)
    with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 3, channels\]"):
        CompleteProduct("1o", "1o", "0e")(jnp.ones((2, 4, 1)), jnp.ones((2, 3, 1)))
