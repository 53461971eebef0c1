"""SO(3) convolution in the frame of every edge, where it mixes degrees order by order."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.edges.rotations import FrameRows, Rotations, check_rotations, edge_rotations
from equinet.ops.graphs import GraphBatch
from equinet.ops.graphs._messages import sum_messages
from equinet.ops.products._paths import blocks
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class SO2Convolution:
    r"""Sum over neighbours of messages that mix degrees and channels in the frame of the edge.

    Turn the features so that the edge points along the polar axis, and for every order m multiply
    the components (m, -m) of all degrees and channels, as complex numbers, by one matrix:

    .. math:: y_m + i y_{-m} = (W^r_m + i W^i_m)\, \phi\, (x_m + i x_{-m}), \qquad
              z = D(e)^T\, W\, \phi\, D(e)\, x

    Every convolution with a filter of spherical harmonics is of this form, and the other way round
    (`path_weights_to_so2`). Orders above ``mmax`` are dropped; that too is equivariant. The roll
    about the edge does not matter. The parameters stay outside: ``weight_shapes``.

    Without ``parity`` the layer is equivariant under rotations only, not under reflections: then
    parities of the irreps count for nothing. With ``parity`` it has exactly the entries that O(3)
    allows: real ones between two degrees where :math:`p_1 p_3 (-1)^{l_1 + l_3} = 1`, imaginary
    ones elsewhere.

    Attributes:
        rep_in: Irreps of the node features, each at most once.
        rep_out: Irreps of the result, each at most once.
        channels_in: Channels of the features.
        channels_out: Channels of the result.
        mmax: Highest order that is mixed; all if absent.
        parity: Whether reflections are symmetries too.
        chunk_bytes: Bound on the bytes of messages in flight; None: all at once.
        precision: Of the mixing matrices, as for ``jax.numpy.matmul``.

    Raises:
        ValueError: If an irrep occurs twice, ``mmax`` is not an order that both reps have, or a
            number of channels is below 1.

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
        for name in ("rep_in", "rep_out"):
            object.__setattr__(self, name, _each_once(name, Irreps(getattr(self, name))))
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
    def rows(self) -> tuple[FrameRows, FrameRows]:
        """How the features and the result are sorted in the frame."""
        return (
            FrameRows(self.rep_in, self.orders, self.parity),
            FrameRows(self.rep_out, self.orders, self.parity),
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
    def equivariance_error(self) -> float:
        """Bound on the equivariance error under rotations beyond rounding: exact, so zero."""
        return 0.0

    def edge_features(self, vectors: Float[Array, "edges 3"]) -> Rotations:
        """The rotations into the frames of the edges; any layer of no higher degree can share them.

        Args:
            vectors: From receiver to sender, ``[edges, 3]``.

        Returns:
            The rotations, ``[edges, entries]``.
        """
        return edge_rotations(max(self.rep_in.lmax, self.rep_out.lmax), vectors, self.orders)

    def messages(
        self,
        x: Float[Array, "edges dim_in channels_in"],
        edges: Rotations,
        radial: Float[Array, "edges num_radial channels_in"],
        weights: Any,
    ) -> Float[Array, "edges dim_out channels_out"]:
        """The message of every edge.

        Args:
            x: Features of the senders, ``[edges, rep_in.dim, channels_in]``.
            edges: From ``edge_features``.
            radial: Factors of the features in the frame, ``[edges, num_radial, channels_in]``: for
                m = 0, 1, ... one for each block of degree at least m.
            weights: Arrays of the ``weight_shapes``.

        Returns:
            ``[edges, rep_out.dim, channels_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        self._check(x, edges, radial, weights)
        rows_in, rows_out = self.rows
        sizes = [len(rows_in.members(m)) for m in range(self.orders + 1)]
        parts = rows_in.parts(rows_in.rotate(edges, x))
        scales = jnp.split(radial.astype(x.dtype), np.cumsum(sizes)[:-1].tolist(), axis=1)
        weights = [w.astype(x.dtype) for w in weights]
        mixed = self._mix_scalars(parts[0].swapaxes(0, 1) * scales[0], weights)
        for m in range(1, self.orders + 1):
            plus, minus = (part.swapaxes(0, 1) * scales[m] for part in parts[2 * m - 1 : 2 * m + 1])
            mixed += self._mix_pair(plus, minus, weights[m - self.orders - 1])
        rows = jnp.concatenate([part.swapaxes(0, 1) for part in mixed])
        return rows_out.rotate_back(edges, rows)

    def __call__(
        self,
        x: Float[Array, "nodes dim_in channels_in"],
        edges: Rotations,
        radial: Float[Array, "edges num_radial channels_in"],
        weights: Any,
        graph: GraphBatch,
    ) -> Float[Array, "nodes dim_out channels_out"]:
        """Convolve: messages from the senders, summed over the slots of every node.

        Args:
            x: Node features, ``[nodes, rep_in.dim, channels_in]``.
            edges: From ``edge_features``.
            radial: As for ``messages``, zero on empty slots.
            weights: Arrays of the ``weight_shapes``.
            graph: Senders and slots.

        Returns:
            ``[nodes, rep_out.dim, channels_out]``.
        """
        rows = 2 * (sum(self.rows[0].sizes) * self.channels_in)
        rows += 2 * sum(self.rows[1].sizes) * self.channels_out

        def messages(x: Array, edges: Rotations, radial: Array) -> Array:
            return self.messages(x, edges, radial, weights)

        return sum_messages(messages, rows, x, edges, radial, graph, self.chunk_bytes)

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

    def _check(self, x: Array, edges: Rotations, radial: Array, weights: Any) -> None:
        count = x.shape[0]
        for name, array, shape in (
            ("x", x, (count, self.rep_in.dim, self.channels_in)),
            ("radial", radial, (count, self.num_radial, self.channels_in)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        shapes = tuple(tuple(w.shape) for w in weights)
        if shapes != self.weight_shapes:
            raise ValueError(f"weights must have shapes {self.weight_shapes}, got {shapes}")
        check_rotations(edges, count, max(self.rep_in.lmax, self.rep_out.lmax), self.orders)


def _each_once(name: str, rep: Irreps) -> Irreps:
    kinds = [(block.l, block.p) for block in blocks(rep)]
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"{name} must have each irrep once, copies are channels; got {rep}")
    return rep
