"""A bilinear layer between features of any group, with learned path weights."""

import dataclasses
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.ops.products import ContractionProduct, tensor_product
from equinet.precision import HIGHEST
from equinet.reps import EquivariantBasis, Irreps, Rep, RepLike, as_rep, equivariant_basis

_MOST_ENTRIES = 2**20
"""Number of entries of the largest table of bilinear maps that is computed numerically."""


@dataclasses.dataclass(frozen=True)
class BasisProduct:
    r"""All equivariant bilinear maps of two representations, from the basis of their product.

    .. math:: z_o = \sum_b w_b\, s_b \sum_{i j} B^b_{o, i j}\, x_i y_j

    over ``equivariant_basis(rep1 * rep2, rep_out)``, whose scales :math:`s_b` keep the variance.

    Attributes:
        rep1: Representation of the first factor.
        rep2: Representation of the second factor.
        rep_out: Representation of the result.
    """

    rep1: Rep
    rep2: Rep
    rep_out: Rep

    @property
    def num_weights(self) -> int:
        """Number of linearly independent maps."""
        return self._basis.dim

    @property
    def _basis(self) -> EquivariantBasis:
        return equivariant_basis(self.rep1 * self.rep2, self.rep_out)

    def __call__(self, x: Array, y: Array, weights: Array) -> Array:
        """Multiply two features channel by channel.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels]``.
            weights: Path weights, ``[num_weights, channels]``.
        """
        basis = self._basis
        table = np.asarray(basis.dense()) * np.asarray(basis.scales)[:, None, None]
        table = table.reshape(-1, self.rep_out.dim, self.rep1.dim, self.rep2.dim)
        maps = jnp.asarray(table, x.dtype)
        pairs = jnp.einsum("...ic,...jc->...ijc", x, y)
        images = jnp.einsum("boij,...ijc->...boc", maps, pairs, precision=HIGHEST)
        return jnp.einsum("bc,...boc->...oc", weights, images, precision=HIGHEST)


def _product(rep1: Rep, rep2: Rep, rep_out: Rep) -> Any:
    """Clebsch-Gordan for irreps, otherwise contractions, otherwise a numerical basis."""
    irreps = [rep for rep in (rep1, rep2, rep_out) if isinstance(rep, Irreps)]
    if len(irreps) == 3:
        return tensor_product("clebsch_gordan", *irreps)
    try:
        return ContractionProduct(rep1, rep2, rep_out)
    except ValueError:
        entries = rep1.dim * rep2.dim * rep_out.dim
        if not rep1.group == rep2.group == rep_out.group or entries > _MOST_ENTRIES:
            raise
        product = BasisProduct(rep1, rep2, rep_out)
        if product.num_weights:
            return product
        raise


class Bilinear(Module):
    r"""Multiply two features of any group channel by channel, with a weight per path and channel.

    .. math:: z_c = \sum_{paths} w_{path, c}\, \mathrm{contract}_{path}(x_c, y_c)

    For irreps, ``equinet.ops.products.ClebschGordanProduct`` supplies the paths, and for other
    representations ``equinet.ops.products.ContractionProduct``. If no contraction exists, such as
    for vectors of the Lorentz group and scalars, the paths are all maps of
    ``equivariant_basis(rep1 * rep2, rep_out)``. Weights start normal with variance one, and
    independent inputs of variance one then give outputs of variance one.

    Args:
        rep1: Representation of the first factor.
        rep2: Representation of the second factor.
        rep_out: Representation of the result.
        channels: Number of channels.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If no path exists.

    References:
        Finzi et al., arXiv:2104.09459 (2021).

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
        self.product = _product(as_rep(rep1), as_rep(rep2), as_rep(rep_out))
        self.weights = parameters.kernel((self.product.num_weights, channels))

    def __call__(
        self, x: Float[Array, "... dim1 channels"], y: Float[Array, "... dim2 channels"]
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply two features.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels]``.

        Returns:
            The product, ``[..., rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_feature(x, self.product.rep1, self.channels)
        check_feature(y, self.product.rep2, self.channels)
        return self.product(*self.cast(x, y, self.weights))
