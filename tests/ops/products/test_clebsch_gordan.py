"""The Clebsch-Gordan product: the naive sum of paths, e3nn's product, symmetry and scale."""

import dataclasses

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet import chunks
from equinet.ops.products import ClebschGordanProduct, Path
from equinet.ops.products import _clebsch_gordan_kernels as coupling
from equinet.ops.products._paths import Block, blocks
from equinet.reps import Irreps, clebsch_gordan
from equinet.testing import assert_equivariant, equivariance_error

REP1, REP2, REP_OUT = Irreps("2x0e+1o"), Irreps("1o+1e"), Irreps("0e+2x1o+0o+1e+2e")
PRODUCT = ClebschGordanProduct(REP1, REP2, REP_OUT)
SWAPPED = ClebschGordanProduct(REP2, REP1, REP_OUT)
NAIVE = dataclasses.replace(PRODUCT, method="naive")


def draw(product: ClebschGordanProduct, rows: tuple = (5,), per_row: bool = False) -> tuple:
    """Random factors and weights, numpy float64."""
    rng = np.random.default_rng(0)
    weights = (*(rows if per_row else ()), product.num_weights, 3)
    shapes = ((*rows, product.rep1.dim, 3), (*rows, product.rep2.dim, 3), weights)
    return tuple(rng.normal(size=shape) for shape in shapes)


def reps_of(product: ClebschGordanProduct) -> tuple[Irreps, Irreps, Irreps]:
    """Both factors and the result."""
    return product.rep1, product.rep2, product.rep_out


def test_blocks_are_copies_in_order() -> None:
    found = [(b.l, b.p, b.slice) for b in blocks(Irreps("2x1o+0e"))]
    assert found == [(1, -1, slice(0, 3)), (1, -1, slice(3, 6)), (0, 1, slice(6, 7))]


@pytest.mark.parametrize("lmax", [1, 2, 3, 4, 5, 6])
def test_path_counts(lmax: int) -> None:
    """Without parity: octahedral numbers up to degree 2 lmax, n (n^2 + 1) / 2 up to lmax."""
    rep, n = Irreps.spherical_harmonics(lmax, parity=1), lmax + 1
    everything = Irreps.spherical_harmonics(2 * lmax, parity=1)
    assert len(ClebschGordanProduct(rep, rep, everything).paths) == n * (2 * n**2 + 1) // 3
    assert len(ClebschGordanProduct(rep, rep, rep).paths) == n * (n**2 + 1) // 2


def test_paths_obey_triangle_and_parity() -> None:
    product = ClebschGordanProduct("0e+1o", "1o", "0e+0o+1e+1o+2e+3o")
    assert product.paths == (Path(0, 0, 3), Path(1, 0, 0), Path(1, 0, 2), Path(1, 0, 4))


@pytest.mark.parametrize("product", [PRODUCT, SWAPPED], ids=["small_second", "small_first"])
def test_fast_paths_equal_the_naive_sum(product: ClebschGordanProduct, x64: None) -> None:
    naive = jax.jit(dataclasses.replace(product, method="naive"))
    x, y, weights = draw(product, (4, 2))
    expected = naive(x, y, weights)
    atol = 1e-12
    np.testing.assert_allclose(jax.jit(product)(x, y, weights), expected, atol=atol)
    outer = jnp.asarray(x[..., :, None, :] * y[..., None, :, :]).reshape(4, 2, -1, 3)
    np.testing.assert_allclose(product.contract(outer, jnp.asarray(weights)), expected, atol=atol)
    coupled = product._coupled(outer, jnp.asarray(weights))
    np.testing.assert_allclose(coupled, expected, atol=atol)
    x, y, weights = draw(product, (4, 2), per_row=True)
    expected = naive(x, y, weights)
    np.testing.assert_allclose(jax.jit(product)(x, y, weights), expected, atol=atol)


