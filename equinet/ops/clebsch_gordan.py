"""The Clebsch-Gordan tensor product: every path, any irreps, a few large contractions."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.reps import Irreps, clebsch_gordan

METHODS = ("folded", "naive")
HIGHEST = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Block:
    """One copy of an irrep inside an ``Irreps``: degree, parity and where it starts."""

    l: int
    p: int
    start: int

    @property
    def slice(self) -> slice:
        """Position on the representation axis."""
        return slice(self.start, self.start + 2 * self.l + 1)


@functools.cache
def blocks(irreps: Irreps) -> tuple[Block, ...]:
    """All copies of all irreps, in order.

    >>> [(b.l, b.p, b.start) for b in blocks(Irreps("2x0e+1o"))]
    [(0, 1, 0), (0, 1, 1), (1, -1, 2)]
    """
    found, start = [], 0
    for mul, ir in irreps:
        for _ in range(mul):
            found.append(Block(ir.l, ir.p, start))
            start += 2 * ir.l + 1
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Path:
    """One equivariant bilinear map: block of the first factor, of the second, of the result."""

    first: int
    second: int
    result: int


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
        method: ``"folded"``: shared weights are folded into one ``[dim1, dim2, dim_out]`` map per
            channel; weights per row use two constant contractions.
            ``"naive"``: one small contraction a path, the reference.

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
    method: str = "folded"

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
        return _paths(self.rep1, self.rep2, self.rep_out)

    @property
    def num_weights(self) -> int:
        """One weight for each path."""
        return len(self.paths)

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding: exact, so zero."""
        return 0.0

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
        if weights.ndim == 2:
            return self._folded(x, y, weights)
        outer = x[..., :, None, :] * y[..., None, :, :]
        return self._coupled(outer.reshape(*outer.shape[:-3], -1, channels), weights)

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
        maps = fold(self, weights.astype(outer.dtype))
        maps = maps.reshape(weights.shape[-1], -1, self.rep_out.dim)
        return jnp.einsum("...mc,cmk->...kc", outer, maps, precision=HIGHEST)

    def _naive(self, x: Array, y: Array, weights: Array) -> Array:
        blocks1, blocks2, blocks3 = blocks(self.rep1), blocks(self.rep2), blocks(self.rep_out)
        scale = _path_scale(self.rep1, self.rep2, self.rep_out)
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

    def _folded(self, x: Array, y: Array, weights: Array) -> Array:
        """One bilinear map per channel, applied to the larger factor first: a product of matrices.

        The outer product of the factors, ``dim1 * dim2`` numbers a row, is never formed.
        """
        rows = x.shape[:-2]
        maps = fold(self, weights.astype(x.dtype))
        if self.rep1.dim > self.rep2.dim:
            x, y, maps = y, x, jnp.swapaxes(maps, 1, 2)
        x, y = (jnp.moveaxis(a.reshape(-1, *a.shape[-2:]), -1, 0) for a in (x, y))

        def block(maps: Array, x: Array, y: Array) -> Array:
            matrices = jnp.einsum("cnj,cijk->cnik", y, maps, precision=HIGHEST)
            return jnp.einsum("cni,cnik->cnk", x, matrices, precision=HIGHEST)

        row_bytes = x.shape[1] * x.shape[2] * self.rep_out.dim * x.dtype.itemsize
        z = map_chunks(block, rows_per_chunk(x.shape[0], row_bytes), maps, x, y)
        return jnp.moveaxis(z, 0, -1).reshape(*rows, self.rep_out.dim, -1)

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
    for name, array, rep in (("x", x, product.rep1), ("y", y, product.rep2)):
        if array.ndim < 2 or array.shape[-2] != rep.dim:
            raise ValueError(
                f"{name} must have shape [..., {rep.dim}, channels] for {rep}, got {array.shape}"
            )
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


def fold(
    product: ClebschGordanProduct, weights: Float[Array, "paths channels"]
) -> Float[Array, "channels dim1 dim2 dim_out"]:
    """Path weights and coupling coefficients as one bilinear map per channel.

    Every entry (i, j, k) belongs to at most one path, so the map is the sum of all coupling blocks
    times the weights, spread over the components of each block by three one-hot contractions: the
    cost does not grow with the number of paths, and no gather has to be transposed.

    Args:
        product: The static description.
        weights: Path weights, ``[paths, channels]``.

    Returns:
        ``[channels, dim1, dim2, dim_out]``.
    """
    first, second, result, grid, coupling = (
        jnp.asarray(table, weights.dtype)
        for table in _fold_tables(product.rep1, product.rep2, product.rep_out)
    )
    spread = jnp.einsum("pc,pxyz->cxyz", weights, grid, precision=HIGHEST)
    spread = jnp.einsum("cxyz,xi->ciyz", spread, first, precision=HIGHEST)
    spread = jnp.einsum("ciyz,yj->cijz", spread, second, precision=HIGHEST)
    spread = jnp.einsum("cijz,zk->cijk", spread, result, precision=HIGHEST)
    return spread * coupling[None]


@functools.cache
def _paths(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[Path, ...]:
    return tuple(
        Path(i, j, k)
        for i, a in enumerate(blocks(rep1))
        for j, b in enumerate(blocks(rep2))
        for k, c in enumerate(blocks(rep_out))
        if abs(a.l - b.l) <= c.l <= a.l + b.l and a.p * b.p == c.p
    )


@functools.cache
def _path_scale(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> np.ndarray:
    """sqrt((2 l3 + 1) / number of paths into the same block of the result)."""
    results = [path.result for path in _paths(rep1, rep2, rep_out)]
    degrees = np.array([blocks(rep_out)[k].l for k in results])
    return np.sqrt((2 * degrees + 1) / np.bincount(results)[results])


@functools.cache
def _fold_tables(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[np.ndarray, ...]:
    """One-hot spreads block -> component for the three reps, path -> triple, and all couplings."""
    spreads = []
    for rep in (rep1, rep2, rep_out):
        table = np.zeros((len(blocks(rep)), rep.dim))
        for index, block in enumerate(blocks(rep)):
            table[index, block.slice] = 1
        spreads.append(table)
    paths, scale = _paths(rep1, rep2, rep_out), _path_scale(rep1, rep2, rep_out)
    grid = np.zeros((len(paths), *(table.shape[0] for table in spreads)))
    coupling = np.zeros((rep1.dim, rep2.dim, rep_out.dim))
    for index, path in enumerate(paths):
        a, b = blocks(rep1)[path.first], blocks(rep2)[path.second]
        c = blocks(rep_out)[path.result]
        grid[index, path.first, path.second, path.result] = 1
        coupling[a.slice, b.slice, c.slice] = scale[index] * clebsch_gordan(a.l, b.l, c.l)
    return (*spreads, grid, coupling)


@functools.cache
def _path_tables(
    rep1: Irreps, rep2: Irreps, rep_out: Irreps
) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, "terms"]]:
    """Couplings ``[dim1 * dim2, terms]``, placement ``[terms, dim_out]`` and path of every term."""
    paths, scale = _paths(rep1, rep2, rep_out), _path_scale(rep1, rep2, rep_out)
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
