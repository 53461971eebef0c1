"""The SO(2) convolution: every Clebsch-Gordan convolution, and O(3) where it is asked for."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SO, O
from equinet.ops.edges import Rotations, SO2Convolution
from equinet.ops.edges._aligned_products import path_weights_to_so2
from equinet.ops.graphs import GraphBatch, edge_vectors
from equinet.ops.products import ClebschGordanProduct, coupling_paths
from equinet.ops.products._paths import blocks, path_scale
from equinet.reps import Irreps, Points, spherical_harmonics, wigner_table
from equinet.testing import assert_equivariant, equivariance_error

RNG = np.random.default_rng(0)
AXES = np.concatenate([np.eye(3), -np.eye(3), [[1, 1e-9, 0], [1e-9, -1, 0]]])
VECTORS = np.concatenate([AXES, RNG.normal(size=(4, 3))])
MIXED = Irreps("0e+1o+1e+2o")
NATURAL = Irreps("0e+1o+2e")


def draw(convolution: SO2Convolution, edges: int, dtype: type = np.float64) -> tuple:
    """Features, radial weights and weights."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(edges, convolution.rep_in.dim, convolution.channels_in))
    radial = rng.normal(size=(edges, convolution.num_radial, convolution.channels_in))
    weights = [rng.normal(size=shape) / 4 for shape in convolution.weight_shapes]
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), (x, radial, tuple(weights)))


def apply(convolution: SO2Convolution, x: jax.Array, vectors: jax.Array, *rest: Any) -> Any:
    return convolution.messages(x, convolution.edge_features(vectors), *rest)


@pytest.mark.parametrize("pair", [(0, 2), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 2), (6, 6)])
def test_path_weights_are_in_bijection_with_those_of_so2(pair: tuple[int, int]) -> None:
    """Rank 2 min + 1, and min + 1 of them where the sum of the degrees is even: h_-m = 0."""
    l1, l3 = pair
    table, size = path_weights_to_so2(l1, l3), 2 * min(pair) + 1
    assert table.shape == (size, size)
    assert np.linalg.matrix_rank(table) == size
    even = table[:, (np.arange(size) + abs(l1 - l3) + l1 + l3) % 2 == 0]
    assert np.linalg.matrix_rank(even) == min(pair) + 1
    np.testing.assert_array_equal(even[2::2], 0)


def matrices_of(
    convolution: SO2Convolution, rep_edge: Irreps, weights: np.ndarray
) -> Sequence[np.ndarray]:
    """The SO(2) matrices of a Clebsch-Gordan convolution with weights [paths, channels]."""
    rep_in, rep_out = convolution.rep_in, convolution.rep_out
    scale = path_scale(rep_edge, rep_in, rep_out)
    rows_in, rows_out = convolution.rows
    complex_weights = []
    for m in range(convolution.orders + 1):
        shape = (len(rows_in.members(m)), len(rows_out.members(m)), weights.shape[1])
        complex_weights.append(np.zeros((2, *shape)))
    for index, path in enumerate(coupling_paths(rep_edge, rep_in, rep_out)):
        l1, l2, l3 = (
            blocks(rep)[i].l
            for rep, i in ((rep_in, path.second), (rep_edge, path.first), (rep_out, path.result))
        )
        h = scale[index] * path_weights_to_so2(l1, l3)[:, l2 - abs(l1 - l3)]
        for m in range(min(convolution.orders, l1, l3) + 1):
            at = rows_in.members(m).index(path.second), rows_out.members(m).index(path.result)
            pair = (h[0], 0.0) if m == 0 else h[2 * m - 1 : 2 * m + 1]
            for part in range(2):
                complex_weights[m][part][at] += pair[part] * weights[index]
    eye = np.eye(weights.shape[1])
    wide = [np.einsum("pabc,cd->pacbd", w, eye) for w in complex_weights]
    merged = [w.reshape(2, w.shape[1] * w.shape[2], -1) for w in wide]
    return [merged[0][0], *merged[1:]]


