"""Sp(n), GL+(n), SL(n), the Lorentz groups, affine groups and subgroups on axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import (
    SE,
    SL,
    SO,
    Affine,
    FullLorentz,
    GLPlus,
    Lorentz,
    O,
    OnAxes,
    S,
    Scalings,
    Similitudes,
    Sp,
    boost,
    polar,
)


def test_sp_of_odd_size_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"needs an even n .* got 3; nearest: Sp\(4\)"):
        Sp(3)
    with pytest.raises(ValueError, match="even integer"):
        Sp(0)


@pytest.mark.parametrize("group", [Sp(2), Sp(6), Lorentz(), FullLorentz()], ids=str)
def test_forms_are_kept(group: Sp | Lorentz, x64: None) -> None:
    g = group.sample(jax.random.key(0), (20,))
    np.testing.assert_allclose(
        g.mT @ group.form @ g, np.broadcast_to(group.form, g.shape), atol=1e-12
    )
    basis = group.lie_algebra()
    np.testing.assert_allclose(
        basis.swapaxes(1, 2) @ group.form + group.form @ basis, 0, atol=1e-15
    )
    assert not group.form.flags.writeable


def test_dimensions() -> None:
    assert len(Sp(4).lie_algebra()) == 10
    assert len(SL(3).lie_algebra()) == 8
    assert len(GLPlus(3).lie_algebra()) == 9
    assert len(Affine(SL(2)).lie_algebra()) == 5


@pytest.mark.parametrize("group", [Sp(4), SL(3), GLPlus(2)], ids=str)
def test_bases_are_orthonormal(group: Sp | SL | GLPlus) -> None:
    basis = group.lie_algebra().reshape(len(group.lie_algebra()), -1)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-15)


def test_lorentz_is_the_identity_component_of_the_full_group() -> None:
    parity, reversal = FullLorentz().discrete_generators()
    assert FullLorentz().contains(np.stack([parity, reversal, parity @ reversal])).all()
    assert not Lorentz().contains(np.stack([parity, reversal, parity @ reversal])).any()
    g = FullLorentz().sample(jax.random.key(0), (2000,))
    proper = Lorentz().contains(g, atol=1e-3)
    assert 0.2 < proper.mean() < 0.3
    assert not Lorentz().contains(jnp.eye(3))


def test_boosts_are_exponentials(x64: None) -> None:
    v = jnp.concatenate([jnp.zeros((1, 3)), 0.05 * jnp.eye(3), 2 * jnp.eye(3)])
    coordinates = jnp.pad(v, [(0, 0), (0, 3)])
    np.testing.assert_allclose(boost(v), Lorentz().exp_coordinates(coordinates), atol=1e-14)
    second = jax.jit(jax.hessian(lambda v: boost(v).sum()))(jnp.zeros(3))
    # cosh adds |v|^2 / 2 at the corner, the curve v v^T / 2 in the block.
    np.testing.assert_allclose(second, np.ones((3, 3)) + np.eye(3), atol=1e-12)


def test_samples_are_isotropic_with_the_scale(x64: None) -> None:
    """log P has unit variance times the square of the scale in every direction."""
    group = SL(2)
    g = group.sample(jax.random.key(0), (20_000,), scale=0.3)
    stretch = group.polar_coordinates(polar(g)[0])
    square = (stretch * stretch).mean(0)
    # Coordinates are E12, E21 and the diagonal one; the symmetric direction is shared by two.
    np.testing.assert_allclose(square / 0.09, [0.5, 0.5, 1.0], rtol=0.05)


def test_affine_is_se_where_h_is_so() -> None:
    group = Affine(SO(3))
    assert group.is_orthogonal
    assert group.linear_group == SO(3)
    np.testing.assert_array_equal(group.lie_algebra(), SE(3).lie_algebra())
    for bad in (S(3), SE(2), 3):
        with pytest.raises(ValueError, match="needs a group of matrices that acts linearly"):
            Affine(bad)  # type: ignore[arg-type]


def test_subgroups_on_axes() -> None:
    group = OnAxes(O(2), 3, (2, 0))
    h = O(2).sample(jax.random.key(0), (4,))
    g = group.embed(h)
    assert O(3).contains(g).all()
    np.testing.assert_allclose(group.restrict(g), h, atol=1e-7)
    np.testing.assert_allclose(g[:, 2, 0], h[:, 0, 1], atol=1e-7)
    y = jnp.asarray([0.0, 1.0, 0.0])
    np.testing.assert_allclose(group.act(g, y), np.broadcast_to(y, (4, 3)), atol=1e-6)
    assert group.contains(g).all()
    assert not group.contains(O(3).sample(jax.random.key(1)))
    assert hash(OnAxes(O(2), 3, [2, 0])) == hash(group)  # type: ignore[arg-type]
    for axes in ((0,), (0, 0), (0, 3)):
        with pytest.raises(ValueError, match="needs 2 different ones from 0 to 2"):
            OnAxes(O(2), 3, axes)


def test_samples_under_jit_are_those_without(x64: None) -> None:
    """Guards against a scatter that XLA fuses wrongly into the matrix product after it."""
    for group in (GLPlus(3), Lorentz(), SO(3)):
        sample = lambda key, group=group: group.compose(  # noqa: E731
            group.sample(key, (3, 3, 1, 2)), group.sample(key, (3, 3, 1, 2))
        )
        key = jax.random.key(0)
        np.testing.assert_allclose(jax.jit(sample)(key), sample(key), atol=1e-13)


@pytest.mark.parametrize("n", [2, 3])
def test_scalings_are_the_centre_of_the_similitudes(n: int, x64: None) -> None:
    """A similitude keeps angles; a scaling commutes with it and keeps directions."""
    g = Similitudes(n).sample(jax.random.key(0), (5,))
    s = Scalings(n).sample(jax.random.key(1), (5,))
    np.testing.assert_allclose(g @ s, s @ g, atol=1e-12)
    gram = g @ g.mT
    factor = jnp.trace(gram, axis1=-2, axis2=-1) / n
    np.testing.assert_allclose(
        gram / factor[:, None, None], np.tile(np.eye(n), (5, 1, 1)), atol=1e-12
    )
    assert Similitudes(n).contains(g @ s).all()
    assert Scalings(n).contains(s).all()
    assert not Scalings(n).contains(g).any()
    assert not Similitudes(n).contains(GLPlus(n).sample(jax.random.key(2), (5,))).any()
