"""Perceptrons on invariant features."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.activations import normalized
from equinet.nn.module import Module, ModuleOptions, along_last


class MLP(Module):
    r"""Multilayer perceptron that keeps the variance of its input.

    .. math:: h_{k+1} = \sigma(h_k W_k / \sqrt{n_k} + b_k)

    for layers of widths n, with weights of variance one and an activation that is normalised to
    mean square one. The last layer has no activation.

    Args:
        features: Widths of the layers; the first is the number of inputs, the last of outputs.
        activation: Activation between the layers.
        use_bias: Whether the layers have biases b.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If ``features`` has fewer than two entries.

    >>> MLP((8, 16, 4), rngs=nnx.Rngs(0))(jnp.ones((5, 8))).shape
    (5, 4)
    """

    def __init__(
        self,
        features: Sequence[int],
        *,
        activation: Callable[[Array], Array] = jax.nn.silu,
        use_bias: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if len(features) < 2:
            raise ValueError(f"features needs the input and the output width, got {features}")
        self.activation = normalized(activation)
        self.kernels = nnx.List([parameters.kernel(pair) for pair in itertools.pairwise(features)])
        self.biases = nnx.List([parameters.bias((n,)) for n in features[1:]] if use_bias else [])

    def __call__(self, x: Float[Array, "... features_in"]) -> Float[Array, "... features_out"]:
        """Apply the perceptron to the last axis of ``x``, ``[..., features[0]]``."""
        x, *kernels = self.cast(x, *self.kernels)
        for index, kernel in enumerate(kernels):
            weights = kernel / math.sqrt(kernel.shape[0])
            x = jnp.matmul(x, weights, precision=self.precision)
            if self.biases:
                _, bias = self.cast(x, self.biases[index])
                x = x + along_last(bias, x.ndim)
            if index < len(kernels) - 1:
                x = self.activation(x)
        return x
