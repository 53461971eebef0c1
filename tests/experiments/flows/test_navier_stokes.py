"""Vorticity on the periodic square: exact solutions, budgets, order, symmetry, resolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import Cyclic, Dihedral
from equinet.reps import Images, Scalar, Vector, antisymmetric_power
from equinet.testing import assert_equivariant, equivariance_error
from experiments.flows.navier_stokes import (
    NavierStokes,
    energy,
    enstrophy,
    palinstrophy,
    random_vorticity,
    simulate,
    velocity,
)
from experiments.flows.periodic import cell_centres, random_field, resample

SIZE = 18  # modes up to 5


def flow(count=2, size=SIZE, max_mode=5, dtype=jnp.float64):
    """Vorticity of order one, of eddies that turn in a few units of time."""
    key = jax.random.key(1)
    return random_vorticity(key, count, size, factor=30.0, max_mode=max_mode, dtype=dtype)


def follow(system, w, time, steps):
    return simulate(system, w, 1, every=steps, time_step=time / steps)[0]


def test_taylor_green_vortices_decay_exactly(x64):
    """Products of cosines are steady but for viscosity, at any time step."""
    a = 2 * np.pi * np.asarray(cell_centres(12, jnp.float64))
    w = jnp.asarray(np.stack([np.cos(k * a)[:, None] * np.cos(k * a) for k in (1, 2)]))
    system = NavierStokes(viscosity=0.01, forcing="none")
    found = simulate(system, w, 2, every=3, time_step=0.5)
    for frame, time in zip(found, (1.5, 3.0), strict=True):
        for k, field, start in zip((1, 2), frame, w, strict=True):
            expected = start * np.exp(-0.01 * 8 * np.pi**2 * k**2 * time)
            np.testing.assert_allclose(field, expected, atol=1e-13)


def test_velocity_has_the_vorticity_and_no_divergence(x64):
    w = flow()
    u = velocity(w)
    k = 2j * np.pi * np.fft.fftfreq(SIZE, 1 / SIZE)
    modes = np.fft.fft2(u)
    derivatives = [modes * k[:, None], modes * k]
    curl = np.fft.ifft2(derivatives[0][:, 1] - derivatives[1][:, 0])
    divergence = np.fft.ifft2(derivatives[0][:, 0] + derivatives[1][:, 1])
    np.testing.assert_allclose(curl, w, atol=1e-12)
    np.testing.assert_allclose(divergence, 0, atol=1e-12)


@pytest.mark.parametrize("forcing", ["none", "pinwheel", "cosines", "diagonal"])
def test_budgets(forcing, x64):
    """Energy and enstrophy change by viscosity and forcing alone, to rounding."""
    system, w = NavierStokes(0.01, forcing, 2.0), flow()
    force = system.force(SIZE, jnp.float64)
    found = {}
    for name, function in (("energy", energy), ("enstrophy", enstrophy)):
        found[name] = jax.jvp(function, (w,), (system.tendency(w),))[1]
    u = np.asarray(velocity(jnp.stack([*w, force])))
    work = np.mean(np.sum(u[:2] * u[2], axis=1), axis=(1, 2))
    gain = np.mean(np.asarray(w) * np.asarray(force), axis=(1, 2))
    np.testing.assert_allclose(found["energy"], work - 0.02 * enstrophy(w), rtol=1e-10)
    np.testing.assert_allclose(found["enstrophy"], gain - 0.02 * palinstrophy(w), rtol=1e-10)
    assert np.abs(system.tendency(w)).max() > 0.1


def test_without_viscosity_both_are_kept_to_fourth_order(x64):
    """Half of the step: the error of the flow falls by 2^4, that of what it keeps by no less."""
    system, w = NavierStokes(0.0, "none"), flow(1)
    ends = [follow(system, w, 2.0, steps) for steps in (40, 80, 160)]
    gaps = [float(jnp.abs(end - ends[2]).max()) for end in ends[:2]]
    assert 13 < gaps[0] / gaps[1] < 21
    assert np.abs(ends[2] - w).max() > 0.3
    for function in (energy, enstrophy):
        losses = [abs(float(function(end)[0] / function(w)[0]) - 1) for end in ends]
        assert losses[0] > 12 * losses[1]
        assert losses[2] < 1e-7


def test_viscosity_and_forcing_are_of_fourth_order(x64):
    system, w = NavierStokes(0.002, "pinwheel", 1.0), flow(1)
    ends = [follow(system, w, 2.0, steps) for steps in (20, 40, 80)]
    gaps = [float(jnp.abs(end - ends[2]).max()) for end in ends[:2]]
    assert 13 < gaps[0] / gaps[1] < 21


@pytest.mark.parametrize(
    ("forcing", "group", "symmetric"),
    [
        ("none", Dihedral(4), True),
        ("pinwheel", Dihedral(4), True),
        ("cosines", Cyclic(4), True),
        ("cosines", Dihedral(4), False),
        ("diagonal", Cyclic(4), False),
    ],
)
def test_flows_turn(forcing, group, symmetric, x64, key):
    """Vorticity is a pseudoscalar; forcing may break the symmetry."""
    images = Images(antisymmetric_power(Vector(group), 2))
    w = flow(1)[..., None, None]

    def run(x):
        return follow(NavierStokes(1e-3, forcing, 1.0), x[..., 0, 0], 0.5, 5)[..., None, None]

    error = equivariance_error(run, images, images, key, inputs=w, dtype=np.float64, num_samples=4)
    assert (error < 1e-12) == symmetric
    assert symmetric or error > 1e-2


def test_vorticity_is_no_scalar(x64, key):
    images = Images(Scalar(Dihedral(4)))
    w = flow(1)[..., None, None]
    run = functools.partial(follow, NavierStokes(1e-3, "none"), time=0.5, steps=5)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(
            lambda x: run(x[..., 0, 0])[..., None, None],
            *(images, images, key),
            inputs=w,
            dtype=np.float64,
        )


def test_finer_grids_agree(x64):
    """What a smooth flow does between cells is known: errors fall faster than any power."""
    system, ends = NavierStokes(0.005), []
    for size in (12, 24, 48):
        w = flow(1, size, max_mode=3)
        ends.append(resample(follow(system, w, 1.0, 20), 12)[0])
    errors = [float(jnp.abs(end - ends[2]).max()) for end in ends[:2]]
    assert errors[1] < 1e-2 * errors[0]
    assert errors[1] < 1e-5


def test_resampling(x64):
    """Exact there and back; one key draws one field at every size; the law is that asked for."""
    coarse, fine = flow(2, 12), flow(2, 33)
    for size, field in ((33, coarse), (12, fine)):
        np.testing.assert_allclose(resample(field, size), {33: fine, 12: coarse}[size], atol=1e-12)
    np.testing.assert_allclose(resample(resample(coarse, 16), 12), coarse, atol=1e-12)
    many = random_field(jax.random.key(0), 4000, 5, max_mode=2, dtype=jnp.float64)
    k = np.arange(-2, 3)
    squares = (k[:, None] ** 2 + k**2).ravel()
    variance = 7**1.5 * (4 * np.pi**2 * squares[squares > 0] + 49) ** -2.5
    np.testing.assert_allclose(np.mean(many**2), variance.sum(), rtol=0.05)
    np.testing.assert_allclose(many.mean((1, 2)), 0, atol=1e-12)


def test_batches_types_and_gradients():
    system, w = NavierStokes(1e-3), flow(2, dtype=jnp.float32)
    both = simulate(system, w, 2, every=2, time_step=0.05)
    assert (both.dtype, both.shape) == (jnp.float32, (2, 2, SIZE, SIZE))
    alone = simulate(system, w[1], 1, every=4, time_step=0.05)[0]
    np.testing.assert_allclose(both[1, 1], alone, atol=1e-5)
    gradient = jax.grad(lambda w: jnp.sum(follow(system, w, 0.2, 2) ** 2))(w)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"forcing: got 'rain', expected one of \('none'"):
        NavierStokes(forcing="rain")
    with pytest.raises(ValueError, match=r"viscosity: got -1, expected 0 or more"):
        NavierStokes(viscosity=-1)
    w = jnp.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"square grid \[..., size, size\], got \(2, 8, 7\)"):
        simulate(NavierStokes(), w[..., 1:], 1, every=1, time_step=0.1)
    with pytest.raises(ValueError, match=r"frames, every and time_step: .* got 1, 0 and 0.1"):
        simulate(NavierStokes(), w, 1, every=0, time_step=0.1)
    with pytest.raises(ValueError, match="floating-point numbers, got int32"):
        velocity(jnp.zeros((8, 8), jnp.int32))
    with pytest.raises(ValueError, match=r"no modes of index 20: take max_mode=7 or less"):
        random_vorticity(jax.random.key(0), 1, 16)
    with pytest.raises(ValueError, match="expected numbers above 0, got 0, 20"):
        random_vorticity(jax.random.key(0), 0, 64)
    with pytest.raises(ValueError, match="size: got 0, expected 1 or more"):
        resample(w, 0)
