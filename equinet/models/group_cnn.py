"""A convolutional network that is equivariant to a group acting on the plane or on space."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.groups import (
    Density,
    FiniteGroup,
    Group,
    GroupNodes,
    PointSet,
    group_nodes,
    largest_log_singular_value,
    support_radius,
)
from equinet.nn import MLP, GroupConvolution, LayerNorm, Lifting, Module, ModuleOptions
from equinet.nn.group_kernels import Basis
from equinet.nn.lie_convolution import Form
from equinet.ops.images import Boundary, Pooling, average_pixels, window_half_width
from equinet.ops.images._group_images import Image, pool_pixels
from equinet.typing import Key


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a group is sampled, in ``group_nodes``; a finite group has all its elements.

    Attributes:
        count: Number of samples.
        scale: Bound or standard deviation of log P, with P the symmetric positive-definite factor.
        density: "ball" or "normal".
        points: "random", "low_discrepancy", "equispaced" or "translated".
    """

    count: int = 8
    scale: float = 0.5
    density: Density = "ball"
    points: PointSet = "low_discrepancy"

    def nodes(self, group: Group, key: Key, dtype: DTypeLike) -> GroupNodes:
        """Draw the samples; with a normal density the kernels of a few exceed their windows."""
        if isinstance(group, FiniteGroup):
            return group_nodes(group, dtype=dtype)
        options: Any = {"density": self.density, "points": self.points, "dtype": dtype}
        return group_nodes(group, key, self.count, scale=self.scale, **options)

    def half_width(self, group: Group, radius: float) -> int:
        """Half the window of a kernel in pixels, at two standard deviations of a normal density."""
        far = support_radius(self.scale, self.density, self.points)
        return window_half_width(radius, largest_log_singular_value(group, far))


