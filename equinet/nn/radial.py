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
    r"""Learned radial functions that vanish at and beyond the cutoff.

    .. math:: \phi_k(r) = u(r) \sum_n T_n(x)\, c_{nk}, \qquad x = 2 r / r_c - 1

    :math:`T_n` are Chebyshev polynomials and u is the polynomial envelope. The coefficients are not
    free parameters: they interpolate a perceptron on a radial basis, ``MLP(b(r))_k``, at the
    Chebyshev points. So the perceptron is evaluated at ``degree`` points instead of on every edge,
    and an edge costs one row of a small matrix product. The sum is a polynomial in r.

    Args:
        cutoff: Distance :math:`r_c` where every function and its first two derivatives vanish, in
            the unit of the distances, for potentials angstrom.
        num_out: Number of functions.
        basis: Radial basis b of the perceptron: ``"bessel"`` or ``"gaussian"``.
        num_basis: Number of functions of the basis.
        hidden: Widths of the hidden layers of the perceptron.
        degree: Number of Chebyshev polynomials.
        envelope_order: Order p of the polynomial envelope.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the basis is unknown or ``degree`` is less than 2.

    References:
        Bessel basis and envelope: Gasteiger et al., arXiv:2003.03123 (2020).

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
        """Evaluate the functions at ``distances``, in the unit of the cutoff."""
        envelope = polynomial_envelope(distances, self.cutoff, self.envelope_order)
        inside = jnp.where(distances < self.cutoff, distances, self.cutoff)
        basis = chebyshev_basis(inside, self.cutoff, self.degree) * envelope[..., None]
        dtype = self.dtype or distances.dtype
        return jnp.matmul(
            basis.astype(dtype), self.coefficients(distances.dtype), precision=HIGHEST
        )

    def coefficients(self, dtype: DTypeLike) -> Float[Array, "degree num_out"]:
        """Chebyshev coefficients ``c`` of the functions, ``[degree, num_out]``."""
        nodes, transform = chebyshev_interpolation(self.degree)
        distances = jnp.asarray(nodes * self.cutoff, dtype)
        values = _BASES[self.basis](distances, self.cutoff, self.num_basis)
        if self.basis == "bessel":
            # sin(n pi r / r_c) / (r / r_c), times sqrt(2)/2: of order one inside the cutoff.
            values = values * (self.cutoff**1.5 / 2)
        functions = self.mlp(values)
        return jnp.matmul(jnp.asarray(transform, functions.dtype), functions, precision=HIGHEST)
