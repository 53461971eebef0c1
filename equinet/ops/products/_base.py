"""What all products of two features share: their signature, checks, dtypes and shardings."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet._sharding import keep_sharding
from equinet.ops.products._paths import blocks
from equinet.precision import floating
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class ProductBase:
    """A bilinear equivariant map of two features; subclasses say which.

    A subclass has ``paths`` and ``_compute``, and overrides ``_convert`` and ``_check`` where it
    takes other representations or options.

    Attributes:
        rep1: Representation of the first factor.
        rep2: Representation of the second factor.
        rep_out: Representation of the result.
    """

    rep1: Any
    rep2: Any
    rep_out: Any

    def __post_init__(self) -> None:
        reps = self._convert(self.rep1, self.rep2, self.rep_out)
        for name, rep in zip(("rep1", "rep2", "rep_out"), reps, strict=True):
            object.__setattr__(self, name, rep)
        self._check()
        if not self.paths:
            raise ValueError(self._no_path())

    def _convert(self, *reps: Any) -> tuple[Any, ...]:
        """The representations as objects of one group."""
        return irreps_of_one_group(*reps)

    def _check(self) -> None:
        """Raises a ValueError where the options or the irreps do not fit the product."""

    def _no_path(self) -> str:
        """The message for a product that would be zero."""
        return (
            f"{self.rep1} x {self.rep2} has no path into {self.rep_out}: the result would be "
            f"zero; possible outputs are {self.rep1.tensor_product(self.rep2)}"
        )

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        """The product of checked factors of equal rank."""
        raise NotImplementedError

    @property
    def paths(self) -> tuple[Any, ...]:
        """The triples of copies of irreps that the product couples."""
        raise NotImplementedError

    @property
    def num_weights(self) -> int:
        """Number of weights of a channel: one for each path."""
        return len(self.paths)

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding; zero, since the product is exact."""
        return 0.0

    @property
    def bytes_moved(self) -> int:
        """Bytes of both factors and the result in float32, for one row and channel."""
        return 4 * (self.rep1.dim + self.rep2.dim + self.rep_out.dim)

    def __call__(
        self,
        x: Float[Array, "... dim1 channels"],
        y: Float[Array, "... dim2 channels"],
        weights: Float[Array, "... num_weights channels"] | None = None,
    ) -> Float[Array, "... dim_out channels"]:
        """Multiplies two features.

        Args:
            x: First factor, ``[..., rep1.dim, channels]``.
            y: Second factor, ``[..., rep2.dim, channels]``. Leading axes broadcast, and a factor
                with one channel multiplies all channels of the other one.
            weights: ``[num_weights, channels]`` for all rows, or one set of weights for each row,
                ``[..., num_weights, channels]``; ones if absent.

        Returns:
            ``[..., rep_out.dim, channels]`` in the dtype of the factors; integers become floats.

        Raises:
            ValueError: If a shape does not fit.
        """
        check_factors(self, x, y, weights)
        x, y = floating_alike(x, y)
        if weights is not None:
            weights = floating(weights).astype(x.dtype)
        lead = jnp.broadcast_shapes(*(a.shape[:-2] for a in (x, y, weights) if a is not None))
        channels = max(x.shape[-1], y.shape[-1])
        if channels == 0 or any(size == 0 for size in lead):
            return jnp.zeros((*lead, self.rep_out.dim, channels), x.dtype)
        ndim = len(lead) + 2
        x, y = (at_rank(a, ndim) for a in (x, y))
        return keep_sharding(self._compute, x, y, weights, ndim=ndim)


def irreps_of_one_group(*reps: Irreps | str) -> tuple[Irreps, ...]:
    """Irreps of one group; strings take the group of the others.

    Raises:
        ValueError: If two of them are irreps of different groups.

    >>> irreps_of_one_group("0e", Irreps("1o"))
    (Irreps("0e"), Irreps("1o"))
    """
    groups = list(dict.fromkeys(rep.group for rep in reps if isinstance(rep, Irreps)))
    check_one_group(groups)
    return tuple(Irreps(rep, group=groups[0] if groups else None) for rep in reps)


def check_one_group(groups: Sequence[Any]) -> None:
    """Refuses representations of several groups.

    Raises:
        ValueError: If the groups differ.
    """
    names = sorted({repr(group) for group in groups})
    if len(names) > 1:
        raise ValueError(
            f"a product takes representations of one group, got {names}; convert them, for "
            "example with Irreps(rep, group=...) or restrict(rep, group)"
        )


def check_no_copies(product: str, name: str, rep: Irreps, *, degree_only: bool = False) -> None:
    """Refuses irreps that occur twice.

    Args:
        product: Name of the operation, for the message.
        name: Name of the argument.
        rep: The irreps.
        degree_only: Whether two irreps of one degree and different parities count as equal.

    Raises:
        ValueError: If an irrep occurs twice.
    """
    kinds = [block.l if degree_only else (block.l, block.p) for block in blocks(rep)]
    if len(set(kinds)) < len(kinds):
        what = "degree" if degree_only else "irrep"
        raise ValueError(
            f"a {product} takes each {what} at most once, {name} is {rep}: put multiplicities "
            "into the channels. Use product='clebsch_gordan' instead if they are needed"
        )


def floating_alike(x: Array, y: Array) -> tuple[Array, Array]:
    """Two factors as floats: integers take the dtype of the other factor, or the default one.

    >>> [a.dtype.name for a in floating_alike(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.int32))]
    ['bfloat16', 'bfloat16']
    """
    first, second = (jnp.issubdtype(a.dtype, jnp.inexact) for a in (x, y))
    if first == second:
        return floating(x), floating(y)
    return (x, y.astype(x.dtype)) if first else (x.astype(y.dtype), y)


def at_rank(x: Array, ndim: int) -> Array:
    """An array with axes of one entry in front, up to a number of axes."""
    return x.reshape((1,) * (ndim - x.ndim) + x.shape) if x.ndim < ndim else x


def check_factors(product: Any, x: Array, y: Array, weights: Array | None) -> None:
    """Refuses arrays that a product cannot multiply.

    Args:
        product: Any product: its ``rep1``, ``rep2`` and ``num_weights`` are read.
        x: First factor.
        y: Second factor.
        weights: The weights, if there are any.

    Raises:
        ValueError: If a shape does not fit.
    """
    check_feature("x", x, product.rep1)
    check_feature("y", y, product.rep2)
    if x.shape[-1] != y.shape[-1] and 1 not in (x.shape[-1], y.shape[-1]):
        raise ValueError(
            f"x and y have {x.shape[-1]} and {y.shape[-1]} channels, expected equal numbers or one"
        )
    expected = (product.num_weights, max(x.shape[-1], y.shape[-1]))
    if weights is not None and weights.shape[-2:] != expected:
        raise ValueError(
            f"weights must have shape [..., {expected[0]}, {expected[1]}], num_weights rows and a "
            f"column for each channel, got {weights.shape}"
        )


def check_feature(name: str, x: Array, rep: Any) -> None:
    """Refuses an array whose axis -2 is not the axis of the representation.

    Raises:
        ValueError: If the shape does not fit.
    """
    if x.ndim < 2 or x.shape[-2] != rep.dim:
        raise ValueError(
            f"{name} must have shape [..., {rep.dim}, channels] for {rep}, got {x.shape}"
        )
