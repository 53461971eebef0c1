"""Dense layers between typed features, and a penalty on what breaks a symmetry in them."""

import math
from collections.abc import Iterator, Sequence
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.nn.linear import invariants
from equinet.nn.module import Module, ModuleOptions, Parameters, check_feature
from equinet.random import normal
from equinet.reps import Rep, RepLike, as_rep, equivariant_basis, restrict


class Dense(Module):
    r"""An unconstrained linear layer between features whose reps are known.

    .. math:: y_{o d} = b_{o d} + \sum_{i c} W_{o i c d}\, x_{i c}, \quad
              W = \mathrm{kernel} / \sqrt{C}

    The reps say what equivariance of the layer would mean; ``equivariance_penalty`` measures how
    far its weights are from it. They start as normal numbers, or equivariant, so that the output
    has the variance of the input, and one learning rate suits them and those of ``Linear``.

    Args:
        rep_in: Representation of the input; a string is read as irreps of O(3).
        rep_out: Representation of the output.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        use_bias: Whether there is a bias.
        equivariant: Whether to start from random equivariant weights, which keep the variance too.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the reps are of two groups.

    >>> Dense("0e+1o", "1o", 8, 4, rngs=nnx.Rngs(0))(jnp.ones((5, 4, 8))).shape
    (5, 3, 4)
    """

    def __init__(
        self,
        rep_in: RepLike,
        rep_out: RepLike,
        channels_in: int,
        channels_out: int,
        *,
        use_bias: bool = False,
        equivariant: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.rep_in, self.rep_out = as_rep(rep_in), as_rep(rep_out)
        if self.rep_in.group != self.rep_out.group:
            raise ValueError(
                f"the reps must be of one group, got {self.rep_in.group} and {self.rep_out.group}"
            )
        self.channels_in, self.channels_out = channels_in, channels_out
        shape = (self.rep_out.dim, self.rep_in.dim, channels_in, channels_out)
        if equivariant:
            kernel = self._equivariant_kernel(parameters)
            self.kernel = nnx.Param(kernel, **parameters.metadata("kernel", shape))
        else:
            self.kernel = parameters.kernel(shape, scale=1 / math.sqrt(self.rep_in.dim))
        shape = (self.rep_out.dim, channels_out)
        self.bias = parameters.bias(shape) if use_bias else None

    def _equivariant_kernel(self, parameters: Parameters) -> Array:
        basis = equivariant_basis(self.rep_in, self.rep_out)
        shape = (basis.dim, self.channels_in, self.channels_out)
        kernel = parameters.values("kernel", shape, normal)
        scales = jnp.asarray(basis.scales, kernel.dtype)
        size = self.rep_in.dim * self.channels_in
        units = jnp.eye(size, dtype=kernel.dtype).reshape(size, self.rep_in.dim, self.channels_in)
        images = basis.apply(units, kernel * scales[:, None, None])
        images = images.reshape(self.rep_in.dim, self.channels_in, *images.shape[1:])
        return images.transpose(2, 0, 1, 3)

    @property
    def weights(self) -> Float[Array, "dim_out dim_in channels_in channels_out"]:
        """The W of the formula."""
        return self.kernel[...] / math.sqrt(self.channels_in)

    def __call__(
        self, x: Float[Array, "... dim_in channels_in"]
    ) -> Float[Array, "... dim_out channels_out"]:
        """Apply the layer to ``x``, ``[..., rep_in.dim, channels_in]``.

        Raises:
            ValueError: If the shape does not fit.
        """
        check_feature(x, self.rep_in, self.channels_in)
        x, weights = self.cast(x, self.weights)
        y = jnp.einsum("...ic,oicd->...od", x, weights, precision=self.precision)
        if self.bias is None:
            return y
        _, bias = self.cast(x, self.bias)
        return y + bias.reshape((1,) * (y.ndim - 2) + bias.shape)


def deviation(
    weights: Float[Array, "dim_out dim_in ..."], rep_in: Rep, rep_out: Rep, group: Group
) -> Float[Array, ""]:
    r"""Half the squared distance :math:`\frac12 |W - P_G W|^2` of maps from the equivariant ones.

    P is the orthogonal projection, taken without its matrix; the gradient is :math:`W - P_G W`.

    Args:
        weights: Maps, ``[rep_out.dim, rep_in.dim, ...]``.
        rep_in: Representation of the input of a group.
        rep_out: Representation of the output of that group.
        group: That group or a subgroup.

    >>> from equinet.groups import O
    >>> from equinet.reps import Vector
    >>> V = Vector(O(3))
    >>> float(deviation(jnp.eye(3), V, V, O(3))), float(deviation(jnp.ones((3, 3)), V, V, O(3)))
    (0.0, 3.0)
    """
    basis = equivariant_basis(restrict(rep_in, group), restrict(rep_out, group))
    return jnp.sum((weights - basis.project(weights)) ** 2) / 2


def equivariance_penalty(module: nnx.Module, groups: Sequence[Group]) -> Float[Array, "num_groups"]:
    r"""How far the ``Dense`` layers of a module are from being equivariant, for each group.

    .. math:: R_G = \sum_{layers} \frac12 |W - P_G W|^2 + \frac12 |b - P_G b|^2

    Zero exactly where every layer commutes with the group. No group element is drawn: the weights
    themselves are measured.

    Args:
        module: A module with ``Dense`` layers somewhere inside.
        groups: The group of the layers' reps, or subgroups of it.

    Raises:
        ValueError: If there is no ``Dense`` layer.

    References:
        Kim, Lee, Yang and Lee, Regularizing towards soft equivariance under mixed symmetries,
        arXiv:2306.00356 (2023).

    >>> from equinet.groups import O, OnAxes
    >>> layer = Dense("0e+1o", "1o", 8, 4, rngs=nnx.Rngs(0))
    >>> penalty = equivariance_penalty(layer, [O(3), OnAxes(O(2), 3, (0, 1))])
    >>> bool(penalty[0] > penalty[1] > 0)  # the smaller the group, the less it asks for
    True
    """
    layers = list(_dense_layers(module))
    if not layers:
        raise ValueError(f"no Dense layer in {type(module).__name__}: nothing to penalise")
    rows = []
    for group in groups:
        total = jnp.zeros(())
        for layer in layers:
            total = total + deviation(layer.weights, layer.rep_in, layer.rep_out, group)
            if layer.bias is not None:
                bias = layer.bias[...]
                free = (
                    bias - invariants(restrict(layer.rep_out, group)).project(bias[:, None])[:, 0]
                )
                total = total + jnp.sum(free**2) / 2
        rows.append(total)
    return jnp.stack(rows)


class PenaltyState(nnx.Variable):
    """What the tuning of the penalties remembers: not trained, but kept in checkpoints."""


class SoftEquivariance(Module):
    r"""A weighted sum of penalties whose weights are tuned once, on the way.

    .. math:: \sum_G \lambda_G R_G, \quad
              \lambda_G \leftarrow \lambda_G \Big/ \Big( \frac{R_G^{min}}
              {\min_{G'} R_{G'}^{min}} \Big)^{power}

    The :math:`R_G^{min}` are the least penalties since ``warmup_steps``, and the minimum goes over
    the groups of positive weight. The weights change once, at call ``adjust_step``: a symmetry that
    the data resist gets a weaker penalty, so that the final weights tell how approximate it is.

    Args:
        groups: The symmetries.
        weights: First weights, one for each group; a symmetry of weight 0 is only measured.
        warmup_steps: Calls of ``__call__`` before the minimum starts.
        adjust_step: The call that adjusts the weights.
        power: How strongly.

    Raises:
        ValueError: If the counts differ, a weight is negative, all are zero, or the adjustment does
            not come after the warm-up.

    References:
        Kim, Lee, Yang and Lee, arXiv:2306.00356 (2023).

    >>> from equinet.groups import O, OnAxes
    >>> layer = Dense("1o", "1o", 8, 4, rngs=nnx.Rngs(0))
    >>> soft = SoftEquivariance((O(3), OnAxes(O(2), 3, (0, 1))), (0.0, 1.0))
    >>> total, each = soft(layer)
    >>> each.shape, soft.weights.shape
    ((2,), (2,))
    """

    def __init__(
        self,
        groups: Sequence[Group],
        weights: Sequence[float],
        *,
        warmup_steps: int = 0,
        adjust_step: int = 1000,
        power: float = 1.0,
    ) -> None:
        self.groups = tuple(groups)
        if len(weights) != len(self.groups) or min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                f"expected {len(self.groups)} weights >= 0, some of them > 0, got {tuple(weights)}"
            )
        if not 0 <= warmup_steps < adjust_step:
            raise ValueError(
                f"expected 0 <= warmup_steps < adjust_step, got {warmup_steps} and {adjust_step}"
            )
        self.warmup_steps, self.adjust_step, self.power = warmup_steps, adjust_step, power
        self.weights = PenaltyState(jnp.asarray(weights, jnp.float32))
        self.minimum = PenaltyState(jnp.full(len(self.groups), jnp.inf, jnp.float32))
        self.calls = PenaltyState(jnp.int32(0))

    def __call__(self, module: nnx.Module) -> tuple[Float[Array, ""], Float[Array, "num_groups"]]:
        """The weighted sum and every penalty; counts the call and tunes the weights.

        Args:
            module: A module with ``Dense`` layers somewhere inside.
        """
        penalties = equivariance_penalty(module, self.groups)
        self._tune(jax.lax.stop_gradient(penalties).astype(jnp.float32))
        weights = self.weights[...].astype(penalties.dtype)
        return jnp.sum(weights * penalties), penalties

    def _tune(self, penalties: Float[Array, "num_groups"]) -> None:
        calls, weights = self.calls[...] + 1, self.weights[...]
        # Entry by entry: a group's minimum must not be overwritten because another group improved.
        lower = jnp.minimum(self.minimum[...], penalties)
        minimum = jnp.where(calls > self.warmup_steps, lower, self.minimum[...])
        tiny = jnp.finfo(jnp.float32).tiny
        least = jnp.maximum(jnp.min(jnp.where(weights > 0, minimum, jnp.inf)), tiny)
        ratio = jnp.maximum(minimum, tiny) / least
        # A group that is only measured may stay below all others, or be infinitely far away.
        adjusted = jnp.where(weights > 0, weights / ratio**self.power, weights)
        self.calls[...], self.minimum[...] = calls, minimum
        self.weights[...] = jnp.where(calls == self.adjust_step, adjusted, weights)


def _dense_layers(module: nnx.Module) -> Iterator[Dense]:
    for _, node in nnx.iter_modules(module):
        if isinstance(node, Dense):
            yield node