@pytest.mark.parametrize("mmax", [None, 1])
def test_equals_the_clebsch_gordan_convolution(mmax: int | None, x64: None) -> None:
    """With all orders; fewer orders are another convolution."""
    rep, edge = Irreps("0e+1e+2e"), Irreps("0e+1e+2e+3e+4e")
    convolution = SO2Convolution(rep, rep, 3, 3, mmax=mmax)
    product = ClebschGordanProduct(edge, rep, rep, method="naive")
    x, _, _ = draw(convolution, len(VECTORS))
    weights = RNG.normal(size=(len(product.paths), 3))
    ones = jnp.ones((len(VECTORS), convolution.num_radial, 3))
    matrices = [jnp.asarray(w) for w in matrices_of(convolution, edge, weights)]
    found = jax.jit(functools.partial(apply, convolution))(x, VECTORS, ones, matrices)
    filters = spherical_harmonics(4, jnp.asarray(VECTORS))[..., None]
    expected = product(filters, x, jnp.asarray(weights))
    error = np.abs(found - expected).max()
    assert error < 1e-12 if mmax is None else error > 0.1


def test_independent_of_the_roll(x64: None) -> None:
    """Also between the two charts; a roll about another axis matters."""
    convolution = SO2Convolution(MIXED, NATURAL, 3, 2, mmax=1)
    x, radial, weights = draw(convolution, len(VECTORS))
    turns = convolution.edge_features(jnp.asarray(VECTORS))
    expected = convolution.messages(x, turns, radial, weights)
    c, s = np.cos(0.7), np.sin(0.7)
    about_y = np.array([[[c, 0, s], [0, 1, 0], [-s, 0, c]]])
    errors = []
    for roll in (about_y, about_y[:, [1, 0, 2]][:, :, [1, 0, 2]]):
        entries = []
        for l in range(3):
            kept = min(l, turns.mmax)
            turn = wigner_table(l, roll)[0]
            whole = np.zeros((len(VECTORS), 2 * l + 1, 2 * l + 1))
            whole[:, l - kept : l + kept + 1] = turns.degree(l)
            entries.append((turn @ whole)[:, l - kept : l + kept + 1].reshape(len(VECTORS), -1))
        rolled = Rotations(jnp.asarray(np.concatenate(entries, 1)), turns.lmax, turns.mmax)
        errors.append(np.abs(convolution.messages(x, rolled, radial, weights) - expected).max())
    assert errors[0] < 1e-12
    assert errors[1] > 0.1


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("mmax", [None, 1])
def test_equivariance(parity: bool, mmax: int | None, key: jax.Array, x64: None) -> None:
    """Under rotations always, whatever mmax is; under inversion with parity alone."""
    convolution = SO2Convolution(MIXED, Irreps("0o+1o+2e+2o"), 2, 3, mmax=mmax, parity=parity)
    x, radial, weights = draw(convolution, len(VECTORS))
    function = jax.jit(lambda x, v: apply(convolution, x, v, radial, weights))
    inputs = {"inputs": (x, jnp.asarray(VECTORS))}

    def reps(group: O | SO) -> tuple:
        rep_in, rep_out = (Irreps(r, group=group) for r in (MIXED, convolution.rep_out))
        return (rep_in, Points(group)), rep_out

    assert_equivariant(function, *reps(SO(3)), key, **inputs)
    if parity:
        assert_equivariant(function, *reps(O(3)), key, **inputs)
    else:
        assert equivariance_error(function, *reps(O(3)), key, **inputs) > 0.1


def test_parity_keeps_all_that_reflections_allow() -> None:
    """As many numbers as there are paths with filters of natural parity, for one channel."""
    for rep_in, rep_out in ((NATURAL, NATURAL), (MIXED, Irreps("0o+1o+2e+2o")), (NATURAL, MIXED)):
        convolution = SO2Convolution(rep_in, rep_out, 1, 1, parity=True)
        paths = coupling_paths(Irreps.spherical_harmonics(6), rep_in, rep_out)
        assert sum(np.prod(shape) for shape in convolution.weight_shapes) == len(paths)
        rotations = dataclasses.replace(convolution, parity=False)
        both = coupling_paths(
            Irreps([(1, (l, 1)) for l in range(7)]),
            *(Irreps([(1, (b.l, 1)) for b in blocks(rep)]) for rep in (rep_in, rep_out)),
        )
        assert sum(np.prod(shape) for shape in rotations.weight_shapes) == len(both)


