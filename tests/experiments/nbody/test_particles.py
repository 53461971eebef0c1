"""The particle simulator: conservation laws, a known orbit, symmetry, and the file of EGNN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet.groups import E
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import equivariance_error
from experiments.nbody.particles import (
    ParticleState,
    ParticleSystem,
    initial_state,
    protocol,
    simulate,
)

KINDS = ("charged", "springs", "gravity")


def start(kind, count=3, bodies=4):
    return initial_state(jax.random.key(1), kind, count, bodies, dtype=jnp.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_forces_are_minus_the_gradient_of_the_energy(kind, x64):
    system = ParticleSystem(kind, strength=0.7, softening=0.0 if kind == "springs" else 0.3)
    state = start(kind)

    def energy(positions):
        return system.energy(state._replace(positions=positions)).sum()

    gradient = jax.grad(energy)(state.positions)
    forces = system.forces(state.positions, state.charges)
    np.testing.assert_allclose(forces, -gradient, rtol=1e-12, atol=1e-13)
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces.sum(-2), 0, atol=1e-13)


def energy_error(system, state, time_step, integrator):
    found = simulate(
        system, state, 1, every=round(0.5 / time_step), time_step=time_step, integrator=integrator
    )
    end = ParticleState(found.positions[0], found.velocities[0], found.charges)
    return float(jnp.max(jnp.abs(system.energy(end) - system.energy(state))))


@pytest.mark.parametrize("kind", KINDS)
def test_leapfrog_keeps_energy_to_second_order(kind, x64):
    """Half the step, a quarter of the error; of the method of first order, half of it."""
    system = ParticleSystem(kind, softening=0.0 if kind == "springs" else 0.5)
    errors = [energy_error(system, start(kind), dt, "leapfrog") for dt in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] < 1e-3
    first = [energy_error(system, start(kind), dt, "kick_drift") for dt in (0.02, 0.01)]
    assert first[0] / first[1] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_momentum_is_kept_and_the_centre_drifts(kind, x64):
    system, state = ParticleSystem(kind), start(kind)
    found = simulate(system, state, 2, every=50, time_step=0.01)
    masses = state.charges if kind == "gravity" else jnp.ones_like(state.charges)

    def momentum(velocities):
        return np.sum(masses[..., None] * velocities, axis=-2)

    for velocities in found.velocities:
        np.testing.assert_allclose(momentum(velocities), momentum(state.velocities), atol=1e-12)
    moved = momentum(found.positions[-1]) - momentum(state.positions)
    np.testing.assert_allclose(moved, momentum(state.velocities), atol=1e-12)


def two_bodies():
    """Masses 3/4 and 1/4 at a distance of 1 whose ellipse, of eccentricity 0.36, has period T."""
    masses = jnp.array([0.75, 0.25])
    speed = 0.8  # relative, at right angles: a = 1 / (2 - v^2)
    positions = jnp.array([[0.25, 0.0, 0.0], [-0.75, 0.0, 0.0]])
    velocities = speed * jnp.array([[0.0, 0.25, 0.0], [0.0, -0.75, 0.0]])
    period = 2 * np.pi * (1 / (2 - speed**2)) ** 1.5
    return ParticleState(positions, velocities, masses), period


def test_two_bodies_close_their_orbit(x64):
    state, period = two_bodies()
    gaps = []
    for steps in (1000, 2000):
        system = ParticleSystem("gravity")
        found = simulate(system, state, 2, every=steps // 2, time_step=period / steps)
        gaps.append(np.abs(found.positions[1] - state.positions).max())
        assert np.abs(found.positions[0] - state.positions).max() > 0.3
    assert gaps[1] < 1e-3
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_motions_commute_with_the_simulation(kind, x64, key):
    state = start(kind, count=2)
    points, vectors = Points(E(3)), WithoutChannels(Vector(E(3)))

    def run(system, positions, velocities):
        found = simulate(system, ParticleState(positions, velocities, state.charges), 1, every=20)
        return found.positions, found.velocities

    def error(system):
        return equivariance_error(
            lambda *x: run(system, *x),
            (points, vectors),
            (points, vectors),
            key,
            inputs=state[:2],
            dtype=np.float64,
            num_samples=2,
        )

    assert error(protocol(kind)) < 1e-12
    bounded = ParticleSystem(kind, max_force=0.02)
    assert error(bounded) > 1e-4  # bounds on components know the axes


def test_batch_axes_and_record_times(x64):
    """A system alone goes as in a batch; frames lie where longer steps between them put them."""
    system, state = protocol("charged"), start("charged")
    found = simulate(system, state, 4, every=5)
    alone = simulate(system, ParticleState(*(x[1] for x in state)), 2, every=10)
    np.testing.assert_allclose(found.positions[1::2, 1], alone.positions, rtol=1e-12)
    np.testing.assert_allclose(found.velocities[1::2, 1], alone.velocities, rtol=1e-12)


def test_finite_where_particles_meet():
    system = ParticleSystem("charged")
    positions, charges = jnp.zeros((3, 3)), jnp.ones(3)

    def length(x):
        return jnp.sum(system.forces(x, charges) ** 2)

    assert np.all(system.forces(positions, charges) == 0)
    assert np.isfinite(jax.grad(length)(positions)).all()
    assert np.isfinite(jax.hessian(length)(positions)).all()


def test_initial_states():
    for kind, allowed in (("charged", {-1.0, 1.0}), ("springs", {0.5, 1.0})):
        state = initial_state(jax.random.key(0), kind, 50, 7, 2)
        assert state.positions.shape == state.velocities.shape == (50, 7, 2)
        assert set(np.unique(state.charges)) == allowed
        lengths = jnp.linalg.norm(state.velocities, axis=-1)
        np.testing.assert_allclose(lengths, 0.5, rtol=1e-5)
    masses = initial_state(jax.random.key(0), "gravity", 50).charges
    assert 0.5 <= float(masses.min()) < 0.6 < 0.9 < float(masses.max()) <= 1


def test_bad_input():
    with pytest.raises(ValueError, match=r"kind: got 'magnets', expected one of \('charged'"):
        ParticleSystem("magnets")
    with pytest.raises(ValueError, match=r"springs take no softening, got 0\.1"):
        ParticleSystem("springs", softening=0.1)
    with pytest.raises(ValueError, match="max_force: expected a number above 0"):
        ParticleSystem(max_force=0.0)
    with pytest.raises(ValueError, match="expected numbers above 0, got 0, 5 and 3"):
        initial_state(jax.random.key(0), "charged", 0)
    state = initial_state(jax.random.key(0), "charged", 2)
    with pytest.raises(ValueError, match="integrator: got 'euler'"):
        simulate(protocol("charged"), state, 1, integrator="euler")
    with pytest.raises(ValueError, match="frames, every and time_step"):
        simulate(protocol("charged"), state, 0)
    with pytest.raises(ValueError, match=r"charges \[..., n\], got .*\(2, 4\)"):
        simulate(protocol("charged"), state._replace(charges=state.charges[:, 1:]), 1)


def test_reproduces_the_prepared_file(data_dir, x64):
    """Frame 40 from frame 30, and the first system from the recipe of EGNN and its seed."""
    file = data_dir / "nbody/charged5.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    found = np.load(file)
    frames = [int(frame) for frame in found["frames"]]
    at = {frame: index for index, frame in enumerate(frames)}
    parts = ("loc_valid", "vel_valid", "charges_valid")
    x, v, q = (found[name][:300].astype(np.float64) for name in parts)
    begin = ParticleState(*(jnp.asarray(a) for a in (x[:, at[30]], v[:, at[30]], q[..., 0])))
    end = simulate(protocol("charged"), begin, 10, integrator="kick_drift").positions[-1]
    errors = np.abs(end - x[:, at[40]]).max((-2, -1))
    assert np.median(errors) < 1e-6  # the file is float32
    assert np.quantile(errors, 0.9) < 1e-5  # encounters below 0.03 enlarge the rounding
    other = simulate(protocol("charged"), begin, 10).positions[-1]
    assert np.median(np.abs(other - x[:, at[40]]).max((-2, -1))) > 1e-5

    draw = np.random.RandomState(43)
    charges = draw.choice([-1.0, 0.0, 1.0], size=5, p=[0.5, 0, 0.5])
    positions, directions = draw.randn(3, 5).T, draw.randn(3, 5).T
    velocities = 0.5 * directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    state = ParticleState(*(jnp.asarray(a) for a in (positions, velocities, charges)))
    whole = simulate(protocol("charged"), state, 49, integrator="kick_drift")
    np.testing.assert_array_equal(found["charges_train"][0, :, 0], charges)
    np.testing.assert_allclose(whole.positions[jnp.array(frames)], found["loc_train"][0], atol=1e-5)
