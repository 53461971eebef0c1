"""The equivariant multilayer perceptron: a network for any group and any representation."""

import functools
from collections.abc import Callable, Iterable
from typing import Unpack

import jax
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.nn import Bilinear, Dense, Gate, Linear, Module, ModuleOptions
from equinet.nn.linear import invariants
from equinet.ops.products import ContractionPath, ContractionProduct
from equinet.reps import Rep, Scalar, Vector, as_rep, equivariant_basis
from equinet.reps._terms import terms

_SCALE = 0.1
"""Factor of the bilinear part: without it a deep network is a polynomial with heavy tails."""

_LINEARS: dict[str, Callable[..., Linear | Dense]] = {
    "equivariant": Linear,
    "dense": functools.partial(Dense, equivariant=True),
}


class EMLP(Module):
    r"""Equivariant multilayer perceptron: gated linear and bilinear layers, then a linear layer.

    .. math:: u = L x, \quad v = L' x, \quad h = \gamma(u + \tfrac{1}{10} B(u, v))

    L and L' are equivariant linear maps with biases, B is the bilinear layer of all contractions
    and :math:`\gamma` the gate. Any group works whose equivariant linear maps are known.

    Args:
        rep_in: Rep of the input.
        rep_out: Rep of the output, of the same group.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        channels: Channels of the hidden features.
        num_layers: Number of hidden layers.
        rep_hidden: Rep of the hidden features; None: ``default_hidden(group)``.
        bilinear: Whether there are bilinear layers; without them vectors never become scalars.
        linear: ``"equivariant"``, or ``"dense"`` for layers that only start equivariant and whose
            deviation from it is to be penalised.
        activation: Nonlinearity of invariants and of representations that permute their entries.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If the groups differ, a number is less than one, or a layer would be zero.

    References:
        Finzi, Welling and Wilson, A Practical Method for Constructing Equivariant Multilayer
        Perceptrons for Arbitrary Matrix Groups, arXiv:2104.09459 (2021), section 7.

    >>> import jax.numpy as jnp
    >>> from equinet.groups import O
    >>> V = Vector(O(3))
    >>> model = EMLP(V, V**2, 2, 1, channels=4, num_layers=1, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((5, 3, 2))).shape
    (5, 9, 1)
    """

    def __init__(
        self,
        rep_in: Rep | str,
        rep_out: Rep | str,
        channels_in: int,
        channels_out: int,
        *,
        channels: int = 32,
        num_layers: int = 3,
        rep_hidden: Rep | None = None,
        bilinear: bool = True,
        linear: str = "equivariant",
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        self.rep_in, self.rep_out = as_rep(rep_in), as_rep(rep_out)
        if linear not in _LINEARS:
            raise ValueError(f"unknown linear {linear!r}, expected one of {sorted(_LINEARS)}")
        if min(channels_in, channels_out, channels, num_layers) < 1:
            raise ValueError(
                "channels and num_layers must be at least 1, got "
                f"{(channels_in, channels_out, channels, num_layers)}"
            )
        hidden = default_hidden(self.rep_in.group) if rep_hidden is None else as_rep(rep_hidden)
        self.rep_hidden = hidden
        rep, width = self.rep_in, channels_in
        self.layers = nnx.List([])
        for _ in range(num_layers):
            self.layers.append(
                GatedLayer(
                    *(rep, hidden, width, channels),
                    bilinear=bilinear,
                    linear=linear,
                    activation=activation,
                    rngs=rngs,
                    **options,
                )
            )
            rep, width = hidden, channels
        if linear == "equivariant":
            _check_reaches(self.rep_in, self.rep_out, self.layers)
        self.readout = _LINEARS[linear](
            rep, self.rep_out, width, channels_out, use_bias=True, rngs=rngs, **options
        )

    def __call__(
        self, x: Float[Array, "... dim_in channels_in"]
    ) -> Float[Array, "... dim_out channels_out"]:
        """Apply the network to ``x``, ``[..., rep_in.dim, channels_in]``."""
        for layer in self.layers:
            x = layer(x)
        return self.readout(x)


class GatedLayer(Module):
    """One hidden layer of an ``EMLP``, with the same arguments.

    >>> import jax.numpy as jnp
    >>> GatedLayer("0e+1o", "0e+1o", 2, 4, bilinear=False, rngs=nnx.Rngs(0))(jnp.ones((4, 2))).shape
    (4, 4)
    """

    def __init__(
        self,
        rep_in: Rep | str,
        rep_out: Rep | str,
        channels_in: int,
        channels_out: int,
        *,
        bilinear: bool = True,
        linear: str = "equivariant",
        activation: Callable[[Array], Array] = jax.nn.silu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        rep_in, rep_out = as_rep(rep_in), as_rep(rep_out)
        self.gate = Gate(rep_out, activation=activation, rngs=rngs, **options)
        gated, sizes = self.gate.rep_in, (channels_in, channels_out)
        layer = functools.partial(_LINEARS[linear], use_bias=True, rngs=rngs, **options)
        self.linear = layer(rep_in, gated, *sizes)
        self.partner = layer(rep_in, rep_out, *sizes) if bilinear else None
        self.bilinear = (
            Bilinear(rep_out, rep_out, gated, channels_out, rngs=rngs, **options)
            if bilinear
            else None
        )

    def __call__(
        self, x: Float[Array, "... dim_in channels_in"]
    ) -> Float[Array, "... dim_out channels_out"]:
        """Apply the layer to ``x``, ``[..., rep_in.dim, channels_in]``."""
        y = self.linear(x)
        if self.partner is not None and self.bilinear is not None:
            y = y + _SCALE * self.bilinear(y[..., self.gate.num_gates :, :], self.partner(x))
        return self.gate(y)


def _reached(active: set[int], rep_in: Rep, rep_out: Rep) -> set[int]:
    """Indices of the terms of ``rep_out`` that a linear map with bias from active terms fills."""
    sources = [terms(rep_in)[index].rep for index in active]
    return {
        index
        for index, term in enumerate(terms(rep_out))
        if invariants(term.rep).dim
        or any(equivariant_basis(source, term.rep).dim for source in sources)
    }


def _check_reaches(rep_in: Rep, rep_out: Rep, layers: Iterable["GatedLayer"]) -> None:
    """Refuse a network whose output is zero whatever the input and the weights are."""
    rep, active = rep_in, set(range(len(terms(rep_in))))
    for layer in layers:
        gated, count = layer.gate.rep_in, layer.gate.num_gates
        linear = _reached(active, rep, gated)
        values = {index - count for index in linear if index >= count}
        if layer.bilinear is not None:
            partner = _reached(active, rep, layer.gate.rep_out)
            for path in getattr(layer.bilinear.product, "paths", ()):
                if isinstance(path, ContractionPath) and path.first in values:
                    linear |= {path.result} if path.second in partner else set()
            if not isinstance(layer.bilinear.product, ContractionProduct):
                return  # irreps and numerical bases: all pairs are coupled
        rep, active = layer.gate.rep_out, {index - count for index in linear if index >= count}
    if not _reached(active, rep, rep_out):
        raise ValueError(
            f"the output {rep_out} would be zero for every input {rep_in}: no linear map and no "
            f"contraction leads from the input over the hidden representation {rep} to it; choose "
            "a rep_hidden with tensor products from which the output can be reached, or more layers"
        )


def default_hidden(group: Group) -> Rep:
    """Scalars, vectors, dual vectors and matrices: closed under products and contractions.

    >>> from equinet.groups import O, Sp
    >>> default_hidden(O(3)).dim, default_hidden(Sp(4)).dim
    (13, 25)
    """
    vector = Vector(group)
    duals = () if vector.dual == vector else (vector.dual,)
    return sum((vector, *duals, vector * vector.dual), Scalar(group))
