"""Frames of the symmetric group: orders of points, and orders of the nodes of a graph."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equinet._sharding import mapped_like, shard_like
from equinet.groups import Group, S
from equinet.ops.frames.frame import Frame, FrameElements, over_batch
from equinet.precision import HIGHEST, at_least_float32, floating
from equinet.typing import Key


@dataclasses.dataclass(frozen=True)
class SortFrame(Frame):
    """Points in the lexicographic order of their coordinates: one permutation.

    The frame is discontinuous: points whose first coordinates become equal exchange their positions
    in the order, however small the motion. ``SweepFrame`` is continuous. Padding comes last.

    Attributes:
        n: Number of points, padding included.
        group: S(n).

    References:
        Dym, Lawrence and Siegel, arXiv:2402.16077 (2024), on its discontinuity.

    >>> SortFrame(3)(jnp.array([[2.0, 0.0], [1.0, 5.0], [1.0, 3.0]])).elements.tolist()
    [[2, 1, 0]]
    """

    n: int
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", S(self.n))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., n, dim]``."""
        if len(shape) < 2 or shape[-2] != self.n:
            raise ValueError(f"expected points of the shape [..., {self.n}, dim], got {shape}")

    def single(self, x: Float[Array, "n dim"], mask: Bool[Array, "n"] | None) -> FrameElements:
        """The frame of one set of points."""
        columns = [x[:, k] for k in reversed(range(x.shape[1]))]
        columns += [] if mask is None else [(~mask).astype(x.dtype)]
        order = jnp.lexsort(jax.lax.stop_gradient(columns)).astype(jnp.int32)
        one = jnp.ones((), x.dtype)
        return FrameElements(order[None], one[None], one, one == 0)


