"""Nonlinearities that commute with rotations: gate and norm."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.ops.clebsch_gordan import blocks
from equinet.ops.safe import safe_norm
from equinet.reps import Irreps

Activation = Callable[[Array], Array]


@functools.cache
def second_moment(activation: Activation) -> float:
    """Mean of ``activation(z)**2`` for a standard normal z, by Gauss-Hermite quadrature.

    >>> round(second_moment(jax.nn.relu), 3)
    0.5
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    with jax.ensure_compile_time_eval():
        values = np.asarray(activation(jnp.asarray(nodes, jnp.float32)), np.float64)
    return float(np.sum(weights * values**2) / np.sum(weights))


@functools.cache
def normalized(activation: Activation) -> Activation:
    """The activation, scaled so that a standard normal input gives mean square one.

    Cached, so that two models of one architecture hold the same function and compile once.

    >>> round(float(normalized(jax.nn.relu)(jnp.float32(1.0))), 3)
    1.414
    """
    scale = second_moment(activation) ** -0.5
    return lambda x: scale * activation(x)


class Gate(nnx.Module):
    r"""Scalars through an activation, every other irrep times an activated scalar.

    The input holds ``rep_out`` preceded by one gate scalar (0e) for each block of ``rep_out`` that
    is not a scalar:

    .. math:: y^{0e} = \sigma(x^{0e}), \quad y^{0o} = \tau(x^{0o}), \quad
              y^{l} = \gamma(g)\, x^{l}

    :math:`\tau` must be odd for 0o to change sign under inversion: tanh.

    Args:
        rep_out: Irreps of the output.
        activation: For even scalars.
        gate: For the gates.
        odd_activation: For odd scalars; an odd function.

    References:
        Weiler et al., arXiv:1807.02547 (2018), section 4.3.

    >>> gate = Gate(Irreps("0e+1o"))
    >>> print(gate.rep_in)
    2x0e+1o
    >>> gate(jnp.ones((2, 5, 8))).shape
    (2, 4, 8)
    """

    def __init__(
        self,
        rep_out: Irreps,
        *,
        activation: Activation = jax.nn.silu,
        gate: Activation = jax.nn.sigmoid,
        odd_activation: Activation = jnp.tanh,
    ) -> None:
        self.rep_out = Irreps(rep_out)
        self.num_gates = sum(block.l > 0 for block in blocks(self.rep_out))
        gates = [(1, (0, 1))] * self.num_gates
        self.rep_in = Irreps([*gates, *self.rep_out], group=self.rep_out.group)
        self.activation, self.gate = normalized(activation), normalized(gate)
        self.odd_activation = normalized(odd_activation)

    def __call__(self, x: Float[Array, "... dim_in channels"]) -> Float[Array, "... dim channels"]:
        """Apply the gates; ``x`` is ``[..., rep_in.dim, channels]``."""
        gates, x = self.gate(x[..., : self.num_gates, :]), x[..., self.num_gates :, :]
        rows, gated = [], 0
        for block in blocks(self.rep_out):
            value = x[..., block.slice, :]
            if block.l > 0:
                value = value * gates[..., gated : gated + 1, :]
                gated += 1
            else:
                value = (self.activation if block.p == 1 else self.odd_activation)(value)
            rows.append(value)
        return jnp.concatenate(rows, axis=-2)


class NormActivation(nnx.Module):
    r"""Every irrep scaled by an activation of its own length, :math:`y = \sigma(|x|)\, x`.

    Args:
        rep: Irreps of input and output.
        activation: Of the length; the default keeps the direction and saturates smoothly.

    >>> NormActivation(Irreps("0e+1o"))(jnp.zeros((4, 2))).tolist()[0]
    [0.0, 0.0]
    """

    def __init__(self, rep: Irreps, *, activation: Activation = jax.nn.sigmoid) -> None:
        self.rep, self.activation = Irreps(rep), activation

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Scale each block of ``x``, ``[..., rep.dim, channels]``."""
        rows = []
        for block in blocks(self.rep):
            value = x[..., block.slice, :]
            length = safe_norm(value, axis=-2, keepdims=True)
            rows.append(value * self.activation(length))
        return jnp.concatenate(rows, axis=-2)
