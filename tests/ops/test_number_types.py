"""Integers, bfloat16 and explicit sharding in operations on points, graphs and images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from equinet.groups import SE, SO, Affine, Cyclic, E, GLPlus, group_nodes
from equinet.nn import FrameAveraging, GroupConvolution, Lifting
from equinet.ops.frames import (
    BlendFrame,
    Frame,
    GramSchmidtFrame,
    LorentzFrame,
    PCAFrame,
    SortFrame,
    SpectralFrame,
    SweepFrame,
    TupleFrame,
    mds,
    squared_distances,
)
from equinet.ops.graphs import bessel_basis, chebyshev_basis, gaussian_basis
from equinet.ops.images import (
    average_pixels,
    convolve_group_images,
    convolve_images,
    depthwise_convolution,
    spectral_convolution,
)
from equinet.ops.orientations import fibonacci, lift_vectors, pair_invariants, read_vectors
from equinet.reps import Points

PATH = jnp.asarray(np.eye(4, k=1) + np.eye(4, k=-1))[None].repeat(2, 0)


def points(*shape: int) -> jax.Array:
    """Whole numbers, exact in every type; the first one largest, as an energy must be."""
    x = np.random.default_rng(1).integers(-4, 5, size=shape).astype(np.float32)
    x[..., 0] += 0 if shape[-1] < 4 else 12
    return jnp.asarray(x)


FRAMES: dict[str, tuple[Frame, jax.Array]] = {
    "principal": (PCAFrame(SE(3)), points(2, 5, 3)),
    "whitened": (PCAFrame(Affine(GLPlus(3))), points(2, 6, 3)),
    "uniform": (PCAFrame(Affine(GLPlus(3)), scaling="uniform"), points(2, 5, 3)),
    "tuples": (TupleFrame(E(3)), points(2, 4, 3)),
    "gram_schmidt": (GramSchmidtFrame(E(3)), points(2, 5, 3)),
    "lorentz": (LorentzFrame(), points(2, 5, 4)),
    "blend": (BlendFrame(PCAFrame(SO(3)), TupleFrame(SO(3))), points(2, 4, 3)),
    "sorted": (SortFrame(5), points(2, 5, 3)),
    "spectral": (SpectralFrame(4, size=4), PATH.astype(jnp.float32)),
    "directions": (SweepFrame(5, 2), points(2, 5, 2)),
}
KERNEL = points(3, 3, 4, 3, 5) / 8
OPERATIONS: dict[str, tuple[Callable, jax.Array]] = {
    "mds": (lambda x: mds(squared_distances(x), 2)[0], points(2, 5, 3)),
    "bessel": (lambda r: bessel_basis(r, 5.0, 4), jnp.arange(1.0, 5.0)),
    "gaussian": (lambda r: gaussian_basis(r, 5.0, 4), jnp.arange(1.0, 5.0)),
    "chebyshev": (lambda r: chebyshev_basis(r, 5.0, 4), jnp.arange(1.0, 5.0)),
    "matrix": (
        lambda x: spectral_convolution(x, like(KERNEL, x), Cyclic(4)),
        points(2, 8, 8, 4, 3),
    ),
    "fft": (
        lambda x: spectral_convolution(x, like(KERNEL, x), Cyclic(4), method="fft"),
        points(2, 8, 8, 4, 3),
    ),
    "group_images": (
        lambda x: convolve_group_images(x, like(KERNEL, x)[:, :, :, :, None]),
        points(2, 8, 8, 4, 3),
    ),
    "images": (lambda x: convolve_images(x, like(KERNEL[:, :, 0], x)), points(2, 8, 8, 3)),
    "depthwise": (
        lambda x: depthwise_convolution(x, like(KERNEL[:, :, 0, :, 0], x), 2),
        points(2, 8, 8, 3),
    ),
    "blocks": (lambda x: average_pixels(x, 2), points(2, 8, 8, 2, 3)),
    "lift": (lambda x: lift_vectors(x, fibonacci(7)), points(2, 3, 2)),
    "read": (lambda x: read_vectors(x, fibonacci(8)), points(2, 8, 2)),
    "invariants": (lambda x: pair_invariants(x, x[::-1], x), points(2, 3)),
}


def like(kernel: jax.Array, x: jax.Array) -> jax.Array:
    return kernel.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else kernel


def of_frame(name: str) -> Callable:
    frame = FRAMES[name][0]
    return lambda x: (frame(x).elements, frame(x).weights)


ALL = {name: (of_frame(name), x) for name, (_, x) in FRAMES.items()} | OPERATIONS


@pytest.mark.parametrize("name", ALL)
def test_integers_give_what_floats_give(name: str) -> None:
    function, x = ALL[name]
    expected, found = function(x), function(x.astype(jnp.int32))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), found, expected)
    assert any(np.asarray(leaf).any() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_float32_rounded(name: str) -> None:
    """Factorisations run in float32: they have no bfloat16."""
    function, x = ALL[name]
    expected, found = function(x), function(x.astype(jnp.bfloat16))

    def compare(found: jax.Array, expected: jax.Array) -> None:
        if jnp.issubdtype(expected.dtype, jnp.floating):
            assert found.dtype == jnp.bfloat16
        found, size = np.asarray(found, np.float32), np.abs(np.asarray(expected)).max()
        assert np.isfinite(found).all()
        if name not in FRAMES:  # near-equal signs and orders may change in frames
            np.testing.assert_allclose(found, expected, atol=0.05 * float(size))

    jax.tree.map(compare, found, expected)


def test_group_convolutions_in_bfloat16(key: jax.Array) -> None:
    from flax import nnx

    group = GLPlus(2)
    nodes, options = group_nodes(group, key, 2, scale=0.3), {"radius": 2.0, "half_width": 3}
    lift = Lifting(group, 1, 2, **options, rngs=nnx.Rngs(0))
    convolve = GroupConvolution(group, 2, 2, **options, rngs=nnx.Rngs(0))
    x = jax.random.normal(key, (1, 8, 8, 1, 1))
    expected = convolve(lift(x, nodes), nodes)
    found = convolve(lift(x.astype(jnp.bfloat16), nodes), nodes)
    assert found.dtype == jnp.bfloat16
    size = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=0.1 * size)


@pytest.mark.parametrize("name", [*FRAMES, "mds", "matrix", "fft", "group_images", "blocks"])
def test_a_mesh_with_explicit_axes(name: str) -> None:
    """The default mesh of JAX: every operation keeps the sharding of the batch axis, or fails."""
    function, x = ALL[name]
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    expected = function(x)

    def total(x: jax.Array) -> jax.Array:
        return sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree.leaves(function(x)))

    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        found = jax.jit(function)(sharded)
        slope = jax.jit(jax.grad(total))(sharded)
    for leaf, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert leaf.sharding.spec[0] == "data"
        np.testing.assert_allclose(leaf, other, atol=1e-4)
    assert np.isfinite(np.asarray(slope)).all()


def test_frame_averaging_on_a_mesh_with_explicit_axes() -> None:
    points_rep = Points(SO(3))
    layer = FrameAveraging(lambda x: x**2, PCAFrame(SO(3)), (points_rep,), points_rep)
    x = points(2, 5, 3)
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        found = jax.jit(layer.__call__)(sharded)
    np.testing.assert_allclose(found, layer(x), atol=1e-4)