@dataclasses.dataclass(frozen=True)
class SpectralFrame(Frame):
    r"""Orders of the nodes of a graph by their components in the eigenspaces of the Laplacian.

    .. math:: s_i^\lambda = \sqrt{(P_\lambda)_{ii}}, \qquad
              L = D - A = \sum_\lambda \lambda P_\lambda

    Nodes are sorted by the s of the smallest eigenvalue, then by that of the next, and so on. For a
    simple eigenvalue s is the absolute value of the eigenvector's entry, for a degenerate one the
    norm of the node's row in the block of eigenvectors. Nodes with equal s are tied, and the frame
    consists of every order of the ties with equal weights. Up to ``size`` orders are listed. Where
    there are more, the frame is reported as degenerate and ``sample`` draws from all of them, which
    gives an unbiased estimate. Padding comes last.

    Attributes:
        n: Number of nodes, padding included.
        size: Largest number of elements that are listed.
        minimal: Whether to keep only the orders in which the adjacency matrix, row after row, is
            lexicographically smallest: a canonical form of the graph. What is left is a coset of
            the graph's symmetry group.
        rtol: Relative difference of eigenvalues, and difference of s, that counts as zero.
        group: S(n).

    Raises:
        ValueError: If ``n`` or ``size`` is not positive.

    References:
        Puny et al., arXiv:2110.03336 (2022); minimal frames: Lin et al.,
        arXiv:2406.07598 (2024).

    >>> path = jnp.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])  # its ends may be exchanged
    >>> frame = SpectralFrame(3, size=4)(path)
    >>> frame.elements[:2].tolist(), frame.weights.tolist()
    ([[1, 0, 2], [1, 2, 0]], [0.5, 0.5, 0.0, 0.0])
    """

    n: int
    size: int = 16
    minimal: bool = False
    rtol: float | None = None
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if self.n < 1 or self.size < 1:
            raise ValueError(f"n and size must be at least 1, got {self.n} and {self.size}")
        object.__setattr__(self, "group", S(self.n))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ``ValueError`` if the shape is not ``[..., n, n]``."""
        if len(shape) < 2 or shape[-2:] != (self.n, self.n):
            raise ValueError(
                f"expected adjacency matrices of the shape [..., {self.n}, {self.n}], got {shape}"
            )

    def single(self, x: Float[Array, "n n"], mask: Bool[Array, "n"] | None) -> FrameElements:
        """The frame of one symmetric adjacency matrix."""
        x = jax.lax.stop_gradient(x)
        order, tied = self._order(x, mask)
        wide = at_least_float32(x.dtype)
        total = jnp.cumprod(jnp.minimum(tied, self.size + 1).astype(wide))[-1]
        # The number of an order in the mixed radix of the ties: one digit for each position.
        digits, number = [], jnp.arange(self.size, dtype=jnp.int32)
        for position in range(self.n):
            digits.append(number % tied[position])
            number = number // tied[position]
        elements = _permute_ties(order, jnp.stack(digits, axis=-1))
        listed = number == 0
        if self.minimal:
            listed = listed & _smallest(x, elements, listed)
        weights = listed.astype(x.dtype)
        weights = weights / jnp.sum(weights)
        margin = (1 / total).astype(x.dtype)
        return FrameElements(elements, weights, margin, total > self.size)

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """``count`` random orders of the ties; a minimal frame draws from its elements instead."""
        if self.minimal:
            return self(x, mask).draw(key, count)
        x = jax.lax.stop_gradient(floating(x))
        self.check(x.shape)
        batch = x.ndim - 2
        uniform = jax.random.uniform(key, (*x.shape[:-2], count, self.n), x.dtype)
        uniform = shard_like(uniform, x, batch)

        def one(x: Array, uniform: Array, mask: Array | None = None) -> FrameElements:
            order, tied = self._order(x, mask)
            digits = jnp.floor(uniform * tied.astype(x.dtype)[None]).astype(jnp.int32)
            elements = _permute_ties(order, jnp.minimum(digits, tied[None] - 1))
            weights, margin = jnp.full((count,), 1 / count, x.dtype), jnp.ones((), x.dtype)
            return FrameElements(elements, weights, margin, margin == 0)

        arrays = (x, uniform) if mask is None else (x, uniform, mask)
        return over_batch(one, batch)(*arrays)

    def _order(
        self, x: Float[Array, "n n"], mask: Bool[Array, "n"] | None
    ) -> tuple[Int[Array, "n"], Int[Array, "n"]]:
        """One order of the nodes, and for each position the number of tied nodes from there on."""
        present = jnp.ones(self.n, bool) if mask is None else mask
        dtype = at_least_float32(x.dtype)
        rtol = 100 * float(jnp.finfo(dtype).eps) ** 0.75 if self.rtol is None else self.rtol
        scores = _ranks(_eigenspace_scores(x.astype(dtype), present, rtol), rtol)
        keys = [scores[:, k] for k in reversed(range(self.n))] + [(~present).astype(jnp.int32)]
        order = jnp.lexsort(keys).astype(jnp.int32)
        ordered = scores[order]
        equal = jnp.all(ordered[1:] == ordered[:-1], axis=-1)
        if mask is not None:
            inside = mask[order]
            equal = equal & inside[1:] & inside[:-1]
        tied = [mapped_like(jnp.ones((), jnp.int32), scores)]
        for position in reversed(range(self.n - 1)):
            tied.append(jnp.where(equal[position], tied[-1] + 1, 1))
        return order, jnp.stack(tied[::-1])


def _eigenspace_scores(
    adjacency: Float[Array, "n n"], mask: Bool[Array, "n"], rtol: float
) -> Float[Array, "n spaces"]:
    """The norm of every node's component in every eigenspace of the Laplacian.

    Eigenvalues that differ by less than ``rtol`` of the largest share a column. The columns are
    in ascending order of the eigenvalues, followed by columns of zeros.

    >>> path = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> print(_eigenspace_scores(path, jnp.ones(2, bool), 1e-4).round(2))
    [[0.71 0.71]
     [0.71 0.71]]
    """
    adjacency = jnp.where(mask[:, None] & mask[None], adjacency, 0)
    degree = jnp.sum(adjacency, axis=-1)
    bound = 2 * jnp.max(degree) + 1
    # Padding gets a separate eigenvalue above all others.
    diagonal = jnp.where(mask, degree, 2 * bound)
    values, vectors = jnp.linalg.eigh(jnp.diag(diagonal) - adjacency)
    new = (values[1:] - values[:-1]) > rtol * bound
    space = jnp.cumsum(jnp.pad(new, (1, 0)))
    columns = jnp.arange(values.shape[0], dtype=space.dtype)
    member = (space[:, None] == columns[None]).astype(values.dtype)
    return jnp.sqrt(jnp.matmul(vectors * vectors, member, precision=HIGHEST))


def _ranks(scores: Float[Array, "n columns"], rtol: float) -> Int[Array, "n columns"]:
    """The rank of every score in its column; scores closer than ``rtol`` share one."""
    order = jnp.argsort(scores, axis=0)
    ordered = jnp.take_along_axis(scores, order, axis=0)
    new = (ordered[1:] - ordered[:-1]) > rtol
    rank = jnp.cumsum(jnp.pad(new, [(1, 0), (0, 0)]), axis=0)
    return jnp.take_along_axis(rank, jnp.argsort(order, axis=0), axis=0)


def _permute_ties(order: Int[Array, "n"], digits: Int[Array, "size n"]) -> Int[Array, "size n"]:
    """Exchanges every position with the one that many further on, one position after the other.

    Digits below the numbers of tied nodes give every order of the ties exactly once.
    """
    size, n = digits.shape
    positions = jnp.arange(n, dtype=jnp.int32)
    columns = positions[None]

    def step(order: Array, position: Array) -> tuple[Array, None]:
        other = position + jnp.take(digits, position, axis=-1)[:, None]
        here = jnp.take(order, position, axis=-1)[:, None]
        there = jnp.take_along_axis(order, other, axis=-1)
        moved = jnp.where(columns == other, here, order)
        return jnp.where(columns == position, there, moved), None

    return jax.lax.scan(step, jnp.broadcast_to(order, (size, n)), positions)[0]


def _smallest(
    x: Float[Array, "n n"], elements: Int[Array, "size n"], listed: Bool[Array, "size"]
) -> Bool[Array, "size"]:
    """Which of the listed orders give the lexicographically smallest matrix."""
    matrices = x[elements[:, :, None], elements[:, None, :]]
    entries = matrices.reshape(len(elements), -1).T

    def step(kept: Array, entry: Array) -> tuple[Array, None]:
        least = jnp.min(jnp.where(kept, entry, jnp.inf))
        return kept & (entry <= least), None

    return jax.lax.scan(step, listed, entries)[0]
