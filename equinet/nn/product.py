"""Tensor products with learned path weights, and body-order expansion by repeated products."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from equinet.nn.linear import Linear
from equinet.ops.clebsch_gordan import blocks
from equinet.ops.products import tensor_product
from equinet.reps import Irreps


class TensorProduct(nnx.Module):
    """Channel-wise tensor product of two features with a learned weight per path and channel.

    Args:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        channels: Number of channels.
        kind: Which product, a key of ``equinet.ops.products.PRODUCTS``.
        param_dtype: Type of the parameters.
        rngs: Key ``params``.

    >>> product = TensorProduct(Irreps("1o"), Irreps("1o"), Irreps("0e+1e"), 8, rngs=nnx.Rngs(0))
    >>> product(jnp.ones((5, 3, 8)), jnp.ones((5, 3, 8))).shape
    (5, 4, 8)
    """

    def __init__(
        self,
        rep1: Irreps,
        rep2: Irreps,
        rep_out: Irreps,
        channels: int,
        *,
        kind: str = "clebsch_gordan",
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.product = tensor_product(kind, rep1, rep2, rep_out)
        shape = (self.product.num_weights, channels)
        self.weights = nnx.Param(jax.random.normal(rngs.params(), shape, param_dtype))

    def __call__(
        self, x: Float[Array, "... dim1 channels"], y: Float[Array, "... dim2 channels"]
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply ``x`` and ``y``."""
        return self.product(x, y, self.weights[...].astype(x.dtype))


class BodyOrderExpansion(nnx.Module):
    r"""Polynomial of a neighbourhood density: linear maps of its powers up to ``correlation``.

    .. math:: A^{(1)} = A, \quad A^{(\nu)} = A^{(\nu-1)} \otimes (s_z \odot A), \quad
              y = \frac{1}{\sqrt n} \sum_{\nu=1}^{n} L_\nu A^{(\nu)}

    with a tensor product of learned path weights for each step and a scale :math:`s_z` for every
    node type, irrep and channel. A sum over neighbours to the power :math:`\nu` is a function of
    :math:`\nu + 1` bodies.

    Args:
        rep: Irreps of the density A.
        rep_out: Irreps of the output.
        channels: Number of channels.
        correlation: Highest power, at least 1.
        num_types: Number of node types.
        product: Which tensor product.
        dtype: Type of the computation; the input's if absent.
        param_dtype: Type of the parameters.
        precision: Of the channel mixing.
        rngs: Key ``params``.

    Raises:
        ValueError: If ``correlation`` is less than 1.

    References:
        Drautz, Phys. Rev. B 99, 014104 (2019); Batatia et al., arXiv:2206.07697 (2022).
    """

    def __init__(
        self,
        rep: Irreps,
        rep_out: Irreps,
        channels: int,
        *,
        correlation: int,
        num_types: int,
        product: str = "clebsch_gordan",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: jax.lax.Precision | str | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        if correlation < 1:
            raise ValueError(f"correlation must be at least 1, got {correlation}")
        self.rep, self.rep_out = Irreps(rep), Irreps(rep_out)
        self.linears, self.products, self.scales = nnx.List([]), nnx.List([]), nnx.List([])
        for order in range(1, correlation + 1):
            source = self.rep
            if order > 1:
                last = order == correlation
                source = _common(self.rep, self.rep_out) if last else self.rep
                self.products.append(
                    TensorProduct(
                        self.rep,
                        self.rep,
                        source,
                        channels,
                        kind=product,
                        param_dtype=param_dtype,
                        rngs=rngs,
                    )
                )
                shape = (num_types, len(blocks(self.rep)), channels)
                self.scales.append(nnx.Param(jnp.full(shape, 0.5, param_dtype)))
            self.linears.append(
                Linear(
                    source,
                    self.rep_out,
                    channels,
                    channels,
                    dtype=dtype,
                    param_dtype=param_dtype,
                    precision=precision,
                    rngs=rngs,
                )
            )

    def __call__(
        self,
        density: Float[Array, "... dim channels"],
        types: Float[Array, "... num_types"],
    ) -> Float[Array, "... dim_out channels"]:
        """Expand ``density``, ``[..., rep.dim, channels]``, for nodes of one-hot ``types``."""
        power, total = density, self.linears[0](density)
        for linear, product, scale in zip(
            self.linears[1:], self.products, self.scales, strict=True
        ):
            scales = jnp.tensordot(types.astype(density.dtype), scale[...].astype(density.dtype), 1)
            rows = [
                jnp.repeat(scales[..., index : index + 1, :], 2 * block.l + 1, axis=-2)
                for index, block in enumerate(blocks(self.rep))
            ]
            power = product(power, density * jnp.concatenate(rows, axis=-2))
            total = total + linear(power)
        return total / math.sqrt(len(self.linears))


def _common(rep: Irreps, rep_out: Irreps) -> Irreps:
    """One copy of each irrep of ``rep`` that the output holds."""
    wanted = {(b.l, b.p) for b in blocks(rep_out)}
    kept = [(1, (b.l, b.p)) for b in blocks(rep) if (b.l, b.p) in wanted]
    return Irreps(kept, group=rep.group)
