"""A shallow layer of water on the periodic square, at rest or rotating."""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.typing import DTypeLike, Key
from experiments.flows.navier_stokes import velocity
from experiments.flows.periodic import (
    Field,
    Modes,
    check_steps,
    low_pass,
    march,
    random_field,
    square_size,
    to_field,
    to_modes,
    wavenumbers,
)


class WaterState(NamedTuple):
    """Water at one time.

    Attributes:
        height: Of the surface above the ground, ``[..., size, size]``.
        velocity: Component i along axis i of the grid, ``[..., 2, size, size]``.
    """

    height: Field
    velocity: Float[Array, "... 2 size size"]


@dataclasses.dataclass(frozen=True)
class ShallowWater:
    r"""Height and velocity, with :math:`\zeta = \partial_1 u_2 - \partial_2 u_1`.

    .. math:: \partial_t h = -\nabla \cdot (h u) + \nu \Delta h, \qquad
              \partial_t u = (\zeta + f)\, (u_2, -u_1) - \nabla \big( g h + |u|^2 / 2 \big)
                             + \nu \Delta u

    Height is a scalar and velocity a vector of the symmetry group of the square; the f changes its
    sign under a reflection, so that a rotating layer has the turns and translations alone. The
    viscosity acts on the height too, which keeps the mass and lets one factor integrate all.

    Attributes:
        gravity: The g, above 0.
        rotation: The f, twice the angular velocity; 0 for a layer at rest.
        viscosity: The :math:`\nu`, 0 or more. Waves steepen, and without it they break.

    Raises:
        ValueError: If a number is out of range.
    """

    gravity: float = 1.0
    rotation: float = 0.0
    viscosity: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.gravity < math.inf:
            raise ValueError(f"gravity: got {self.gravity}, expected a number above 0")
        if not 0 <= self.viscosity < math.inf:
            raise ValueError(f"viscosity: got {self.viscosity}, expected 0 or more")
        if not math.isfinite(self.rotation):
            raise ValueError(f"rotation: got {self.rotation}, expected a finite number")

    def energy(self, state: WaterState) -> Float[Array, "..."]:
        r"""The mean of :math:`h |u|^2 / 2 + g h^2 / 2`, ``[...]``.

        Kept without viscosity up to what the cut of the modes takes.
        """
        squares = jnp.sum(state.velocity**2, axis=-3)
        density = state.height * squares + self.gravity * state.height**2
        return 0.5 * jnp.mean(density, axis=(-2, -1))

    def _rate(self, modes: Modes) -> Modes:
        """All but viscosity for one state, ``[3, size, half]``: nine transforms."""
        size = modes.shape[-2]
        k = jnp.asarray(1j * wavenumbers(size), modes.dtype)
        curl = k[0] * modes[2] - k[1] * modes[1]
        h, u, v, spin = to_field(jnp.concatenate([modes, curl[None]]), size)
        spin = spin + self.rotation
        bernoulli = self.gravity * h + 0.5 * (u * u + v * v)
        p = to_modes(jnp.stack([spin * v, -spin * u, h * u, h * v, bernoulli]))
        rates = [-k[0] * p[2] - k[1] * p[3], p[0] - k[0] * p[4], p[1] - k[1] * p[4]]
        return low_pass(jnp.stack(rates))


def random_water(
    key: Key,
    count: int,
    size: int,
    *,
    depth: float = 1.0,
    waves: float = 0.1,
    speed: float = 0.1,
    max_mode: int = 20,
    dtype: DTypeLike = jnp.float32,
) -> WaterState:
    r"""Random waves on a random flow without divergence, smooth and of a law with all symmetries.

    Args:
        key: A random key; it gives the same state at every size.
        count: How many states.
        size: Cells along an axis.
        depth: The mean height.
        waves: Standard deviation of the height.
        speed: Root of the mean square of the velocity.
        max_mode: Modes up to this index.
        dtype: Type of the arrays.

    Raises:
        ValueError: If a number is out of range or the grid is too coarse.

    >>> random_water(jax.random.key(0), 4, 48).velocity.shape
    (4, 2, 48, 48)
    """
    if depth <= 0 or min(waves, speed) < 0:
        raise ValueError(
            "depth, waves and speed: expected a depth above 0, the others 0 or more, got "
            f"{depth}, {waves} and {speed}"
        )
    k = np.arange(-max_mode, max_mode + 1)
    squares = 4 * np.pi**2 * (k[:, None] ** 2 + k**2)
    law = np.where(squares > 0, (squares + 49) ** -2.5, 0)  # of the fields with scale 1
    flow = np.divide(law, squares, out=np.zeros_like(law), where=squares > 0)
    keys = jax.random.split(key)
    options = {"max_mode": max_mode, "dtype": dtype, "scale": 1.0}
    heights, vorticities = (random_field(k, count, size, **options) for k in keys)
    heights = depth + waves / math.sqrt(law.sum()) * heights
    return WaterState(heights, speed / math.sqrt(flow.sum()) * velocity(vorticities))


def simulate_water(
    system: ShallowWater, state: WaterState, frames: int, *, every: int, time_step: float
) -> WaterState:
    r"""Height and velocity at later times, of all states at once.

    Pseudo-spectral, without aliases: modes below a third of the size are followed, the others of
    the start are dropped. Viscosity is exact, the rest of fourth order in the time step. It is
    stable for steps up to about 0.9 over the size and the speed of waves,
    :math:`\sqrt{g h} + |u|`.

    Args:
        system: The equation.
        state: The start, any batch axes; its type is that of the computation.
        frames: Number of recorded frames.
        every: Steps between them; the first is that many steps after the start.
        time_step: Length of a step.

    Returns:
        Heights ``[frames, ..., size, size]`` and velocities ``[frames, ..., 2, size, size]``.

    Raises:
        ValueError: If a shape does not fit or a number is out of range.

    >>> start = random_water(jax.random.key(0), 2, 16, max_mode=4)
    >>> simulate_water(ShallowWater(), start, 3, every=2, time_step=0.01).velocity.shape
    (3, 2, 2, 16, 16)
    """
    size = square_size(state.height)
    expected = (*state.height.shape[:-2], 2, size, size)
    if state.velocity.shape != expected or state.velocity.dtype != state.height.dtype:
        raise ValueError(
            f"expected velocities {expected} of {state.height.dtype} for heights "
            f"{state.height.shape}, got {state.velocity.shape} of {state.velocity.dtype}"
        )
    check_steps(frames, every, time_step)
    return _trajectory(system, state, frames, every, time_step)


@functools.partial(jax.jit, static_argnums=(0, 2, 3, 4))
def _trajectory(
    system: ShallowWater, state: WaterState, frames: int, every: int, time_step: float
) -> WaterState:
    size = state.height.shape[-1]
    decay = system.viscosity * (wavenumbers(size) ** 2).sum(0)

    def one(fields: Array) -> Array:
        start = low_pass(to_modes(fields))
        return to_field(march(start, system._rate, decay, frames, every, time_step), size)

    fields = jnp.concatenate([state.height[..., None, :, :], state.velocity], axis=-3)
    found = jax.vmap(one)(fields.reshape(-1, 3, size, size))
    found = found.reshape(*fields.shape[:-3], frames, 3, size, size)
    found = jnp.moveaxis(found, -4, 0)
    return WaterState(found[..., 0, :, :], found[..., 1:, :, :])
