"""Nonlinearities that commute with a group: gate and norm."""

import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.linalg import safe_norm
from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.reps import Irreps, Rep, RepLike, Scalar, as_rep
from equinet.reps._terms import is_invariant, split_terms, terms

Activation = Callable[[Array], Array]


@functools.cache
def second_moment(activation: Activation) -> float:
    """Mean of ``activation(z)**2`` over a standard normal z, by Gauss-Hermite quadrature.

    >>> round(second_moment(jax.nn.relu), 3)
    0.5
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    with jax.ensure_compile_time_eval():
        values = np.asarray(jax.jit(activation)(nodes.astype(np.float32)), np.float64)
    return float(np.sum(weights * values**2) / np.sum(weights))


@dataclasses.dataclass(frozen=True)
class ScaledActivation:
    """A function of numbers times a constant, which can be compared, hashed and pickled.

    Two that are equal share one compilation. The function is pickled by its name.

    Attributes:
        function: The function that is applied to every entry.
        factor: The constant that multiplies the result.
    """

    function: Activation
    factor: float = 1.0

    def __call__(self, x: Array) -> Array:
        """Apply the function to every entry and multiply by the factor."""
        return self.function(x) if self.factor == 1 else self.factor * self.function(x)

    def __reduce__(self) -> tuple[Any, ...]:
        module = getattr(self.function, "__module__", None) or ""
        name = getattr(self.function, "__qualname__", "")
        if getattr(sys.modules.get(module), name, None) is self.function:
            return _scaled, (module, name, self.factor)
        return type(self), (self.function, self.factor)


def _scaled(module: str, name: str, factor: float) -> ScaledActivation:
    return ScaledActivation(getattr(importlib.import_module(module), name), factor)


@functools.cache
def normalized(activation: Activation) -> ScaledActivation:
    """The activation, scaled so that a standard normal input gives mean square one.

    >>> round(float(normalized(jax.nn.relu)(jnp.float32(1.0))), 3)
    1.414
    """
    return ScaledActivation(activation, second_moment(activation) ** -0.5)


def is_odd(activation: Activation) -> bool:
    """Whether ``activation(-z) = -activation(z)``, tested at 13 numbers from 0 to 3.

    >>> is_odd(jnp.tanh), is_odd(jax.nn.silu)
    (True, False)
    """
    with jax.ensure_compile_time_eval():
        z = jnp.linspace(0, 3, 13, dtype=jnp.float32)
        return bool(np.allclose(activation(z), -activation(-z), atol=1e-6))


class Gate(Module):
    r"""Apply an activation to invariants and permuted entries; multiply all other terms by gates.

    The input is ``rep_out`` preceded by one invariant, the gate, for each term of ``rep_out`` that
    is neither an invariant nor a permutation representation:

    .. math:: y^{0e} = \sigma(x^{0e}), \quad y^{0o} = \tau(x^{0o}), \quad
              y^{perm}_i = \sigma(x^{perm}_i), \quad y^{r} = \gamma(g)\, x^{r}

    The function :math:`\tau` must be odd, such as tanh, because 0o changes its sign under
    inversion. Every copy of an irrep or of a summand is a separate term with a separate gate.

    Args:
        rep_out: Representation of the output; a string is read as irreps of O(3).
        activation: The :math:`\sigma` of invariants and of entries that the group permutes.
        gate: The :math:`\gamma` of the gates.
        odd_activation: The :math:`\tau` of irreps 0o, an odd function.
        rngs: Not used, because the layer has no parameters; accepted as by every layer.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`; only ``dtype`` has an effect here.

    Raises:
        ValueError: If the activation of irreps 0o is not odd.

    References:
        Weiler et al., arXiv:1807.02547 (2018); for any group: Finzi et al., arXiv:2104.09459
        (2021).

    >>> gate = Gate(Irreps("0e+1o"))
    >>> print(gate.rep_in)
    2x0e+1o
    >>> gate(jnp.ones((2, 5, 8))).shape
    (2, 4, 8)
    """

    def __init__(
        self,
        rep_out: RepLike,
        *,
        activation: Activation = jax.nn.silu,
        gate: Activation = jax.nn.sigmoid,
        odd_activation: Activation = jnp.tanh,
        rngs: nnx.Rngs | None = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.rep_out = as_rep(rep_out)
        group = self.rep_out.group
        kinds = [_kind(term.rep) for term in terms(self.rep_out)]
        if "odd" in kinds and not is_odd(odd_activation):
            raise ValueError(
                f"{self.rep_out} holds 0o, which changes its sign under inversion: odd_activation "
                f"must be odd, such as jnp.tanh, got {odd_activation}"
            )
        self.num_gates = kinds.count("gated")
        scalar = Irreps("0e", group=group) if isinstance(self.rep_out, Irreps) else Scalar(group)
        self.rep_in = self.num_gates * scalar + self.rep_out
        self.activation, self.gate = normalized(activation), normalized(gate)
        self.odd_activation = normalized(odd_activation)

    def __call__(self, x: Float[Array, "... dim_in channels"]) -> Float[Array, "... dim channels"]:
        """Apply the gates.

        Args:
            x: Feature of ``rep_in``, ``[..., rep_in.dim, channels]``.

        Returns:
            Feature of ``rep_out``, ``[..., rep_out.dim, channels]``.

        Raises:
            ValueError: If the shape does not fit.
        """
        check_feature(x, self.rep_in)
        (x,) = self.cast(x)
        values = split_terms(self.rep_in, x)
        gates, rows = iter(values[: self.num_gates]), []
        for term, value in zip(terms(self.rep_out), values[self.num_gates :], strict=True):
            kind = _kind(term.rep)
            if kind == "gated":
                value = value * self.gate(next(gates))
            else:
                value = (self.activation if kind == "pointwise" else self.odd_activation)(value)
            rows.append(value)
        return jnp.concatenate(rows, axis=-2)


@functools.cache
def _kind(rep: Rep) -> str:
    """Which nonlinearity is applied to a term: "pointwise", "odd" or "gated"."""
    if rep.is_permutation or is_invariant(rep):
        return "pointwise"
    return "odd" if rep.dim == 1 and isinstance(rep, Irreps) else "gated"


class NormActivation(Module):
    r"""Multiply every term by an activation of its length.

    .. math:: y_c = \sigma(|x_c|)\, x_c

    for each term of the representation and each channel c, with the Euclidean length.

    Args:
        rep: Orthogonal representation of input and output; a string is read as irreps of O(3).
        activation: The :math:`\sigma`, a function of the length; the default is the sigmoid.
        rngs: Not used, because the layer has no parameters; accepted as by every layer.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`; only ``dtype`` has an effect here.

    Raises:
        ValueError: If the representation is not orthogonal, so that lengths are not invariant.

    References:
        Thomas et al., arXiv:1802.08219 (2018).

    >>> NormActivation(Irreps("0e+1o"))(jnp.zeros((4, 2))).tolist()[0]
    [0.0, 0.0]
    """

    def __init__(
        self,
        rep: RepLike,
        *,
        activation: Activation = jax.nn.sigmoid,
        rngs: nnx.Rngs | None = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.rep, self.activation = as_rep(rep), ScaledActivation(activation)
        if not self.rep.is_orthogonal:
            raise ValueError(f"lengths are not invariant under {self.rep.group}: use a Gate")

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Scale every term.

        Args:
            x: Feature, ``[..., rep.dim, channels]``.

        Returns:
            Feature of the same shape.

        Raises:
            ValueError: If the shape does not fit.
        """
        check_feature(x, self.rep)
        (x,) = self.cast(x)
        rows = []
        for term in terms(self.rep):
            value = x[..., term.slice, :]
            length = safe_norm(value, axis=-2, keepdims=True)
            rows.append(value * self.activation(length))
        return jnp.concatenate(rows, axis=-2)
