"""The CP product: exact where it says so, a stated error elsewhere, one weight a channel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.ops.products import ClebschGordanProduct, CPProduct, GauntProduct, cp, cp_fit
from equinet.reps import Irreps
from equinet.testing import assert_equivariant, equivariance_error

NATURAL = Irreps.spherical_harmonics
PRODUCT = CPProduct(NATURAL(2), NATURAL(2), NATURAL(2))


def even(lmax: int) -> Irreps:
    """Degrees 0 to lmax, all of even parity: every path exists."""
    return Irreps("+".join(f"{l}e" for l in range(lmax + 1)))


def draw(product: CPProduct, rows: tuple = (5,), per_row: bool = False) -> tuple:
    """Random factors and weights, numpy float64."""
    rng = np.random.default_rng(0)
    shapes = ((*rows, product.rep1.dim, 3), (*rows, product.rep2.dim, 3))
    weights = (*(rows if per_row else ()), 1, 3)
    return tuple(rng.normal(size=shape) for shape in (*shapes, weights))


EXACT = [
    *[(NATURAL(lmax),) * 3 for lmax in (0, 2, 6)],
    *[(even(lmax),) * 3 for lmax in (1, 3)],
    (NATURAL(3), NATURAL(2), Irreps("2e+1o")),
    (even(3), Irreps("1e"), Irreps("2e+3e")),
    (NATURAL(5), NATURAL(5), Irreps("0e")),
    (Irreps("1o"), Irreps("1o"), Irreps("0e+1e+2e")),
]


@pytest.mark.parametrize("reps", EXACT, ids=str)
def test_exact_products_are_clebsch_gordan_products(reps: tuple, key: jax.Array) -> None:
    """Of fixed path weights, so equivariant to rounding, in both precisions in one process."""
    product = CPProduct(*reps)
    reference = ClebschGordanProduct(*reps)
    assert product.paths == reference.paths
    assert product.equivariance_error < 1e-12
    function = jax.jit(product)
    assert_equivariant(function, reps[:2], reps[2], key, dtype=jnp.float64, atol=1e-12)
    assert_equivariant(function, reps[:2], reps[2], key, dtype=jnp.float32, atol=2e-5)
    with jax.enable_x64(True):
        x, y, weights = (jnp.asarray(a) for a in draw(product))
        paths = jnp.asarray(product.path_weights)[:, None] * weights
        np.testing.assert_allclose(product(x, y, weights), reference(x, y, paths), atol=1e-11)
    assert min(np.abs(product.path_weights)) > 0.1


@pytest.mark.parametrize(("lmax", "rank"), [(2, 28), (3, 63)])
def test_approximate_products_state_their_error(lmax: int, rank: int, key: jax.Array) -> None:
    rep = even(lmax)
    product = CPProduct(rep, rep, rep, rank)
    assert product.terms == rank
    found = equivariance_error(product, (rep, rep), rep, key, dtype=jnp.float64)
    assert 0.1 * product.equivariance_error < found < 1.5 * product.equivariance_error
    missed = cp_fit.residual(cp_fit.load_factors("all", lmax, rank), "all")
    assert 2 * missed < product.equivariance_error < 30 * missed
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(product, (rep, rep), rep, key, dtype=jnp.float64)


@pytest.mark.parametrize("rep", [NATURAL(2), NATURAL(5), even(2), even(4)], ids=str)
def test_one_weight_and_variance_one(rep: Irreps) -> None:
    product = CPProduct(rep, rep, rep)
    assert product.num_weights == 1
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(64, rep.dim, 64)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(jnp.mean(product(x, y) ** 2, axis=(0, 2)), 1, atol=0.4)
    assert product.flops == product.terms * (6 * rep.dim + 1)
    assert product.bytes_moved == 12 * rep.dim


def test_default_ranks() -> None:
    """Exact where it can be; 7 lmax**2 beyond; few terms where a rep is small."""
    terms = [CPProduct(*(NATURAL(lmax),) * 3).terms for lmax in range(7)]
    assert terms == [1, 6, 18, 32, 58, 82, 123]
    assert [CPProduct(*(even(lmax),) * 3).terms for lmax in (1, 2, 3, 4)] == [7, 30, 90, 112]
    assert CPProduct(even(2), even(2), even(2), "exact").terms == 30
    assert CPProduct(NATURAL(4), NATURAL(4), Irreps("0e")).terms == 25


def test_natural_parity_is_the_gaunt_product(x64: None) -> None:
    """The factors are a cubature formula, so the ratios between the paths are Gaunt's."""
    rep = NATURAL(3)
    x, y, _ = draw(PRODUCT)
    x, y = (np.concatenate([a, a[:, :7]], axis=1) for a in (x, y))
    found, expected = CPProduct(rep, rep, rep)(x, y), GauntProduct(rep, rep, rep)(x, y)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_weights_per_row_and_shared_channel(x64: None) -> None:
    x, y, weights = draw(PRODUCT)
    expected = np.asarray(PRODUCT(x, y)) * weights
    np.testing.assert_allclose(PRODUCT(x, y, weights), expected, atol=1e-12)
    rows = np.broadcast_to(weights, (5, *weights.shape))
    np.testing.assert_allclose(PRODUCT(x, y, rows), expected, atol=1e-12)
    shared = np.broadcast_to(y[..., :1], y.shape)
    np.testing.assert_allclose(PRODUCT(x, y[..., :1]), PRODUCT(x, shared), atol=1e-12)
    np.testing.assert_allclose(PRODUCT(x[0], y[0], rows), PRODUCT(x[:1], y[:1], rows), atol=1e-12)


