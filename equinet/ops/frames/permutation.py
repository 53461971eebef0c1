"""Frames of the symmetric group: orders of points, and orders of the nodes of a graph."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equinet.groups import Group, S
from equinet.ops.frames.frame import Frame, FrameElements
from equinet.precision import HIGHEST
from equinet.typing import Key


@dataclasses.dataclass(frozen=True)
class SortFrame(Frame):
    """Points in the order of their coordinates, the first one first: one element.

    The canonical form that jumps: points that exchange their order in the first coordinate exchange
    places, however little they move. `equinet.ops.frames.weighted.SweepFrame` does not.

    Attributes:
        n: Number of points, padding included; padding stays behind.
        group: S(n).

    >>> SortFrame(3)(jnp.array([[2.0, 0.0], [1.0, 5.0], [1.0, 3.0]])).elements.tolist()
    [[2, 1, 0]]
    """

    n: int
    group: Group = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", S(self.n))

    def __call__(
        self, x: Float[Array, "... n dim"], mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """The frames of points ``[..., n, dim]``.

        Raises:
            ValueError: If there is another number of points.
        """
        if x.ndim < 2 or x.shape[-2] != self.n:
            raise ValueError(f"expected points of the shape [..., {self.n}, dim], got {x.shape}")
        columns = [x[..., k] for k in reversed(range(x.shape[-1]))]
        columns += [] if mask is None else [(~mask).astype(x.dtype)]
        order = jnp.lexsort(jax.lax.stop_gradient(columns), axis=-1).astype(jnp.int32)
        one = jnp.ones(x.shape[:-2], x.dtype)
        return FrameElements(order[..., None, :], one[..., None], one, one == 0)


@dataclasses.dataclass(frozen=True)
class SpectralFrame(Frame):
    r"""Nodes of a graph in the order of their parts in the eigenspaces of the Laplacian.

    .. math:: s_i^\lambda = \sqrt{(P_\lambda)_{ii}}, \qquad
              L = D - A = \sum_\lambda \lambda P_\lambda

    sorted by the s of the smallest eigenvalue, then by the next: for a simple eigenvalue the size
    of the eigenvector's entry, for a degenerate one the norm of the node's row in its block. Nodes
    with equal s are tied, and the frame is every order of the ties with equal weights. Up to
    ``size`` of them are listed; where there are more the frame is reported as degenerate and
    ``sample`` draws from all of them, an unbiased estimate.

    Attributes:
        n: Number of nodes, padding included; padding stays behind.
        size: Largest number of elements that are listed.
        minimal: Keep only the orders in which the adjacency matrix, row after row, is smallest: a
            canonical form, and the coset of the graph's symmetries.
        rtol: Difference of eigenvalues, and of s, that counts as none.
        group: S(n).

    Raises:
        ValueError: If a number is not positive.

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

    def __call__(
        self, x: Float[Array, "... n n"], mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """The frames of symmetric adjacency matrices ``[..., n, n]``.

        Raises:
            ValueError: If the shape is another.
        """
        x = jax.lax.stop_gradient(x)
        order, left = self._order(x, mask)
        total = jnp.cumprod(jnp.minimum(left, self.size + 1).astype(x.dtype), axis=-1)[..., -1]
        digits, number = (
            [],
            jnp.broadcast_to(jnp.arange(self.size, dtype=jnp.int32), (*x.shape[:-2], self.size)),
        )
        for place in range(self.n):
            radix = left[..., place : place + 1]
            digits.append(number % radix)
            number = number // radix
        elements = _shuffle(order, jnp.stack(digits, axis=-1))
        here = number == 0
        if self.minimal:
            here = here & _smallest(x, elements, here)
        weights = here.astype(x.dtype)
        weights = weights / jnp.sum(weights, axis=-1, keepdims=True)
        too_many = total > self.size
        return FrameElements(elements, weights, 1 / total, too_many)

    def sample(
        self, x: Array, key: Key, count: int = 1, mask: Bool[Array, "... n"] | None = None
    ) -> FrameElements:
        """``count`` random orders of the ties. A minimal frame draws from its elements instead."""
        if self.minimal:
            return self(x, mask).draw(key, count)
        x = jax.lax.stop_gradient(x)
        order, left = self._order(x, mask)
        uniform = jax.random.uniform(key, (*x.shape[:-2], count, self.n), x.dtype)
        digits = jnp.floor(uniform * left[..., None, :].astype(x.dtype)).astype(jnp.int32)
        elements = _shuffle(order, jnp.minimum(digits, left[..., None, :] - 1))
        weights = jnp.full((*x.shape[:-2], count), 1 / count, x.dtype)
        one = jnp.ones(x.shape[:-2], x.dtype)
        return FrameElements(elements, weights, one, one == 0)

    def _order(self, x: Array, mask: Array | None) -> tuple[Array, Int[Array, "... n"]]:
        """One order of the nodes, and for each place how many tied nodes are left from there on."""
        if x.ndim < 2 or x.shape[-2:] != (self.n, self.n):
            raise ValueError(
                f"expected adjacency matrices of the shape [..., {self.n}, {self.n}], got {x.shape}"
            )
        mask = jnp.ones(x.shape[:-1], bool) if mask is None else mask
        rtol = 100 * float(jnp.finfo(x.dtype).eps) ** 0.75 if self.rtol is None else self.rtol
        scores = _ranks(eigenspace_scores(x, mask, rtol), rtol)
        keys = [scores[..., k] for k in reversed(range(self.n))] + [(~mask).astype(jnp.int32)]
        order = jnp.lexsort(keys, axis=-1).astype(jnp.int32)
        ordered = jnp.take_along_axis(scores, order[..., None], axis=-2)
        inside = jnp.take_along_axis(mask, order, axis=-1)
        equal = jnp.all(ordered[..., 1:, :] == ordered[..., :-1, :], axis=-1)
        equal = equal & inside[..., 1:] & inside[..., :-1]
        left = [jnp.ones(x.shape[:-2], jnp.int32)]
        for place in reversed(range(self.n - 1)):
            left.append(jnp.where(equal[..., place], left[-1] + 1, 1))
        return order, jnp.stack(left[::-1], axis=-1)


def eigenspace_scores(
    adjacency: Float[Array, "... n n"], mask: Bool[Array, "... n"], rtol: float
) -> Float[Array, "... n n"]:
    """The length of every node's part in every eigenspace of the Laplacian, zeros at the end.

    Eigenvalues that differ by less than ``rtol`` of the largest share a column of the
    ``[..., n, spaces]``, with the smallest eigenvalue first.

    >>> path = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> print(eigenspace_scores(path, jnp.ones(2, bool), 1e-4).round(2))
    [[0.71 0.71]
     [0.71 0.71]]
    """
    real = (mask[..., None] & mask[..., None, :]).astype(adjacency.dtype)
    adjacency = adjacency * real
    degree = jnp.sum(adjacency, axis=-1)
    identity = jnp.broadcast_to(jnp.eye(adjacency.shape[-1], dtype=adjacency.dtype), real.shape)
    bound = 2 * jnp.max(degree, axis=-1) + 1
    # Padding gets an eigenvalue of its own above all others.
    diagonal = jnp.where(mask, degree, 2 * bound[..., None])
    values, vectors = jnp.linalg.eigh(diagonal[..., None] * identity - adjacency)
    new = (values[..., 1:] - values[..., :-1]) > rtol * bound[..., None]
    space = jnp.cumsum(jnp.pad(new, [(0, 0)] * (new.ndim - 1) + [(1, 0)]), axis=-1)
    columns = jnp.broadcast_to(jnp.arange(values.shape[-1], dtype=space.dtype), identity.shape)
    member = (space[..., None] == columns).astype(values.dtype)
    return jnp.sqrt(jnp.matmul(vectors * vectors, member, precision=HIGHEST))


def _ranks(scores: Float[Array, "... n columns"], rtol: float) -> Int[Array, "... n columns"]:
    """The rank of every score in its column; scores closer than ``rtol`` share one."""
    order = jnp.argsort(scores, axis=-2)
    ordered = jnp.take_along_axis(scores, order, axis=-2)
    new = (ordered[..., 1:, :] - ordered[..., :-1, :]) > rtol
    rank = jnp.cumsum(jnp.pad(new, [(0, 0)] * (new.ndim - 2) + [(1, 0), (0, 0)]), axis=-2)
    return jnp.take_along_axis(rank, jnp.argsort(order, axis=-2), axis=-2)


def _shuffle(
    order: Int[Array, "... n"], digits: Int[Array, "... size n"]
) -> Int[Array, "... size n"]:
    """Exchange every place with the one that many further on: all orders of ties, each once."""
    size = digits.shape[-2]
    order = jnp.broadcast_to(order[..., None, :], (*order.shape[:-1], size, order.shape[-1]))
    places = jnp.broadcast_to(jnp.arange(order.shape[-1], dtype=jnp.int32), order.shape)

    def step(order: Array, place: Array) -> tuple[Array, None]:
        other = place + jnp.take(digits, place, axis=-1)[..., None]
        here = jnp.take(order, place, axis=-1)[..., None]
        there = jnp.take_along_axis(order, other, axis=-1)
        order = jnp.where(places == place, there, jnp.where(places == other, here, order))
        return order, None

    steps = jnp.arange(order.shape[-1], dtype=jnp.int32)
    return jax.lax.scan(step, order, steps)[0]


def _smallest(
    x: Float[Array, "... n n"], elements: Int[Array, "... size n"], here: Bool[Array, "... size"]
) -> Bool[Array, "... size"]:
    """Which orders give the lexicographically smallest matrix."""
    n, size = x.shape[-1], elements.shape[-2]
    matrix = jnp.broadcast_to(x[..., None, :, :], (*elements.shape[:-1], n, n))
    matrix = jnp.take_along_axis(matrix, elements[..., :, None], axis=-2)
    matrix = jnp.take_along_axis(matrix, elements[..., None, :], axis=-1)
    entries = jnp.moveaxis(matrix.reshape(*x.shape[:-2], size, n * n), -1, 0)

    def step(kept: Array, entry: Array) -> tuple[Array, None]:
        least = jnp.min(jnp.where(kept, entry, jnp.inf), axis=-1, keepdims=True)
        return kept & (entry <= least), None

    return jax.lax.scan(step, here, entries)[0]
