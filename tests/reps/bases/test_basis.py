"""Equivariant bases: known dimensions, the null space, the naive reference, projections."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import (
    SL,
    SO,
    Cyclic,
    Dihedral,
    FullLorentz,
    GLPlus,
    Group,
    Lorentz,
    O,
    OnAxes,
    S,
    Sp,
)
from equinet.reps import (
    Irreps,
    Regular,
    Rep,
    Scalar,
    Tensor,
    Vector,
    antisymmetric_power,
    equivariant_basis,
    outer_product,
    restrict,
    symmetric_power,
)
from equinet.reps.bases.basis import pure_maps
from equinet.reps.bases.linear_maps import DenseMaps, IdentityMaps, KroneckerMaps, OrbitMaps
from equinet.reps.bases.null_space import LARGEST_DENSE, null_space_maps

CATALAN = [1, 1, 2, 5, 14, 42]
RIORDAN = [1, 0, 1, 1, 3, 6, 15, 36, 91]
BELL = [1, 1, 2, 5, 15, 52]

# Invariants of the N-th tensor power of the vector, N = 0, 1, 2, ...
KNOWN: list[tuple[Group, list[int]]] = [
    (S(5), BELL),
    (S(2), [1, 1, 2, 4, 8, 16]),
    (S(3), [1, 1, 2, 5, 14, 41]),
    (S(4), [1, 1, 2, 5, 15, 51]),
    (O(4), [1, 0, 1, 0, 3, 0, 15, 0, 105]),
    (O(2), [1, 0, 1, 0, 3, 0, 10, 0, 35]),
    (O(3), [1, 0, 1, 0, 3, 0, 15, 0, 91]),
    (SO(2), [1, 0, 2, 0, 6, 0, 20, 0, 70]),
    (SO(3), RIORDAN),
    (SO(4), [1, 0, 1, 0, 4, 0, 25]),
    (Sp(2), [1, 0, 1, 0, 2, 0, 5, 0, 14]),
    (Sp(4), [1, 0, 1, 0, 3, 0, 14]),
    (Lorentz(), [1, 0, 1, 0, 4, 0, 25]),
    (FullLorentz(), [1, 0, 1, 0, 3, 0, 15]),
]


def _vector_dims(group: Group, dims: list[int]) -> list[tuple[Group, int, int]]:
    return [(group, order, dim) for order, dim in enumerate(dims)]


@pytest.mark.parametrize(("group", "dims"), KNOWN, ids=lambda v: str(v))
def test_dimensions_of_the_invariants(group: Group, dims: list[int]) -> None:
    found = [equivariant_basis(Tensor(group, N), Scalar(group)).dim for N in range(len(dims))]
    assert found == dims


@pytest.mark.parametrize(("group", "dims"), KNOWN, ids=lambda v: str(v))
def test_dimensions_depend_on_the_sum_of_the_orders_alone(group: Group, dims: list[int]) -> None:
    for order, dim in enumerate(dims[:6]):
        for k in range(order + 1):
            basis = equivariant_basis(Tensor(group, k), Tensor(group, order - k))
            assert basis.dim == dim


def test_closed_forms() -> None:
    def dims(group: Group, orders: range) -> list[int]:
        return [equivariant_basis(Tensor(group, N), Scalar(group)).dim for N in orders]

    even = range(2, 10, 2)
    assert dims(O(2), even) == [math.comb(N - 1, N // 2) for N in even]
    assert dims(SO(2), even) == [math.comb(N, N // 2) for N in even]
    assert dims(Sp(2), even) == CATALAN[1:5]
    assert dims(SO(4), range(2, 8, 2)) == [c * c for c in CATALAN[1:4]]
    assert dims(S(2), range(1, 7)) == [2 ** (N - 1) for N in range(1, 7)]
    assert dims(S(3), range(1, 6)) == [(3 ** (N - 1) + 1) // 2 for N in range(1, 6)]


@pytest.mark.parametrize(
    ("rep_in", "rep_out", "dim"),
    [
        (Vector(S(7)), Vector(S(7)), 2),  # Deep Sets
        (Vector(S(7)) ** 2, Vector(S(7)) ** 2, 15),  # IGN
        (Vector(S(7)) ** 2, Vector(S(7)), 5),
        (Vector(S(7)) ** 2, Scalar(S(7)), 2),
        (Vector(S(100)) ** 2, Vector(S(100)) ** 3, 52),
        (Regular(Cyclic(6)) ** 2, Scalar(Cyclic(6)), 6),
        (Regular(Dihedral(3)), Regular(Dihedral(3)), 6),
        (Regular(S(3)), Regular(S(3)), 6),
        (Vector(SL(2)) ** 4, Scalar(SL(2)), 2),
        (Tensor(GLPlus(2), 3, 0), Tensor(GLPlus(2), 3, 0), 5),
        (Tensor(GLPlus(3), 2, 1), Vector(GLPlus(3)), 2),
        (Vector(GLPlus(3)) ** 2, Vector(GLPlus(3)), 0),
        (Irreps("2x0e+1o"), Irreps("0e+3x1o+2e"), 5),
        (Irreps("1o") * Irreps("1o"), Irreps("0e+1e+2e"), 3),
    ],
    ids=str,
)
def test_dimensions_of_maps(rep_in: Rep, rep_out: Rep, dim: int) -> None:
    basis = equivariant_basis(rep_in, rep_out)
    assert basis.dim == dim
    assert basis.scales.shape == (dim,)


def _pairs() -> list[tuple[Rep, Rep]]:
    pairs: list[tuple[Rep, Rep]] = []
    for group in [S(3), O(2), O(3), SO(2), SO(3), SO(4), Sp(2), Lorentz(), GLPlus(2)]:
        pairs.append((Vector(group) ** 2, Vector(group) ** 2))
    pairs += [(Vector(S(3)), Tensor(S(3), 3)), (Tensor(SO(3), 3), Tensor(SO(3), 2))]
    for group in (Sp(4), Lorentz(), GLPlus(2)):
        pairs.append((Tensor(group, 1, 1), Vector(group).dual * Vector(group)))
    pairs.append((Vector(Sp(2)).dual ** 2, Tensor(Sp(2), 2)))
    v, g = Vector(SO(3)), S(2) * SO(3)
    points = outer_product(Vector(S(2)), Vector(SO(3)))
    pairs += [
        ((v + Scalar(SO(3))) * v + v, v**2 + 2 * v),
        (Irreps("2x0e+1o+0e"), Irreps("0e+2x1o+1e+0e")),
        (Vector(O(3)) + Scalar(O(3)), Irreps("2x0e+1o+2e")),
        (symmetric_power(v, 2), antisymmetric_power(v, 2) + v**2),
        (Regular(Dihedral(3)), Vector(Dihedral(3)) + Regular(Dihedral(3))),
        (points, points + Vector(g)),
        (points * points, points),
        (restrict(Tensor(O(3), 2), OnAxes(O(2), 3, (0, 1))), Vector(OnAxes(O(2), 3, (0, 1)))),
        (Vector(SL(2)) ** 2, Tensor(SL(2), 1, 1)),
        (Irreps("0e+2x1o") * Irreps("0o+1e"), Irreps("1o+2o+1e")),
        (Irreps("2e") * Vector(O(3)), Vector(O(3)) ** 2 * Irreps("0o") + Scalar(O(3))),
        (
            outer_product(Vector(S(2)), Irreps("0e+1o")) ** 2,
            outer_product(Vector(S(2)), Irreps("1o+2e")),
        ),
    ]
    return pairs


every_pair = pytest.mark.parametrize(("rep_in", "rep_out"), _pairs(), ids=str)


def _orthonormal(table: np.ndarray) -> np.ndarray:
    flat = table.reshape(len(table), -1)
    return np.linalg.qr(flat.T)[0]


@every_pair
def test_span_is_the_numerical_null_space(rep_in: Rep, rep_out: Rep) -> None:
    ours = equivariant_basis(rep_in, rep_out).dense()
    theirs = null_space_maps(rep_in, rep_out)
    assert ours.shape == theirs.shape
    ours, theirs = _orthonormal(ours), theirs.reshape(len(theirs), -1).T
    np.testing.assert_allclose(theirs @ (theirs.T @ ours), ours, atol=1e-10)


@every_pair
def test_factorised_application_and_projection_match_the_matrices(
    rep_in: Rep, rep_out: Rep, x64: None
) -> None:
    basis, rng = equivariant_basis(rep_in, rep_out), np.random.default_rng(0)
    table = basis.dense()
    x = rng.normal(size=(2, rep_in.dim, 2))
    weights = rng.normal(size=(basis.dim, 2, 3))
    kernel = rng.normal(size=(rep_out.dim, rep_in.dim, 2))
    applied, projected = jax.jit(lambda x, w, k: (basis.apply(x, w), basis.project(k)))(
        x, weights, kernel
    )
    expected = np.einsum("boi,nic,bcd->nod", table, x, weights)
    np.testing.assert_allclose(applied, expected, atol=1e-11)
    q = _orthonormal(table)
    expected = (q @ (q.T @ kernel.reshape(-1, 2))).reshape(kernel.shape)
    np.testing.assert_allclose(projected, expected, atol=1e-11)


@every_pair
def test_maps_commute_with_the_group(rep_in: Rep, rep_out: Rep, x64: None) -> None:
    basis = equivariant_basis(rep_in, rep_out)
    g = rep_in.group.sample(jax.random.key(1), (3,))
    a, b = np.asarray(rep_in.matrix(g)), np.asarray(rep_out.matrix(g))
    for table in basis.dense():
        size = np.linalg.norm(b, 2, (-2, -1)) + np.linalg.norm(a, 2, (-2, -1))
        error = np.abs(b @ table - table @ a).max((-2, -1)) / size
        assert error.max() < 1e-12


@every_pair
def test_scales_keep_the_variance(rep_in: Rep, rep_out: Rep) -> None:
    basis = equivariant_basis(rep_in, rep_out)
    table = basis.dense() * basis.scales[:, None, None]
    variance = np.sum(table**2, axis=(0, 2))  # of every entry of the output
    reached = np.any(basis.dense() != 0, axis=(0, 2))
    assert reached.any()
    np.testing.assert_allclose(variance[~reached], 0)
    if not _several_terms(rep_out):
        np.testing.assert_allclose(variance.mean(), 1)


def _several_terms(rep: Rep) -> bool:
    return bool(getattr(rep, "terms", ())) or isinstance(rep, Irreps)


def test_a_wrong_group_is_not_equivariant(x64: None) -> None:
    table = equivariant_basis(Vector(SO(3)) ** 2, Vector(SO(3))).dense()[0]
    reflection = np.diag([-1.0, 1.0, 1.0])
    wrong = reflection @ table - table @ np.kron(reflection, reflection)
    assert np.abs(wrong).max() > 0.5


@pytest.mark.parametrize("group", [S(6), O(5), SO(3), Sp(4)], ids=str)
def test_gradients_of_the_factorised_application(group: Group, x64: None) -> None:
    basis = equivariant_basis(Tensor(group, 2), Tensor(group, 2))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, basis.rep_in.dim, 2))
    weights = rng.normal(size=(basis.dim, 2, 2))
    table = basis.dense()

    def fast(x: Any, weights: Any) -> Any:
        return jnp.sum(jnp.sin(basis.apply(x, weights)))

    def naive(x: Any, weights: Any) -> Any:
        return jnp.sum(jnp.sin(jnp.einsum("boi,nic,bcd->nod", table, x, weights)))

    for order in (jax.grad, lambda f, argnums: jax.grad(lambda *a: jnp.sum(jax.grad(f)(*a) ** 2))):
        actual = jax.jit(order(fast, argnums=(0, 1)))(x, weights)
        expected = jax.jit(order(naive, argnums=(0, 1)))(x, weights)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), actual, expected
        )


def test_chunks_of_the_batch_change_nothing(monkeypatch: pytest.MonkeyPatch, x64: None) -> None:
    basis = equivariant_basis(Tensor(S(5), 2), Tensor(S(5), 2))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(6, 25, 2)))
    weights = jnp.asarray(rng.normal(size=(15, 2, 2)))
    whole = basis.apply(x, weights)
    monkeypatch.setattr("equinet.chunks._WORKING_SET", dict.fromkeys(("cpu", "gpu", "tpu"), 1))
    np.testing.assert_allclose(basis.apply(x, weights), whole, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_kept(dtype: str) -> None:
    for rep in (Vector(S(4)) ** 2, Vector(SL(2)), Irreps("0e+1o"), Regular(Cyclic(3))):
        basis = equivariant_basis(rep, rep)
        x, weights = jnp.ones((2, rep.dim, 1), dtype), jnp.ones((basis.dim, 1, 1), dtype)
        assert jax.eval_shape(basis.apply, x, weights).dtype == dtype
        assert jax.eval_shape(basis.project, jnp.ones((rep.dim, rep.dim), dtype)).dtype == dtype


def test_float32_then_float64_in_one_process() -> None:
    basis = equivariant_basis(Tensor(SO(3), 2), Tensor(SO(3), 3))
    x, weights = np.ones((1, 9, 1)), np.ones((basis.dim, 1, 1)) / 7
    narrow = basis.apply(jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32))
    with jax.enable_x64(True):
        wide = basis.apply(jnp.asarray(x), jnp.asarray(weights))
    assert (narrow.dtype, wide.dtype) == (jnp.float32, jnp.float64)
    np.testing.assert_allclose(wide, np.einsum("boi,nic,bcd->nod", basis.dense(), x, weights))


def test_large_null_space_by_filtered_iteration() -> None:
    v = Vector(SL(3))
    rep_in, rep_out = v * v.dual * v, v * v * v.dual * v.dual * v
    assert rep_in.dim * rep_out.dim > LARGEST_DENSE
    maps = null_space_maps(rep_in, rep_out)
    assert len(maps) == 23  # 4! without the antisymmetriser of four vectors
    g = np.asarray(SL(3).sample(jax.random.key(0), dtype=jnp.float32), np.float64)
    g /= np.cbrt(np.linalg.det(g))
    with jax.enable_x64(True):
        a, b = np.asarray(rep_in.matrix(g)), np.asarray(rep_out.matrix(g))
    error = np.abs(b @ maps - maps @ a).max() / np.linalg.norm(b, 2)
    assert error < 1e-11


def test_nothing_is_dense_where_it_need_not_be() -> None:
    basis = equivariant_basis(Tensor(O(100), 2), Tensor(O(100), 3) + Tensor(O(100), 2))
    assert basis.dim == 3
    x, weights = jnp.ones((1, 10**4, 1)), jnp.ones((3, 1, 1))
    compiled = jax.jit(basis.apply).lower(x, weights).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 8 * 10**6


def test_products_of_irreps_are_decomposed_by_clebsch_gordan_tables() -> None:
    irreps = Irreps("0e+1o+2e+3o+4e")
    basis = equivariant_basis(irreps * irreps, irreps)
    # A null space would be one of 625 x 25 unknowns; Schur's lemma leaves one number for a path.
    assert basis.dim == sum(irreps.tensor_product(irreps).count(ir) for _, ir in irreps) == 42
    assert all(isinstance(maps, IdentityMaps) for row in basis._blocks for _, maps, _ in row)
    table = basis.dense().reshape(basis.dim, -1)
    np.testing.assert_allclose(table @ table.T, np.diag(np.diag(table @ table.T)), atol=1e-12)


def test_determinants_are_found_by_the_null_space() -> None:
    # Their constraints are zero but for rounding: eigenvalues relative to the largest say nothing.
    for n in (2, 3, 4, 5):
        v = Vector(SL(n))
        assert equivariant_basis(Scalar(SL(n)), antisymmetric_power(v, n)).dim == 1
        assert equivariant_basis(Scalar(SL(n)), antisymmetric_power(v, n - 1)).dim == 0
    assert equivariant_basis(Scalar(SL(4)), Vector(SL(4)) ** 4).dim == 1


def test_orbits_need_no_matrix_of_all_channels() -> None:
    maps = OrbitMaps(np.subtract.outer(np.arange(720), np.arange(720)) % 720)
    x, weights = jnp.ones((8, 720, 16)), jnp.ones((720, 16, 16))
    compiled = jax.jit(maps.apply).lower(x, weights).compile()
    whole = 4 * maps.rows * maps.columns * 16 * 16  # 531 MB
    assert compiled.memory_analysis().temp_size_in_bytes < whole / 20


def test_chunks_of_orbits_change_nothing(monkeypatch: pytest.MonkeyPatch, x64: None) -> None:
    maps = OrbitMaps(np.subtract.outer(np.arange(6), np.arange(6)) % 6)
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 6, 3)), rng.normal(size=(6, 3, 4))

    def results() -> list[np.ndarray]:
        def loss(x: jax.Array, weights: jax.Array) -> jax.Array:
            return jnp.sin(maps.apply(x, weights)).sum()

        return [maps.apply(x, weights), maps.each(x), *jax.grad(loss, (0, 1))(x, weights)]

    x, weights = jnp.asarray(x), jnp.asarray(weights)
    expected = results()
    monkeypatch.setattr("equinet.chunks._WORKING_SET", dict.fromkeys(("cpu", "gpu", "tpu"), 500))
    for a, b in zip(results(), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_kronecker_maps_do_no_work_in_vain() -> None:
    first = pure_maps(Regular(Cyclic(8)), Regular(Cyclic(8)))
    second = pure_maps(Vector(O(3)) ** 2, Vector(O(3)) ** 2)
    maps, batch, channels = KroneckerMaps([first, second]), 64, 16
    x, weights = jnp.ones((batch, 72, channels)), jnp.ones((24, channels, channels))
    compiled = jax.jit(maps.apply).lower(x, weights).compile()
    # Each of the 8 cyclic maps by itself, then the channels of each of the 8 x 3 diagrams.
    needed = 2 * batch * channels * (8 * 8 * 8 * 9 + 8 * 8 * 3 * 9 * channels)
    assert compiled.cost_analysis()["flops"] < 1.2 * needed


@pytest.mark.parametrize(
    ("rep_in", "rep_out"),
    [
        (Tensor(SO(3), 2), Tensor(SO(3), 3)),
        (Tensor(Sp(2), 1, 1), Tensor(Sp(2), 2)),
        (Regular(Cyclic(4)), Regular(Cyclic(4))),
        (Vector(SL(2)) ** 2, Vector(SL(2)) ** 2),
        (Irreps("2e"), Irreps("2e")),
        (
            outer_product(Vector(S(3)), Vector(O(2)), Regular(Cyclic(3))),
            outer_product(Vector(S(3)) ** 2, Vector(O(2)), Regular(Cyclic(3))),
        ),
    ],
    ids=str,
)
def test_each_map_by_itself(rep_in: Rep, rep_out: Rep, x64: None) -> None:
    maps, x = pure_maps(rep_in, rep_out), np.random.default_rng(0).normal(size=(2, rep_in.dim, 3))
    expected = np.einsum("boi,nic->nobc", maps.dense(), x).reshape(2, rep_out.dim, -1)
    np.testing.assert_allclose(maps.each(jnp.asarray(x)), expected, atol=1e-12)


@dataclasses.dataclass(frozen=True, eq=False)
class Frequency(Rep):
    """Rotation of the plane by k times the angle: what a user might add, in one class."""

    k: int
    group: SO = dataclasses.field(default_factory=lambda: SO(2))

    @property
    def dim(self) -> int:
        return 2

    @property
    def is_orthogonal(self) -> bool:
        return True

    def matrix(self, g: jax.Array) -> jax.Array:
        angle = self.k * jnp.arctan2(g[..., 1, 0], g[..., 0, 0])
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)

    def lie_matrix(self, algebra: jax.Array) -> jax.Array:
        return self.k * algebra


def test_a_rep_of_a_user_is_one_class(x64: None) -> None:
    one, two = Frequency(1), Frequency(2)
    assert equivariant_basis(one, two).dim == 0
    assert equivariant_basis(one * one, two + Scalar(SO(2))).dim == 2 + 2
    assert equivariant_basis(one, Vector(SO(2))).dim == 2
    assert restrict(two, SO(2)) == two
    g = SO(2).sample(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 3))
    basis = equivariant_basis(one * two, one)
    weights = np.random.default_rng(1).normal(size=(basis.dim, 3, 2))
    moved = basis.apply((one * two).transform(g, x), weights)
    np.testing.assert_allclose(moved, one.transform(g, basis.apply(x, weights)), atol=1e-12)


def test_strings_are_irreps_and_integers_become_floating() -> None:
    basis = equivariant_basis("0e+1o", [(2, "1o")])
    assert basis is equivariant_basis(Irreps("0e+1o"), Irreps("2x1o"))
    x, weights = np.arange(8).reshape(4, 2), jnp.ones((basis.dim, 2, 1))
    np.testing.assert_array_equal(basis.apply(x, weights), basis.apply(1.0 * x, weights))
    table = equivariant_basis(Irreps("1o") ** 2, "1e")
    kernel = np.arange(27).reshape(3, 9)
    np.testing.assert_allclose(table.project(kernel), table.project(1.0 * kernel), atol=1e-5)


def test_bases_are_made_once() -> None:
    v = Vector(S(4))
    assert equivariant_basis(v, v * v) is equivariant_basis(Vector(S(4)), Tensor(S(4), 2))


def test_reps_of_two_groups_raise() -> None:
    with pytest.raises(ValueError, match=r"reps of O\(3\) and SO\(3\).*restrict"):
        equivariant_basis(Vector(O(3)), Vector(SO(3)))


def test_wrong_shapes_raise() -> None:
    basis = equivariant_basis(Vector(S(3)), Vector(S(3)))
    with pytest.raises(ValueError, match=r"expected a feature \[..., 3, channels\]"):
        basis.apply(jnp.ones((4, 1)), jnp.ones((2, 1, 1)))
    with pytest.raises(ValueError, match=r"expected weights \[2, 1, channels_out\]"):
        basis.apply(jnp.ones((3, 1)), jnp.ones((3, 1, 1)))
    with pytest.raises(ValueError, match=r"expected \[3, 3, ...\]"):
        basis.project(jnp.ones((3, 4)))


def test_dense_maps_by_either_route(x64: None) -> None:
    maps = DenseMaps(null_space_maps(Vector(SL(2)) ** 2, Vector(SL(2)) ** 2))
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(maps.dim, 3, 2)))
    for batch in (1, 200):
        x = rng.normal(size=(batch, 4, 3))
        expected = np.einsum("boi,nic,bcd->nod", maps.dense(), x, weights)
        np.testing.assert_allclose(maps.apply(jnp.asarray(x), weights), expected, atol=1e-12)
