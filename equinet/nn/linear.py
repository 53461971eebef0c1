"""Equivariant linear maps between features of any group."""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.reps import EquivariantBasis, Irreps, Rep, RepLike, Scalar, as_rep, equivariant_basis


class Linear(Module):
    r"""The most general equivariant linear map between features of one group.

    .. math:: y_{o d} = \frac{1}{\sqrt{C}} \sum_{b i c} s_b\, B^b_{o i}\, W_{b c d}\, x_{i c}
              \;(+\, b_{o d})

    The matrices B are the basis ``equivariant_basis(rep_in, rep_out)``; c and d are channels, C is
    the number of input channels. Weights start normal with variance one, and the scales
    :math:`s_b` are chosen so that the output then has the variance of the input. Between irreps
    Schur's lemma applies: the copies of one irrep mix freely and different irreps do not mix. The
    bias is an invariant feature. With ``num_types`` every node type has separate weights.

    Args:
        rep_in: Representation of the input; a string is read as irreps of O(3).
        rep_out: Representation of the output; a term with no equivariant map into it is zero.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        use_bias: Whether a bias is added to the invariant part of the output.
        num_types: Number of node types with separate weights; the call then needs one-hot types.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If zero is the only equivariant map, or the two groups differ.

    References:
        Finzi et al., arXiv:2104.09459 (2021); Pearce-Crump, arXiv:2212.08648 (2022).

    >>> layer = Linear(Irreps("0e+1o"), Irreps("2x0e+1o"), 8, 4, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 4, 8))).shape
    (5, 5, 4)
    >>> from equinet.groups import S
    >>> from equinet.reps import Vector
    >>> Linear(Vector(S(5)), Vector(S(5)), 8, 4, rngs=nnx.Rngs(0)).kernel.shape  # Deep Sets
    (2, 8, 4)
    """

    def __init__(
        self,
        rep_in: RepLike,
        rep_out: RepLike,
        channels_in: int,
        channels_out: int,
        *,
        use_bias: bool = False,
        num_types: int | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        self.rep_in, self.rep_out = as_rep(rep_in), as_rep(rep_out)
        self.channels_in, self.channels_out = channels_in, channels_out
        self.num_types = num_types
        dim = equivariant_basis(self.rep_in, self.rep_out).dim
        if dim == 0:
            raise ValueError(
                f"no equivariant map exists but zero from {self.rep_in} to {self.rep_out}"
            )
        shape = (dim, (num_types or 1) * channels_in, channels_out)
        self.kernel = parameters.kernel(shape)
        biases = invariants(self.rep_out).dim if use_bias else 0
        self.bias = parameters.bias((biases, channels_out)) if biases else None

    def __call__(
        self,
        x: Float[Array, "... dim_in channels_in"],
        types: Float[Array, "... num_types"] | None = None,
    ) -> Float[Array, "... dim_out channels_out"]:
        """Apply the linear map.

        Args:
            x: Feature, ``[..., rep_in.dim, channels_in]``.
            types: One-hot node types, ``[..., num_types]``, if the layer has any.

        Returns:
            ``[..., rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit or the types are missing.
        """
        check_feature(x, self.rep_in, self.channels_in)
        if (types is None) != (self.num_types is None):
            raise ValueError(f"the layer has num_types={self.num_types}; types given: {types}")
        x, kernel = self.cast(x, self.kernel)
        if types is not None:
            x = types.astype(x.dtype)[..., None, :, None] * x[..., None, :]
            x = x.reshape(*x.shape[:-2], -1)
        basis = equivariant_basis(self.rep_in, self.rep_out)
        scale = jnp.asarray(basis.scales / math.sqrt(self.channels_in), x.dtype)
        with jax.default_matmul_precision(self.precision):
            y = basis.apply(x, kernel * scale[:, None, None])
        if self.bias is None:
            return y
        bias = constant(invariants(self.rep_out), self.bias[...].astype(x.dtype))
        return y + bias.reshape((1,) * (y.ndim - 2) + bias.shape)


def invariants(rep: Rep) -> EquivariantBasis:
    """The basis of the invariant features of a representation: the maps from a scalar."""
    scalar = Irreps("0e", group=rep.group) if isinstance(rep, Irreps) else Scalar(rep.group)
    return equivariant_basis(scalar, rep)


def constant(
    basis: EquivariantBasis, weights: Float[Array, "maps channels"]
) -> Float[Array, "dim channels"]:
    """The invariant feature of these weights; standard normal weights give variance one."""
    scale = np.asarray(basis.scales)[:, None]
    weights = weights * jnp.asarray(scale, weights.dtype)
    return basis.apply(jnp.ones((1, 1), weights.dtype), weights[:, None, :])
