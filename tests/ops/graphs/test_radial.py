"""Radial bases against their definitions, at the centre and at the cutoff."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from equinet.ops.graphs import (
    bessel_basis,
    chebyshev_basis,
    chebyshev_interpolation,
    gaussian_basis,
    polynomial_envelope,
)

CUTOFF = 4.0
BASES = (bessel_basis, gaussian_basis, chebyshev_basis)


def derivative(function: Callable, order: int) -> Callable:
    """Derivative of a function of one distance, at every distance of an array."""
    for _ in range(order):
        function = jax.jacfwd(function)
    return jax.vmap(function)


@pytest.mark.parametrize("p", [2, 5, 6])
def test_envelope_leaves_one_late_and_ends_smoothly(p: int, x64: None) -> None:
    def envelope(r: jax.Array) -> jax.Array:
        return polynomial_envelope(r, CUTOFF, p)

    ends = jnp.array([0.0, CUTOFF * (1 - 1e-6), CUTOFF, CUTOFF + 1])
    np.testing.assert_allclose(envelope(ends), [1, 0, 0, 0], atol=1e-14)
    np.testing.assert_allclose(derivative(envelope, 1)(ends), 0, atol=1e-9)
    np.testing.assert_allclose(derivative(envelope, 2)(ends)[1:], 0, atol=1e-3)
    inside = jnp.linspace(0, CUTOFF, 50)
    assert (np.diff(envelope(inside)) < 0).all()
    x = np.linspace(0, 1, 50)
    formula = (
        1
        - (p + 1) * (p + 2) / 2 * x**p
        + p * (p + 2) * x ** (p + 1)
        - p * (p + 1) / 2 * x ** (p + 2)
    )
    np.testing.assert_allclose(envelope(inside), formula, atol=1e-13)


def test_bessel_is_the_spherical_bessel_function_and_orthonormal(x64: None) -> None:
    r, step = np.linspace(0, CUTOFF, 4001, retstep=True)
    basis = np.asarray(bessel_basis(jnp.asarray(r), CUTOFF, 4))
    for n in range(1, 5):
        k = n * np.pi / CUTOFF
        j0 = scipy.special.spherical_jn(0, k * r)
        np.testing.assert_allclose(basis[:, n - 1], np.sqrt(2 / CUTOFF) * k * j0, atol=1e-13)
    gram = np.einsum("rm,rn->mn", basis * r[:, None] ** 2, basis) * step
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-9)


def test_gaussians_stand_at_equal_distances(x64: None) -> None:
    centres = jnp.linspace(0, CUTOFF, 5)
    basis = gaussian_basis(centres, CUTOFF, 5)
    steps = np.subtract.outer(np.arange(5), np.arange(5))
    np.testing.assert_allclose(basis, np.exp(-(steps**2) / 2), rtol=1e-14)


def test_chebyshev_equals_numpy(x64: None) -> None:
    r = jnp.linspace(0, CUTOFF, 9)
    expected = np.polynomial.chebyshev.chebvander(2 * np.asarray(r) / CUTOFF - 1, 6)
    np.testing.assert_allclose(chebyshev_basis(r, CUTOFF, 7), expected, atol=1e-14)


def test_interpolation_is_exact_for_polynomials_of_lower_degree() -> None:
    nodes, matrix = chebyshev_interpolation(6)
    function = np.polynomial.Polynomial([1.0, -2.0, 0.5, 3.0, -1.0, 0.25])
    r = np.linspace(0, 1, 20)
    found = np.polynomial.chebyshev.chebval(2 * r - 1, matrix @ function(nodes))
    np.testing.assert_allclose(found, function(r), atol=1e-13)
    assert np.abs(matrix @ nodes**6 @ np.ones(6) - 1) > 1e-4  # a degree more is not


@pytest.mark.parametrize("basis", BASES)
def test_finite_derivatives_at_zero_and_at_the_cutoff(basis: Callable, x64: None) -> None:
    points = jnp.array([0.0, CUTOFF])
    for order in (1, 2):
        assert np.isfinite(derivative(lambda r: basis(r, CUTOFF, 4), order)(points)).all()
    first = derivative(lambda r: basis(r, CUTOFF, 4), 1)(points)
    step = 1e-5
    near = points + jnp.array([step, -step])
    slope = (basis(near, CUTOFF, 4) - basis(points, CUTOFF, 4)) / jnp.array([[step], [-step]])
    np.testing.assert_allclose(first, slope, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_and_leading_axes_are_kept(dtype: jnp.dtype) -> None:
    r = jnp.ones((2, 3), dtype)
    assert polynomial_envelope(r, CUTOFF).dtype == dtype
    for basis in BASES:
        value = basis(r, CUTOFF, 5)
        assert value.dtype == dtype
        assert value.shape == (2, 3, 5)


@pytest.mark.parametrize(
    "function",
    [
        *(lambda r, basis=basis: basis(r, CUTOFF, 8) for basis in BASES),
        lambda r: polynomial_envelope(r, CUTOFF),
    ],
)
def test_float64_after_float32(function: Callable) -> None:
    r = np.linspace(0.1, 3.9, 7)
    low = jax.jit(function)(jnp.asarray(r, jnp.float32))
    with jax.enable_x64(True):
        high = jax.jit(function)(jnp.asarray(r))
        reference = function(jnp.asarray(r))
    assert high.dtype == jnp.float64
    np.testing.assert_allclose(high, reference, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(low, reference, rtol=1e-4, atol=1e-4)


def test_bad_input() -> None:
    r = jnp.ones(3)
    for basis in BASES:
        with pytest.raises(ValueError, match=r"cutoff must be positive, got -1\.0"):
            basis(r, -1.0, 4)
        with pytest.raises(ValueError, match=r"num_basis must be at least [12], got 0"):
            basis(r, CUTOFF, 0)
    with pytest.raises(ValueError, match="cutoff must be positive, got nan"):
        polynomial_envelope(r, float("nan"))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        polynomial_envelope(r, CUTOFF, 1)
