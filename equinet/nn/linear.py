"""Equivariant linear maps between irreps, by Schur's lemma."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.ops.clebsch_gordan import Block, blocks
from equinet.reps import Irreps

Initializer = Callable[..., Array]
_NORMAL: Initializer = nnx.initializers.normal(1.0)


class Linear(nnx.Module):
    r"""The most general equivariant linear map between two irreps features.

    By Schur's lemma the copies of one irrep mix freely and different irreps do not mix:

    .. math:: y^{(l p)}_{v m d} = \frac{1}{\sqrt{U C}} \sum_{u c} W^{(l p)}_{u c, v d}\,
              x^{(l p)}_{u m c} \;(+\, b_{v d} \text{ for } 0e)

    with copies u, v and channels c, d. Weights start normal with variance one, so that the output
    has the variance of the input. With ``num_types`` every node type has weights of its own.

    Args:
        rep_in: Irreps of the input.
        rep_out: Irreps of the output; an irrep that the input lacks stays zero.
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        use_bias: Whether invariant (0e) outputs get a bias.
        num_types: Number of node types with weights of their own; then a one-hot type is given.
        dtype: Type of the computation; the input's if absent.
        param_dtype: Type of the parameters.
        precision: Of the channel mixing.
        kernel_init: Initialiser of the weights.
        rngs: Key ``params``.

    Raises:
        ValueError: If no irrep is common to input and output.

    >>> layer = Linear(Irreps("0e+1o"), Irreps("2x0e+1o"), 8, 4, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 4, 8))).shape
    (5, 5, 4)
    """

    def __init__(
        self,
        rep_in: Irreps,
        rep_out: Irreps,
        channels_in: int,
        channels_out: int,
        *,
        use_bias: bool = False,
        num_types: int | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: jax.lax.Precision | str | None = None,
        kernel_init: Initializer = _NORMAL,
        rngs: nnx.Rngs,
    ) -> None:
        self.rep_in, self.rep_out = Irreps(rep_in), Irreps(rep_out)
        self.channels_in, self.channels_out = channels_in, channels_out
        self.num_types, self.dtype, self.precision = num_types, dtype, precision
        self.kernels = nnx.Dict()
        for (l, p), inputs, outputs in _schur(self.rep_in, self.rep_out):
            if inputs and outputs:
                shape = (len(inputs) * channels_in, len(outputs) * channels_out)
                shape = shape if num_types is None else (num_types * shape[0], shape[1])
                self.kernels[_name(l, p)] = nnx.Param(
                    kernel_init(rngs.params(), shape, param_dtype)
                )
        if not self.kernels:
            raise ValueError(
                f"no equivariant linear map but zero exists from {self.rep_in} to {self.rep_out}: "
                "they share no irrep"
            )
        scalars = sum(b.l == 0 and b.p == 1 for b in blocks(self.rep_out))
        self.bias = (
            nnx.Param(jnp.zeros((scalars, channels_out), param_dtype))
            if use_bias and scalars
            else None
        )

    def __call__(
        self,
        x: Float[Array, "... dim_in channels_in"],
        types: Float[Array, "... num_types"] | None = None,
    ) -> Float[Array, "... dim_out channels_out"]:
        """Apply the map.

        Args:
            x: Feature, ``[..., rep_in.dim, channels_in]``.
            types: One-hot node types, ``[..., num_types]``, if the layer has any.

        Returns:
            ``[..., rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit or the types are missing.
        """
        if x.shape[-2:] != (self.rep_in.dim, self.channels_in):
            raise ValueError(
                f"expected [..., {self.rep_in.dim}, {self.channels_in}] for {self.rep_in}, "
                f"got {x.shape}"
            )
        if (types is None) != (self.num_types is None):
            raise ValueError(f"the layer has num_types={self.num_types}; types given: {types}")
        x = x.astype(self.dtype or x.dtype)
        rows: list[Array | None] = [None] * len(blocks(self.rep_out))
        for (l, p), inputs, outputs in _schur(self.rep_in, self.rep_out):
            if not outputs:
                continue
            if not inputs:
                mixed = jnp.zeros(
                    (*x.shape[:-2], 2 * l + 1, len(outputs), self.channels_out), x.dtype
                )
            else:
                mixed = self._mix(x, types, l, self.kernels[_name(l, p)], inputs, len(outputs))
            if self.bias is not None and (l, p) == (0, 1):
                bias = self.bias[...].astype(x.dtype)
                mixed = mixed + bias.reshape((1,) * (mixed.ndim - 2) + bias.shape)
            for position, (index, _) in enumerate(outputs):
                rows[index] = mixed[..., position, :]
        return jnp.concatenate([row for row in rows if row is not None], axis=-2)

    def _mix(
        self,
        x: Array,
        types: Array | None,
        l: int,
        kernel: nnx.Param,
        inputs: list[tuple[int, Block]],
        num_outputs: int,
    ) -> Array:
        """All copies of one irrep through one matrix: ``[..., m, copies_out, channels_out]``."""
        features = jnp.concatenate([x[..., block.slice, :] for _, block in inputs], axis=-1)
        weights = kernel[...].astype(x.dtype) / math.sqrt(len(inputs) * self.channels_in)
        if types is not None:
            spread = types.astype(x.dtype)[..., None, :, None] * features[..., None, :]
            features = spread.reshape(*spread.shape[:-2], -1)
        mixed = jnp.matmul(features, weights, precision=self.precision)
        return mixed.reshape(*mixed.shape[:-1], num_outputs, self.channels_out)


def _name(l: int, p: int) -> str:
    return f"{l}{'e' if p == 1 else 'o'}"


@functools.cache
def _schur(
    rep_in: Irreps, rep_out: Irreps
) -> list[tuple[tuple[int, int], list[tuple[int, Block]], list[tuple[int, Block]]]]:
    """For every irrep of the output: its blocks in the input and in the output."""
    kinds = dict.fromkeys((block.l, block.p) for block in blocks(rep_out))
    return [
        (
            kind,
            [(i, b) for i, b in enumerate(blocks(rep_in)) if (b.l, b.p) == kind],
            [(i, b) for i, b in enumerate(blocks(rep_out)) if (b.l, b.p) == kind],
        )
        for kind in kinds
    ]