def test_contract_by_folding_equals_by_coupling(x64: None) -> None:
    """Many paths into few components: the other branch of ``contract``."""
    product = ClebschGordanProduct("2x0e+1o+2e", "0e+1o+2e", "2e")
    terms = 5 * len(product.paths)
    assert terms > 4 * product.rep_out.dim
    x, y, weights = draw(product)
    outer = jnp.asarray(x[..., :, None, :] * y[..., None, :, :]).reshape(5, -1, 3)
    expected = dataclasses.replace(product, method="naive")(x, y, weights)
    found = product.contract(outer, jnp.asarray(weights, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = product.contract(outer, jnp.asarray(weights))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("rep1", "rep2"), [("1o", "2e"), ("2o", "2e")])
def test_equals_e3nn(rep1: str, rep2: str, x64: None) -> None:
    """One path into each irrep: e3nn's component normalisation is then ours."""
    rep_out = Irreps(rep1).tensor_product(rep2)
    product = ClebschGordanProduct(rep1, rep2, rep_out)
    x, y, _ = draw(product)
    first, second = (
        e3nn_jax.IrrepsArray(rep, jnp.moveaxis(jnp.asarray(a), -1, 1))
        for rep, a in ((rep1, x), (rep2, y))
    )
    theirs = e3nn_jax.tensor_product(first, second, irrep_normalization="component")
    assert Irreps(theirs.irreps) == rep_out
    np.testing.assert_allclose(jnp.moveaxis(product(x, y), -1, 1), theirs.array, atol=1e-13)


@pytest.mark.parametrize("product", [PRODUCT, NAIVE], ids=["folded", "naive"])
def test_equivariant_under_rotations_and_inversion(
    product: ClebschGordanProduct, key: jax.Array
) -> None:
    for per_row in (False, True):
        weights = draw(product, (4,), per_row)[2][..., :2]
        function = jax.jit(lambda x, y, w=weights: product(x, y, jnp.asarray(w, x.dtype)))
        reps = (product.rep1, product.rep2), product.rep_out
        assert_equivariant(function, *reps, key, dtype=jnp.float64)
        assert_equivariant(function, *reps, key, dtype=jnp.float32, atol=1e-5)
    assert product.equivariance_error == 0


def test_controls_fail(key: jax.Array) -> None:
    options = {"dtype": jnp.float64}
    wrong_parity = Irreps("0e+2x1o+0e+1e+2e")
    assert equivariance_error(PRODUCT, (REP1, REP2), wrong_parity, key, **options) > 0.1
    wrong_order = Irreps("0e+2x1o+0o+2e+1e")
    assert equivariance_error(PRODUCT, (REP1, REP2), wrong_order, key, **options) > 0.1

    def reversed_axis(x: jax.Array, y: jax.Array) -> jax.Array:
        return PRODUCT(x, y[:, ::-1])

    assert equivariance_error(reversed_axis, (REP1, REP2), REP_OUT, key, **options) > 0.1


def test_variance_one() -> None:
    """Independent unit inputs and weights: every component of the result has mean square one."""
    rng = np.random.default_rng(0)
    shapes = (64, REP1.dim, 256), (64, REP2.dim, 256), (PRODUCT.num_weights, 256)
    x, y, weights = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    square = jnp.mean(jax.jit(PRODUCT)(x, y, weights) ** 2, axis=(0, 2))
    np.testing.assert_allclose(square, 1, atol=0.25)


def test_one_channel_and_broadcast_rows(x64: None) -> None:
    x, y, weights = draw(PRODUCT, (4, 2))
    shared = y[..., :1]
    expected = NAIVE(x, np.repeat(shared, 3, -1), weights)
    np.testing.assert_allclose(PRODUCT(x, shared, weights), expected, atol=1e-12)
    expected = NAIVE(x, np.broadcast_to(y[:1], y.shape), weights)
    np.testing.assert_allclose(PRODUCT(x, y[:1], weights), expected, atol=1e-12)
    expected = NAIVE(x, np.broadcast_to(y[0, 0], y.shape), weights)
    for product in (PRODUCT, NAIVE):
        np.testing.assert_allclose(product(x, y[0, 0], weights), expected, atol=1e-12)
        rows = np.broadcast_to(weights, (4, 2, *weights.shape))
        np.testing.assert_allclose(product(x, y[0, 0], rows), expected, atol=1e-12)
    ones = np.ones_like(weights)
    np.testing.assert_allclose(PRODUCT(x, y), NAIVE(x, y, ones), atol=1e-12)


def test_jit_vmap_and_one_compilation(x64: None) -> None:
    x, y, weights = draw(PRODUCT)
    eager = PRODUCT(x, y, weights)
    call = jax.jit(lambda product, *args: product(*args), static_argnums=0)
    again = ClebschGordanProduct(str(REP1), str(REP2), str(REP_OUT))
    for product in (PRODUCT, again):
        np.testing.assert_allclose(call(product, x, y, weights), eager, atol=1e-13)
    assert call._cache_size() == 1
    mapped = jax.vmap(PRODUCT, in_axes=(0, 0, None))(x, y, weights)
    np.testing.assert_allclose(mapped, eager, atol=1e-13)


def test_derivatives_of_both_orders(x64: None) -> None:
    x, y, weights = draw(PRODUCT, (2,))

    def derivatives(product: ClebschGordanProduct, x: jax.Array) -> tuple[jax.Array, ...]:
        def energy(x: jax.Array) -> jax.Array:
            return jnp.sum(product(x, y, weights) ** 3)

        gradient = jax.grad(energy)
        return gradient(x), jax.jacrev(gradient)(x), jax.hessian(energy)(x)

    found = jax.jit(derivatives, static_argnums=0)(PRODUCT, x)
    expected = jax.jit(derivatives, static_argnums=0)(NAIVE, x)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(dtype: jnp.dtype) -> None:
    for product in (PRODUCT, NAIVE):
        for per_row in (False, True):
            x, y, weights = (jnp.asarray(a, dtype) for a in draw(product, (2,), per_row))
            found = jax.eval_shape(product, x, y, weights.astype(jnp.float32))
            assert found.dtype == dtype


@pytest.mark.parametrize("per_row", [False, True])
def test_float64_after_float32(per_row: bool) -> None:
    x, y, weights = draw(PRODUCT, per_row=per_row)
    tables = [clebsch_gordan(*degrees(PRODUCT, path)) for path in PRODUCT.paths]
    results = [path.result for path in PRODUCT.paths]
    expected = np.zeros((5, REP_OUT.dim, 3))
    for index, path in enumerate(PRODUCT.paths):
        a, b, c = path_blocks(PRODUCT, path)
        scale = np.sqrt((2 * c.l + 1) / results.count(path.result))
        term = np.einsum("nic,njc,ijk->nkc", x[:, a.slice], y[:, b.slice], tables[index])
        expected[:, c.slice] += scale * weights[..., index, :].reshape(-1, 1, 3) * term
    for product in (PRODUCT, NAIVE):
        product(*(jnp.asarray(a, jnp.float32) for a in (x, y, weights)))
        with jax.enable_x64(True):
            found = product(x, y, weights)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def path_blocks(product: ClebschGordanProduct, path: Path) -> tuple[Block, Block, Block]:
    """The blocks of the two factors and of the result."""
    reps = (product.rep1, path.first), (product.rep2, path.second), (product.rep_out, path.result)
    first, second, result = (blocks(rep)[index] for rep, index in reps)
    return first, second, result


def degrees(product: ClebschGordanProduct, path: Path) -> tuple[int, int, int]:
    """The three degrees of a path."""
    first, second, result = path_blocks(product, path)
    return first.l, second.l, result.l


def test_bad_input() -> None:
    x, y, weights = draw(PRODUCT)
    with pytest.raises(ValueError, match=r"no path into .*2e.*possible outputs are .*1o"):
        ClebschGordanProduct("0e", "1o", "2e")
    with pytest.raises(ValueError, match="unknown method 'fast', expected one of"):
        ClebschGordanProduct("0e", "1o", "1o", method="fast")
    with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 5, channels\].*\(5, 6, 3\)"):
        PRODUCT(y, y, weights)
    with pytest.raises(ValueError, match=r"y must have shape \[\.\.\., 6, channels\].*\(6,\)"):
        PRODUCT(x, y[0, :, 0], weights)
    with pytest.raises(ValueError, match="x and y have 3 and 2 channels"):
        PRODUCT(x, y[..., :2], weights)
    for bad in (weights[:-1], weights[:, :2], weights[0]):
        for product in (PRODUCT, NAIVE):
            with pytest.raises(ValueError, match=r"weights must have shape \[\.\.\., \d+, 3\]"):
                product(x, y, bad)


