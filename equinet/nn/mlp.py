"""Perceptrons on invariant features."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.nn.activations import normalized
from equinet.random import normal


class MLP(nnx.Module):
    r"""Multilayer perceptron that keeps the variance of its input.

    :math:`h \mapsto \sigma(h W / \sqrt{n})` with weights of variance one and an activation
    normalised to mean square one; the last layer is linear. There are no biases by default.

    Args:
        features: Widths, input and output included.
        activation: Between the layers.
        use_bias: Whether the layers have biases.
        dtype: Type of the computation; the input's if absent.
        param_dtype: Type of the parameters.
        precision: Of the matrix products.
        rngs: Key ``params``.

    >>> MLP((8, 16, 4), rngs=nnx.Rngs(0))(jnp.ones((5, 8))).shape
    (5, 4)
    """

    def __init__(
        self,
        features: Sequence[int],
        *,
        activation: Callable[[Array], Array] = jax.nn.silu,
        use_bias: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: jax.lax.Precision | str | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        if len(features) < 2:
            raise ValueError(f"features needs the input and the output width, got {features}")
        self.activation, self.dtype, self.precision = normalized(activation), dtype, precision
        self.kernels = nnx.List(
            [
                nnx.Param(normal(rngs.params(), shape, param_dtype))
                for shape in itertools.pairwise(features)
            ]
        )
        self.biases = nnx.List(
            [nnx.Param(jnp.zeros(n, param_dtype)) for n in features[1:]] if use_bias else []
        )

    def __call__(self, x: Float[Array, "... features_in"]) -> Float[Array, "... features_out"]:
        """Apply the layers to the last axis."""
        x = x.astype(self.dtype or x.dtype)
        for index, kernel in enumerate(self.kernels):
            weights = kernel[...].astype(x.dtype) / math.sqrt(kernel.shape[0])
            x = jnp.matmul(x, weights, precision=self.precision)
            if self.biases:
                bias = self.biases[index][...].astype(x.dtype)
                x = x + bias.reshape((1,) * (x.ndim - 1) + (-1,))
            if index < len(self.kernels) - 1:
                x = self.activation(x)
        return x
