"""Frames of matrix groups: sizes, membership, covariance, degenerate clouds, continuity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import SE, SO, Affine, E, GLPlus, Group, Lorentz, O
from equinet.ops.frames import (
    BlendFrame,
    Frame,
    FrameElements,
    GramSchmidtFrame,
    LorentzFrame,
    PCAFrame,
    TupleFrame,
)


def cloud(group: Group, points: int = 5) -> np.ndarray:
    """A random cloud; momenta of unit mass for the Lorentz group."""
    x = np.random.default_rng(0).normal(size=(points, group.vector_dim))
    if group == Lorentz():
        x[:, 0] = np.sqrt(1 + (x[:, 1:] ** 2).sum(-1))
    return x


SIZES = [
    (PCAFrame(O(3)), 8),
    (PCAFrame(SO(3)), 4),
    (PCAFrame(E(2)), 4),
    (PCAFrame(SE(2)), 2),
    (PCAFrame(Affine(GLPlus(3))), 4),
    (TupleFrame(SO(2)), 5),
    (TupleFrame(SO(3)), 20),
    (TupleFrame(E(3)), 40),
    (GramSchmidtFrame(SE(3)), 1),
    (LorentzFrame(), 1),
]


@pytest.mark.parametrize(("frame", "size"), SIZES, ids=lambda value: repr(value))
def test_elements_lie_in_the_group_and_move_with_the_input(
    frame: Frame, size: int, key: jax.Array, x64: None
) -> None:
    """F(g x) is g F(x) as a set, element by element with the same weights."""
    x, group = jnp.asarray(cloud(frame.group)), frame.group
    found = frame(x)
    assert found.elements.shape[0] == size == found.weights.shape[0]
    assert group.contains(found.elements, 1e-9).all()
    assert not found.degenerate
    np.testing.assert_allclose(found.weights.sum(), 1, atol=1e-12)
    g = group.sample(key)
    moved = frame(group.act(g, x))
    expected = group.compose(g, found.elements)
    distance = jnp.abs(moved.elements[:, None] - expected[None]).max((-2, -1))
    assert distance.min(0).max() < 1e-9
    assert distance.min(1).max() < 1e-9
    np.testing.assert_allclose(moved.weights, found.weights[distance.argmin(1)], atol=1e-12)


@pytest.mark.parametrize("frame", [PCAFrame(E(3)), TupleFrame(SE(3)), GramSchmidtFrame(O(3))])
def test_padding_counts_for_nothing(frame: Frame, x64: None) -> None:
    x = jnp.asarray(cloud(frame.group, 4))
    padded = jnp.concatenate([x, jnp.full((2, 3), 7.0)])
    mask = jnp.asarray([True] * 4 + [False] * 2)
    plain, found = frame(x), frame(padded, mask)
    if isinstance(frame, TupleFrame):
        kept = found.weights > 0
        np.testing.assert_allclose(found.elements[kept], plain.elements, atol=1e-12)
        np.testing.assert_allclose(found.weights[kept], plain.weights, atol=1e-12)
    else:
        np.testing.assert_allclose(found.elements, plain.elements, atol=1e-12)


def test_what_is_degenerate(x64: None) -> None:
    line = jnp.outer(jnp.arange(4.0), jnp.asarray([1.0, 2.0, 0.5]))
    corners = jnp.asarray(np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T)
    plane = jnp.asarray(cloud(O(3)) * [1.0, 1.0, 0.0])
    expected = {"line": (line, True, True), "cube": (corners, True, False)}
    expected |= {"same": (jnp.ones((4, 3)), True, True)}
    expected |= {"plane": (plane, False, False), "two points": (line[:2], True, True)}
    for name, (x, axes, tuples) in expected.items():
        for group in (SE(3), E(3)):
            assert bool(PCAFrame(group)(x).degenerate) == axes, name
            frames = TupleFrame(group), BlendFrame(PCAFrame(group), TupleFrame(group))
            assert [bool(frame(x).degenerate) for frame in frames] == [tuples] * 2, name
    assert PCAFrame(SE(3))(line[:1]).degenerate
    assert not GramSchmidtFrame(O(3))(plane).degenerate
    assert GramSchmidtFrame(O(3))(plane).weights.tolist() == [0.5, 0.5]
    assert GramSchmidtFrame(O(3))(line).degenerate


@pytest.mark.slow
def test_gradients_are_finite_where_clouds_are_degenerate(x64: None) -> None:
    line = jnp.outer(jnp.arange(3.0), jnp.asarray([1.0, 0.0, 0.0]))
    for x in (line, jnp.zeros((3, 3)), jnp.eye(3)):
        for frame in (PCAFrame(SE(3)), TupleFrame(SE(3)), GramSchmidtFrame(SE(3))):

            def total(x: jax.Array, frame: Frame = frame) -> jax.Array:
                found = frame(x)
                return jnp.sum(found.elements**2 * found.weights[:, None, None] * 0.7)

            assert jnp.isfinite(jax.jacrev(jax.grad(total))(x)).all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"principal axes are a frame of O\(d\).*got Lorentz"):
        PCAFrame(Lorentz())
    with pytest.raises(ValueError, match="scaling must be"):
        PCAFrame(GLPlus(2), scaling="none")
    with pytest.raises(ValueError, match="d >= 2, got"):
        TupleFrame(O(1))
    with pytest.raises(ValueError, match="power must be at least 1"):
        TupleFrame(SO(3), power=0)
    with pytest.raises(ValueError, match="got GLPlus"):
        GramSchmidtFrame(GLPlus(2))
    with pytest.raises(ValueError, match="do not blend"):
        BlendFrame(PCAFrame(SO(3)), TupleFrame(O(3)))
    with pytest.raises(ValueError, match="0 < start < end"):
        BlendFrame(PCAFrame(SO(3)), TupleFrame(SO(3)), 0.5, 0.1)
    with pytest.raises(ValueError, match="tuples of 2 points need at least 2, got 1"):
        TupleFrame(SO(3))(jnp.ones((1, 3)))
    with pytest.raises(ValueError, match=r"mask of the shape \(4,\)"):
        PCAFrame(SO(3))(jnp.ones((4, 3)), jnp.ones(3, bool))


def test_a_key_draws_the_elements_of_the_committed_results() -> None:
    """Trainings with frames reproduce their tables only if a key draws the same elements."""
    weights = [
        [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0, 0.5, 0.5, 0]],
        [[0.25] * 4, [0.7, 0.1, 0.1, 0.1], [0, 0, 1, 0]],
    ]
    numbers = jnp.broadcast_to(jnp.arange(4), (2, 3, 4))
    frames = FrameElements(numbers, jnp.asarray(weights), jnp.ones((2, 3)), jnp.zeros((2, 3), bool))
    drawn = frames.draw(jax.random.key(3), 5).elements
    assert drawn.tolist() == [  # of jax.random.categorical with the shape (count, *batch)
        [[3, 3, 2, 1, 3], [1, 0, 2, 3, 3], [2, 1, 2, 2, 2]],
        [[2, 3, 2, 3, 1], [0, 2, 1, 0, 0], [2, 2, 2, 2, 2]],
    ]
