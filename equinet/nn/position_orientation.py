"""Convolutions on positions and orientations, and the blocks that are made of them."""

import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn.mlp import MLP
from equinet.nn.module import Module, ModuleOptions, along_last
from equinet.nn.normalization import LayerNorm
from equinet.nn.orientation_kernels import CloudKernels as CloudKernels
from equinet.nn.orientation_kernels import GridKernels as GridKernels
from equinet.nn.orientation_kernels import KernelBasis as KernelBasis
from equinet.nn.orientation_kernels import Kernels
from equinet.ops.orientations import convolve_orientations, convolve_positions, slot_features

Features = Float[Array, "batch points orientations channels"]


class PointConvolution(Module):
    r"""A kernel for every channel, :math:`y_{i c} = \frac1N \sum_j k_c(a_{i j}) x_{j c} + \beta_c`.

    With the kernels of a grid it is the spatial half of ``SeparableConvolution``, with those of a
    cloud the convolution of points that have one orientation each.

    Args:
        channels: Number of channels.
        basis: Number of functions of the kernel basis.
        average_neighbours: The N that sums are divided by.
        use_bias: Whether there is a bias.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.
    """

    def __init__(
        self,
        channels: int,
        basis: int,
        *,
        average_neighbours: float = 1.0,
        use_bias: bool = True,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.scale = 1 / (math.sqrt(basis) * average_neighbours)
        self.kernel = parameters.kernel((basis, channels))
        self.bias = parameters.bias((channels,)) if use_bias else None

    def __call__(self, x: Features, kernels: Kernels) -> Features:
        """Sum over the senders of every point."""
        y = self.linear(x, kernels)
        return y if self.bias is None else y + _row(self.bias, y)

    def linear(self, x: Features, kernels: Kernels) -> Features:
        """The sum without the bias."""
        x, kernel = self.cast(x, self.kernel)
        weights = kernel * self.scale
        if kernels.coefficients is not None:
            coefficients = kernels.coefficients.astype(x.dtype)
            weights = jnp.matmul(coefficients, weights, precision=self.precision)
        sent = x[:, :, None] if kernels.senders is None else slot_features(x[0], kernels.senders)
        spatial = kernels.spatial.astype(x.dtype)
        return convolve_positions(spatial, weights, sent, precision=self.precision)

    def rescale(self, x: Features, kernels: Kernels, mask: Bool[Array, "batch points"]) -> None:
        """Give the output the standard deviation of the input."""
        _rescale(self.kernel, x, self.linear(x, kernels), mask)


class SeparableConvolution(Module):
    r"""A spatial kernel for every orientation, then a spherical one for every position.

    .. math:: y_{i o c} = \frac1N \sum_j k_c(a_1, a_2)\, x_{j o c}, \qquad
              z_{i p c} = \frac{1}{|O|} \sum_o k'_c(a_3)\, y_{i o c} + \beta_c

    Args:
        channels: Number of channels.
        basis: Number of functions of the kernel bases.
        average_neighbours: The N that sums are divided by.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Bekkers et al., arXiv:2310.02970 (2023).
    """

    def __init__(
        self,
        channels: int,
        basis: int,
        *,
        average_neighbours: float = 1.0,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.scale = 1 / math.sqrt(basis)
        self.spatial = PointConvolution(
            *(channels, basis),
            average_neighbours=average_neighbours,
            use_bias=False,
            rngs=rngs,
            **options,
        )
        self.kernel = parameters.kernel((basis, channels))
        self.bias = parameters.bias((channels,))

    def __call__(self, x: Features, kernels: Kernels) -> Features:
        """Convolve ``[batch, points, orientations, channels]``.

        Raises:
            ValueError: If the kernels are of points without a grid.
        """
        y = self._spherical(self.spatial(x, kernels), kernels)
        return y + _row(self.bias, y)

    def _spherical(self, x: Features, kernels: Kernels) -> Features:
        if kernels.spherical is None:
            raise ValueError("got kernels without a grid, expected GridKernels with one")
        x, spherical, weights = self.cast(x, kernels.spherical, self.kernel)
        kernel = jnp.matmul(spherical, weights * self.scale, precision=self.precision)
        return convolve_orientations(kernel, x, precision=self.precision)

    def rescale(self, x: Features, kernels: Kernels, mask: Bool[Array, "batch points"]) -> None:
        """Give both outputs the standard deviation of their input."""
        self.spatial.rescale(x, kernels, mask)
        x = self.spatial(x, kernels)
        _rescale(self.kernel, x, self._spherical(x, kernels), mask)


class ConvNeXtBlock(Module):
    r"""Convolution, normalisation, perceptron, residual.

    :math:`x + \gamma\, W_2\, \sigma(W_1\, \mathrm{LayerNorm}(\mathrm{conv}(x)))`

    Args:
        channels: Number of channels.
        basis: Number of functions of the kernel bases.
        separable: Whether the convolution is a ``SeparableConvolution``; else ``PointConvolution``.
        widening: Hidden width of the perceptron in channels.
        layer_scale: Where :math:`\gamma`, one number a channel, starts; None: there is none.
        average_neighbours: The number that sums over neighbours are divided by.
        activation: Of the perceptron.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Liu et al., A ConvNet for the 2020s, arXiv:2201.03545 (2022).
    """

    def __init__(
        self,
        channels: int,
        basis: int,
        *,
        separable: bool = True,
        widening: int = 4,
        layer_scale: float | None = None,
        average_neighbours: float = 1.0,
        activation: Callable[[Array], Array] = jax.nn.gelu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        kind = SeparableConvolution if separable else PointConvolution
        self.convolution = kind(
            channels, basis, average_neighbours=average_neighbours, rngs=rngs, **options
        )
        self.norm = LayerNorm("0e", channels, rngs=rngs, **options)
        widths = (channels, widening * channels, channels)
        self.mlp = MLP(widths, activation=activation, use_bias=True, rngs=rngs, **options)
        self.layer_scale = (
            None if layer_scale is None else parameters.scale((channels,), init=layer_scale)
        )

    def __call__(self, x: Features, kernels: Kernels) -> Features:
        """Apply the block to ``[batch, points, orientations, channels]``."""
        (x,) = self.cast(x)
        y = self.convolution(x, kernels)
        y = self.mlp(self.norm(y[..., None, :])[..., 0, :])
        return x + (y if self.layer_scale is None else y * _row(self.layer_scale, y))


def calibrate(model: Callable[..., Any], *inputs: Any) -> None:
    """Rescale the kernels of a network, layer by layer, from one batch of data.

    Afterwards every convolution gives this batch the standard deviation that it gets. Changes the
    parameters in place; call it once, before the training and outside of ``jit``.

    Args:
        model: A network whose call takes ``visit``, such as ``equinet.models.ponita.PONITA`` and
            ``equinet.models.orientation_potential.OrientationPotential``.
        *inputs: Of the network.

    References:
        Bekkers et al., arXiv:2310.02970 (2023).
    """

    def rescale(block: ConvNeXtBlock, x: Array, kernels: Kernels, mask: Array) -> None:
        block.convolution.rescale(x, kernels, mask)

    model(*inputs, visit=rescale)


def _rescale(kernel: nnx.Param, x: Features, y: Features, mask: Array) -> None:
    before, after = (_deviation(array, mask) for array in (x, y))
    ratio = jnp.where(after > 0, before / jnp.where(after > 0, after, 1), 1)
    kernel[...] = kernel[...] * ratio.astype(kernel.dtype)


def _deviation(x: Features, mask: Array) -> Array:
    return jnp.std(x, where=mask[..., None, None])


def _row(parameter: nnx.Param, x: Array) -> Array:
    return along_last(parameter[...].astype(x.dtype), x.ndim)
