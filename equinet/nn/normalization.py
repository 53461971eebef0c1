"""Equivariant layer normalisation."""

from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.module import Module, ModuleOptions, along_last, check_feature
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps, IrrepsLike


class LayerNorm(Module):
    r"""Divide every irrep by its root mean square over components and channels.

    .. math:: y^{l}_{m c} = \gamma_{l c}\, x^{l}_{m c} \Big/
              \sqrt{\epsilon + \tfrac{1}{(2l+1) C} \textstyle\sum_{m' c'} (x^{l}_{m' c'})^2}

    over C channels. The mean over the channels is subtracted from invariant scalars (0e) first, and
    a bias is added to them. The epsilon bounds every derivative, also at the zero feature.

    Args:
        rep: Irreps of the feature.
        channels: Number of channels.
        epsilon: The :math:`\epsilon` that is added to the mean square.
        rngs: Random keys; needed only if an initialiser in ``options`` is random.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Ba et al., arXiv:1607.06450 (2016); for irreps: Liao and Smidt, arXiv:2206.11990 (2022).

    >>> layer = LayerNorm(Irreps("0e+1o"), 8)
    >>> layer(jnp.zeros((4, 8))).shape
    (4, 8)
    """

    def __init__(
        self,
        rep: IrrepsLike,
        channels: int,
        *,
        epsilon: float = 1e-6,
        rngs: nnx.Rngs | None = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.rep, self.channels, self.epsilon = Irreps(rep), channels, epsilon
        scalars = sum(b.l == 0 and b.p == 1 for b in blocks(self.rep))
        self.scale = parameters.scale((len(blocks(self.rep)), channels))
        self.bias = parameters.bias((scalars, channels))

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Normalise a feature.

        Args:
            x: Feature, ``[..., rep.dim, channels]``.

        Returns:
            Feature of the same shape.

        Raises:
            ValueError: If the shape does not fit.
        """
        check_feature(x, self.rep, self.channels)
        x, scale, bias = self.cast(x, self.scale, self.bias)
        rows, scalars = [], 0
        for index, block in enumerate(blocks(self.rep)):
            value = x[..., block.slice, :]
            even_scalar = (block.l, block.p) == (0, 1)
            if even_scalar:
                value = value - value.mean(-1, keepdims=True)
            square = jnp.mean(value * value, axis=(-2, -1), keepdims=True)
            row = along_last(scale[index], x.ndim)
            value = value * (row / jnp.sqrt(square + self.epsilon))
            if even_scalar:
                value = value + along_last(bias[scalars], x.ndim)
                scalars += 1
            rows.append(value)
        return jnp.concatenate(rows, axis=-2)


class SeparableLayerNorm(Module):
    r"""Normalise scalars by mean and variance over channels, all other irreps by one common length.

    .. math:: y^{0e}_c = \gamma_c \frac{x_c - \bar x}{\sqrt{\epsilon +
              \tfrac{1}{C} \sum_{c'} (x_{c'} - \bar x)^2}} + \beta_c, \qquad
              y^{b}_{m c} = \gamma_{b c}\, x^{b}_{m c} \Big/ \sqrt{\epsilon + \frac{1}{B}
              \sum_{b'} \frac{1}{(2 l_{b'} + 1)\, C} \sum_{m' c'} (x^{b'}_{m' c'})^2}

    over the B irreps other than 0e, which all have the same weight whatever their dimension. Unlike
    in ``LayerNorm`` the ratios of their sizes are preserved. The epsilon bounds every derivative,
    also at the zero feature.

    Args:
        rep: Irreps of the feature.
        channels: Number of channels.
        epsilon: The :math:`\epsilon` that is added to the mean squares.
        rngs: Random keys; needed only if an initialiser in ``options`` is random.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Liao et al., arXiv:2306.12059 (2023), "Separable layer normalization".

    >>> layer = SeparableLayerNorm(Irreps("0e+1o+2e"), 8)
    >>> layer(jnp.zeros((9, 8))).shape, layer.scale.shape, layer.bias.shape
    ((9, 8), (3, 8), (1, 8))
    """

    def __init__(
        self,
        rep: IrrepsLike,
        channels: int,
        *,
        epsilon: float = 1e-6,
        rngs: nnx.Rngs | None = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.rep, self.channels, self.epsilon = Irreps(rep), channels, epsilon
        scalars = sum(b.l == 0 and b.p == 1 for b in blocks(self.rep))
        self.scale = parameters.scale((len(blocks(self.rep)), channels))
        self.bias = parameters.bias((scalars, channels))

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Normalise a feature.

        Args:
            x: Feature, ``[..., rep.dim, channels]``.

        Returns:
            Feature of the same shape.

        Raises:
            ValueError: If the shape does not fit.
        """
        check_feature(x, self.rep, self.channels)
        x, scale, bias = self.cast(x, self.scale, self.bias)
        values = [x[..., block.slice, :] for block in blocks(self.rep)]
        even_scalars = [(block.l, block.p) == (0, 1) for block in blocks(self.rep)]
        others = [
            jnp.mean(value * value, axis=(-2, -1), keepdims=True)
            for value, is_scalar in zip(values, even_scalars, strict=True)
            if not is_scalar
        ]
        square = sum(others) / max(len(others), 1) + self.epsilon
        joint = jax.lax.rsqrt(jnp.asarray(square, x.dtype))
        rows, biases = [], iter(bias)
        for is_scalar, value, row in zip(even_scalars, values, scale, strict=True):
            row = along_last(row, x.ndim)
            if is_scalar:
                value = value - value.mean(-1, keepdims=True)
                variance = jnp.mean(value * value, axis=-1, keepdims=True)
                value = value * (row * jax.lax.rsqrt(variance + self.epsilon))
                rows.append(value + along_last(next(biases), x.ndim))
            else:
                rows.append(value * (row * joint))
        return jnp.concatenate(rows, axis=-2)
