"""The bilinear layer of any reps: contractions of their terms with learned path weights."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.ops.products import ContractionProduct
from equinet.random import normal
from equinet.reps import Rep


class Bilinear(nnx.Module):
    r"""Channel-wise product of two features of any group, a learned weight per path and channel.

    .. math:: z_c = \sum_{paths} w_{path, c}\, \mathrm{contract}_{path}(x_c, y_c)

    The paths are those of ``equinet.ops.products.ContractionProduct``. Weights start normal with
    variance one, so that independent inputs of variance one give outputs of variance one.

    Args:
        rep1: Rep of the first factor.
        rep2: Rep of the second factor.
        rep_out: Rep of the result.
        channels: Number of channels.
        param_dtype: Type of the parameters.
        rngs: Key ``params``.

    Raises:
        ValueError: If no path exists.

    References:
        Finzi et al., arXiv:2104.09459 (2021), section 7.

    >>> from equinet.groups import O
    >>> from equinet.reps import Scalar, Vector
    >>> rep = Scalar(O(3)) + Vector(O(3))
    >>> Bilinear(rep, rep, rep, 8, rngs=nnx.Rngs(0))(jnp.ones((5, 4, 8)), jnp.ones((5, 4, 8))).shape
    (5, 4, 8)
    """

    def __init__(
        self,
        rep1: Rep,
        rep2: Rep,
        rep_out: Rep,
        channels: int,
        *,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.product = ContractionProduct(rep1, rep2, rep_out)
        shape = (self.product.num_weights, channels)
        self.weights = nnx.Param(normal(rngs.params(), shape, param_dtype))

    def __call__(
        self, x: Float[Array, "... dim1 channels"], y: Float[Array, "... dim2 channels"]
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply ``x [..., rep1.dim, channels]`` and ``y [..., rep2.dim, channels]``."""
        return self.product(x, y, self.weights[...].astype(x.dtype))
