"""The Gaunt product: the closed form, exact on its grid and not on one a degree short."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.products import (
    ClebschGordanProduct,
    GauntProduct,
    ManyBodyGauntProduct,
    _gaunt_grid,
)
from equinet.ops.products._gaunt_coefficients import gaunt_scale
from equinet.ops.products._gaunt_grid import degree_of
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps, clebsch_gordan, spherical_harmonics
from equinet.testing import assert_equivariant, equivariance_error

NATURAL = Irreps.spherical_harmonics
PRODUCT = GauntProduct(NATURAL(2), NATURAL(2), NATURAL(3))
REPS = (PRODUCT.rep1, PRODUCT.rep2), PRODUCT.rep_out


def draw(product: GauntProduct, rows: tuple = (5,), per_row: bool = False) -> tuple:
    """Random factors and weights, numpy float64."""
    rng = np.random.default_rng(0)
    weights = (*(rows if per_row else ()), product.num_weights, 3)
    shapes = ((*rows, product.rep1.dim, 3), (*rows, product.rep2.dim, 3), weights)
    return tuple(rng.normal(size=shape) for shape in shapes)


def dense(product: GauntProduct) -> np.ndarray:
    """The bilinear map as a table [dim1, dim2, dim_out]."""
    x = jnp.eye(product.rep1.dim)[:, None, :, None]
    y = jnp.eye(product.rep2.dim)[None, :, :, None]
    return np.asarray(product(x, y)[..., 0])


def threej_000(a: int, b: int, c: int) -> float:
    """The 3j symbol (a b c; 0 0 0) for an even sum."""
    f, total = math.factorial, a + b + c
    g = total // 2
    root = f(total - 2 * a) * f(total - 2 * b) * f(total - 2 * c) / f(total + 1)
    return (-1) ** g * math.sqrt(root) * f(g) / (f(g - a) * f(g - b) * f(g - c))


@pytest.mark.parametrize("lmax", [1, 2, 3, 4, 5, 6])
def test_path_counts(lmax: int) -> None:
    """Square pyramidal numbers up to degree 2 lmax; those of natural parity in the full product."""
    rep, n = NATURAL(lmax), lmax + 1
    everything = GauntProduct(rep, rep, NATURAL(2 * lmax)).paths
    assert len(everything) == n * (n + 1) * (2 * n + 1) // 6
    assert everything == ClebschGordanProduct(rep, rep, NATURAL(2 * lmax)).paths
    assert len(GauntProduct(rep, rep, rep).paths) == [4, 11, 23, 42, 69, 106][lmax - 1]


@pytest.mark.parametrize(("lmax", "lout"), [(1, 2), (3, 3), (4, 4)])
def test_blocks_are_the_closed_form(lmax: int, lout: int, x64: None) -> None:
    """s sqrt((2 l1 + 1)(2 l2 + 1)(2 l3 + 1)) |3j(000)| C, times one scale for each degree l3."""
    product = GauntProduct(NATURAL(lmax), NATURAL(lmax), NATURAL(lout))
    table = dense(product)
    expected = np.zeros_like(table)
    for path in product.paths:
        l1, l2, l3 = path.first, path.second, path.result
        at = tuple(slice(l**2, (l + 1) ** 2) for l in (l1, l2, l3))
        coupling = clebsch_gordan(l1, l2, l3) * abs(threej_000(l1, l2, l3))
        coupling = coupling * math.sqrt((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1))
        sign = np.sign((coupling * table[at]).sum())
        expected[at] = sign * coupling
    power = (expected**2).sum((0, 1))
    np.testing.assert_allclose(table, expected / np.sqrt(power), rtol=0, atol=1e-12)


def test_first_antisymmetric_path_is_missing(x64: None) -> None:
    table = dense(GauntProduct(NATURAL(1), NATURAL(1), NATURAL(2)))
    np.testing.assert_allclose(table[1:4, 1:4, 1:4], 0, atol=1e-15)
    np.testing.assert_allclose(table, table.swapaxes(0, 1), atol=1e-15)


def test_is_the_product_of_two_functions(x64: None) -> None:
    """The result, with its scale divided out, is the pointwise product at any point."""
    product = GauntProduct(NATURAL(2), NATURAL(2), NATURAL(4))
    x, y, _ = draw(product)
    scale = np.zeros(product.rep_out.dim)
    for b in blocks(product.rep_out):
        pairs = [(p.first, p.second) for p in product.paths if p.result == b.l]
        terms = [(2 * i + 1) * (2 * j + 1) * threej_000(i, j, b.l) ** 2 for i, j in pairs]
        scale[b.slice] = sum(terms) ** -0.5
    r = jax.random.normal(jax.random.key(0), (7, 3))
    harmonics = np.asarray(spherical_harmonics(4, r))

    def at(x: np.ndarray) -> np.ndarray:
        return np.einsum("pm,nmc->npc", harmonics[:, : x.shape[1]], x)

    z = np.asarray(product(x, y)) / scale[:, None]
    np.testing.assert_allclose(at(z), at(x) * at(y), atol=1e-12)


def test_equals_the_clebsch_gordan_product_with_its_weights(x64: None) -> None:
    """Weights per degree of the factors and the result make path weights that are products."""
    x, y, weights = draw(PRODUCT)
    table = dense(PRODUCT)
    degrees = [np.repeat(np.arange(n + 1), 2 * np.arange(n + 1) + 1) for n in (2, 2, 3)]
    w1, w2, w3 = weights[:3][degrees[0]], weights[3:6][degrees[1]], weights[6:][degrees[2]]
    expected = np.einsum("nic,njc,ijk->nkc", x * w1, y * w2, table) * w3
    np.testing.assert_allclose(PRODUCT(x, y, weights), expected, atol=1e-12)
    rows = np.broadcast_to(weights, (5, *weights.shape))
    np.testing.assert_allclose(PRODUCT(x, y, rows), expected, atol=1e-12)
    shared = np.broadcast_to(y[0, :, :1], y.shape)
    np.testing.assert_allclose(PRODUCT(x, y[0, :, :1]), PRODUCT(x, shared), atol=1e-12)
    moved = np.asarray(PRODUCT(x[0], y[0], rows))
    np.testing.assert_allclose(moved, PRODUCT(x[:1], y[:1], rows), atol=1e-12)


def test_equivariant_under_rotations_and_inversion(key: jax.Array) -> None:
    weights = draw(PRODUCT)[2][:, :2]
    function = jax.jit(lambda x, y: PRODUCT(x, y, jnp.asarray(weights, x.dtype)))
    assert_equivariant(function, *REPS, key, dtype=jnp.float64, atol=1e-12)
    assert_equivariant(function, *REPS, key, dtype=jnp.float32, atol=1e-5)
    assert PRODUCT.equivariance_error == 0


@pytest.mark.parametrize("method", ["separable", "fft"])
@pytest.mark.parametrize("degrees", [(1, 1, 2), (3, 2, 4), (3, 3, 1)])
def test_methods_agree(method: str, degrees: tuple[int, int, int], x64: None) -> None:
    product = GauntProduct(*(NATURAL(l) for l in degrees), method="grid")
    args = draw(product)
    other = dataclasses.replace(product, method=method)
    np.testing.assert_allclose(other(*args), product(*args), atol=1e-12)


def test_irreps_with_gaps_and_in_any_order(x64: None) -> None:
    """Any natural irreps: the whole product with zeros put in and rows taken out."""
    whole = GauntProduct(NATURAL(3), NATURAL(2), NATURAL(4), method="grid")
    for method in ("grid", "separable", "fft"):
        some = GauntProduct("3o+1o", "2e+0e", "4e+1o", method=method)
        x, y, _ = draw(some)
        wide_x, wide_y = np.zeros((5, 16, 3)), np.zeros((5, 9, 3))
        wide_x[:, 9:], wide_x[:, 1:4] = x[:, :7], x[:, 7:]
        wide_y[:, 4:], wide_y[:, :1] = y[:, :5], y[:, 5:]
        z = np.asarray(whole(wide_x, wide_y))
        scale = gaunt_scale(whole.rep1, whole.rep2, whole.rep_out)
        z = z / scale
        expected = np.concatenate([z[:, 16:], z[:, 1:4]], axis=1)
        expected = expected * gaunt_scale(some.rep1, some.rep2, some.rep_out)
        np.testing.assert_allclose(some(x, y), expected, atol=1e-12)


@pytest.mark.parametrize("lmax", [6, 10])
def test_exact_to_high_degrees(lmax: int, key: jax.Array) -> None:
    product = GauntProduct(NATURAL(lmax), NATURAL(lmax), NATURAL(lmax), method="grid")
    reps = (product.rep1, product.rep2), product.rep_out
    function = jax.jit(product)
    assert equivariance_error(function, *reps, key, dtype=jnp.float64, channels=1) < 1e-12
    assert equivariance_error(function, *reps, key, dtype=jnp.float32, channels=1) < 2e-5


def test_many_bodies_on_one_grid(x64: None) -> None:
    """Equal to repeated products that keep every degree; a lower one in between cuts."""
    n, power = NATURAL(1), ManyBodyGauntProduct((NATURAL(1),) * 3, NATURAL(2))
    first, second = GauntProduct(n, n, NATURAL(2)), GauntProduct(NATURAL(2), n, NATURAL(2))
    x, y, z = np.random.default_rng(0).normal(size=(3, 5, 4, 3))
    pair = np.asarray(first(x, y)) / gaunt_scale(n, n, NATURAL(2))
    expected = np.asarray(second(pair, z)) / gaunt_scale(NATURAL(2), n, NATURAL(2))
    np.testing.assert_allclose(power(x, y, z), expected, atol=1e-12)
    with pytest.raises(ValueError, match="got 2 factors for 3 reps"):
        power(x, y)
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 4, channels\]"):
        power(x, y, z[:, :3])
    with pytest.raises(ValueError, match="at least one factor"):
        ManyBodyGauntProduct((), n)


def test_a_grid_one_degree_short_fails(key: jax.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    product = dataclasses.replace(PRODUCT, method="grid")
    assert equivariance_error(product, *REPS, key, dtype=jnp.float64) < 1e-12
    monkeypatch.setattr(_gaunt_grid, "degree_of", lambda *reps: degree_of(*reps) - 2)
    _gaunt_grid._tables.cache_clear()
    assert equivariance_error(product, *REPS, key, dtype=jnp.float64) > 0.01


def test_variance_one() -> None:
    rng = np.random.default_rng(0)
    shapes = (64, 9, 256), (64, 9, 256), (PRODUCT.num_weights, 256)
    x, y, weights = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    for args in ((x, y), (x, y, weights)):
        square = jnp.mean(PRODUCT(*args) ** 2, axis=(0, 2))
        np.testing.assert_allclose(square, 1, atol=0.4)


@pytest.mark.parametrize("method", ["grid", "separable", "fft"])
def test_first_use_inside_jit_then_float64(method: str) -> None:
    """Tables made while a float32 function is traced are numpy of float64, and serve both."""
    product = GauntProduct(NATURAL(1), NATURAL(2), NATURAL(2), method=method)
    _gaunt_grid._tables.cache_clear()
    args = draw(product)
    low = jax.jit(product)(*(jnp.asarray(a, jnp.float32) for a in args))
    assert low.dtype == jnp.float32
    assert all(t.dtype == np.float64 for t in _gaunt_grid._tables(NATURAL(2), 5, "values", None))
    with jax.enable_x64(True):
        found = jax.jit(product)(*args)
        _gaunt_grid._tables.cache_clear()
        expected = product(*args)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(low, expected, atol=1e-5)


def test_vmap_and_derivatives(x64: None) -> None:
    x, y, weights = draw(PRODUCT, (2,))
    np.testing.assert_allclose(
        jax.vmap(PRODUCT, in_axes=(0, 0, None))(x, y, weights), PRODUCT(x, y, weights), atol=1e-13
    )

    def energy(x: jax.Array) -> jax.Array:
        return jnp.sum(PRODUCT(x, x, weights) ** 2)

    def derivatives(x: jax.Array) -> tuple[jax.Array, ...]:
        return jax.jacrev(jax.grad(energy))(x), jax.hessian(energy)(x)

    for point in (jnp.asarray(x), jnp.zeros_like(x)):
        reverse, forward = jax.jit(derivatives)(point)
        assert np.isfinite(reverse).all()
        np.testing.assert_allclose(reverse, forward, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype: jnp.dtype) -> None:
    x, y, weights = (jnp.asarray(a, dtype) for a in draw(PRODUCT))
    assert jax.eval_shape(PRODUCT, x, y, weights.astype(jnp.float32)).dtype == dtype


def test_bad_input() -> None:
    x, y, weights = (jnp.asarray(a, jnp.float32) for a in draw(PRODUCT))
    for bad in ("0e+1e", "0e+0e", "1o+2o"):
        with pytest.raises(ValueError, match=r"rep2 is .* Use product='clebsch_gordan'"):
            GauntProduct("0e+1o", bad, "0e")
    with pytest.raises(ValueError, match="no Gaunt path into 3o"):
        GauntProduct("0e", "1o", "3o")
    with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 9, .*\(5, 8, 3\)"):
        PRODUCT(x[:, :8], y, weights)
    with pytest.raises(ValueError, match="x and y have 3 and 2 channels"):
        PRODUCT(x, y[..., :2], weights)
    for bad in (weights[1:], weights[:, :2], weights[0]):
        with pytest.raises(ValueError, match=r"weights must have shape \[\.\.\., 10, 3\]"):
            PRODUCT(x, y, bad)
