"""Particles that attract and repel: charges, springs and gravity, many systems at once."""

import dataclasses
import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.typing import DTypeLike, Key

Kind = Literal["charged", "springs", "gravity"]
Integrator = Literal["leapfrog", "kick_drift"]

_SPEED = 0.5


class ParticleState(NamedTuple):
    """Particles at one time.

    Attributes:
        positions: ``[..., n, d]``.
        velocities: ``[..., n, d]``.
        charges: Charges; stiffness of the springs; or masses; ``[..., n]``.
    """

    positions: Float[Array, "... n d"]
    velocities: Float[Array, "... n d"]
    charges: Float[Array, "... n"]


@dataclasses.dataclass(frozen=True)
class ParticleSystem:
    r"""Forces between pairs, with :math:`r = x_i - x_j` and :math:`\rho^2 = |r|^2 + \epsilon^2`.

    .. math:: F_{ij} = s\, q_i q_j\, \frac{r}{\rho^3} \ \text{(charged)}, \qquad
              F_{ij} = -s\, q_i q_j\, r \ \text{(springs)}, \qquad
              F_{ij} = -s\, q_i q_j\, \frac{r}{\rho^3} \ \text{(gravity)}

    Masses are 1, under gravity q. Coincident particles without softening exert no force.

    Attributes:
        kind: "charged", "springs" or "gravity".
        strength: The s of the formulae.
        softening: The :math:`\epsilon`, a length; springs take none.
        max_force: Bound on every component of the sum of the forces on a particle, as in the
            protocol of EGNN; None for no bound. Where it bites, symmetry under rotations and the
            conservation laws end.

    Raises:
        ValueError: If the kind is unknown, or a number is out of range.
    """

    kind: Kind = "charged"
    strength: float = 1.0
    softening: float = 0.0
    max_force: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: got {self.kind!r}, expected one of {get_args(Kind)}")
        if self.strength <= 0 or self.softening < 0:
            raise ValueError(
                "expected a strength above 0 and a softening of 0 or more, got "
                f"{self.strength} and {self.softening}"
            )
        if self.kind == "springs" and self.softening:
            raise ValueError(f"springs take no softening, got {self.softening}: leave it at 0")
        if self.max_force is not None and self.max_force <= 0:
            raise ValueError(f"max_force: expected a number above 0 or None, got {self.max_force}")

    def forces(
        self, positions: Float[Array, "... n d"], charges: Float[Array, "... n"]
    ) -> Float[Array, "... n d"]:
        """The force on every particle."""
        offsets = _offsets(positions)
        pairs = self._sign * _pairs(charges)
        if self.kind != "springs":
            pairs = pairs * self._inverse_distance(offsets) ** 3
        forces = jnp.sum(pairs[..., None] * offsets, axis=-2)
        bound = self.max_force
        return forces if bound is None else jnp.clip(forces, -bound, bound)

    def accelerations(
        self, positions: Float[Array, "... n d"], charges: Float[Array, "... n"]
    ) -> Float[Array, "... n d"]:
        """The force on every particle over its mass."""
        forces = self.forces(positions, charges)
        return forces / charges[..., None] if self.kind == "gravity" else forces

    def energy(self, state: ParticleState) -> Float[Array, "..."]:
        """Kinetic plus potential energy, ``[...]``; the bound on the forces does not enter."""
        offsets = _offsets(state.positions)
        if self.kind == "springs":
            potentials = -0.5 * jnp.sum(offsets**2, axis=-1)
        else:
            potentials = self._inverse_distance(offsets)
        potential = 0.5 * jnp.sum(self._sign * _pairs(state.charges) * potentials, axis=(-2, -1))
        squares = jnp.sum(state.velocities**2, axis=-1)
        masses = state.charges if self.kind == "gravity" else jnp.ones_like(state.charges)
        return potential + 0.5 * jnp.sum(masses * squares, axis=-1)

    @property
    def _sign(self) -> float:
        return self.strength if self.kind == "charged" else -self.strength

    def _inverse_distance(self, offsets: Float[Array, "... n n d"]) -> Float[Array, "... n n"]:
        """One over the softened distance; 0 for a particle and itself and where it has no value."""
        squared = jnp.sum(offsets * offsets, axis=-1) + self.softening**2
        own = jnp.eye(offsets.shape[-2], dtype=bool).reshape(
            (1,) * (squared.ndim - 2) + squared.shape[-2:]
        )
        empty = own | (squared == 0)
        return jnp.where(empty, 0, jax.lax.rsqrt(jnp.where(empty, 1, squared)))


def protocol(kind: Kind) -> ParticleSystem:
    """The system that benchmarks draw from.

    Charges as in EGNN: strength 1, no softening, components of forces bounded by 100. Springs have
    the strength 0.1; gravity is softened at 0.1.

    References:
        Kipf et al., arXiv:1802.04687 (2018); Satorras et al., arXiv:2102.09844 (2021).

    >>> protocol("charged").max_force
    100.0
    """
    if kind == "springs":
        return ParticleSystem(kind, strength=0.1)
    if kind == "gravity":
        return ParticleSystem(kind, softening=0.1)
    return ParticleSystem(kind, max_force=100.0)


