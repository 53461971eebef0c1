"""Tensor products with learned path weights, and body-order expansion by repeated products."""

import math
from collections.abc import Mapping
from typing import Any, Unpack

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from equinet.nn.linear import Linear
from equinet.nn.module import Module, ModuleOptions, check_feature
from equinet.ops.products import ClebschGordanProduct, tensor_product
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


class TensorProduct(Module):
    r"""Tensor product of two features with learned path weights.

    The mode says which channels are multiplied, with the names of e3nn: ``"uuu"`` multiplies
    channel by channel, for every product; with the Clebsch-Gordan product the other modes multiply
    every pair of channels, each with a separate weight:

    .. math:: \text{uuu:}\ z_u = \sum_{path} w_{path, u}\, (x_u \otimes y_u)^{path}, \qquad
              \text{uvu:}\ z_u = \sum_{path, v} w_{path, u v}\, (x_u \otimes y_v)^{path}, \qquad
              \text{uvw:}\ z_w = \sum_{path, u v} w_{path, u v w}\, (x_u \otimes y_v)^{path}

    Args:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        channels: Number of channels of the first factor.
        kind: The product, a key of ``equinet.ops.products.PRODUCTS``.
        product_options: Further arguments of the product, e.g. ``{"copies": 4}`` for
            ``"complete"``.
        mode: ``"uuu"``, ``"uvu"`` or ``"uvw"``.
        channels2: Channels of the second factor, for ``"uvu"`` and ``"uvw"``; None: ``channels``.
        channels_out: Channels of the result, for ``"uvw"``; None: ``channels``.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If the product or mode is unknown, they cannot be combined, or no path exists.

    References:
        Thomas et al., arXiv:1802.08219 (2018).

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
        product_options: Mapping[str, Any] | None = None,
        mode: str = "uuu",
        channels2: int | None = None,
        channels_out: int | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
        if mode not in ("uuu", "uvu", "uvw"):
            raise ValueError(f"unknown mode {mode!r}, expected 'uuu', 'uvu' or 'uvw'")
        if mode != "uuu" and kind != "clebsch_gordan":
            raise ValueError(f"mode {mode!r} needs kind='clebsch_gordan', got {kind!r}")
        if (mode == "uuu" and channels2) or (mode != "uvw" and channels_out):
            raise ValueError(f"mode {mode!r} takes no such channels2={channels2} or channels_out")
        self.product = tensor_product(kind, rep1, rep2, rep_out, **(product_options or {}))
        self.mode, self.reps = mode, (Irreps(rep1), Irreps(rep2))
        second = channels2 or channels
        mixed = {
            "uuu": (channels,),
            "uvu": (channels, second),
            "uvw": (channels, second, channels_out or channels),
        }
        terms = {"uuu": 1, "uvu": second, "uvw": channels * second}
        shape = (self.product.num_weights, *mixed[mode])
        self.weights = parameters.kernel(shape, scale=1 / math.sqrt(terms[mode]))
        self.channels = channels, second

    def __call__(
        self, x: Float[Array, "... dim1 channels"], y: Float[Array, "... dim2 channels2"]
    ) -> Float[Array, "... dim_out channels_out"]:
        """Multiply two features.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels2]``.

        Returns:
            The product, ``[..., rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        for array, rep, count in zip((x, y), self.reps, self.channels, strict=True):
            check_feature(array, rep, count)
        x, y, weights = self.cast(x, y, self.weights)
        if self.mode != "uuu" and isinstance(self.product, ClebschGordanProduct):
            return self.product.mix(x, y, weights)
        return self.product(x, y, weights)


class BodyOrderExpansion(Module):
    r"""Polynomial of a neighbourhood density: linear maps of its powers up to ``correlation``.

    .. math:: A^{(1)} = A, \quad A^{(\nu)} = A^{(\nu-1)} \otimes (s_z \odot A), \quad
              y = \frac{1}{\sqrt n} \sum_{\nu=1}^{n} L_\nu A^{(\nu)}

    with n = ``correlation``, a tensor product with learned path weights for each step and a scale
    :math:`s_z` for every node type, irrep and channel. If A is a sum over the neighbours of an
    atom, :math:`A^{(\nu)}` depends on :math:`\nu + 1` bodies.

    Args:
        rep: Irreps of the density A.
        rep_out: Irreps of the output.
        channels: Number of channels.
        correlation: Highest power, at least 1.
        num_types: Number of node types.
        product: The tensor product, a key of ``equinet.ops.products.PRODUCTS``.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    Raises:
        ValueError: If ``correlation`` is less than 1.

    References:
        Drautz, Phys. Rev. B 99, 014104 (2019); Batatia et al., arXiv:2206.07697 (2022).

    >>> rep = Irreps("0e+1o")
    >>> layer = BodyOrderExpansion(rep, rep, 8, correlation=3, num_types=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((5, 4, 8)), jnp.eye(2)[jnp.array([0, 1, 1, 0, 0])]).shape
    (5, 4, 8)
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
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        parameters = self.configure(rngs, options)
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
                        *(self.rep, self.rep, source, channels),
                        kind=product,
                        rngs=rngs,
                        **options,
                    )
                )
                shape = (num_types, len(blocks(self.rep)), channels)
                self.scales.append(parameters.scale(shape, init=0.5))
            sizes = (channels, channels)
            self.linears.append(Linear(source, self.rep_out, *sizes, rngs=rngs, **options))

    def __call__(
        self,
        density: Float[Array, "... dim channels"],
        types: Float[Array, "... num_types"],
    ) -> Float[Array, "... dim_out channels"]:
        """Evaluate the polynomial.

        Args:
            density: The density A, ``[..., rep.dim, channels]``.
            types: One-hot node types, ``[..., num_types]``.

        Returns:
            The y of the formula, ``[..., rep_out.dim, channels]``.
        """
        density, types = self.cast(density, types)
        power, total = density, self.linears[0](density)
        for linear, product, scale in zip(
            self.linears[1:], self.products, self.scales, strict=True
        ):
            _, scale = self.cast(density, scale)
            scales = jnp.tensordot(types, scale, 1)
            rows = [
                jnp.repeat(scales[..., index : index + 1, :], 2 * block.l + 1, axis=-2)
                for index, block in enumerate(blocks(self.rep))
            ]
            power = product(power, density * jnp.concatenate(rows, axis=-2))
            total = total + linear(power)
        return total / math.sqrt(len(self.linears))


def _common(rep: Irreps, rep_out: Irreps) -> Irreps:
    """One copy of each irrep of ``rep`` that occurs in the output."""
    wanted = {(b.l, b.p) for b in blocks(rep_out)}
    kept = [(1, (b.l, b.p)) for b in blocks(rep) if (b.l, b.p) in wanted]
    return Irreps(kept, group=rep.group)
