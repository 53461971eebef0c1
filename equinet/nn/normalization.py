"""Equivariant layer normalisation."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.ops.products.paths import blocks
from equinet.reps import Irreps


class LayerNorm(nnx.Module):
    r"""Divide every irrep by its root mean square over components and channels.

    .. math:: y^{l}_{m c} = \gamma_{l c}\, x^{l}_{m c} \Big/
              \sqrt{\epsilon + \tfrac{1}{(2l+1) C} \textstyle\sum_{m' c'} (x^{l}_{m' c'})^2}

    Invariant scalars (0e) have their mean over the channels removed first and get a bias. The
    epsilon bounds every derivative, also at the zero feature.

    Args:
        rep: Irreps of the feature.
        channels: Number of channels.
        epsilon: Added to the mean square.
        param_dtype: Type of the parameters.

    References:
        Ba et al., arXiv:1607.06450 (2016); for irreps: Liao and Smidt, arXiv:2206.11990 (2022).

    >>> layer = LayerNorm(Irreps("0e+1o"), 8)
    >>> layer(jnp.zeros((4, 8))).shape
    (4, 8)
    """

    def __init__(
        self,
        rep: Irreps,
        channels: int,
        *,
        epsilon: float = 1e-6,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        self.rep, self.channels, self.epsilon = Irreps(rep), channels, epsilon
        scalars = sum(b.l == 0 and b.p == 1 for b in blocks(self.rep))
        self.scale = nnx.Param(jnp.ones((len(blocks(self.rep)), channels), param_dtype))
        self.bias = nnx.Param(jnp.zeros((scalars, channels), param_dtype))

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Normalise ``x``, ``[..., rep.dim, channels]``."""
        scale, bias = self.scale[...].astype(x.dtype), self.bias[...].astype(x.dtype)
        rows, scalars = [], 0
        for index, block in enumerate(blocks(self.rep)):
            value = x[..., block.slice, :]
            even_scalar = (block.l, block.p) == (0, 1)
            if even_scalar:
                value = value - value.mean(-1, keepdims=True)
            square = jnp.mean(value * value, axis=(-2, -1), keepdims=True)
            row = scale[index].reshape((1,) * (x.ndim - 1) + (-1,))
            value = value * (row / jnp.sqrt(square + self.epsilon))
            if even_scalar:
                value = value + bias[scalars].reshape((1,) * (x.ndim - 1) + (-1,))
                scalars += 1
            rows.append(value)
        return jnp.concatenate(rows, axis=-2)


class SeparableLayerNorm(nnx.Module):
    r"""Scalars by mean and variance over channels, all other irreps jointly by one length.

    .. math:: y^{0e}_c = \gamma_c \frac{x_c - \bar x}{\sqrt{\epsilon +
              \tfrac{1}{C} \sum_{c'} (x_{c'} - \bar x)^2}} + \beta_c, \qquad
              y^{b}_{m c} = \gamma_{b c}\, x^{b}_{m c} \Big/ \sqrt{\epsilon + \frac{1}{B}
              \sum_{b'} \frac{1}{(2 l_{b'} + 1)\, C} \sum_{m' c'} (x^{b'}_{m' c'})^2}

    over the B irreps other than 0e, each degree counting alike whatever its number of components.
    Unlike in ``LayerNorm`` their relative sizes survive. The epsilon bounds every derivative, also
    at the zero feature.

    Args:
        rep: Irreps of the feature.
        channels: Number of channels.
        epsilon: Added to the mean squares.
        param_dtype: Type of the parameters.

    References:
        Liao et al., arXiv:2306.12059 (2023), "Separable layer normalization".

    >>> layer = SeparableLayerNorm(Irreps("0e+1o+2e"), 8)
    >>> layer(jnp.zeros((9, 8))).shape, layer.scale.shape, layer.bias.shape
    ((9, 8), (3, 8), (1, 8))
    """

    def __init__(
        self,
        rep: Irreps | str,
        channels: int,
        *,
        epsilon: float = 1e-6,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        self.rep, self.channels, self.epsilon = Irreps(rep), channels, epsilon
        scalars = sum(b.l == 0 and b.p == 1 for b in blocks(self.rep))
        self.scale = nnx.Param(jnp.ones((len(blocks(self.rep)), channels), param_dtype))
        self.bias = nnx.Param(jnp.zeros((scalars, channels), param_dtype))

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim channels"]:
        """Normalise ``x``, ``[..., rep.dim, channels]``."""
        scale, bias = self.scale[...].astype(x.dtype), self.bias[...].astype(x.dtype)
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
            row = row.reshape((1,) * (x.ndim - 1) + (-1,))
            if is_scalar:
                value = value - value.mean(-1, keepdims=True)
                variance = jnp.mean(value * value, axis=-1, keepdims=True)
                value = value * (row * jax.lax.rsqrt(variance + self.epsilon))
                rows.append(value + next(biases).reshape((1,) * (x.ndim - 1) + (-1,)))
            else:
                rows.append(value * (row * joint))
        return jnp.concatenate(rows, axis=-2)
