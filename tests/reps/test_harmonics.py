"""Spherical harmonics: e3nn's, smooth everywhere, and zero at the zero vector."""

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import O
from equinet.reps import Irreps, Vector, WithoutChannels, spherical_harmonics
from equinet.testing import equivariance_error

AXES = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]


DEGREES = np.repeat(np.arange(9), 2 * np.arange(9) + 1)


@pytest.fixture
def vectors(x64: None) -> jax.Array:
    """Random vectors and all six half axes, of different lengths."""
    random = jax.random.normal(jax.random.key(0), (20, 3))
    return jnp.concatenate([random, 2.0 * jnp.asarray(AXES, jnp.float64)])


@pytest.fixture(scope="module")
def oracle() -> tuple[np.ndarray, np.ndarray]:
    """Vectors and e3nn's harmonics of their directions, to degree 8 in float64."""
    vectors = np.concatenate([np.random.default_rng(0).normal(size=(20, 3)), 2.0 * np.array(AXES)])
    with jax.enable_x64(True):
        array = e3nn_jax.IrrepsArray("1o", jnp.asarray(vectors))
        irreps = e3nn_jax.Irreps.spherical_harmonics(8)
        harmonics = e3nn_jax.spherical_harmonics(irreps, array, True, normalization="component")
        return vectors, np.asarray(harmonics.array)


def test_equals_e3nn_to_degree_8(oracle: tuple, x64: None) -> None:
    vectors, expected = jnp.asarray(oracle[0]), oracle[1]
    np.testing.assert_allclose(spherical_harmonics(8, vectors), expected, rtol=0, atol=1e-13)
    solid = expected * np.linalg.norm(vectors, axis=1, keepdims=True) ** DEGREES
    found = spherical_harmonics(8, vectors, normalize=False)
    np.testing.assert_allclose(found, solid, rtol=1e-12, atol=1e-12)


def test_component_normalisation_and_closed_forms(vectors: jax.Array) -> None:
    found = np.asarray(spherical_harmonics(12, vectors))
    for l in range(13):
        norm = (found[:, l**2 : (l + 1) ** 2] ** 2).sum(1)
        np.testing.assert_allclose(norm, 2 * l + 1, rtol=1e-13)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, 1:4], np.sqrt(3) * unit, atol=1e-15)
    np.testing.assert_allclose(found[:, 6], np.sqrt(5) * (3 * unit[:, 1] ** 2 - 1) / 2, atol=1e-14)


def error(rep: Irreps, swap: bool = False) -> float:
    """Equivariance error over O(3), of the axes in another order if told so."""

    def harmonics(r: jax.Array) -> jax.Array:
        return spherical_harmonics(rep.lmax, r[:, ::-1] if swap else r)

    reps = WithoutChannels(Vector(O(3))), WithoutChannels(rep)
    return equivariance_error(jax.jit(harmonics), *reps, jax.random.key(0), dtype=jnp.float64)


def test_equivariant_under_rotations_and_inversion() -> None:
    assert error(Irreps.spherical_harmonics(5)) < 1e-12


def test_controls_fail() -> None:
    assert error(Irreps.spherical_harmonics(2, parity=1)) > 0.1
    assert error(Irreps.spherical_harmonics(2), swap=True) > 0.1


def test_solid_harmonics_are_homogeneous_and_harmonic(vectors: jax.Array) -> None:
    def solid(r: jax.Array) -> jax.Array:
        return spherical_harmonics(5, r, normalize=False)

    scaled = 2.0 ** DEGREES[:36] * np.asarray(solid(vectors))
    np.testing.assert_allclose(solid(2 * vectors), scaled, rtol=1e-14)
    laplacian = jnp.trace(jax.jit(jax.vmap(jax.hessian(solid)))(vectors), axis1=-2, axis2=-1)
    np.testing.assert_allclose(laplacian, 0, atol=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
def test_zero_vector(normalize: bool, x64: None) -> None:
    zero = jnp.zeros(3)
    expected = np.eye(49)[0]
    found = spherical_harmonics(6, zero, normalize=normalize)
    np.testing.assert_array_equal(found, expected)


def test_finite_derivatives_at_singular_points(x64: None) -> None:
    """Zero, all half axes (the polar one included): first and second order, forward and reverse."""
    points = jnp.concatenate([jnp.zeros((1, 3)), jnp.asarray(AXES, jnp.float64)])

    def harmonics(r: jax.Array) -> jax.Array:
        return spherical_harmonics(3, r)

    def derivatives(r: jax.Array) -> tuple[jax.Array, ...]:
        first = jax.jacrev(harmonics)
        return first(r), jax.jacrev(first)(r), jax.jacfwd(first)(r)

    first, second, mixed = jax.jit(jax.vmap(derivatives))(points)
    for value in (first, second, mixed):
        assert np.isfinite(value).all()
        assert not np.asarray(value[0]).any()
    np.testing.assert_allclose(second, mixed, atol=1e-12)
    step = 1e-5
    for axis, shift in enumerate(step * np.eye(3)):
        ahead, behind = (harmonics(points[1:] + s[None]) for s in (shift, -shift))
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(first[1:, :, axis], slope, atol=1e-7)


def test_jit_and_vmap(vectors: jax.Array) -> None:
    eager = spherical_harmonics(4, vectors)
    assert spherical_harmonics(4, vectors[None]).shape == (1, *eager.shape)
    for function in (jax.jit, jax.vmap):
        np.testing.assert_allclose(
            function(lambda r: spherical_harmonics(4, r))(vectors), eager, atol=1e-14
        )


def test_float64_after_float32_and_dtype(oracle: tuple) -> None:
    for dtype in (jnp.bfloat16, jnp.float32):
        found = spherical_harmonics(4, jnp.asarray(oracle[0], dtype))
        assert found.dtype == dtype
        atol = 20 * float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(found.astype(jnp.float32), oracle[1][:, :25], atol=atol)
    with jax.enable_x64(True):
        found = spherical_harmonics(4, jnp.asarray(oracle[0]))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, oracle[1][:, :25], atol=1e-13)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="lmax must be at least 0, got -1"):
        spherical_harmonics(-1, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"3 components on the last axis, got \(3, 2\)"):
        spherical_harmonics(2, jnp.zeros((3, 2)))
