"""Gaunt convolutions: pointwise products with functions of the direction of the edge."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array

from equinet.ops.edges._aligned_products import AlignedGaunt
from equinet.ops.edges._base import ConvolutionBase, aligned_messages, set_irreps, weigh_radial
from equinet.ops.edges.rotations import Rotations
from equinet.ops.products import GauntProduct, Path
from equinet.ops.products._gaunt_coefficients import gaunt_scale
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class GauntConvolution(ConvolutionBase):
    r"""Sum over neighbours of Gaunt products with spherical harmonics of the edge.

    .. math:: z_i = \sum_j \mathrm{Gaunt}\big( x_j, Y(\hat r_{ij});\ w(r_{ij}) \big)

    with weights for each degree of the feature, of the filter and of the result. After a rotation
    that aligns the edge with the polar axis, the filter is a function of the polar angle alone.
    The product is then diagonal in m: a Legendre transform for every order, a product at the
    quadrature points, and a transform back.

    Attributes:
        rep_in: Irreps of the node features, each degree at most once, of parity (-1)^l.
        rep_edge: Irreps of the filter, with the same restriction.
        rep_out: Irreps of the result, with the same restriction.
        chunk_bytes: Bound on the bytes of messages held at a time; None for all at once.

    Raises:
        ValueError: If an irrep has the other parity or occurs twice, or no path exists.

    References:
        Luo, Chen, Krishnapriyan, arXiv:2401.10216 (2024), section 3.3, convolutions.

    >>> convolution = GauntConvolution("0e+1o", "0e+1o+2e", "0e+1o")
    >>> edges = convolution.edge_features(jnp.ones((5, 3)))
    >>> radial = jnp.ones((5, convolution.num_radial, 8))
    >>> convolution.messages(jnp.ones((5, 4, 8)), edges, radial).shape
    (5, 4, 8)
    """

    rep_in: Irreps
    rep_edge: Irreps
    rep_out: Irreps
    chunk_bytes: int | None = None

    def __post_init__(self) -> None:
        set_irreps(self, "rep_in", "rep_edge", "rep_out")
        _ = self.product  # raises where it cannot exist

    @property
    def product(self) -> GauntProduct:
        """The product of feature and filter."""
        return GauntProduct(self.rep_in, self.rep_edge, self.rep_out)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The triples of copies of irreps (feature, filter, result) that are coupled."""
        return self.product.paths

    @property
    def num_radial(self) -> int:
        """Radial functions of a channel: one for each degree of feature, filter and result."""
        return self.product.num_weights

    @property
    def num_weights(self) -> int:
        """Weights of a channel that all edges share, as many as radial functions."""
        return self.num_radial

    @property
    def flops(self) -> int:
        """Operations of a message, for one channel."""
        return self._aligned.flops

    @property
    def _aligned(self) -> AlignedGaunt:
        return AlignedGaunt(self.rep_in, self.rep_edge, self.rep_out)

    def _message(self, x: Array, edges: Rotations, radial: Array, weights: Array | None) -> Array:
        weighed = weigh_radial(radial, weights, self.num_radial, x.dtype)
        z = aligned_messages(self, self._aligned, x, edges, weighed)
        scale = gaunt_scale(self.rep_in, self.rep_edge, self.rep_out)
        return z * jnp.asarray(scale, z.dtype)[None]