def test_first_use_inside_jit_then_float64() -> None:
    cp._factors.cache_clear()
    args = draw(PRODUCT)
    low = jax.jit(PRODUCT)(*(jnp.asarray(a, jnp.float32) for a in args))
    assert low.dtype == jnp.float32
    tables = cp._factors(NATURAL(2), NATURAL(2), NATURAL(2), None)
    assert all(table.dtype == np.float64 and not table.flags.writeable for table in tables)
    with jax.enable_x64(True):
        found = jax.jit(PRODUCT)(*args)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(low, found, atol=1e-5)


def test_vmap_and_derivatives(x64: None) -> None:
    x, y, weights = draw(PRODUCT, (2,))
    many = jax.vmap(PRODUCT, in_axes=(0, 0, None))(x, y, weights)
    np.testing.assert_allclose(many, PRODUCT(x, y, weights), atol=1e-13)

    def energy(x: jax.Array) -> jax.Array:
        return jnp.sum(PRODUCT(x, x, weights) ** 2)

    @jax.jit
    def derivatives(x: jax.Array) -> tuple[jax.Array, ...]:
        return jax.jacrev(jax.grad(energy))(x), jax.hessian(energy)(x)

    for point in (jnp.asarray(x), jnp.zeros_like(x)):
        reverse, forward = derivatives(point)
        assert np.isfinite(reverse).all()
        np.testing.assert_allclose(reverse, forward, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype: jnp.dtype) -> None:
    x, y, weights = (jnp.asarray(a, dtype) for a in draw(PRODUCT))
    assert jax.eval_shape(PRODUCT, x, y, weights.astype(jnp.float32)).dtype == dtype


def test_reads_the_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors that a user has fitted are found, and named if they are missing."""
    monkeypatch.setenv("EQUINET_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"no factors of rank 5 .* --kind even --lmax 1 --rank 5"):
        CPProduct(*(NATURAL(1),) * 3, 5)
    factors = np.random.default_rng(0).normal(size=(3, 4, 5))
    cp_fit.save_factors("even", 1, tuple(factors))
    product = CPProduct(*(NATURAL(1),) * 3, 5)
    assert product.terms == 5
    assert product.equivariance_error > 0.1
    cp._factors.cache_clear()
    cp_fit.load_factors.cache_clear()


def test_bad_input() -> None:
    x, y, weights = (jnp.asarray(a, jnp.float32) for a in draw(PRODUCT))
    with pytest.raises(ValueError, match=r"rep2 is .* Use product='clebsch_gordan'"):
        CPProduct("0e+1o", "0e+0o", "0e")
    with pytest.raises(ValueError, match="admits others"):
        CPProduct("0e+1o+2e", "0e+1o+2e", "0e+1e+2o")
    with pytest.raises(ValueError, match="no path into 3o"):
        CPProduct("0e", "1o", "3o")
    with pytest.raises(ValueError, match=r"degrees stored: .*'even': \[1, 2, 3.*--lmax 9"):
        CPProduct(*(NATURAL(9),) * 3)
    with pytest.raises(ValueError, match="no exact factors of all paths to degree 6"):
        CPProduct(*(even(6),) * 3, "exact")
    for bad in (0, "most"):
        with pytest.raises(ValueError, match="rank must be a positive number, 'exact' or None"):
            CPProduct(*(NATURAL(1),) * 3, bad)
    with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 9, .*\(5, 8, 3\)"):
        PRODUCT(x[:, :8], y, weights)
    for bad in (weights[:, :2], weights[0], jnp.ones((2, 3))):
        with pytest.raises(ValueError, match=r"weights must have shape \[\.\.\., 1, 3\]"):
            PRODUCT(x, y, bad)
