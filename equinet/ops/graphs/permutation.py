"""Linear maps between tensors over a set that commute with permutations, for sets of any size."""

import dataclasses
import functools

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.reps.bases.diagram_maps import DiagramMaps
from equinet.reps.bases.diagrams import Diagram, partition_diagrams


@dataclasses.dataclass(frozen=True)
class PermutationMaps:
    r"""All linear maps from order-k to order-l tensors over a set that commute with permutations.

    There is one map for every partition of the k + l indices. Blocks of input indices only are
    means over the set instead of sums, so that the same weights apply to sets of any size:

    .. math:: y_{i_1 \dots i_l} = \sum_\pi W_\pi \operatorname{mean}_{j}
              \Big[ \prod_{\text{blocks of } \pi} \delta(\text{indices agree}) \Big]
              x_{j_1 \dots j_k}

    Orders (1, 1) have 2 maps (Deep Sets), (2, 2) 15, (2, 1) 5, (2, 0) 2. They are the diagrams of
    ``equivariant_basis(S(n))`` for n >= k + l, with means in place of sums.

    Attributes:
        order_in: k, the number of set axes of the input.
        order_out: l, the number of set axes of the output.

    Raises:
        ValueError: If an order is negative.

    References:
        Zaheer et al., arXiv:1703.06114 (2017); Maron et al., arXiv:1812.09902 (2019);
        E. Pearce-Crump, arXiv:2303.06208 (2023).

    >>> [PermutationMaps(k, l).num_maps for k, l in ((1, 1), (2, 2), (2, 1), (2, 0))]
    [2, 15, 5, 2]
    """

    order_in: int
    order_out: int

    def __post_init__(self) -> None:
        if min(self.order_in, self.order_out) < 0:
            raise ValueError(f"orders must be >= 0, got {self.order_in} and {self.order_out}")

    @property
    def diagrams(self) -> tuple[Diagram, ...]:
        """The partitions of the k + l indices, in the order of the first axis of the weights."""
        return _diagrams(self.order_in + self.order_out)

    @property
    def num_maps(self) -> int:
        """Number of maps: the Bell number of ``order_in + order_out``."""
        return len(self.diagrams)

    @property
    def num_generic(self) -> int:
        """Number of maps that contribute to an output entry whose indices all differ."""
        return sum(
            all(sum(point < self.order_out for point in block) <= 1 for block in diagram.blocks)
            for diagram in self.diagrams
        )

    def __call__(
        self,
        x: Float[Array, "... channels_in"],
        weights: Float[Array, "maps channels_in channels_out"],
        mask: Bool[Array, "... n"] | None = None,
        *,
        n: int | None = None,
    ) -> Float[Array, "... channels_out"]:
        """Applies the weighted sum of the maps.

        Args:
            x: ``[..., n, ..., n, channels_in]`` with k axes n.
            weights: A matrix from input to output channels for each map.
            mask: False for padding, which is ignored and gets zeros, ``[..., n]``.
            n: Size of the set, required if neither the input nor the mask has an axis n.

        Returns:
            ``[..., n, ..., n, channels_out]`` with l axes n.

        Raises:
            ValueError: If shapes do not fit, or the size of the set is unknown.
        """
        n = self._size(x, mask, n)
        batch = x.shape[: x.ndim - 1 - self.order_in]
        if mask is not None:
            batch = jnp.broadcast_shapes(batch, mask.shape[:-1])
        x = _masked(x, mask, self.order_in)
        x = jnp.broadcast_to(x, (*batch, *x.shape[x.ndim - 1 - self.order_in :]))
        x = x.reshape(*batch, n**self.order_in, x.shape[-1])
        mean = jnp.broadcast_to(_mean_weights(mask, n, x.dtype), (*batch, n))
        maps = DiagramMaps(n, self.order_out, self.order_in, self.diagrams)
        y = maps.apply(x, weights.astype(x.dtype), mean)
        y = y.reshape(*batch, *(n,) * self.order_out, weights.shape[-1])
        return _masked(y, mask, self.order_out)

    def _size(self, x: Array, mask: Array | None, n: int | None) -> int:
        last = x.ndim - 1
        sizes = set(x.shape[last - self.order_in : last]) if last >= self.order_in else {-1}
        sizes |= {mask.shape[-1]} if mask is not None else set()
        sizes |= {n} if n is not None else set()
        if not sizes and self.order_out == 0:
            return 1
        if len(sizes) != 1 or -1 in sizes:
            shown = "none" if mask is None else str(mask.shape)
            raise ValueError(
                f"expected [..., {'n, ' * self.order_in}channels] with one n, got {x.shape}, "
                f"mask {shown}, n {n}" + ("" if sizes else ": pass n=... or a mask")
            )
        return sizes.pop()


def _masked(x: Array, mask: Array | None, order: int) -> Array:
    """The tensor with zeros wherever the index of a set axis is padding."""
    if mask is None:
        return x
    for axis in range(order):
        shape = (1,) * axis + (mask.shape[-1],) + (1,) * (order - 1 - axis) + (1,)
        batch = (1,) * (x.ndim - len(shape) - (mask.ndim - 1)) + mask.shape[:-1]
        x = jnp.where(mask.reshape(batch + shape), x, 0)
    return x


def _mean_weights(mask: Array | None, n: int, dtype: jnp.dtype) -> Array:
    """The weight of each element in a mean over the set: ``[n]``, or ``[..., n]`` with a mask."""
    if mask is None:
        return jnp.full((n,), 1 / max(n, 1), dtype)
    present = mask.astype(dtype)
    return present / jnp.maximum(present.sum(-1, keepdims=True), 1)


@functools.cache
def _diagrams(points: int) -> tuple[Diagram, ...]:
    return tuple(partition_diagrams(points, max(points, 1)))
