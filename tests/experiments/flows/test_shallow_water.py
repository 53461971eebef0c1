"""Shallow water: dispersion of waves, mass and energy, order, symmetry, resolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import Cyclic, Dihedral
from equinet.reps import Images, Scalar, Vector
from equinet.testing import equivariance_error
from experiments.flows.periodic import resample
from experiments.flows.shallow_water import ShallowWater, WaterState, random_water, simulate_water

SIZE = 18  # modes up to 5


def start(count=1, size=SIZE, max_mode=3, dtype=jnp.float64):
    return random_water(jax.random.key(1), count, size, max_mode=max_mode, dtype=dtype)


def follow(system, state, time, steps):
    found = simulate_water(system, state, 1, every=steps, time_step=time / steps)
    return WaterState(found.height[0], found.velocity[0])


def join(state):
    """The fields of a state as features of height and velocity, ``[..., size, size, 3, 1]``."""
    fields = jnp.concatenate([state.height[..., None, :, :], state.velocity], axis=-3)
    return jnp.moveaxis(fields, -3, -1)[..., None]


@pytest.mark.parametrize("rotation", [0.0, 4.0])
@pytest.mark.parametrize("k", [(1, 0), (1, 2)])
def test_small_waves(k, rotation, x64):
    """Poincare waves: w^2 = f^2 + g H |k|^2, the part that balances rotation at rest."""
    system = ShallowWater(gravity=2.0, rotation=rotation, viscosity=0.0)
    x = (np.arange(12) + 0.5) / 12
    wave = np.cos(2 * np.pi * (k[0] * x[:, None] + k[1] * x))
    state = WaterState(jnp.asarray(0.5 + 1e-7 * wave), jnp.zeros((2, 12, 12)))
    squares = 4 * np.pi**2 * (k[0] ** 2 + k[1] ** 2)
    frequency = np.sqrt(rotation**2 + squares)
    found = simulate_water(system, state, 3, every=60, time_step=0.005)
    for frame, time in zip(found.height, (0.3, 0.6, 0.9), strict=True):
        share = (rotation**2 + squares * np.cos(frequency * time)) / frequency**2
        np.testing.assert_allclose((frame - 0.5) / 1e-7, share * wave, atol=2e-5)


def test_viscosity_damps_small_flows_exactly(x64):
    """A shear flow without waves: only viscosity acts, at any time step."""
    system = ShallowWater(viscosity=0.02)
    x = (np.arange(12) + 0.5) / 12
    shear = np.stack([np.zeros((12, 12)), np.sin(2 * np.pi * x)[:, None] * np.ones(12)])
    state = WaterState(jnp.ones((12, 12)), jnp.asarray(1e-9 * shear))
    found = follow(system, state, 1.0, 40).velocity
    expected = 1e-9 * shear * np.exp(-0.02 * 4 * np.pi**2)
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("rotation", [0.0, 3.0])
def test_mass_energy_and_order(rotation, x64):
    """Mass to rounding; energy up to the modes cut off; the flow to fourth order in the step."""
    system, state = ShallowWater(rotation=rotation, viscosity=0.0), start()
    ends = [follow(system, state, 0.3, steps) for steps in (15, 30, 60)]
    for end in ends:
        np.testing.assert_allclose(jnp.mean(end.height), jnp.mean(state.height), rtol=1e-14)
    gaps = [float(jnp.abs(join(end) - join(ends[2])).max()) for end in ends[:2]]
    assert 13 < gaps[0] / gaps[1] < 21
    assert np.abs(ends[2].height - state.height).max() > 0.02
    losses = []
    for size in (12, 24, 36):
        state = start(size=size)
        end = follow(system, state, 0.3, 60)
        losses.append(abs(float(system.energy(end)[0] / system.energy(state)[0]) - 1))
    assert losses[2] < 1e-2 * losses[0]
    assert losses[2] < 1e-7


@pytest.mark.parametrize(
    ("rotation", "group", "symmetric"),
    [(0.0, Dihedral(4), True), (3.0, Cyclic(4), True), (3.0, Dihedral(4), False)],
)
def test_states_turn(rotation, group, symmetric, x64, key):
    images = Images(Scalar(group) + Vector(group))
    system = ShallowWater(rotation=rotation)

    def run(x):
        fields = jnp.moveaxis(x[..., 0], -1, -3)
        state = WaterState(fields[..., 0, :, :], fields[..., 1:, :, :])
        return join(follow(system, state, 0.2, 10))

    error = equivariance_error(
        run, images, images, key, inputs=join(start()), dtype=np.float64, num_samples=4
    )
    assert (error < 1e-12) == symmetric
    assert symmetric or error > 1e-2


def test_finer_grids_agree(x64):
    system, ends = ShallowWater(viscosity=2e-3), []
    for size in (12, 24, 48):
        end = follow(system, start(size=size), 0.3, 40)
        ends.append(resample(jnp.moveaxis(join(end)[0, ..., 0], -1, 0), 12))
    errors = [float(jnp.abs(end - ends[2]).max()) for end in ends[:2]]
    assert errors[1] < 1e-2 * errors[0]
    assert errors[1] < 5e-5


def test_random_states():
    state = random_water(jax.random.key(0), 200, 12, waves=0.2, speed=0.3, depth=2.0, max_mode=4)
    assert float(jnp.mean(state.height)) == pytest.approx(2, rel=1e-5)
    assert float(jnp.std(state.height)) == pytest.approx(0.2, rel=0.05)
    speed = jnp.sqrt(jnp.mean(jnp.sum(state.velocity**2, axis=-3)))
    assert float(speed) == pytest.approx(0.3, rel=0.05)


def test_batches_types_and_gradients():
    system, state = ShallowWater(), start(2, dtype=jnp.float32)
    both = simulate_water(system, state, 2, every=3, time_step=0.01)
    assert both.height.dtype == both.velocity.dtype == jnp.float32
    alone = follow(system, WaterState(state.height[1], state.velocity[1]), 0.06, 6)
    np.testing.assert_allclose(both.velocity[1, 1], alone.velocity, atol=1e-5)

    def total(height):
        return jnp.sum(follow(system, WaterState(height, state.velocity), 0.02, 2).height ** 2)

    gradient = jax.grad(total)(state.height)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_bad_input():
    for name, value in (("gravity", 0.0), ("viscosity", -1.0), ("rotation", np.inf)):
        with pytest.raises(ValueError, match=f"{name}: got {value}, expected"):
            ShallowWater(**{name: value})
    height = jnp.ones((2, 8, 8))
    with pytest.raises(ValueError, match=r"expected velocities \(2, 2, 8, 8\) of float32"):
        simulate_water(ShallowWater(), WaterState(height, height), 1, every=1, time_step=0.1)
    with pytest.raises(ValueError, match=r"depth above 0, the others 0 or more, got 1.0, -1 and"):
        random_water(jax.random.key(0), 1, 16, waves=-1, max_mode=2)
    state = WaterState(height, jnp.zeros((2, 2, 8, 8)))
    with pytest.raises(ValueError, match="got 1, 1 and 0"):
        simulate_water(ShallowWater(), state, 1, every=1, time_step=0)
