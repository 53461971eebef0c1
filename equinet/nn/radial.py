"""Learned radial functions."""

from collections.abc import Callable, Sequence
from typing import Unpack

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.nn.mlp import MLP
from equinet.nn.module import Module, ModuleOptions
from equinet.ops.graphs import (
    bessel_basis,
    chebyshev_basis,
    chebyshev_interpolation,
    gaussian_basis,
    polynomial_envelope,
)
from equinet.precision import HIGHEST

_BASES: dict[str, Callable[..., Array]] = {"bessel": bessel_basis, "gaussian": gaussian_basis}


class RadialNetwork(Module):
    r"""Radial functions :math:`\phi_k(r) = u(r) \sum_n T_n(x)\, c_{nk}`, zero from the cutoff on.

    :math:`T_n` are Chebyshev polynomials in :math:`x = 2 r / r_c - 1` and u is the envelope. The
    coefficients are not free: they interpolate a perceptron on a radial basis, ``MLP(b(r))_k``, at
    the Chebyshev nodes. So the perceptron runs on ``degree`` nodes instead of on every edge, and an
    edge costs one row of a small matrix product; the functions are polynomials, smooth to every
    order.

    Args:
        cutoff: Where every function and its first two derivatives vanish.
        num_out: Number of functions.
        basis: What the perceptron sees: ``"bessel"`` or ``"gaussian"``.
        num_basis: Functions of the basis.
        hidden: Widths of the hidden layers of the perceptron.
        degree: Number of Chebyshev polynomials.
        envelope_order: Order p of the polynomial envelope.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If the basis is unknown or ``degree`` is less than 2.

    >>> radial = RadialNetwork(5.0, 16, rngs=nnx.Rngs(0))
    >>> radial(jnp.array([1.0, 6.0])).shape, float(radial(jnp.array([6.0])).max())
    ((2, 16), 0.0)
    """

    def __init__(
        self,
        cutoff: float,
        num_out: int,
        *,
        basis: str = "bessel",
        num_basis: int = 8,
        hidden: Sequence[int] = (64, 64),
        degree: int = 16,
        envelope_order: int = 6,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if basis not in _BASES:
            raise ValueError(f"unknown radial basis {basis!r}, expected one of {sorted(_BASES)}")
        if degree < 2:
            raise ValueError(f"degree must be at least 2, got {degree}")
        self.cutoff, self.basis, self.num_basis, self.degree = cutoff, basis, num_basis, degree
        self.envelope_order = envelope_order
        self.mlp = MLP((num_basis, *hidden, num_out), rngs=rngs, **options)

    def __call__(self, distances: Float[Array, "..."]) -> Float[Array, "... num_out"]:
        """Evaluate at ``distances``, in the unit of the cutoff."""
        envelope = polynomial_envelope(distances, self.cutoff, self.envelope_order)
        inside = jnp.where(distances < self.cutoff, distances, self.cutoff)
        basis = chebyshev_basis(inside, self.cutoff, self.degree) * envelope[..., None]
        dtype = self.dtype or distances.dtype
        return jnp.matmul(
            basis.astype(dtype), self.coefficients(distances.dtype), precision=HIGHEST
        )

    def coefficients(self, dtype: DTypeLike) -> Float[Array, "degree num_out"]:
        """Chebyshev coefficients of the perceptron's functions."""
        nodes, transform = chebyshev_interpolation(self.degree)
        distances = jnp.asarray(nodes * self.cutoff, dtype)
        values = _BASES[self.basis](distances, self.cutoff, self.num_basis)
        if self.basis == "bessel":
            # sin(n pi r / r_c) / (r / r_c), times sqrt(2)/2: of order one inside the cutoff.
            values = values * (self.cutoff**1.5 / 2)
        functions = self.mlp(values)
        return jnp.matmul(jnp.asarray(transform, functions.dtype), functions, precision=HIGHEST)
