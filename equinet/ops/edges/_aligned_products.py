"""Products with spherical harmonics of an edge that is aligned with the polar axis.

Along the polar axis all harmonics but those of order 0 vanish, so that the product couples the
component m with m and -m only. For every pair of degrees and every order it is a product of complex
numbers, whose real and imaginary parts are linear in the weights of the paths.
"""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.edges._aligned_rows import AlignedRows
from equinet.ops.primitives import contract, dot, move_rows
from equinet.ops.products import coupling_paths
from equinet.ops.products._paths import blocks, path_scale
from equinet.precision import read_only
from equinet.reps import Irreps, clebsch_gordan, spherical_harmonics_table


def path_weights_to_so2(l1: int, l3: int) -> Float[np.ndarray, "{2*min(l1,l3)+1} {2*min(l1,l3)+1}"]:
    r"""The matrix from path weights to the weights of an SO(2) convolution, a bijection.

    .. math:: y_m = h_m x_m - h_{-m} x_{-m}, \quad y_{-m} = h_{-m} x_m + h_m x_{-m}

    with :math:`h = B w` for weights w of the paths with filters of degree :math:`|l_1 - l_3|` to
    :math:`l_1 + l_3`, couplings of Frobenius norm one, and harmonics of mean square one.

    Args:
        l1: Degree of the feature.
        l3: Degree of the result.

    Rerotations:
        Rows :math:`h_0, h_1, h_{-1}, h_2, h_{-2}, \dots`, a column for each path.

    References:
        Passaro, Zitnick, arXiv:2302.03655 (2023), section 3.

    >>> path_weights_to_so2(1, 0)
    array([[1.]])
    """
    columns = []
    for l2 in range(abs(l1 - l3), l1 + l3 + 1):
        real, imaginary = _axis_coupling(l1, l2, l3)
        # h_0, h_-0, h_1, h_-1, ... without h_-0
        columns.append(np.delete(np.stack([real, imaginary], axis=-1).reshape(-1), 1))
    return np.array(columns).T


def _axis_coupling(l1: int, l2: int, l3: int) -> tuple[np.ndarray, np.ndarray]:
    """h_m and h_-m of one path for m = 0 to min(l1, l3); h_-0 is zero."""
    table = math.sqrt(2 * l2 + 1) * clebsch_gordan(l2, l1, l3)[l2]
    orders = np.arange(min(l1, l3) + 1)
    return table[l1 + orders, l3 + orders], table[l1 + orders, l3 - orders] * (orders > 0)


@dataclasses.dataclass(frozen=True)
class AlignedProduct:
    """A product of a feature with a filter, after the edge was aligned with the polar axis.

    Attributes:
        rep_in: Irreps of the feature.
        rep_edge: Irreps of the filter.
        rep_out: Irreps of the result.
    """

    rep_in: Irreps
    rep_edge: Irreps
    rep_out: Irreps

    @property
    def rows(self) -> tuple[AlignedRows, AlignedRows]:
        """How the components of feature and result are sorted."""
        highest = min(self.rep_in.lmax, self.rep_out.lmax)
        return AlignedRows(self.rep_in, highest), AlignedRows(self.rep_out, highest)


