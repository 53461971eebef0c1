"""PONITA: which symmetries are exact, and how the others are approached."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.data.atoms import Configuration, collate, to_graph
from equinet.groups import SO
from equinet.models import PONITA
from equinet.nn import calibrate
from equinet.ops.orientations import Grid, circle, fibonacci, polyhedron

N = 4
Data = tuple[jax.Array, jax.Array, jax.Array]


@functools.cache
def model(grid: Grid | None, variant: str = "separable", **options: Any) -> PONITA:
    vectors = 0 if variant == "positions" else 2
    sizes = {"channels": 6, "basis": 5, "layers": 2, "cutoff": 4.0} | options
    return PONITA(2, vectors, 1, vectors, grid=grid, variant=variant, rngs=nnx.Rngs(0), **sizes)


@functools.cache
def function(model: PONITA) -> Callable:
    return jax.jit(lambda *inputs: model(*inputs))


def data(dim: int = 3, batch: tuple[int, ...] = (), n: int = N, vectors: int = 2) -> Data:
    rng = np.random.default_rng(0)
    shapes = ((n, dim), (n, 2), (n, dim, vectors))
    return tuple(jnp.asarray(rng.normal(size=(*batch, *s))) for s in shapes)  # type: ignore


def errors(chosen: PONITA, turns: np.ndarray, shift: float = 3.0) -> tuple[float, float]:
    """Of scalars and vectors, each beside the size of the output, over all turns at once."""
    positions, scalars, vectors = data(turns.shape[-1], vectors=chosen.sizes[1])
    count, dim = turns.shape[:2]
    everywhere = jnp.asarray(np.concatenate([np.eye(dim)[None], turns]))
    moved = jnp.einsum("gij,nj->gni", everywhere, positions) + shift
    turned = jnp.einsum("gij,njv->gniv", everywhere, vectors)
    y, v = function(chosen)(moved, jnp.broadcast_to(scalars, (count + 1, *scalars.shape)), turned)
    expected = jnp.einsum("gij,njv->gniv", everywhere, v[0])

    def error(found: jax.Array, expected: jax.Array) -> float:
        if not found.size:
            return 0.0
        return float(jnp.abs(found - expected).max() / jnp.sqrt(jnp.mean(expected**2)))

    return error(y, jnp.broadcast_to(y[:1], y.shape)), error(v, expected)


def rotations(dim: int, count: int = 4) -> np.ndarray:
    return np.asarray(SO(dim).sample(jax.random.key(1), (count,)))


EXACT = {
    "icosahedron": model(polyhedron("icosahedron")),
    "dodecahedron": model(polyhedron("dodecahedron"), resolution=4),
    "tetrahedron": model(polyhedron("tetrahedron")),
    "circle": model(circle(5)),
    "complete": model(polyhedron("octahedron"), "complete"),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_under_the_rotations_of_the_grid(name: str, x64: None) -> None:
    chosen = EXACT[name]
    assert chosen.grid is not None
    assert max(errors(chosen, chosen.grid.symmetries()[0])) < 1e-12
    assert max(errors(chosen, rotations(chosen.grid.dim))) > 1e-5  # any other is not


@pytest.mark.parametrize(
    ("variant", "dim"), [("edges", 3), ("edges", 2), ("positions", 3), ("positions", 2)]
)
def test_exact_under_every_rotation(variant: str, dim: int, x64: None) -> None:
    assert max(errors(model(None, variant), rotations(dim))) < 1e-12


@pytest.mark.slow
def test_reflections(x64: None) -> None:
    """They are symmetries unless the kernels are chiral."""
    mirror = np.diag([1.0, 1.0, -1.0])[None]
    assert max(errors(model(None, "edges"), mirror)) < 1e-12
    assert max(errors(model(None, "edges", chiral=True), rotations(3))) < 1e-12
    assert max(errors(model(None, "edges", chiral=True), mirror)) > 1e-5
    grid = polyhedron("icosahedron")
    turns = grid.symmetries(reflections=True)[0]
    assert max(errors(EXACT["icosahedron"], turns)) < 1e-12


def test_more_orientations_less_error(x64: None) -> None:
    """For rotations that no grid has; the weights are the same."""
    found = [max(errors(model(fibonacci(size)), rotations(3, 8))) for size in (6, 16, 48)]
    assert found[2] < found[1] < found[0]
    assert found[2] < found[0] / 4


SLOW = {
    name: pytest.param(name, marks=pytest.mark.slow) for name in ("complete", "circle", "edges")
}


@pytest.mark.parametrize("name", ["icosahedron", "edges", "positions", SLOW["complete"]])
def test_permutations_masks_and_batch_axes(name: str, x64: None) -> None:
    chosen = EXACT.get(name) or model(None, name)
    inputs = data(vectors=chosen.sizes[1])
    expected = function(chosen)(*inputs)
    order = np.array([2, 0, 3, 1])
    padded = [
        jnp.stack(
            [
                jnp.concatenate([a[rows], 99 * jnp.ones_like(a[:2])])
                for rows in (np.arange(N), order)
            ]
        )
        for a in inputs
    ]
    mask = jnp.broadcast_to(jnp.arange(N + 2) < N, (1, 2, N + 2))
    masked = function(chosen)(*(a[None] for a in padded), mask)
    for a, b in zip(expected, masked, strict=True):
        assert b.shape == (1, 2, N + 2, *a.shape[1:])
        np.testing.assert_allclose(b[0, 0, :N], a, atol=1e-12)
        np.testing.assert_allclose(b[0, 1, :N], a[order], atol=1e-12)
        assert not np.any(b[0, :, N:])


@pytest.mark.parametrize("name", ["separable", "positions"])
def test_graph_gives_what_the_cloud_gives(name: str, x64: None) -> None:
    grid = polyhedron("octahedron") if name == "separable" else None
    chosen = model(grid, name, cutoff=1.5)
    rng, counts = np.random.default_rng(0), (4, 1, 3)
    configurations = [
        Configuration(numbers=np.full(n, 6), positions=rng.normal(size=(n, 3))) for n in counts
    ]
    graphs = [
        to_graph(configuration, cutoff=1.5, elements=("C",)) for configuration in configurations
    ]
    batch = collate(graphs, range(1), shards=1, dtype=np.float64)["graph"]
    graph = jax.tree.map(lambda array: jnp.asarray(array[0]), batch)
    scalars = jnp.asarray(rng.normal(size=(graph.num_nodes, 2)))
    vectors = jnp.asarray(rng.normal(size=(graph.num_nodes, 3, chosen.sizes[1])))
    on_graph = jax.jit(lambda *inputs: chosen.on_graph(*inputs))(graph, scalars, vectors)
    starts = np.cumsum((0, *counts[:-1]))
    mask = np.arange(4) < np.array(counts)[:, None]
    rows = np.where(mask, starts[:, None] + np.arange(4), 0)
    inputs = (a[rows] for a in (graph.positions, scalars, vectors))
    on_cloud = function(chosen)(*inputs, jnp.asarray(mask))
    for found, expected in zip(on_graph, on_cloud, strict=True):
        np.testing.assert_allclose(found[rows[mask]], expected[mask], atol=1e-12)
        assert not np.any(found[~graph.node_mask])
    assert np.abs(on_graph[0][graph.node_mask]).max() > 1e-2


@pytest.mark.parametrize("name", ["tetrahedron", SLOW["edges"], "positions", SLOW["circle"]])
def test_finite_derivatives_at_singular_points(name: str, x64: None) -> None:
    """Coincident points, and points on the axis of an orientation; no neighbours at all."""
    chosen = EXACT.get(name) or model(None, name)
    dim = 2 if name == "circle" else 3
    _, scalars, vectors = data(dim, vectors=chosen.sizes[1])
    axis = np.ones(dim) if chosen.grid is None else chosen.grid.points[0]
    positions = jnp.asarray(np.stack([np.zeros(dim), np.zeros(dim), axis, 90 * axis]))

    def energy(positions: jax.Array) -> jax.Array:
        y, v = chosen(positions, scalars, vectors)
        return jnp.sum(y) + jnp.sum(v**2)

    def squared_force(positions: jax.Array) -> jax.Array:
        return jnp.sum(jax.grad(energy)(positions) ** 2)

    for f in (energy, squared_force):
        value, gradient = jax.jit(jax.value_and_grad(f))(positions)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def small() -> PONITA:
    options = {"channels": 6, "basis": 5, "layers": 1, "layer_scale": 0.5, "all_readouts": False}
    return PONITA(*(2, 2, 1, 2), grid=polyhedron("octahedron"), **options, rngs=nnx.Rngs(2))


@pytest.mark.slow
def test_calibrated_layers_keep_the_deviation(x64: None) -> None:
    chosen, inputs = small(), data(batch=(3,))
    ratios: list[float] = []

    def measure(block, x, kernels, mask) -> None:
        ratios.append(float(jnp.std(block.convolution(x, kernels)) / jnp.std(x)))

    chosen(*inputs, visit=measure)
    calibrate(chosen, *inputs)
    chosen(*inputs, visit=measure)
    before, after = ratios
    assert abs(before - 1) > 0.05
    assert after == pytest.approx(1, rel=1e-5)


@pytest.mark.slow
def test_trained_network_keeps_its_symmetry(x64: None) -> None:
    inputs = data(batch=(3,))
    graphdef, params = nnx.split(small())

    @jax.jit
    def step(params: nnx.State) -> tuple:
        def loss(params: nnx.State) -> jax.Array:
            y, v = nnx.merge(graphdef, params)(*inputs)
            return jnp.mean((y - 1) ** 2) + jnp.mean((v - inputs[2]) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 1e-2 * g, params, gradient)

    losses = []
    for _ in range(10):
        value, params = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.9 * losses[0]
    trained = nnx.merge(graphdef, params)
    assert max(errors(trained, polyhedron("octahedron").symmetries()[0])) < 1e-12


def test_types_are_kept() -> None:
    chosen = model(polyhedron("tetrahedron"))
    inputs = data()
    for dtype in (jnp.float32, jnp.bfloat16):
        arrays = [jnp.asarray(a, dtype) for a in inputs]
        found = jax.eval_shape(chosen, *arrays)
        assert {a.dtype for a in found} == {jnp.dtype(dtype)}
    same = PONITA(2, 0, 1, 0, grid=circle(3), rngs=nnx.Rngs(0))
    other = PONITA(2, 0, 1, 0, grid=circle(3), rngs=nnx.Rngs(1))
    assert nnx.graphdef(same) == nnx.graphdef(other)
    assert len(jax.tree.leaves(same)) == len(jax.tree.leaves(nnx.state(same, nnx.Param)))


def build(*sizes: int, **options: Any) -> PONITA:
    return PONITA(*(sizes or (2, 2, 1, 1)), rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(grid=circle(3), variant="sphere"), "unknown variant"),
        (lambda: build(), "needs a grid"),
        (lambda: build(grid=circle(3), variant="edges"), "has no grid"),
        (lambda: build(variant="positions"), "carry no vectors"),
        (lambda: build(0, 0, 1, 1, grid=circle(3)), "must go in"),
        (lambda: build(grid=circle(3), layers=0), "at least 1"),
        (lambda: build(grid=circle(3), chiral=True), "chiral needs"),
        (lambda: build(variant="edges", resolution=4), "resolution needs variant"),
        (lambda: build(grid=circle(3), resolution=4), "needs a grid and a cutoff"),
        (lambda: EXACT["circle"](*data(3)), "positions must have shape"),
        (lambda: EXACT["circle"](data(2)[0]), "scalars must have shape"),
        (lambda: EXACT["circle"](*data(2), jnp.ones(3, bool)), "mask must have shape"),
    ],
)
def test_bad_input(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_variants_of_all_pairs_take_no_graph(x64: None) -> None:
    with pytest.raises(ValueError, match="a graph needs variant"):
        model(None, "edges").on_graph(None)  # type: ignore[arg-type]
