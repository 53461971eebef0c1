"""Linear layers on sets and graphs of any size that are equivariant under permutations."""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn.module import Module, ModuleOptions
from equinet.ops.graphs import PermutationMaps


class PermutationLinear(Module):
    r"""The most general equivariant linear map between order-k and order-l tensors of a set.

    .. math:: y = \frac{1}{\sqrt{M C}} \sum_\pi M_\pi(x)\, W_\pi
              \;(+\, \sum_\tau b_\tau\, \delta_\tau)

    over the maps :math:`M_\pi` of ``equinet.ops.graphs.PermutationMaps``, of which M have nonzero
    values at entries whose indices all differ; C is the number of input channels. The bias is an
    invariant tensor. Sums over the set are divided by the number of terms: the weights do not
    depend on the size of the set, and constant features of variance one keep their variance. A
    tensor of order 1 is a feature of elements or nodes, a tensor of order 2 a feature of pairs,
    such as an adjacency matrix.

    Padding: where ``mask`` is False the input is ignored and the output is zero, so that the result
    of a padded set equals the result of the set without padding.

    Args:
        order_in: The order k, the number of set axes of the input.
        order_out: The order l, the number of set axes of the output.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        use_bias: Whether there is a bias.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If an order is negative.

    References:
        Zaheer et al., arXiv:1703.06114 (2017); Maron et al., arXiv:1812.09902 (2019).

    >>> layer = PermutationLinear(2, 1, 8, 4, rngs=nnx.Rngs(0))
    >>> layer.kernel.shape, layer(jnp.ones((7, 7, 8))).shape, layer(jnp.ones((3, 3, 8))).shape
    ((5, 8, 4), (7, 4), (3, 4))
    """

    def __init__(
        self,
        order_in: int,
        order_out: int,
        channels_in: int,
        channels_out: int,
        *,
        use_bias: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.maps = PermutationMaps(order_in, order_out)
        self.channels_in, self.channels_out = channels_in, channels_out
        self.kernel = parameters.kernel((self.maps.num_maps, channels_in, channels_out))
        self.bias_maps = PermutationMaps(0, order_out)
        shape = (self.bias_maps.num_maps, channels_out)
        self.bias = parameters.bias(shape) if use_bias else None

    def __call__(
        self,
        x: Float[Array, "... channels_in"],
        mask: Bool[Array, "... n"] | None = None,
        *,
        n: int | None = None,
    ) -> Float[Array, "... channels_out"]:
        """Apply the linear map.

        Args:
            x: ``[..., n, ..., n, channels_in]`` with ``order_in`` axes n.
            mask: Which elements are not padding, ``[..., n]``; None: all.
            n: Size of the set, needed if neither the input nor the mask has an axis n.

        Returns:
            ``[..., n, ..., n, channels_out]`` with ``order_out`` axes n.

        Raises:
            ValueError: If a shape does not fit.
        """
        if x.shape[-1] != self.channels_in:
            raise ValueError(f"expected {self.channels_in} channels, got {x.shape}")
        x, kernel = self.cast(x, self.kernel)
        scale = 1 / math.sqrt(self.maps.num_generic * self.channels_in)
        with jax.default_matmul_precision(self.precision):
            y = self.maps(x, kernel * scale, mask, n=n)
        if self.bias is None:
            return y
        size = y.shape[-2] if self.maps.order_out else None
        one = jnp.ones((1,) * (y.ndim - self.maps.order_out), x.dtype)
        _, bias = self.cast(x, self.bias)
        return y + self.bias_maps(one, bias[:, None, :], mask, n=size)
