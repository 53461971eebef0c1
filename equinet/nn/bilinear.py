"""The bilinear layer of any reps: contractions of their terms with learned path weights."""

from typing import Unpack

from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.ops.products import ContractionProduct
from equinet.reps import RepLike, as_rep


class Bilinear(Module):
    r"""Channel-wise product of two features of any group, a learned weight per path and channel.

    .. math:: z_c = \sum_{paths} w_{path, c}\, \mathrm{contract}_{path}(x_c, y_c)

    The paths are those of ``equinet.ops.products.ContractionProduct``. Weights start normal with
    variance one, so that independent inputs of variance one give outputs of variance one.

    Args:
        rep1: Rep of the first factor.
        rep2: Rep of the second factor.
        rep_out: Rep of the result.
        channels: Number of channels.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

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
        rep1: RepLike,
        rep2: RepLike,
        rep_out: RepLike,
        channels: int,
        *,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.channels = channels
        self.product = ContractionProduct(as_rep(rep1), as_rep(rep2), as_rep(rep_out))
        self.weights = parameters.kernel((self.product.num_weights, channels))

    def __call__(
        self, x: Float[Array, "... dim1 channels"], y: Float[Array, "... dim2 channels"]
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply ``x [..., rep1.dim, channels]`` and ``y [..., rep2.dim, channels]``."""
        check_feature(x, self.product.rep1, self.channels)
        check_feature(y, self.product.rep2, self.channels)
        return self.product(*self.cast(x, y, self.weights))
