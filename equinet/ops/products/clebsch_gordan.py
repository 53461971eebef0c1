"""The Clebsch-Gordan tensor product: every path, any irreps, a few large contractions."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.ops.products.clebsch_gordan_kernels import (
    fold,
    multiply_mixed,
    multiply_rows,
    multiply_shared,
    orders,
)
from equinet.ops.products.paths import Path, blocks, coupling_paths, path_scale
from equinet.ops.products.sign_blocks import KleinOrder
from equinet.precision import HIGHEST
from equinet.reps import Irreps, clebsch_gordan

METHODS = ("blocked", "naive")


@dataclasses.dataclass(frozen=True)
class ClebschGordanProduct:
    r"""Channel-wise Clebsch-Gordan product of two features.

    For channel c, with a weight for every path :math:`(l_1, l_2, l_3)`,

    .. math:: z_{k c} = \sum_{paths} w_{path, c}\, a_{path} \sum_{ij} C^{l_1 l_2 l_3}_{ijk}
              x_{i c}\, y_{j c}

    where :math:`a = \sqrt{(2 l_3 + 1) / \text{paths into the same block}}`, so that independent
    inputs and weights of variance one give outputs of variance one. A path exists where the
    triangle rule holds and the parities multiply. The value is hashable and static: two equal
    products compile once.

    Attributes:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        method: ``"blocked"``: shared weights are folded into one bilinear map per channel, four
            times smaller when components are sorted by their signs under the rotations by pi;
            weights per row are applied between constant contractions. ``"naive"``: one small
            contraction a path, the reference.

    Raises:
        ValueError: If no path exists, or the method is unknown.

    >>> product = ClebschGordanProduct(Irreps("1o"), Irreps("1o"), Irreps("0e+1e+2e"))
    >>> len(product.paths), product.equivariance_error
    (3, 0.0)
    >>> product(jnp.ones((5, 3, 8)), jnp.ones((5, 3, 8))).shape
    (5, 9, 8)
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps
    method: str = "blocked"

    def __post_init__(self) -> None:
        for name in ("rep1", "rep2", "rep_out"):
            object.__setattr__(self, name, Irreps(getattr(self, name)))
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {METHODS}")
        if not self.paths:
            raise ValueError(
                f"{self.rep1} x {self.rep2} has no path into {self.rep_out}: the result would be "
                f"zero; possible outputs are {self.rep1.tensor_product(self.rep2)}"
            )

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every admissible triple of blocks."""
        return coupling_paths(self.rep1, self.rep2, self.rep_out)

    @property
    def num_weights(self) -> int:
        """One weight for each path."""
        return len(self.paths)

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: exact, so zero."""
        return 0.0

    @property
    def flops(self) -> int:
        """Operations for one row and channel with shared weights: the outer product, and the maps.

        The maps are dense blocks of characters; see ``equinet.ops.products.sign_blocks``.
        """
        first, second, result = orders(self.rep1, self.rep2, self.rep_out)
        pairs = first.classes * first.size * second.size
        return first.classes * pairs * (1 + 2 * result.size)

    @property
    def bytes_moved(self) -> int:
        """Bytes of both factors and the result in float32, for one row and channel."""
        return 4 * (self.rep1.dim + self.rep2.dim + self.rep_out.dim)

    def __call__(
        self,
        x: Float[Array, "... dim1 channels"],
        y: Float[Array, "... dim2 channels"],
        weights: Float[Array, "... paths channels"] | None = None,
    ) -> Float[Array, "... dim_out channels"]:
        """Multiply two features.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels]``; one channel is shared by all of ``x``.
            weights: Path weights, ``[paths, channels]`` or, for each row, ``[..., paths,
                channels]``; ones if absent.

        Returns:
            ``[..., rep_out.dim, channels]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_factors(self, x, y, weights)
        channels = max(x.shape[-1], y.shape[-1])
        if weights is None:
            weights = jnp.ones((len(self.paths), channels), x.dtype)
        rows = jnp.broadcast_shapes(x.shape[:-2], y.shape[:-2], weights.shape[:-2])
        x = jnp.broadcast_to(x, (*rows, self.rep1.dim, channels))
        y = jnp.broadcast_to(y, (*rows, self.rep2.dim, channels))
        if self.method == "naive":
            return self._naive(x, y, weights)
        x, y = (a.reshape(-1, *a.shape[-2:]) for a in (x, y))
        if weights.ndim == 2:
            z = multiply_shared(self, x, y, weights.astype(x.dtype))
        else:
            weights = jnp.broadcast_to(weights, (*rows, *weights.shape[-2:])).astype(x.dtype)
            z = multiply_rows(self, x, y, weights.reshape(-1, *weights.shape[-2:]))
        return z.reshape(*rows, *z.shape[1:])

    def mix(
        self,
        x: Float[Array, "... dim1 u"],
        y: Float[Array, "... dim2 v"],
        weights: Float[Array, "paths u v *w"],
    ) -> Float[Array, "... dim_out out"]:
        """Multiply every channel of x with every channel of y, and mix them by path.

        Args:
            x: First factor, ``[..., rep1.dim, u]``.
            y: Second factor, ``[..., rep2.dim, v]``.
            weights: ``[paths, u, v]``: the channels of x stay, those of y are summed ("uvu");
                ``[paths, u, v, w]``: both are summed into channels w ("uvw").

        Returns:
            ``[..., rep_out.dim, u]`` or ``[..., rep_out.dim, w]``.

        Raises:
            ValueError: If a shape does not fit.

        >>> product = ClebschGordanProduct(Irreps("1o"), Irreps("1o"), Irreps("0e+1e+2e"))
        >>> x, y = jnp.ones((5, 3, 4)), jnp.ones((5, 3, 2))
        >>> product.mix(x, y, jnp.ones((3, 4, 2))).shape
        (5, 9, 4)
        >>> product.mix(x, y, jnp.ones((3, 4, 2, 7))).shape
        (5, 9, 7)
        """
        check_reps(self, x, y)
        expected = (self.num_weights, x.shape[-1], y.shape[-1])
        if weights.ndim not in (3, 4) or weights.shape[:3] != expected:
            raise ValueError(
                f"weights must have shape {list(expected)} or {[*expected, 'w']}, paths and the "
                f"channels of x and y, got {weights.shape}"
            )
        rows = jnp.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        x, y = (
            jnp.broadcast_to(a, (*rows, *a.shape[-2:])).reshape(-1, *a.shape[-2:]) for a in (x, y)
        )
        z = multiply_mixed(self, x, y, weights.astype(x.dtype))
        return z.reshape(*rows, *z.shape[1:])

    def contract(
        self,
        outer: Float[Array, "... dim1*dim2 channels"],
        weights: Float[Array, "paths channels"],
    ) -> Float[Array, "... dim_out channels"]:
        """The product of outer products that are formed already, or summed over neighbours.

        Args:
            outer: ``x_i y_j`` with j running fastest, ``[..., rep1.dim * rep2.dim, channels]``.
            weights: Path weights shared by all rows, ``[paths, channels]``.

        Returns:
            ``[..., rep_out.dim, channels]``.
        """
        # Coupling costs a column for each component of each path, folding one for each component
        # of the result, but it moves the channels to the front: even at about four to one.
        results = blocks(self.rep_out)
        terms = sum(2 * results[path.result].l + 1 for path in self.paths)
        if terms <= 4 * self.rep_out.dim:
            return self._coupled(outer, weights)
        whole = tuple(KleinOrder(rep, bits=0) for rep in (self.rep1, self.rep2, self.rep_out))
        maps = fold(self, weights.astype(outer.dtype), whole)[:, 0]
        return jnp.einsum("...mc,ckm->...kc", outer, maps, precision=HIGHEST)

    def _naive(self, x: Array, y: Array, weights: Array) -> Array:
        blocks1, blocks2, blocks3 = blocks(self.rep1), blocks(self.rep2), blocks(self.rep_out)
        scale = path_scale(self.rep1, self.rep2, self.rep_out)
        z = jnp.zeros((*x.shape[:-2], self.rep_out.dim, x.shape[-1]), jnp.result_type(x, y))
        for index, path in enumerate(self.paths):
            b1, b2, b3 = blocks1[path.first], blocks2[path.second], blocks3[path.result]
            table = jnp.asarray(scale[index] * clebsch_gordan(b1.l, b2.l, b3.l), z.dtype)
            xs, ys = x[..., b1.slice, :], y[..., b2.slice, :]
            term = jnp.einsum("...ic,...jc,ijk->...kc", xs, ys, table, precision=HIGHEST)
            weight = weights[..., index, None, :].astype(z.dtype)
            z = z.at[..., b3.slice, :].add(
                weight.reshape((1,) * (term.ndim - weight.ndim) + weight.shape) * term
            )
        return z

    def _coupled(self, outer: Array, weights: Array) -> Array:
        """Two constant contractions: couple every path, then weigh and add the paths."""
        couple, place, owner = _path_tables(self.rep1, self.rep2, self.rep_out)
        table = jnp.asarray(couple, outer.dtype)
        coupled = jnp.einsum("...mc,mt->...tc", outer, table, precision=HIGHEST)
        spread = weights[..., owner, :].astype(outer.dtype)
        coupled = coupled * spread.reshape((1,) * (coupled.ndim - spread.ndim) + spread.shape)
        table = jnp.asarray(place, outer.dtype)
        return jnp.einsum("...tc,tk->...kc", coupled, table, precision=HIGHEST)


def check_factors(product: Any, x: Array, y: Array, weights: Array | None) -> None:
    """Refuse what a tensor product cannot multiply.

    Args:
        product: Any tensor product: its ``rep1``, ``rep2`` and ``num_weights`` count.
        x: First factor.
        y: Second factor.
        weights: Its weights, if there are any.

    Raises:
        ValueError: If a shape does not fit.
    """
    check_reps(product, x, y)
    if x.shape[-1] != y.shape[-1] and 1 not in (x.shape[-1], y.shape[-1]):
        raise ValueError(
            f"x and y have {x.shape[-1]} and {y.shape[-1]} channels, expected as many or one"
        )
    expected = (product.num_weights, max(x.shape[-1], y.shape[-1]))
    if weights is not None and weights.shape[-2:] != expected:
        raise ValueError(
            f"weights must have shape [..., {expected[0]}, {expected[1]}], num_weights rows and a "
            f"column for each channel, got {weights.shape}"
        )


def check_reps(product: Any, x: Array, y: Array) -> None:
    """Refuse factors whose axis -2 is not that of the reps.

    Raises:
        ValueError: If a shape does not fit.
    """
    for name, array, rep in (("x", x, product.rep1), ("y", y, product.rep2)):
        if array.ndim < 2 or array.shape[-2] != rep.dim:
            raise ValueError(
                f"{name} must have shape [..., {rep.dim}, channels] for {rep}, got {array.shape}"
            )


@functools.cache
def _path_tables(
    rep1: Irreps, rep2: Irreps, rep_out: Irreps
) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, "terms"]]:
    """Couplings ``[dim1 * dim2, terms]``, placement ``[terms, dim_out]`` and path of every term."""
    paths, scale = coupling_paths(rep1, rep2, rep_out), path_scale(rep1, rep2, rep_out)
    couple, place, owner = [], [], []
    for index, path in enumerate(paths):
        a, b = blocks(rep1)[path.first], blocks(rep2)[path.second]
        c = blocks(rep_out)[path.result]
        table = np.zeros((rep1.dim, rep2.dim, 2 * c.l + 1))
        table[a.slice, b.slice] = scale[index] * clebsch_gordan(a.l, b.l, c.l)
        couple.append(table.reshape(-1, 2 * c.l + 1))
        place.append(np.eye(rep_out.dim)[c.slice])
        owner += [index] * (2 * c.l + 1)
    return np.concatenate(couple, 1), np.concatenate(place, 0), np.array(owner, np.int32)
