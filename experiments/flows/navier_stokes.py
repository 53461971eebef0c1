"""Incompressible flow on the periodic square: the vorticity form of Navier-Stokes."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.precision import read_only
from equinet.typing import DTypeLike, Key
from experiments.flows.periodic import (
    Field,
    Modes,
    check_steps,
    inverse_laplacian,
    low_pass,
    march,
    random_field,
    square_size,
    to_field,
    to_modes,
    wavenumbers,
)

Forcing = Literal["none", "pinwheel", "cosines", "diagonal"]


@dataclasses.dataclass(frozen=True)
class NavierStokes:
    r"""Vorticity :math:`w = \partial_1 u_2 - \partial_2 u_1` on the periodic unit square.

    .. math:: \partial_t w + u \cdot \nabla w = \nu \Delta w + f, \qquad
              u = (\partial_2 \psi, -\partial_1 \psi), \qquad -\Delta \psi = w

    Vorticity is a pseudoscalar: under a reflection it moves and changes its sign. A flow turned by
    an element of the square's symmetry group remains a flow only if the forcing f keeps that
    symmetry about the centre, with :math:`a = 2 \pi x_1` and :math:`b = 2 \pi x_2`:

    - "none": all symmetries, translations included.
    - "pinwheel": :math:`s\,(\sin a \sin 2 b - \sin 2 a \sin b)`, quarter turns and reflections.
      It is the default, because every group of the square is then one of the equation.
    - "cosines": :math:`s\,(\cos a + \cos b)`, quarter turns; reflections do not change its sign.
    - "diagonal": :math:`s\,(\sin(a + b) + \cos(a + b))`, the forcing of FNO (with s = 0.1). It
      breaks the quarter turns: a network that is equivariant under them cannot be right there.

    Attributes:
        viscosity: The :math:`\nu`, 0 or more.
        forcing: One of the above.
        strength: The s.

    Raises:
        ValueError: If the forcing is unknown or a number is out of range.

    References:
        Li et al., FNO, arXiv:2010.08895 (2020); Helwig et al., G-FNO, arXiv:2306.05697 (2023).
    """

    viscosity: float = 1e-4
    forcing: Forcing = "pinwheel"
    strength: float = 0.1

    def __post_init__(self) -> None:
        if self.forcing not in get_args(Forcing):
            raise ValueError(f"forcing: got {self.forcing!r}, expected one of {get_args(Forcing)}")
        for name in ("viscosity", "strength"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")

    def force(self, size: int, dtype: DTypeLike = jnp.float32) -> Float[Array, "size size"]:
        """The forcing at the cells.

        >>> bool(jnp.all(NavierStokes(forcing="none").force(4) == 0))
        True
        """
        return jnp.asarray(self.strength * _pattern(self.forcing, size), dtype)

    def tendency(self, vorticity: Field) -> Field:
        """The rate of change, of the modes below a third of the size.

        Raises:
            ValueError: If the field is not square.
        """
        size = square_size(vorticity)
        decay = self.viscosity * (wavenumbers(size) ** 2).sum(0)

        def one(w: Array) -> Array:
            modes = low_pass(to_modes(w))
            linear = jnp.asarray(decay, modes.dtype) * modes
            return to_field(self._rate(modes) - linear, size)

        return _each(one, vorticity)

    def _rate(self, modes: Modes) -> Modes:
        """Advection and forcing of one field: four transforms.

        Advection is the curl of the divergence of the products of the velocities.
        """
        size = modes.shape[0]
        k = jnp.asarray(wavenumbers(size), modes.dtype)
        u = to_field(_velocity(modes), size)
        products = jnp.stack([u[0] * u[1], (u[1] - u[0]) * (u[1] + u[0])])
        cross, difference = to_modes(products)
        advection = (k[1] * k[1] - k[0] * k[0]) * cross - k[0] * k[1] * difference
        force = np.fft.rfft2(self.strength * _pattern(self.forcing, size), norm="forward")
        return low_pass(jnp.asarray(force, modes.dtype) - advection)


@functools.lru_cache
def _pattern(forcing: Forcing, size: int) -> Float[np.ndarray, "size size"]:
    """The forcing of strength 1."""
    angle = 2 * np.pi * (np.arange(size) + 0.5) / size
    a, b = np.meshgrid(angle, angle, indexing="ij")
    fields = {
        "none": np.zeros_like(a),
        "pinwheel": np.sin(a) * np.sin(2 * b) - np.sin(2 * a) * np.sin(b),
        "cosines": np.cos(a) + np.cos(b),
        "diagonal": np.sin(a + b) + np.cos(a + b),
    }
    return read_only(fields[forcing])


def velocity(vorticity: Field) -> Float[Array, "... 2 size size"]:
    """The velocity of a vorticity: component i along axis i of the grid.

    Raises:
        ValueError: If the field is not square.
    """
    size = square_size(vorticity)
    return _each(lambda w: to_field(_velocity(to_modes(w)), size), vorticity)


def energy(vorticity: Field) -> Float[Array, "..."]:
    r"""The mean of :math:`|u|^2 / 2`, ``[...]``."""
    return 0.5 * jnp.mean(jnp.sum(velocity(vorticity) ** 2, axis=-3), axis=(-2, -1))


def enstrophy(vorticity: Field) -> Float[Array, "..."]:
    r"""The mean of :math:`w^2 / 2`, ``[...]``; energy decays at the rate of :math:`2 \nu` it."""
    return 0.5 * jnp.mean(vorticity**2, axis=(-2, -1))


def palinstrophy(vorticity: Field) -> Float[Array, "..."]:
    r"""The mean of :math:`|\nabla w|^2 / 2`, ``[...]``, to enstrophy what that is to energy."""
    size = square_size(vorticity)

    def gradient(w: Array) -> Array:
        modes = to_modes(w)
        return to_field(jnp.asarray(1j * wavenumbers(size), modes.dtype) * modes[None], size)

    return 0.5 * jnp.mean(jnp.sum(_each(gradient, vorticity) ** 2, axis=-3), axis=(-2, -1))


def random_vorticity(
    key: Key,
    count: int,
    size: int,
    *,
    factor: float = 1.0,
    max_mode: int = 20,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "count size size"]:
    r"""Initial vorticity as for FNO, :math:`N(0, 7^{3/2} (-\Delta + 49)^{-5/2})`, times a factor.

    Args:
        key: A random key; it gives the same field at every size.
        count: How many fields.
        size: Cells along an axis.
        factor: What they are multiplied by: with 1 an eddy takes more than a hundred units of time
            to turn.
        max_mode: Modes up to this index.
        dtype: Type of the result.

    Raises:
        ValueError: As for ``random_field``.

    References:
        Li et al., arXiv:2010.08895 (2020), section 5.3.

    >>> random_vorticity(jax.random.key(0), 2, 48).shape
    (2, 48, 48)
    """
    return factor * random_field(key, count, size, max_mode=max_mode, dtype=dtype)


def simulate(
    system: NavierStokes, vorticity: Field, frames: int, *, every: int, time_step: float
) -> Float[Array, "frames ... size size"]:
    """Vorticity at later times, of all fields at once.

    Pseudo-spectral, without aliases: the flow is made of the modes below a third of the size, the
    others of the start are dropped. Diffusion is exact, the rest of fourth order in the time step.
    It is stable for steps up to about 0.9 over the size and the largest velocity.

    Args:
        system: The equation.
        vorticity: The start, ``[..., size, size]``; its type is that of the computation.
        frames: Number of recorded frames.
        every: Steps between them; the first is that many steps after the start.
        time_step: Length of a step.

    Raises:
        ValueError: If the field is not square or a number is out of range.

    >>> w = random_vorticity(jax.random.key(0), 2, 16, max_mode=4)
    >>> simulate(NavierStokes(), w, 3, every=2, time_step=0.01).shape
    (3, 2, 16, 16)
    """
    square_size(vorticity)
    check_steps(frames, every, time_step)
    return _trajectory(system, vorticity, frames, every, time_step)


@functools.partial(jax.jit, static_argnums=(0, 2, 3, 4))
def _trajectory(
    system: NavierStokes, vorticity: Array, frames: int, every: int, time_step: float
) -> Array:
    size = vorticity.shape[-1]
    decay = system.viscosity * (wavenumbers(size) ** 2).sum(0)

    def one(w: Array) -> Array:
        start = low_pass(to_modes(w))
        return to_field(march(start, system._rate, decay, frames, every, time_step), size)

    return jnp.moveaxis(_each(one, vorticity), -3, 0)


def _velocity(modes: Modes) -> Modes:
    """The modes of both components, of one field."""
    size = modes.shape[0]
    k, inverse = wavenumbers(size), inverse_laplacian(size)
    table = np.stack([-1j * k[1] * inverse, 1j * k[0] * inverse])
    return jnp.asarray(table, modes.dtype) * modes[None]


def _each(function: Callable[[Array], Array], fields: Array) -> Array:
    """A function of one field, for all."""
    flat = fields.reshape(-1, *fields.shape[-2:])
    found = jax.vmap(function)(flat)
    return found.reshape(*fields.shape[:-2], *found.shape[1:])
