"""Layers on positions and orientations: against sums, complete or not, calibrated, finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.nn import (
    CloudKernels,
    ConvNeXtBlock,
    GridKernels,
    KernelBasis,
    SeparableConvolution,
    calibrate,
)
from equinet.nn.orientation_kernels import windowed
from equinet.ops.graphs import polynomial_envelope
from equinet.ops.orientations import Grid, circle, fibonacci, polyhedron, spatial_invariants

CUTOFF = 2.5


def cloud(dim: int, batch: int = 2, n: int = 4) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, n, dim)))


@functools.cache
def grid_kernels(grid: Grid, **options) -> GridKernels:
    return GridKernels(grid, 6, 5, cutoff=CUTOFF, rngs=nnx.Rngs(0), **options)


def features(grid: Grid, positions: jax.Array, channels: int = 3) -> jax.Array:
    shape = (*positions.shape[:2], grid.size, channels)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape))


@pytest.mark.parametrize("grid", [circle(5), circle(4), fibonacci(4), polyhedron("octahedron")])
def test_separable_convolution_against_the_sum(grid: Grid, x64: None) -> None:
    """With antipodes, of which half are computed, and without."""
    positions = cloud(grid.dim)
    x, kernels = features(grid, positions), grid_kernels(grid)
    layer = SeparableConvolution(3, 5, average_neighbours=2.0, rngs=nnx.Rngs(1))
    found = jax.jit(lambda x: layer(x, kernels.dense(positions, None)))(x)
    r = positions[:, :, None] - positions[:, None]
    points = jnp.asarray(grid.points)
    basis = kernels.spatial(spatial_invariants(r[..., None, :], points[None, None, None]))
    window = polynomial_envelope(jnp.linalg.norm(r, axis=-1), CUTOFF)[..., None, None]
    weights = np.asarray(layer.spatial.kernel[...], np.float64)
    values = np.asarray(basis * window) @ weights / np.sqrt(5) / 2
    y = np.einsum("bjioc,bjoc->bioc", values, x)
    assert kernels.spherical is not None
    spherical = kernels.spherical((points @ points.T)[..., None])
    spherical = np.asarray(spherical) @ np.asarray(layer.kernel[...], np.float64) / np.sqrt(5)
    expected = np.einsum("poc,bioc->bipc", spherical, y) / grid.size
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("grid", [circle(4), polyhedron("octahedron")])
def test_polynomials_stand_for_the_network(grid: Grid, x64: None) -> None:
    """Closer with a higher degree; the window is the same."""
    positions = cloud(grid.dim)
    exact = grid_kernels(grid, length=CUTOFF).dense(positions, None)
    errors = []
    for resolution in (3, 6, 12):
        kernels = grid_kernels(grid, length=CUTOFF, resolution=resolution).dense(positions, None)
        assert kernels.spatial.shape[-1] == (resolution + 1) * (resolution + 2) // 2
        assert kernels.coefficients is not None
        found = jnp.einsum("...v,vb->...b", kernels.spatial, kernels.coefficients)
        errors.append(float(jnp.abs(found - exact.spatial).max()))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.02 * float(jnp.abs(exact.spatial).max())


def test_completeness(x64: None) -> None:
    """Two pairs with equal a1, a2, a3 and another a4: one and the same without it."""
    o, p = np.array([0.0, 0.0, 1.0]), [[0.6 * np.cos(t), 0.6 * np.sin(t), 0.8] for t in (0.3, 1.9)]
    positions = jnp.asarray(np.tile([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5]], (2, 1, 1)))
    orientations = jnp.asarray([[o, p[0]], [o, p[1]]])

    def difference(complete: bool) -> float:
        kernels = CloudKernels(6, 5, complete=complete, rngs=nnx.Rngs(0))
        values = kernels(positions, orientations, jnp.ones((2, 2))).spatial
        received = values[:, 1, 0]  # by the first point from the second
        return float(jnp.abs(received[0] - received[1]).max())

    assert difference(complete=False) < 1e-14
    assert difference(complete=True) > 1e-2


def test_windows_end_smoothly_and_masks_count(x64: None) -> None:
    lengths = jnp.array([0.0, 1.0, 2.0 - 1e-4, 2.0, 3.0])
    vectors = lengths[:, None] * jnp.array([[0.6, 0.0, 0.8]])
    mask = jnp.array([True, False, True, True, True])
    kept, window = windowed(vectors, mask, 2.0)
    assert window.tolist()[:2] == [1.0, 0.0]
    assert 0 < float(window[2]) < 1e-9
    assert window.tolist()[3:] == [0.0, 0.0]
    np.testing.assert_array_equal(kept[jnp.array([1, 3, 4])], 0)
    gradient = jax.grad(lambda v: jnp.sum(windowed(v, mask, 2.0)[1]))(vectors)
    assert np.isfinite(gradient).all()


def test_calibrated_layers_keep_the_deviation(x64: None) -> None:
    grid = polyhedron("octahedron")
    positions = cloud(3, batch=3)
    mask = jnp.asarray(np.arange(4)[None] < np.array([[4], [3], [2]]))
    kernels = grid_kernels(grid).dense(positions, mask)
    layer, x = SeparableConvolution(3, 5, rngs=nnx.Rngs(1)), features(grid, positions)
    convolve = jax.jit(lambda layer, x, kernels: layer(x, kernels))

    def ratio() -> float:
        before, after = (
            jnp.std(a, where=mask[..., None, None]) for a in (x, convolve(layer, x, kernels))
        )
        return float(after / before)

    assert abs(ratio() - 1) > 0.05
    layer.rescale(x, kernels, mask)
    assert ratio() == pytest.approx(1, rel=1e-5)  # the weights are float32


def test_calibrate_visits_every_block() -> None:
    class Two(nnx.Module):
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.kernels = CloudKernels(6, 5, rngs=rngs)
            self.blocks = nnx.List(
                [ConvNeXtBlock(3, 5, separable=False, rngs=rngs) for _ in range(2)]
            )

        def __call__(self, x: jax.Array, visit=None) -> jax.Array:
            kernels = self.kernels(x, x, jnp.ones(x.shape[:2], x.dtype))
            y = x[:, :, None]
            for block in self.blocks:
                if visit is not None:
                    visit(block, y, kernels, jnp.ones(x.shape[:2], bool))
                y = block(y, kernels)
            return y

    model = Two()
    x = jnp.asarray(cloud(3), jnp.float32)
    inputs, ratios = [], []
    calibrate(model, x)
    model(x, visit=lambda block, y, kernels, mask: inputs.append((block, y, kernels)))
    for block, y, kernels in inputs:
        ratios.append(float(jnp.std(block.convolution(y, kernels)) / jnp.std(y)))
    np.testing.assert_allclose(ratios, 1, rtol=1e-5)
    assert len(ratios) == 2


def test_state_types_and_structure() -> None:
    def build(seed: int) -> ConvNeXtBlock:
        return ConvNeXtBlock(3, 5, layer_scale=1e-6, rngs=nnx.Rngs(seed))

    block, kernels = build(0), grid_kernels(polyhedron("octahedron"))
    for module in (block, kernels):
        assert len(jax.tree.leaves(module)) == len(jax.tree.leaves(nnx.state(module, nnx.Param)))
    assert nnx.graphdef(block) == nnx.graphdef(build(1))
    positions = jnp.asarray(cloud(3), jnp.float32)
    x = jnp.asarray(features(polyhedron("octahedron"), positions), jnp.float32)
    values = kernels.dense(positions, None)
    y = block(x, values)
    assert y.dtype == jnp.float32
    assert 0 < float(jnp.abs(y - x).max()) < 1e-4  # the block starts close to the identity


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KernelBasis(2, 4, 4, degree=0, rngs=nnx.Rngs(0)), "degree=0"),
        (lambda: KernelBasis(2, 4, 4, length=0.0, rngs=nnx.Rngs(0)), "length=0.0"),
        (lambda: KernelBasis(2, 4, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 3))), "expected"),
        (lambda: GridKernels(circle(3), 4, 4, resolution=4, rngs=nnx.Rngs(0)), "needs a grid"),
        (lambda: GridKernels(None, 4, 4, cutoff=-1.0, rngs=nnx.Rngs(0)), "positive or None"),
        (lambda: CloudKernels(4, 4, cutoff=0.0, rngs=nnx.Rngs(0)), "positive or None"),
        (
            lambda: GridKernels(circle(3), 4, 4, rngs=nnx.Rngs(0)).dense(jnp.ones((1, 2, 3)), None),
            "choose a grid of their dimension",
        ),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_separable_convolution_needs_a_grid() -> None:
    kernels = GridKernels(None, 4, 4, rngs=nnx.Rngs(0)).dense(jnp.ones((1, 2, 3)), None)
    layer = SeparableConvolution(3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="kernels without a grid"):
        layer(jnp.ones((1, 2, 1, 3)), kernels)
