"""Frame averaging: any module becomes equivariant, exactly, or says where it cannot."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SE, SO, Affine, E, GLPlus, Group, Lorentz, O, S
from equinet.nn import MLP, FrameAveraging
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
)
from equinet.reps import Irreps, Points, Vector, WithoutChannels
from equinet.testing import assert_equivariant, equivariance_error

FRAMES = [
    *(PCAFrame(group) for group in (SO(2), O(3), E(2), SE(3), GLPlus(3))),
    *(TupleFrame(group) for group in (O(2), SE(3))),
    *(GramSchmidtFrame(group) for group in (O(3), SE(2))),
    BlendFrame(PCAFrame(SE(3)), TupleFrame(SE(3)), 0.3, 0.9),
]
MORE = [
    *(PCAFrame(group) for group in (O(2), SO(3), SO(4), E(3), SE(2), GLPlus(2))),
    *(PCAFrame(Affine(GLPlus(n))) for n in (2, 3)),
    *(TupleFrame(group) for group in (SO(2), SO(3), O(3), SO(4), E(3))),
    *(GramSchmidtFrame(group) for group in (SO(3), E(3))),
]


class Flat(nnx.Module):
    """A perceptron on all numbers of an example, blind to every symmetry."""

    def __init__(self, shape: tuple[int, ...], out: tuple[int, ...] | None = None) -> None:
        self.out = shape if out is None else out
        sizes = int(np.prod(shape)), 16, int(np.prod(self.out))
        self.mlp = MLP(sizes, use_bias=True, rngs=nnx.Rngs(0))

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        """Any shapes, one batch axis."""
        assert inputs[0].ndim > 1
        rows = [x.reshape(x.shape[0], -1) for x in inputs]
        return self.mlp(jnp.concatenate(rows, axis=-1)).reshape(-1, *self.out)


def cloud(group: Group, points: int = 5, seed: int = 0) -> np.ndarray:
    """A batch of random clouds."""
    return np.random.default_rng(seed).normal(size=(2, points, group.vector_dim))


@pytest.mark.parametrize(
    "frame", [*FRAMES, *(pytest.param(f, marks=pytest.mark.slow) for f in MORE)], ids=repr
)
def test_averaged_perceptron_is_equivariant(frame: Frame, key: jax.Array) -> None:
    """Points to points, points to invariants, in float64 to 1e-12."""
    rep, x = Points(frame.group), cloud(frame.group)
    network = Flat(x.shape[1:])
    moves = FrameAveraging(network, frame, (rep,), rep)
    options = {"inputs": (x,), "num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(jax.jit(moves), (rep,), rep, key, atol=1e-12, **options)
    stays = FrameAveraging(network, frame, (rep,), None)
    assert_equivariant(jax.jit(stays), (rep,), None, key, atol=1e-12, **options, group=frame.group)
    assert equivariance_error(network, (rep,), rep, key, **options) > 0.01


@pytest.mark.slow
def test_similitudes(key: jax.Array, x64: None) -> None:
    """Uniform scaling: exact under rotations times a scale, not under others."""
    group = Affine(GLPlus(3))
    frame, rep = PCAFrame(group, scaling="uniform"), Points(group)
    x = jnp.asarray(cloud(group))
    layer = FrameAveraging(Flat(x.shape[1:]), frame, (rep,), rep)
    turn, shear = SE(3).sample(key), group.sample(key)
    stretched = turn.at[:3, :3].multiply(1.7)
    for g, fits in ((stretched, True), (shear, False)):
        error = jnp.abs(layer(rep.transform(g, x)) - rep.transform(g, layer(x))).max()
        assert (error < 1e-12) == fits


def test_lorentz(key: jax.Array) -> None:
    rng = np.random.default_rng(0)
    space = rng.normal(size=(2, 5, 3))
    energies = np.sqrt(1 + (space**2).sum(-1, keepdims=True))
    momenta = np.concatenate([energies, space], axis=-1).astype(np.float32)
    rep = Points(Lorentz())
    layer = FrameAveraging(Flat((5, 4)), LorentzFrame(), (rep,), rep)
    options = {"inputs": (momenta,), "num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(jax.jit(layer), (rep,), rep, key, atol=1e-12, **options)
    shuffled = np.random.default_rng(1).permutation(5)
    frames = [LorentzFrame()(jnp.asarray(p)) for p in (momenta, momenta[:, shuffled])]
    np.testing.assert_allclose(frames[0].elements, frames[1].elements, atol=1e-4)
    pair = LorentzFrame()(jnp.asarray(momenta[:, :2]))
    assert pair.degenerate.all()


@pytest.mark.parametrize(
    "frame", [SortFrame(4), SweepFrame(4, 2), SweepFrame(4, 1)], ids=["sort", "plane", "line"]
)
def test_permutations_of_points(frame: Frame, key: jax.Array) -> None:
    rep = Vector(S(4))
    x = np.random.default_rng(0).normal(size=(3, 4, getattr(frame, "dim", 2)))
    layer = FrameAveraging(Flat(x.shape[1:]), frame, (rep,), rep)
    options = {"inputs": (x,), "num_samples": 4, "dtype": jnp.float64}
    assert_equivariant(jax.jit(layer), (rep,), rep, key, atol=1e-12, **options)


@pytest.mark.parametrize("minimal", [False, True])
def test_permutations_of_graphs(minimal: bool, key: jax.Array) -> None:
    """Adjacency and node features; ties are averaged over, padding is left out."""
    path, star = np.zeros((2, 5, 5))
    path[[0, 1, 2], [1, 2, 3]] = 1
    star[0, 1:] = 1
    graphs = np.stack([path + path.T, star + star.T])
    present = np.array([[True, True, True, True, False], [True] * 5])
    features = np.random.default_rng(0).normal(size=(2, 5, 3)) * present[..., None]
    nodes, pairs = Vector(S(5)), Vector(S(5)) ** 2
    layer = FrameAveraging(
        Flat((5 * 5 + 5 * 3 + 5,), (5, 2)),
        SpectralFrame(5, size=24, minimal=minimal),
        (pairs, nodes, nodes),
        nodes,
        of=lambda pairs, x, mask: (pairs.reshape(-1, 5, 5), mask[..., 0] > 0.5),
    )
    inputs = graphs.reshape(2, 25, 1), features, present[..., None].astype(float)
    assert_equivariant(
        jax.jit(layer),
        (pairs, nodes, nodes),
        nodes,
        key,
        inputs=inputs,
        dtype=jnp.float64,
        num_samples=4,
        atol=1e-12,
    )


def test_several_inputs_and_irreps(key: jax.Array) -> None:
    """Positions, velocities and charges to irreps; those of O(3) under SE(3)."""
    rep_in = Points(SE(3)), WithoutChannels(Vector(SE(3))), None
    out = Irreps("0e+1e+2e", group=SO(3))
    module = Flat((5 * 7,), (out.dim, 2))
    layer = FrameAveraging(module, PCAFrame(SE(3)), rep_in, out)
    rng = np.random.default_rng(0)
    x = tuple(rng.normal(size=(2, 5, d)) for d in (3, 3, 1))
    options = {"inputs": x, "dtype": jnp.float64, "num_samples": 4, "group": SE(3)}
    assert_equivariant(jax.jit(layer), rep_in, out, key, atol=1e-12, **options)


@pytest.mark.slow
def test_drawn_elements_are_right_in_the_mean(key: jax.Array, x64: None) -> None:
    x = jnp.asarray(cloud(O(2)))[0]
    rep = WithoutChannels(Vector(O(2)))
    layer = FrameAveraging(Flat((5, 2), (2,)), TupleFrame(O(2)), (rep,), rep)
    draws = jax.vmap(lambda k: layer(x, key=k))(jax.random.split(key, 1000))
    spread = draws.std(0)
    assert (spread > 0.01).all()
    np.testing.assert_array_less(jnp.abs(draws.mean(0) - layer(x)), 5 * spread / 1000**0.5)
    several = FrameAveraging(layer.module, layer.frame, (rep,), rep, samples=64)
    assert jnp.abs(several(x, key=key) - layer(x)).max() < 5 * spread.max() / 8


def test_batches_jit_and_dtype(key: jax.Array) -> None:
    x = jnp.asarray(cloud(E(3)), jnp.float32).reshape(2, 1, 5, 3)
    rep = Points(E(3))
    layer = FrameAveraging(Flat((5, 3)), PCAFrame(E(3)), (rep,), rep)
    whole = nnx.jit(lambda layer, x: layer(x))(layer, x)
    assert whole.shape == x.shape
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(whole[1, 0], layer(x[1, 0]), atol=1e-5)
    np.testing.assert_allclose(jax.vmap(layer)(x), whole, atol=1e-5)
    nothing = FrameAveraging(lambda x, _: layer.module(x), PCAFrame(E(3)), (rep, None), rep)
    np.testing.assert_allclose(nothing(x, jnp.zeros((2, 1, 5, 0))), whole, atol=1e-6)


def equal_axes(gap: float) -> jax.Array:
    """Eight points whose two largest eigenvalues differ by a part of themselves."""
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    scale = np.sqrt(np.array([1 + gap, 1.0, 0.25]))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    return jnp.asarray(corners * scale @ turn.T)


def test_gradients_at_a_small_gap(x64: None) -> None:
    """A gap of 1e-6: finite, first and second; none at all: reported, and finite when kept."""
    rep = Points(O(3))
    layer = FrameAveraging(Flat((8, 3), (1,)), PCAFrame(O(3)), (rep,), None, degenerate="keep")

    def energy(x: jax.Array) -> jax.Array:
        return layer(x).sum()

    for gap in (1e-6, 0.0):
        slope = jax.grad(energy)(equal_axes(gap))
        assert jnp.isfinite(slope).all()
        assert jnp.abs(slope).max() > 0
        curvature = jax.jacrev(jax.grad(energy))(equal_axes(gap))
        assert jnp.isfinite(curvature).all()
    assert not PCAFrame(O(3))(equal_axes(1e-6)).degenerate
    assert PCAFrame(O(3))(equal_axes(0.0)).degenerate
    slope, x = jax.grad(energy)(equal_axes(0.3)), equal_axes(0.3)
    step = np.random.default_rng(1).normal(size=x.shape)
    numeric = (energy(x + 1e-5 * step) - energy(x - 1e-5 * step)) / 2e-5
    np.testing.assert_allclose(jnp.sum(slope * step), numeric, rtol=1e-6)


def test_degenerate_clouds_are_nan_or_averaged(key: jax.Array, x64: None) -> None:
    rep = Points(SE(3))
    module = Flat((8, 3))
    plain = FrameAveraging(module, PCAFrame(SE(3)), (rep,), rep)
    good, bad = jnp.asarray(cloud(SE(3), 8))[0], equal_axes(0.0)
    both = plain(jnp.stack([good, bad]))
    assert jnp.isfinite(both[0]).all()
    assert jnp.isnan(both[1]).all()
    blend = BlendFrame(PCAFrame(SE(3)), TupleFrame(SE(3)))
    layer = FrameAveraging(module, blend, (rep,), rep)
    assert_equivariant(layer, (rep,), rep, key, inputs=(bad,), dtype=jnp.float64, atol=1e-12)
    line = jnp.outer(jnp.arange(8.0), jnp.asarray([1.0, 2.0, 0.5]))
    for nothing in (line, jnp.ones((8, 3)), jnp.full((8, 3), jnp.nan)):
        assert jnp.isnan(layer(nothing)).all()


def jump(frame: Frame, x: Callable[[float], jax.Array], epsilon: float) -> float:
    """How far an average over frames moves from one side of x(0) to the other."""
    rep = WithoutChannels(Vector(frame.group)) if frame.group != S(3) else Vector(S(3))
    module = Flat(x(0.0).shape, (4,))
    layer = FrameAveraging(module, frame, (rep,), None)
    return float(jnp.abs(layer(x(epsilon)) - layer(x(-epsilon))).max())


def test_unweighted_frames_jump_and_weighted_ones_do_not(x64: None) -> None:
    """Two points that exchange their order; two principal axes that exchange theirs."""

    def exchanged(epsilon: float) -> jax.Array:
        return jnp.asarray([[epsilon, 1.0], [-epsilon, -1.0], [2.0, 0.3]])

    base = jnp.asarray(cloud(SO(3), 8))[0]
    values, vectors = jnp.linalg.eigh(base.T @ base)
    stretch = vectors @ jnp.diag(jnp.sqrt(values[1] / values)) @ vectors.T

    def crossing(epsilon: float) -> jax.Array:
        change = vectors @ jnp.diag(jnp.asarray([-0.5, -epsilon, epsilon])) @ vectors.T
        return base @ stretch @ (jnp.eye(3) + change)

    for epsilon in (1e-3, 1e-6):
        assert jump(SortFrame(3), exchanged, epsilon) > 0.1
        assert jump(SweepFrame(3, 2), exchanged, epsilon) < 10 * epsilon
        assert jump(PCAFrame(SO(3)), crossing, epsilon) > 1e-2
        assert jump(TupleFrame(SO(3)), crossing, epsilon) < 10 * epsilon
        assert (
            jump(BlendFrame(PCAFrame(SO(3)), TupleFrame(SO(3))), crossing, epsilon) < 10 * epsilon
        )


def test_bad_input() -> None:
    rep, module = Points(SO(3)), Flat((5, 3))
    with pytest.raises(ValueError, match="rep_in must be a tuple"):
        FrameAveraging(module, PCAFrame(SO(3)), rep, rep)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        FrameAveraging(module, PCAFrame(SO(3)), (rep,), rep, samples=0)
    with pytest.raises(ValueError, match=r"degenerate must be one of .*'drop'"):
        FrameAveraging(module, PCAFrame(SO(3)), (rep,), rep, degenerate="drop")
    layer = FrameAveraging(module, PCAFrame(SO(3)), (rep,), rep)
    with pytest.raises(ValueError, match="expected 1 inputs, got 2"):
        layer(jnp.ones((5, 3)), jnp.ones(5))
    with pytest.raises(ValueError, match=r"expected points of the shape \[\.\.\., points, 3\]"):
        layer(jnp.ones((5, 2)))
