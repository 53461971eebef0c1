"""PointNet: a perceptron on every point of a cloud, and the maximum over them."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.nn import MLP, Module, ModuleOptions
from equinet.nn.activations import normalized


class PointNet(Module):
    r"""Features of a cloud that do not depend on the order of its points.

    .. math:: h_i = \phi_1(x_i), \qquad g = \max_i h_i, \qquad
              y = \psi\big( \max_i \phi_2(h_i, g) \big)

    It is not equivariant under rotations; averaged by ``equinet.nn.FrameAveraging`` it is.

    Args:
        outputs: Numbers to predict for a cloud.
        channels: Width of the hidden layers.
        dim: Coordinates of a point.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a size is less than 1.

    References:
        Qi et al., PointNet, arXiv:1612.00593 (2017); without its learned transformations.

    >>> PointNet(8, 16, rngs=nnx.Rngs(0))(jnp.ones((2, 50, 3))).shape
    (2, 8)
    """

    def __init__(
        self,
        outputs: int,
        channels: int = 64,
        *,
        dim: int = 3,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if min(outputs, channels, dim) < 1:
            raise ValueError(
                f"outputs, channels and dim must be at least 1, got {outputs}, {channels}, {dim}"
            )
        biased: dict[str, Any] = {"use_bias": True, "rngs": rngs, **options}
        self.dim, self.activation = dim, normalized(jax.nn.silu)
        self.first = MLP((dim, channels, channels), **biased)
        self.own = MLP((channels, channels), **biased)
        self.common = MLP((channels, channels), **biased)
        self.second = MLP((channels, 2 * channels), **biased)
        self.head = MLP((2 * channels, channels, outputs), **biased)

    def __call__(
        self, x: Float[Array, "... points dim"], mask: Bool[Array, "... points"] | None = None
    ) -> Float[Array, "... outputs"]:
        """Predict the outputs of point clouds, ``[..., outputs]``.

        Args:
            x: Points, ``[..., points, dim]``, in any unit of length.
            mask: False for padding, ``[..., points]``; None: there is none.

        Raises:
            ValueError: If the shapes do not fit.
        """
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"expected points [..., points, {self.dim}], got {x.shape}")
        if mask is not None and mask.shape != x.shape[:-1]:
            raise ValueError(f"expected a mask {x.shape[:-1]}, got {mask.shape}")

        def largest(h: Array) -> Array:
            h = h if mask is None else jnp.where(mask[..., None], h, -jnp.inf)
            return jnp.max(h, axis=-2)

        h = self.activation(self.first(x))
        # The common features enter once a cloud: a linear map of the pair (h_i, g).
        h = self.own(h) + self.common(largest(h))[..., None, :]
        h = self.activation(self.second(self.activation(h)))
        return self.head(largest(h))
