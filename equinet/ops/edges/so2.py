"""SO(2) convolutions (eSCN): rotated features are mixed order by order, across degrees."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from equinet.ops.edges._aligned_rows import AlignedRows
from equinet.ops.edges._base import ConvolutionBase, check_radial, set_irreps
from equinet.ops.edges.rotations import Rotations
from equinet.ops.products._base import check_no_copies
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class SO2Convolution(ConvolutionBase):
    r"""Sum over neighbours of messages that mix degrees and channels of aligned features.

    The features are rotated so that the edge points along the polar axis. For every order m the
    components (m, -m) of all degrees and channels are multiplied, as complex numbers, by one
    matrix:

    .. math:: y_m + i y_{-m} = (W^r_m + i W^i_m)\, \phi\, (x_m + i x_{-m}), \qquad
              z = D(e)^T\, W\, \phi\, D(e)\, x

    Every convolution with a filter of spherical harmonics has this form, and conversely. Orders
    above ``mmax`` are dropped, which keeps the equivariance. The rotation about the edge, which
    the alignment leaves open, does not change the result. The parameters stay outside; their
    shapes are ``weight_shapes``.

    Without ``parity`` the layer is equivariant under rotations only, and the parities of the
    irreps are ignored. With ``parity`` it has exactly the entries that O(3) allows: real ones
    between two degrees where :math:`p_1 p_3 (-1)^{l_1 + l_3} = 1`, imaginary ones elsewhere.

    Attributes:
        rep_in: Irreps of the node features, each at most once.
        rep_out: Irreps of the result, each at most once.
        channels_in: Channels of the features.
        channels_out: Channels of the result.
        mmax: Highest order that is mixed; all if absent.
        parity: Whether reflections are symmetries too.
        chunk_bytes: Bound on the bytes of messages held at a time; None for all at once.
        precision: Of the mixing matrices, as for ``jax.numpy.matmul``.

    Raises:
        ValueError: If an irrep occurs twice, the groups differ, ``mmax`` is not an order that both
            reps have, or a number of channels is below 1.

    References:
        Passaro, Zitnick, Reducing SO(3) Convolutions to SO(2), arXiv:2302.03655 (2023).

    >>> convolution = SO2Convolution(Irreps("0e+1o"), Irreps("0e+1o"), 8, 4)
    >>> convolution.weight_shapes, convolution.num_radial
    (((16, 8), (2, 8, 4)), 3)
    >>> edges = convolution.edge_features(jnp.ones((5, 3)))
    >>> weights = [jnp.ones(shape) for shape in convolution.weight_shapes]
    >>> convolution.messages(jnp.ones((5, 4, 8)), edges, jnp.ones((5, 3, 8)), weights).shape
    (5, 4, 4)
    """

    rep_in: Irreps
    rep_out: Irreps
    channels_in: int
    channels_out: int
    mmax: int | None = None
    parity: bool = False
    chunk_bytes: int | None = None
    precision: Any = None

    def __post_init__(self) -> None:
        for name, rep in zip(
            ("rep_in", "rep_out"), set_irreps(self, "rep_in", "rep_out"), strict=True
        ):
            if not blocks(rep):
                raise ValueError(f"{name} must have at least one irrep, got {rep}")
            check_no_copies("SO(2) convolution", name, rep)
        highest = min(self.rep_in.lmax, self.rep_out.lmax)
        if self.mmax is not None and not 0 <= self.mmax <= highest:
            raise ValueError(
                f"got mmax={self.mmax}, expected an order from 0 to {highest}, the highest that "
                f"{self.rep_in} and {self.rep_out} have both"
            )
        if min(self.channels_in, self.channels_out) < 1:
            raise ValueError(
                f"got {self.channels_in} channels in and {self.channels_out} out, expected at "
                "least one"
            )

    @property
    def orders(self) -> int:
        """Highest order that is mixed."""
        highest = min(self.rep_in.lmax, self.rep_out.lmax)
        return highest if self.mmax is None else self.mmax

    @property
    def rows(self) -> tuple[AlignedRows, AlignedRows]:
        """How the components of the rotated features and of the result are sorted."""
        return (
            AlignedRows(self.rep_in, self.orders, self.parity),
            AlignedRows(self.rep_out, self.orders, self.parity),
        )

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the weights: a real matrix for m = 0, then one for every m > 0.

        For m > 0 it is ``[2, degrees_in * channels_in, degrees_out * channels_out]``, real and
        imaginary parts, the channels running fastest. With ``parity`` one real matrix is enough,
        and m = 0 has two: between the blocks of parity (-1)^l, and between the others.
        """
        shapes: list[tuple[int, ...]] = [
            (sizes[0] * self.channels_in, sizes[1] * self.channels_out) for sizes in self._scalars()
        ]
        for m in range(1, self.orders + 1):
            first, last = (len(rows.members(m)) for rows in self.rows)
            shape = (first * self.channels_in, last * self.channels_out)
            shapes.append(shape if self.parity else (2, *shape))
        return tuple(shapes)

    @property
    def num_radial(self) -> int:
        """Radial weights: one for every order and block of the features of at least its degree."""
        return sum(len(self.rows[0].members(m)) for m in range(self.orders + 1))

    @property
    def _orders(self) -> int:
        return self.orders

    def _numbers(self, channels: int) -> int:
        rows = sum(self.rows[0].sizes) * self.channels_in
        return 2 * (rows + sum(self.rows[1].sizes) * self.channels_out)

    def _channels_out(self, x: Array) -> int:
        return self.channels_out

    def _message(self, x: Array, edges: Rotations, radial: Array, weights: Any) -> Array:
        rows_in, rows_out = self.rows
        sizes = [len(rows_in.members(m)) for m in range(self.orders + 1)]
        parts = rows_in.parts(rows_in.rotate(edges, x))
        scales = self._scales(radial.astype(x.dtype), sizes)
        weights = [w.astype(x.dtype) for w in weights]
        mixed = self._mix_scalars(parts[0].swapaxes(0, 1) * scales[0], weights)
        for m in range(1, self.orders + 1):
            plus, minus = (part.swapaxes(0, 1) * scales[m] for part in parts[2 * m - 1 : 2 * m + 1])
            mixed += self._mix_pair(plus, minus, weights[m - self.orders - 1])
        rows = jnp.concatenate([part.swapaxes(0, 1) for part in mixed])
        return rows_out.rotate_back(edges, rows)

    def _scales(self, radial: Array, sizes: list[int]) -> list[Array]:
        """The radial weights of every order."""
        if radial.shape[1] == 1:
            return [radial] * len(sizes)
        return jnp.split(radial, np.cumsum(sizes)[:-1].tolist(), axis=1)

    def _mix_scalars(self, x: Array, weights: list[Array]) -> list[Array]:
        """Order 0: one real matrix, or one for each parity under reflections through the edge."""
        groups, mixed = self._scalars(), []
        odd = sum(b.p != (-1) ** b.l for b in blocks(self.rep_in)) if self.parity else 0
        even = len(blocks(self.rep_in)) - odd
        for (size, _), weight in zip(groups, weights, strict=False):
            start = 0 if not mixed else even
            mixed.append(self._matmul(x[:, start : start + size], weight))
        return [jnp.concatenate(mixed, axis=1)]

    def _scalars(self) -> list[tuple[int, int]]:
        if not self.parity:
            return [(len(blocks(self.rep_in)), len(blocks(self.rep_out)))]
        found = []
        for even in (True, False):
            counts = [
                sum((b.p == (-1) ** b.l) == even for b in blocks(rep))
                for rep in (self.rep_in, self.rep_out)
            ]
            found.append((counts[0], counts[1]))
        return found

    def _mix_pair(self, first: Array, last: Array, weight: Array) -> list[Array]:
        """Orders m and -m: a complex matrix in three real products, or a real one."""
        if self.parity:
            return [self._matmul(first, weight), self._matmul(last, weight)]
        real, imaginary = weight[0], weight[1]
        # (x + iy)(R + iI) = (a - b) + i ((x + y)(R + I) - a - b) with a = x R and b = y I.
        a, b = self._matmul(first, real), self._matmul(last, imaginary)
        both = self._matmul(first + last, real + imaginary)
        return [a - b, both - a - b]

    def _matmul(self, x: Array, weight: Array) -> Array:
        flat = jnp.matmul(x.reshape(x.shape[0], -1), weight, precision=self.precision)
        return flat.reshape(x.shape[0], -1, self.channels_out)

    def _check(self, x: Array, edges: Any, radial: Array, weights: Any) -> None:
        shape = (x.shape[0], self.rep_in.dim, self.channels_in)
        if x.shape != shape:
            raise ValueError(f"x must have shape {shape}, got {x.shape}")
        check_radial(radial, shape[0], self.num_radial, shape[2])
        shapes = tuple(tuple(w.shape) for w in weights or ())
        if shapes != self.weight_shapes:
            raise ValueError(f"weights must have shapes {self.weight_shapes}, got {shapes}")
        self._check_edges(edges, shape[0])