class _GroupBlock(Module):
    r"""A residual block: a group convolution, a normalisation and a perceptron.

    Args:
        convolution: Convolution over positions and group elements.
        channels: Channels of the features.
        widening: Hidden width of the perceptron in channels.
        epsilon: Number added to the variance in the normalisation.
        layer_scale: Initial factor of the branch in every channel.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.
    """

    def __init__(
        self,
        convolution: GroupConvolution,
        channels: int,
        *,
        widening: int,
        epsilon: float,
        layer_scale: float,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.convolution = convolution
        self.norm = LayerNorm("0e", channels, epsilon=epsilon, rngs=rngs, **options)
        widths = (channels, widening * channels, channels)
        self.mlp = MLP(widths, activation=jax.nn.gelu, use_bias=True, rngs=rngs, **options)
        self.layer_scale = parameters.scale((channels,), init=layer_scale)

    def __call__(self, x: Image, nodes: GroupNodes) -> Image:
        """Apply the block to ``[batch, *sizes, N, channels]``."""
        (x,) = self.cast(x)
        y = self.convolution(x, nodes)
        y = self.mlp(_normed(self.norm, y))
        scale = self.layer_scale[...].astype(y.dtype)
        return x + y * scale.reshape((1,) * (y.ndim - 1) + (-1,))


class GroupCNN(Module):
    r"""Invariant outputs of an image: lifting, blocks of group convolutions, pooling, a perceptron.

    The lifted image is normalised and rectified before the first block, which without that would be
    one linear filter of twice the size.

    The group is an argument: GL+(n), SL(n), SO(n), scalings, similitudes, or a finite group, of
    which ``Cyclic(1)`` makes a plain convolutional network. Groups that are not finite are sampled
    anew for every key, once for all layers; without a key the samples are those of key 0.
    Translations are sampled, too, as far as averaged pixels leave them out: on periodic images a
    key draws where the blocks of pixels begin. Without it they begin at the edge, and a move by
    less than a block is one that a network trained on centred images has never met.

    Args:
        group: The group H, which acts on the image beside translations.
        channels_in: Channels of the image.
        outputs: Numbers to predict.
        channels: Width of the network.
        blocks: Number of convolutions after the lifting.
        radius: Radius of the kernels in pixels.
        downsampling: Pixels that are averaged along every axis after the lifting, and after as many
            of the first blocks as there are further numbers.
        form: Form of the convolutions: "full", "separable" or "depthwise".
        sampling: How an infinite group is sampled.
        support: Radius of the kernels in the group; None for no bound.
        pooling: "max" or "mean", over pixels and elements.
        widening: Hidden width of the perceptrons in channels.
        boundary: Of the images: "zeros" beyond their edges, by which a network knows how far away
            they are, or "periodic".
        basis: Basis of the kernels over positions: "sines" or "splines".
        kernel_width: Hidden width of the kernel networks.
        frequency: Frequency of the sines in the kernel networks.
        epsilon: Number added to the variance in the normalisation.
        layer_scale: Initial factor of the residual branches.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is out of range, an option is unknown, or an image does not fit.

    References:
        MacDonald et al., arXiv:2111.04288 (2022); Mironenco and Forré, arXiv:2310.11366 (2024).

    >>> from equinet.groups import GLPlus
    >>> model = GroupCNN(GLPlus(2), 1, 10, channels=4, blocks=1, radius=1.5, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((2, 16, 16, 1))).shape
    (2, 10)
    """

    def __init__(
        self,
        group: Group,
        channels_in: int,
        outputs: int,
        *,
        channels: int = 24,
        blocks: int = 2,
        radius: float = 2.0,
        downsampling: Sequence[int] = (2,),
        form: Form = "separable",
        sampling: Sampling | None = None,
        support: float | None = None,
        pooling: Pooling = "max",
        widening: int = 2,
        boundary: Boundary = "periodic",
        basis: Basis = "sines",
        kernel_width: int = 32,
        frequency: float = 3.0,
        epsilon: float = 1e-3,
        layer_scale: float = 0.5,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        _check_sizes(channels_in, outputs, channels, downsampling, widening, blocks)
        self.group, self.sampling = group, Sampling() if sampling is None else sampling
        self.downsampling = (*downsampling[1:], *[1] * (blocks + 1 - len(downsampling)))
        self.pooling: Pooling = pooling
        self.boundary: Boundary = boundary
        self.block = math.prod(downsampling)
        half_width = self.sampling.half_width(group, radius)
        kernel: dict[str, Any] = {"radius": radius, "half_width": half_width, "boundary": boundary}
        kernel |= {"basis": basis, "width": kernel_width, "frequency": frequency}
        shared: dict[str, Any] = {"rngs": rngs, **options}
        self.lifting = Lifting(
            group, channels_in, channels, downsampling=downsampling[0], **kernel, **shared
        )
        self.lifted_norm = LayerNorm("0e", channels, epsilon=epsilon, **shared)
        scale = self.sampling.scale
        group_options: Any = {"form": form, "scale": scale, "support": support, **kernel}
        group_options["self_interaction"] = True
        self.blocks = nnx.List(
            [
                _GroupBlock(
                    GroupConvolution(group, channels, channels, **group_options, **shared),
                    channels,
                    widening=widening,
                    epsilon=epsilon,
                    layer_scale=layer_scale,
                    **shared,
                )
                for _ in range(blocks)
            ]
        )
        self.norm = LayerNorm("0e", channels, epsilon=epsilon, **shared)
        widths = (channels, widening * channels, outputs)
        self.head = MLP(widths, activation=jax.nn.gelu, use_bias=True, **shared)

    def __call__(
        self, x: Float[Array, "batch *sizes channels_in"], key: Key | None = None
    ) -> Float[Array, "batch outputs"]:
        """Predict invariants of the image.

        Args:
            x: Image ``[batch, *sizes, channels_in]``.
            key: Draws the samples of the group, and where blocks of averaged pixels begin.

        Returns:
            ``[batch, outputs]``.

        Raises:
            ValueError: If the image is smaller than the kernels, or of another dimension.
        """
        (x,) = self.cast(x)
        nodes = self.sampling.nodes(self.group, jax.random.key(0) if key is None else key, x.dtype)
        if key is not None and self.boundary == "periodic":
            x = self._begun_anywhere(x, jax.random.fold_in(key, 1))
        return self.head(_normed(self.norm, pool_pixels(self.features(x, nodes), self.pooling)))

    def features(self, x: Float[Array, "batch *sizes channels_in"], nodes: GroupNodes) -> Image:
        """Features before the pooling: ``[batch, *sizes, N, channels]`` at N group samples."""
        x = jax.nn.gelu(_normed(self.lifted_norm, self.lifting(x[..., None, :], nodes)))
        for block, factor in zip(self.blocks, self.downsampling, strict=True):
            x = average_pixels(block(x, nodes), factor)
        return x

    def _begun_anywhere(self, x: Array, key: Key) -> Array:
        """The image moved so that its blocks begin at random pixels, each as likely."""
        axes = tuple(range(1, x.ndim - 1))
        return jnp.roll(x, jax.random.randint(key, (len(axes),), 0, self.block), axes)


def _normed(norm: LayerNorm, x: Float[Array, "... channels"]) -> Float[Array, "... channels"]:
    return norm(x[..., None, :])[..., 0, :]


def _check_sizes(
    channels_in: int,
    outputs: int,
    channels: int,
    downsampling: Sequence[int],
    widening: int,
    blocks: int,
) -> None:
    if min(channels_in, outputs, channels, widening, *downsampling) < 1 or blocks < 0:
        raise ValueError(
            "expected sizes of at least 1, got "
            f"{channels_in=}, {outputs=}, {channels=}, {downsampling=}, {widening=}, {blocks=}"
        )
    if not 1 <= len(downsampling) <= blocks + 1:
        raise ValueError(
            f"downsampling: one number for the lifting and up to {blocks} for the blocks, got "
            f"{tuple(downsampling)}"
        )