@dataclasses.dataclass(frozen=True)
class AlignedPaths(AlignedProduct):
    """A Clebsch-Gordan product with the harmonics of an aligned edge."""

    @property
    def flops(self) -> int:
        """Operations for one edge and channel, rotations included."""
        tables = _path_tables(self)
        rotations = sum(rotation_flops(rows) for rows in self.rows)
        return rotations + sum(2 * t.size + 4 * len(t) for _, t in tables)

    def multiply(
        self, x: Float[Array, "rows batch"], weights: Float[Array, "paths batch"]
    ) -> Float[Array, "rows_out batch"]:
        """The product with a weight for every path and entry of the batch.

        Args:
            x: The rotated feature.
            weights: Path weights, in the order of ``ClebschGordanProduct(rep_edge, rep_in, ...)``.
        """
        first, last = self.rows
        real, imaginary = (self._spread(weights, kind) for kind in range(2))
        x_parts = jnp.split(x, np.cumsum(first.sizes)[:-1].tolist())
        found = []
        for m in range(first.mmax + 1):
            plus = x_parts[max(0, 2 * m - 1)]
            h = real[m]
            if m == 0:
                found.append(contract(h, plus, -2))
                continue
            minus, g = x_parts[2 * m], imaginary[m]
            found.append(contract(h, plus, -2) - contract(g, minus, -2))
            found.append(contract(g, plus, -2) + contract(h, minus, -2))
        assert len(last.sizes) == len(found)
        return jnp.concatenate(found)

    def _spread(
        self, weights: Array, kind: int
    ) -> list[Float[Array, "degrees_out degrees_in batch"]]:
        """The numbers h_m (kind 0) or h_-m (kind 1) of every order, for all pairs of degrees."""
        paths, table = _path_tables(self)[kind]
        first, last = self.rows
        inverse = np.full(weights.shape[0], len(paths))
        inverse[list(paths)] = np.arange(len(paths))
        if paths:
            spread = dot(table, move_rows(weights, paths, inverse.tolist()))
        else:
            spread = jnp.zeros((len(table), *weights.shape[1:]), weights.dtype)
        shapes = [(len(last.members(m)), len(first.members(m))) for m in range(first.mmax + 1)]
        ends = np.cumsum([a * b for a, b in shapes])[:-1].tolist()
        parts = jnp.split(spread, ends)
        return [part.reshape(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]


@functools.cache
def _path_tables(product: AlignedPaths) -> tuple[tuple[tuple[int, ...], np.ndarray], ...]:
    """For h_m and for h_-m the paths that contribute, and the table from their weights to h."""
    rep_in, rep_edge, rep_out = product.rep_in, product.rep_edge, product.rep_out
    first, last = product.rows
    paths, scale = coupling_paths(rep_edge, rep_in, rep_out), path_scale(rep_edge, rep_in, rep_out)
    pairs = [
        (m, k, i) for m in range(first.mmax + 1) for k in last.members(m) for i in first.members(m)
    ]
    tables = np.zeros((2, len(pairs), len(paths)))
    at = {pair: row for row, pair in enumerate(pairs)}
    for column, path in enumerate(paths):
        degrees = blocks(rep_in)[path.second].l, blocks(rep_edge)[path.first].l
        coupling = _axis_coupling(*degrees, blocks(rep_out)[path.result].l)
        for m in range(len(coupling[0])):
            row = at[m, path.result, path.second]
            tables[:, row, column] = [scale[column] * kind[m] for kind in coupling]
    found = []
    for table in tables:
        table[np.abs(table) < 1e-14] = 0.0
        chosen = tuple(np.flatnonzero(np.abs(table).any(0)).tolist())
        found.append((chosen, read_only(table[:, list(chosen)])))
    return tuple(found)


def rotation_flops(rows: AlignedRows) -> int:
    """Operations of one rotation for one edge and channel."""
    return sum(
        2 * (2 * block.l + 1) * (2 * min(block.l, rows.mmax) + 1) for block in blocks(rows.rep)
    )


@dataclasses.dataclass(frozen=True)
class AlignedGaunt(AlignedProduct):
    """The product with a function of the polar angle alone, which is diagonal in m."""

    @property
    def flops(self) -> int:
        """Operations for one edge and channel, rotations included."""
        rotations = sum(rotation_flops(rows) for rows in self.rows)
        tables = _legendre_tables(self)
        points = tables[0].shape[0]
        work = 2 * tables[0].size
        for m, (there, back) in enumerate(tables[1]):
            work += (2 if m else 1) * (2 * there.size + 2 * back.size + points)
        return rotations + work

    def multiply(
        self, x: Float[Array, "rows batch"], weights: Float[Array, "num_weights batch"]
    ) -> Float[Array, "rows_out batch"]:
        """The product with weights of the degrees of the feature, the filter and the result."""
        counts = [len(blocks(rep)) for rep in (self.rep_in, self.rep_edge, self.rep_out)]
        first, second, last = jnp.split(weights, np.cumsum(counts)[:-1].tolist())
        filter_table, tables = _legendre_tables(self)
        values = dot(filter_table, second)
        rows_in, rows_out = self.rows
        parts = jnp.split(x, np.cumsum(rows_in.sizes)[:-1].tolist())
        found = []
        for m, (there, back) in enumerate(tables):
            scale_in, scale_out = (
                _rows(w, rows.members(m)) for w, rows in ((first, rows_in), (last, rows_out))
            )
            for part in parts[2 * m - 1 : 2 * m + 1] if m else parts[:1]:
                at_points = dot(there, part * scale_in) * values
                found.append(dot(back, at_points) * scale_out)
        return jnp.concatenate(found)


def _rows(weights: Array, members: tuple[int, ...]) -> Array:
    inverse = [members.index(i) if i in members else len(members) for i in range(len(weights))]
    return move_rows(weights, members, inverse)


@functools.cache
def _legendre_tables(
    product: AlignedGaunt,
) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """The filter at the quadrature points; for every order, feature to points and points to result.

    Gauss-Legendre points in the cosine of the polar angle are exact, because the integrand is a
    polynomial in it: the sines occur in even powers.
    """
    reps = product.rep_in, product.rep_edge, product.rep_out
    degree = sum(rep.lmax for rep in reps)
    cosines, quadrature = np.polynomial.legendre.leggauss(degree // 2 + 1)
    points = np.stack([0 * cosines, cosines, np.sqrt(1 - cosines**2)], axis=-1)
    harmonics = spherical_harmonics_table(max(rep.lmax for rep in reps), points)

    def values(rep: Irreps, members: tuple[int, ...], m: int) -> np.ndarray:
        columns = [blocks(rep)[i].l for i in members]
        return np.stack([harmonics[:, l * l + l + m] for l in columns], -1) / math.sqrt(1 + (m > 0))

    rows_in, rows_out = product.rows
    everyone = tuple(range(len(blocks(product.rep_edge))))
    along = np.array([math.sqrt(2 * b.l + 1) for b in blocks(product.rep_edge)])
    tables = []
    for m in range(rows_in.mmax + 1):
        back = values(product.rep_out, rows_out.members(m), m) * quadrature[:, None] / 2
        tables.append((values(product.rep_in, rows_in.members(m), m), back.T))
    return values(product.rep_edge, everyone, 0) * along, tuple(tables)
