"""Linear layers on sets and graphs of any size that commute with permutations."""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn.module import Module, ModuleOptions
from equinet.ops.graphs import PermutationMaps


class PermutationLinear(Module):
    r"""The most general linear layer between order-k and order-l tensors of a set.

    .. math:: y = \frac{1}{\sqrt{M C}} \sum_\pi M_\pi(x)\, W_\pi
              \;(+\, \sum_\tau b_\tau\, \delta_\tau)

    over the maps of ``equinet.ops.graphs.PermutationMaps``, of which M reach an entry whose
    indices differ; its bias is any tensor that permutations leave alone. Sums over the set are
    means: the weights do not know its size, and constant features of variance one keep it. Order 1
    are features of elements or nodes, order 2 those of pairs, such as an adjacency matrix.

    Padding: where ``mask`` is False the input is ignored and the output zero, so that a padded set
    gives what the set alone gives.

    Args:
        order_in: k, the number of set axes of the input.
        order_out: l, that of the output.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        use_bias: Whether there is a bias.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

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
        """Apply the layer.

        Args:
            x: ``[..., n, ..., n, channels_in]`` with ``order_in`` axes n.
            mask: ``[..., n]``, which elements there are; None: all.
            n: Size of the set, needed where neither input nor mask show it.

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
