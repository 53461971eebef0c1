"""Polar, Cartan and Iwasawa: round trips, derivatives at the identity, invariant measures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from equinet.groups import (
    SL,
    SO,
    GLPlus,
    cartan,
    from_cartan,
    from_iwasawa,
    from_polar,
    iwasawa,
    polar,
    polar_log_density,
    spd_log_density,
)

groups = pytest.mark.parametrize(
    "group", [GLPlus(2), SL(2), pytest.param(SL(3), marks=pytest.mark.slow)], ids=str
)


@groups
def test_round_trips_and_factors(group: GLPlus | SL, x64: None) -> None:
    n = group.n
    g = group.sample(jax.random.key(0), (3, 2), scale=1.0)
    stretch, turn = polar(g)
    np.testing.assert_allclose(from_polar(stretch, turn), g, atol=1e-12)
    np.testing.assert_allclose(jnp.linalg.det(stretch), jnp.linalg.det(g), rtol=1e-12)
    assert SO(n).contains(turn, atol=1e-13).all()
    assert (jnp.linalg.eigvalsh(stretch) > 0).all()
    k, a, other = cartan(g)
    np.testing.assert_allclose(from_cartan(k, a, other), g, atol=1e-12)
    assert SO(n).contains(jnp.stack([k, other]), atol=1e-13).all()
    np.testing.assert_allclose(a, jnp.linalg.svdvals(g)[..., ::-1], atol=1e-12)
    k, a, upper = iwasawa(g)
    np.testing.assert_allclose(from_iwasawa(k, a, upper), g, atol=1e-12)
    assert SO(n).contains(k, atol=1e-13).all()
    assert (a > 0).all()
    np.testing.assert_allclose(upper, np.triu(upper, 1) + np.eye(n), atol=1e-12)
    coordinates = group.polar_coordinates(g)
    np.testing.assert_allclose(group.from_polar_coordinates(coordinates), g, atol=1e-12)
    if isinstance(group, SL):
        for factor in (stretch, turn, k * a[..., None, :]):
            np.testing.assert_allclose(jnp.linalg.det(factor), 1, atol=1e-12)


@groups
def test_derivatives_at_the_identity(group: GLPlus | SL, x64: None) -> None:
    one = group.identity()

    def everything(g: Float[Array, "n n"]) -> Float[Array, ""]:
        parts = [*polar(g), *cartan(g), *iwasawa(g), group.polar_coordinates(g)]
        return sum((jnp.sin(part).sum() for part in parts), jnp.zeros(()))

    second = jax.jit(jax.jacfwd(jax.jacrev(everything)))(one)
    assert jnp.isfinite(second).all()
    first = jax.jit(jax.jacfwd(group.polar_coordinates))(one)
    # To first order these are the coordinates of the exponential.
    along = jnp.einsum("aij,bij->ab", first, jnp.asarray(group.lie_algebra()))
    np.testing.assert_allclose(along, np.eye(len(along)), atol=1e-12)


@pytest.mark.slow
def test_derivatives_of_the_factors_agree_with_differences(x64: None) -> None:
    g, dg = GLPlus(3).sample(jax.random.key(1), (2,))
    h = 1e-5
    for factors in (polar, cartan, iwasawa):
        _, slopes = jax.jvp(factors, (g,), (dg,))
        ahead, behind = factors(g + h * dg), factors(g - h * dg)
        for slope, x, y in zip(slopes, ahead, behind, strict=True):
            np.testing.assert_allclose(slope, (x - y) / (2 * h), atol=1e-7)


def test_the_measure_of_positive_definite_matrices_is_invariant(x64: None) -> None:
    """The integral of a bump over S equals that of the bump moved by A, by importance sampling."""
    group = GLPlus(2)
    g = group.sample(jax.random.key(0), (100_000,), scale=0.5)
    s = g @ g.mT
    weights = jnp.exp(-group.log_sample_density(g, scale=0.5))

    def bump(s: Float[Array, "... 2 2"]) -> Float[Array, "..."]:
        trace = s[..., 0, 0] + s[..., 1, 1]
        determinant = s[..., 0, 0] * s[..., 1, 1] - s[..., 0, 1] ** 2
        return jnp.exp(-2 * (trace + trace / determinant - 4))

    a = jnp.asarray([[1.3, 0.4], [0.0, 0.9]])
    plain = (weights * bump(s)).mean()
    moved = (weights * bump(a @ s @ a.T)).mean()
    unweighted = bump(s).mean() / bump(a @ s @ a.T).mean()
    np.testing.assert_allclose(moved, plain, rtol=0.02)
    assert abs(unweighted - 1) > 0.03
    # Against a sum over a grid with the density det(S)^(-(n + 1) / 2): the constant between the
    # two measures is 2^(n (n + 1) / 2), and 2^(n (n - 1) / 4) of the orthonormal basis.
    axis = jnp.linspace(0.02, 4.5, 90)
    off = jnp.linspace(-3.0, 3.0, 121)
    x, y, z = jnp.meshgrid(axis, axis, off, indexing="ij")
    inside = x * y > z * z
    grid = jnp.where(
        inside[..., None, None],
        jnp.stack([x, z, z, y], -1).reshape(*x.shape, 2, 2),
        jnp.eye(2)[None, None, None],
    )
    values = jnp.where(inside, bump(grid), 0.0)
    volume = (axis[1] - axis[0]) ** 2 * (off[1] - off[0])
    total = (values * jnp.exp(spd_log_density(grid))).sum() * volume
    np.testing.assert_allclose(total, plain * 2**3 / math.sqrt(2), rtol=0.03)


def test_density_of_polar_coordinates_by_eigenvalues(x64: None) -> None:
    x = np.array([0.3, -0.5, 1.0])
    q = np.asarray(SO(3).sample(jax.random.key(0)))
    gaps = (x[:, None] - x)[np.triu_indices(3, 1)]
    expected = np.log(np.sinh(gaps) / gaps).sum()
    actual = polar_log_density(jnp.asarray(q @ np.diag(x) @ q.T))
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    zero = jnp.zeros((3, 3))
    assert polar_log_density(zero) == 0
    assert jnp.isfinite(jax.jit(jax.hessian(polar_log_density))(zero)).all()


def test_a_determinant_that_is_not_positive_is_refused() -> None:
    for decompose in (polar, cartan, iwasawa, GLPlus(2).polar_coordinates):
        with pytest.raises(ValueError, match="determinant is not positive"):
            decompose(jnp.diag(jnp.asarray([1.0, -1.0])))
    with pytest.raises(ValueError, match="expected square matrices"):
        polar(jnp.ones((2, 3)))