@pytest.mark.slow
def test_second_derivatives_equal_those_of_the_couplings(x64: None) -> None:
    """At edges along the axes and near the seam of the charts too, in the vectors and features."""
    rep, edge = Irreps("0e+1e+2e"), Irreps("0e+1e+2e+3e+4e")
    convolution = SO2Convolution(rep, rep, 2, 2)
    product = ClebschGordanProduct(edge, rep, rep, method="naive")
    x, _, _ = draw(convolution, len(VECTORS))
    weights = jnp.asarray(RNG.normal(size=(len(product.paths), 2)))
    ones = jnp.ones((len(VECTORS), convolution.num_radial, 2))
    matrices = [jnp.asarray(w) for w in matrices_of(convolution, edge, np.asarray(weights))]

    def ours(x: jax.Array, vectors: jax.Array) -> jax.Array:
        return jnp.sum(apply(convolution, x, vectors, ones, matrices) ** 3)

    def coupled(x: jax.Array, vectors: jax.Array) -> jax.Array:
        return jnp.sum(product(spherical_harmonics(4, vectors)[..., None], x, weights) ** 3)

    def derive(energy: Callable, x: jax.Array, vectors: jax.Array) -> tuple:
        forces = jax.grad(energy, argnums=1)
        norm = jax.grad(lambda x, v: jnp.sum(forces(x, v) ** 2), argnums=(0, 1))
        return forces(x, vectors), *norm(x, vectors)

    vectors = jnp.asarray(VECTORS)
    found = jax.jit(functools.partial(derive, ours))(x, vectors)
    expected = jax.jit(functools.partial(derive, coupled))(x, vectors)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max())


def test_sums_over_neighbours_in_chunks(make_graph: Callable, x64: None) -> None:
    """Equal to a sum by hand; empty slots count nothing; zero vectors are harmless."""
    graph: GraphBatch = make_graph()
    convolution = SO2Convolution(NATURAL, MIXED, 3, 2, parity=True)
    chunked = dataclasses.replace(convolution, chunk_bytes=2**14)
    count = len(graph.senders)
    x, radial, weights = draw(convolution, count)
    x, radial = x[: graph.num_nodes], jnp.where(graph.edge_mask[:, None, None], radial, 0)
    vectors = jnp.where(graph.edge_mask[:, None], edge_vectors(graph, far=4.0), 0)

    def loss(convolution: SO2Convolution, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        edges = convolution.edge_features(vectors)
        z = convolution(x, edges, radial, graph, weights)
        return jnp.sum(z**2), z

    run = jax.jit(jax.value_and_grad(loss, argnums=1, has_aux=True), static_argnums=0)
    (_, whole), gradient = run(convolution, vectors)
    (_, found), gradient_chunked = run(chunked, vectors)
    edges = convolution.edge_features(vectors)
    each = convolution.messages(x[graph.senders], edges, radial, weights)
    expected = np.zeros(whole.shape)
    np.add.at(expected, np.asarray(graph.receivers), np.asarray(each))
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(gradient_chunked, gradient, atol=1e-11)
    assert np.isfinite(gradient).all()
    text = jax.jit(chunked).lower(x, edges, radial, graph, weights).as_text()
    assert "stablehlo.while" in text


def test_float32_and_float64() -> None:
    convolution = SO2Convolution(NATURAL, NATURAL, 3, 2)
    low_args = draw(convolution, len(VECTORS), np.float32)
    low = apply(convolution, low_args[0], jnp.asarray(VECTORS, jnp.float32), *low_args[1:])
    assert low.dtype == jnp.float32
    with jax.enable_x64(True):
        args = draw(convolution, len(VECTORS))
        found = apply(convolution, args[0], jnp.asarray(VECTORS), *args[1:])
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(low, found, atol=1e-5)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"got mmax=3, expected an order from 0 to 2"):
        SO2Convolution(NATURAL, Irreps("0e+3o"), 2, 2, mmax=3)
    with pytest.raises(ValueError, match=r"each irrep at most once, rep_in is 2x0e"):
        SO2Convolution(Irreps("2x0e"), NATURAL, 2, 2)
    with pytest.raises(ValueError, match=r"got 0 channels in"):
        SO2Convolution(NATURAL, NATURAL, 0, 2)
    convolution = SO2Convolution(NATURAL, NATURAL, 2, 2)
    x, radial, weights = draw(convolution, 3, np.float32)
    edges = convolution.edge_features(jnp.ones((3, 3)))
    with pytest.raises(ValueError, match=r"x must have shape \(3, 9, 2\), got \(3, 9, 1\)"):
        convolution.messages(x[..., :1], edges, radial, weights)
    with pytest.raises(ValueError, match=r"radial must have shape \(3, 6, 2\)"):
        convolution.messages(x, edges, radial[:, 1:], weights)
    with pytest.raises(ValueError, match=r"weights must have shapes"):
        convolution.messages(x, edges, radial, weights[1:])