def initial_state(
    key: Key,
    kind: Kind,
    count: int,
    bodies: int = 5,
    dim: int = 3,
    dtype: DTypeLike = jnp.float32,
) -> ParticleState:
    r"""Random systems, before anything has moved.

    Positions are normal with standard deviation :math:`(n / 5)^{1/3}` (half of it for springs),
    velocities have the length 1/2 and random directions. Charges are -1 or 1 with equal
    probability, the stiffness of a spring is a product of numbers 1/2 or 1, masses are uniform in
    [1/2, 1].

    Args:
        key: A random key.
        kind: As for ``ParticleSystem``.
        count: Number of systems.
        bodies: Particles of each.
        dim: Dimension of space.
        dtype: Type of the arrays.

    Raises:
        ValueError: If the kind is unknown or a number is less than 1.

    >>> initial_state(jax.random.key(0), "charged", 4).positions.shape
    (4, 5, 3)
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind: got {kind!r}, expected one of {get_args(Kind)}")
    if min(count, bodies, dim) < 1:
        raise ValueError(
            f"count, bodies and dim: expected numbers above 0, got {count}, {bodies} and {dim}"
        )
    keys = jax.random.split(key, 3)
    spread = (bodies / 5) ** (1 / 3) * (0.5 if kind == "springs" else 1.0)
    positions = spread * jax.random.normal(keys[0], (count, bodies, dim), dtype)
    directions = jax.random.normal(keys[1], (count, bodies, dim), dtype)
    lengths = jnp.linalg.norm(directions, axis=-1, keepdims=True)
    if kind == "gravity":
        charges = jax.random.uniform(keys[2], (count, bodies), dtype, 0.5, 1.0)
    else:
        heads = jax.random.bernoulli(keys[2], shape=(count, bodies)).astype(dtype)
        charges = 2 * heads - 1 if kind == "charged" else (heads + 1) / 2
    return ParticleState(positions, _SPEED * directions / lengths, charges)


def simulate(
    system: ParticleSystem,
    state: ParticleState,
    frames: int,
    *,
    every: int = 100,
    time_step: float = 1e-3,
    integrator: Integrator = "leapfrog",
) -> ParticleState:
    r"""Trajectories of all systems at once.

    .. math:: v_{k + 1/2} = v_{k - 1/2} + \Delta t\, a(x_k), \qquad
              x_{k+1} = x_k + \Delta t\, v_{k + 1/2}

    "leapfrog" starts and records with half a kick, so that velocities belong to the time of the
    positions: an error of order :math:`\Delta t^2`. "kick_drift" takes recorded velocities for
    :math:`v_{k - 1/2}`, as the data of EGNN do (the symplectic Euler method, of first order):
    from a frame of those data it gives the later ones. Both compute one force a step.

    Args:
        system: The forces.
        state: The start, any batch axes; its type is that of the computation.
        frames: Number of recorded frames.
        every: Steps between them; the first is that many steps after the start.
        time_step: The :math:`\Delta t`.
        integrator: "leapfrog" or "kick_drift".

    Returns:
        Positions and velocities ``[frames, ..., n, d]`` and the charges ``[..., n]`` of the start.

    Raises:
        ValueError: If the integrator is unknown, a number out of range or a shape does not fit.

    >>> start = initial_state(jax.random.key(0), "charged", 4)
    >>> simulate(protocol("charged"), start, 2, every=3).positions.shape
    (2, 4, 5, 3)
    """
    if integrator not in get_args(Integrator):
        raise ValueError(f"integrator: got {integrator!r}, expected one of {get_args(Integrator)}")
    if min(frames, every) < 1 or time_step <= 0:
        raise ValueError(
            "frames, every and time_step: expected numbers above 0, got "
            f"{frames}, {every} and {time_step}"
        )
    if state.velocities.shape != state.positions.shape or (
        state.charges.shape != state.positions.shape[:-1]
    ):
        raise ValueError(
            "expected positions and velocities [..., n, d] and charges [..., n], got "
            f"{', '.join(str(x.shape) for x in state)}"
        )
    half = time_step / 2 if integrator == "leapfrog" else 0.0
    return _trajectory(system, state, frames, every, time_step, half)


@functools.partial(jax.jit, static_argnums=(0, 2, 3, 4, 5))
def _trajectory(
    system: ParticleSystem,
    state: ParticleState,
    frames: int,
    every: int,
    time_step: float,
    half: float,
) -> ParticleState:
    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        positions, velocities = carry
        velocities += time_step * system.accelerations(positions, state.charges)
        return (positions + time_step * velocities, velocities), None

    def record(carry: tuple[Array, Array], _: None) -> tuple:
        carry, _ = jax.lax.scan(step, carry, length=every)
        positions, velocities = carry
        if half:
            velocities += half * system.accelerations(positions, state.charges)
        return carry, (positions, velocities)

    start = state.velocities
    if half:
        start = start - half * system.accelerations(state.positions, state.charges)
    _, (positions, velocities) = jax.lax.scan(record, (state.positions, start), length=frames)
    return ParticleState(positions, velocities, state.charges)


def _offsets(positions: Float[Array, "... n d"]) -> Float[Array, "... n n d"]:
    return positions[..., :, None, :] - positions[..., None, :, :]


def _pairs(charges: Float[Array, "... n"]) -> Float[Array, "... n n"]:
    return charges[..., :, None] * charges[..., None, :]