def test_channels_mixed_by_path(x64: None) -> None:
    """uvu and uvw: every pair of channels by the naive product, weighed and summed."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, REP1.dim, 4)), rng.normal(size=(5, REP2.dim, 3))
    weights = rng.normal(size=(PRODUCT.num_weights, 4, 3, 2))
    uvw, uvu = np.zeros((5, REP_OUT.dim, 2)), np.zeros((5, REP_OUT.dim, 4))
    for u in range(4):
        for v in range(3):
            pair = x[..., u : u + 1], y[..., v : v + 1]
            for w in range(2):
                uvw[..., w] += np.asarray(NAIVE(*pair, weights[:, u, v, w, None]))[..., 0]
            uvu[..., u] += np.asarray(NAIVE(*pair, weights[:, u, v, :1]))[..., 0]
    np.testing.assert_allclose(jax.jit(PRODUCT.mix)(x, y, weights), uvw, atol=1e-12)
    np.testing.assert_allclose(PRODUCT.mix(x, y, weights[..., 0]), uvu, atol=1e-12)
    with pytest.raises(ValueError, match=r"weights must have shape \[.*, 4, 3\] or"):
        PRODUCT.mix(x, y, weights[:, :3])


@pytest.mark.parametrize("lmax", [4, 10])
def test_blocks_of_channels_and_rows_to_high_degrees(lmax: int, key: jax.Array) -> None:
    rep = Irreps.spherical_harmonics(lmax, parity=1)
    product = ClebschGordanProduct(rep, rep, rep)
    weights = np.random.default_rng(0).normal(size=(product.num_weights, 1))
    function = jax.jit(lambda x, y: product(x, y, jnp.asarray(weights, x.dtype)))
    error = equivariance_error(
        function, (rep, rep), rep, key, dtype=jnp.float64, channels=1, batch=(2,), num_samples=2
    )
    assert error < 1e-12


@pytest.mark.parametrize("mixed", [False, True], ids=["rows", "mix"])
def test_second_factors_in_parts(mixed: bool, x64: None) -> None:
    """Weights per row and mixed channels with a second factor that is coupled in two parts."""
    product = ClebschGordanProduct("0e+1o", "0e+1o+2e+3o+4e", "0e+1o+2e+3o")
    naive = dataclasses.replace(product, method="naive")
    assert len({group.part for group in coupling._groups(*reps_of(product))}) == 2
    x, y, weights = (jnp.asarray(a) for a in draw(product, (2,), per_row=not mixed))
    if mixed:
        weights = jnp.repeat(weights[..., None], 3, -1) * jnp.arange(1.0, 4.0).reshape(1, 1, 3)

    def ours(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        return product.mix(x, y, weights) if mixed else product(x, y, weights)

    def theirs(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        if not mixed:
            return naive(x, y, weights)
        each = [naive(x, y[..., v : v + 1], weights[..., v]) for v in range(3)]
        return jnp.stack(each).sum(0)

    cotangent = np.random.default_rng(1).normal(size=(2, product.rep_out.dim, 3))
    for function in (ours, theirs):
        result, pull = jax.vjp(function, x, y, weights)
        values = (result, *pull(jnp.asarray(cotangent)))
        if function is ours:
            found = values
    for one, other in zip(found, values, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_weights_are_folded_as_the_naive_sum_weighs(x64: None) -> None:
    """Second derivatives by the weights, and mapped over them: the primitives and transposes."""
    rep = Irreps.spherical_harmonics(2)
    product = ClebschGordanProduct(rep, rep, rep)
    naive = dataclasses.replace(product, method="naive")
    assert coupling.orders(*reps_of(product))[0].bits == 2
    x, y, weights = (jnp.asarray(a) for a in draw(product, (2,)))
    many = jnp.stack([weights, -2 * weights, weights**2])

    def derivatives(product: ClebschGordanProduct) -> tuple[jax.Array, ...]:
        def energy(weights: jax.Array) -> jax.Array:
            return jnp.sum(product(x, y, weights) ** 3)

        gradient = jax.grad(energy)
        along = jax.jvp(gradient, (weights,), (many[1],))[1]
        back = jax.grad(lambda w: jnp.sum(gradient(w) ** 2))(weights)
        return jax.vmap(energy)(many), jax.vmap(gradient)(many), along, back

    found = [jax.jit(derivatives, static_argnums=0)(each) for each in (product, naive)]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)


def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch, x64: None) -> None:
    """Blocks of one channel and three rows, the last one filled up."""
    x, y, weights = draw(PRODUCT, (7,))
    expected = PRODUCT(x, y, weights)
    monkeypatch.setitem(chunks._WORKING_SET, "cpu", 6 * REP1.dim * REP2.dim * 8)
    monkeypatch.setitem(chunks._CORE_CACHE, "cpu", 2**14)
    np.testing.assert_allclose(PRODUCT(x, y, weights), expected, atol=1e-12)
    rows = np.broadcast_to(weights, (7, *weights.shape))
    np.testing.assert_allclose(PRODUCT(x, y, rows), expected, atol=1e-12)
