"""The Clebsch-Gordan tensor product: every path, any irreps, a few large contractions."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet._sharding import keep_sharding
from equinet.ops.products._base import ProductBase, check_feature, floating_alike
from equinet.ops.products._clebsch_gordan_kernels import (
    fold,
    multiply_mixed,
    multiply_rows,
    multiply_shared,
    orders,
)
from equinet.ops.products._paths import Path, blocks, coupling_paths, path_scale
from equinet.ops.products._sign_blocks import KleinOrder
from equinet.precision import HIGHEST, floating, read_only
from equinet.reps import Irreps, clebsch_gordan

_METHODS = ("blocked", "naive")


@dataclasses.dataclass(frozen=True)
class ClebschGordanProduct(ProductBase):
    r"""Channel-wise Clebsch-Gordan product of two features.

    For channel c, with a weight for every path :math:`(l_1, l_2, l_3)`,

    .. math:: z_{k c} = \sum_{paths} w_{path, c}\, a_{path} \sum_{ij} C^{l_1 l_2 l_3}_{ijk}
              x_{i c}\, y_{j c}

    where :math:`a = \sqrt{(2 l_3 + 1) / \text{paths into the same block}}`, so that independent
    inputs and weights of variance one give outputs of variance one. A path exists where the
    triangle rule holds and the parities multiply. Instances are hashable and static: two equal
    products compile once.

    Attributes:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        method: ``"blocked"`` folds weights that all rows share into one bilinear map per channel,
            four times smaller when components are sorted by their signs under the rotations by pi,
            and applies weights per row between constant contractions. ``"naive"`` is the
            reference: one small contraction for each path.

    Raises:
        ValueError: If no path exists, the groups differ, or the method is unknown.

    References:
        Thomas et al., Tensor field networks, arXiv:1802.08219 (2018).

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

    def _check(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {_METHODS}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every triple of copies of irreps that the triangle rule and the parities admit."""
        return coupling_paths(self.rep1, self.rep2, self.rep_out)

    @property
    def flops(self) -> int:
        """Floating-point operations for one row and channel, with weights that all rows share."""
        first, second, result = orders(self.rep1, self.rep2, self.rep_out)
        pairs = first.classes * first.size * second.size
        return first.classes * pairs * (1 + 2 * result.size)

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        channels = max(x.shape[-1], y.shape[-1])
        if weights is None:
            weights = jnp.ones((len(self.paths), channels), x.dtype)
        rows = jnp.broadcast_shapes(x.shape[:-2], y.shape[:-2], weights.shape[:-2])
        x = jnp.broadcast_to(x, (*rows, self.rep1.dim, channels))
        y = jnp.broadcast_to(y, (*rows, self.rep2.dim, channels))
        if self.method == "naive":
            return self._naive(x, y, weights)
        count = math.prod(rows)
        x, y = (a.reshape(count, *a.shape[-2:]) for a in (x, y))
        if weights.ndim == 2:
            z = multiply_shared(self, x, y, weights)
        else:
            weights = jnp.broadcast_to(weights, (*rows, *weights.shape[-2:]))
            z = multiply_rows(self, x, y, weights.reshape(count, *weights.shape[-2:]))
        return z.reshape(*rows, *z.shape[1:])

    def mix(
        self,
        x: Float[Array, "... dim1 u"],
        y: Float[Array, "... dim2 v"],
        weights: Float[Array, "paths u v *w"],
    ) -> Float[Array, "... dim_out out"]:
        """Multiplies every channel of x with every channel of y, and mixes them by path.

        Args:
            x: First factor, ``[..., rep1.dim, u]``.
            y: Second factor, ``[..., rep2.dim, v]``.
            weights: ``[paths, u, v]`` keeps the channels of x and sums over the channels of y
                ("uvu"); ``[paths, u, v, w]`` sums over both into channels w ("uvw").

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
        check_feature("x", x, self.rep1)
        check_feature("y", y, self.rep2)
        expected = (self.num_weights, x.shape[-1], y.shape[-1])
        if weights.ndim not in (3, 4) or weights.shape[:3] != expected:
            raise ValueError(
                f"weights must have shape {list(expected)} or {[*expected, 'w']}, paths and the "
                f"channels of x and y, got {weights.shape}"
            )
        x, y = floating_alike(x, y)
        rows = jnp.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        out = weights.shape[-1] if weights.ndim == 4 else x.shape[-1]
        if math.prod((*rows, *weights.shape[1:])) == 0:
            return jnp.zeros((*rows, self.rep_out.dim, out), x.dtype)

        def mixed(x: Array, y: Array, weights: Array) -> Array:
            x, y = (
                jnp.broadcast_to(a, (*rows, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
                for a in (x, y)
            )
            z = multiply_mixed(self, x, y, weights)
            return z.reshape(*rows, *z.shape[1:])

        return keep_sharding(
            mixed,
            x,
            y,
            floating(weights).astype(x.dtype),
            ndim=len(rows) + 2,
            mixed=(-2, -1),
            like=(x, y),
        )

    def contract(
        self,
        outer: Float[Array, "... dim1*dim2 channels"],
        weights: Float[Array, "paths channels"],
    ) -> Float[Array, "... dim_out channels"]:
        """Couples outer products that exist already, for example sums of them over neighbours.

        Args:
            outer: Entries ``x_i y_j``, j running fastest, ``[..., rep1.dim * rep2.dim, channels]``.
            weights: Path weights shared by all rows, ``[paths, channels]``.

        Returns:
            ``[..., rep_out.dim, channels]``.
        """
        # Coupling has a column for each component of each path, folding one for each component of
        # the result; but folding moves the channels to the front. Both take as long at 4 to 1.
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
    tables = np.concatenate(couple, 1), np.concatenate(place, 0), np.array(owner, np.int32)
    return read_only(tables[0]), read_only(tables[1]), read_only(tables[2])
