"""What every representation can do."""

import abc
import dataclasses
import functools
import itertools
import operator
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.groups import Group
from equinet.typing import Element, Feature, Matrix

HIGHEST = jax.lax.Precision.HIGHEST


class Rep(abc.ABC):
    """How a group acts on the axis -2 of a feature ``[..., dim, channels]``.

    A value without arrays: equal reps are equal keys, so that a function of a static rep compiles
    once. ``V + W`` is the direct sum, ``V * W`` the tensor product (the index of V runs slowest),
    ``V ** k`` the tensor power, ``3 * V`` three copies, ``V.dual`` the dual. Results are in normal
    form: sums and products are flattened, neighbouring equal terms of a sum are counted, the order
    is kept, and a rep of orthogonal matrices is its own dual.

    Subclasses are dataclasses declared ``frozen=True, eq=False``. They give ``dim``, ``matrix`` and
    ``lie_matrix``, and override ``_apply`` where acting is cheaper than multiplying by the matrix.
    """

    group: Group

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Length of the axis that the group acts on."""

    @property
    def is_orthogonal(self) -> bool:
        """Whether every ``matrix(g)`` is orthogonal."""
        return False

    @property
    def is_permutation(self) -> bool:
        """Whether every ``matrix(g)`` permutes: then any function may act entry by entry."""
        return False

    @abc.abstractmethod
    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """The matrices of group elements, with the batch axes of ``g``."""

    @abc.abstractmethod
    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """The matrices of Lie algebra elements: ``matrix(exp(A)) = exp(lie_matrix(A))``."""

    def transform(self, g: Element, x: Feature) -> Feature:
        """Acts on a feature, without building the matrix where that is cheaper.

        Args:
            g: Group elements; their batch axes broadcast against those of ``x``.
            x: A feature ``[..., dim, channels]``.

        Returns:
            The transformed feature, in the dtype of ``x``.

        Raises:
            ValueError: If axis -2 of ``x`` is not ``dim`` long.
        """
        x = jnp.asarray(x)
        if x.ndim < 2 or x.shape[-2] != self.dim:
            raise ValueError(
                f"got a feature of shape {x.shape}; {self} acts on axis -2 of "
                f"[..., {self.dim}, channels] (a single channel needs an axis of length 1)"
            )
        batch = jax.eval_shape(self.group.linear_part, g).shape[:-2]
        shape = (*jnp.broadcast_shapes(batch, x.shape[:-2]), *x.shape[-2:])
        return jnp.broadcast_to(self._apply(g, x), shape)

    def _apply(self, g: Element, x: Feature) -> Feature:
        matrix = self.matrix(g).astype(x.dtype)
        return jnp.einsum("...ij,...jc->...ic", matrix, x, precision=HIGHEST)

    @property
    def dual(self) -> "Rep":
        """The rep of the inverse transposed matrices; the rep itself if they are orthogonal."""
        return self if self.is_orthogonal else algebra.DualRep(self)

    def __add__(self, other: "Rep") -> "Rep":
        if not isinstance(other, Rep):
            return NotImplemented
        return algebra.direct_sum(self.group, (self, other))

    def __radd__(self, other: Any) -> "Rep":
        return (
            self if isinstance(other, int) and other == 0 else NotImplemented
        )  # sum() starts at 0

    def __mul__(self, other: Any) -> "Rep":
        if isinstance(other, Rep):
            return algebra.tensor_product(self.group, (self, other))
        return self.__rmul__(other)

    def __rmul__(self, copies: Any) -> "Rep":
        try:
            count = operator.index(copies)
        except TypeError:
            return NotImplemented
        _check_count(count, f"{count} * {self}")
        return self._repeat(count)

    def __pow__(self, exponent: int) -> "Rep":
        _check_count(exponent, f"({self}) ** {exponent}")
        return algebra.tensor_product(self.group, itertools.repeat(self, exponent))

    @functools.cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore

    @functools.cached_property
    def _hash(self) -> int:
        return hash((type(self), self._key))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or hash(self) != hash(other):
            return False
        return self._key == other._key  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        # Hashes differ from process to process: a cached one must not travel.
        return {k: v for k, v in self.__dict__.items() if k not in ("_hash", "_key")}

    def _repeat(self, copies: int) -> "Rep":
        return algebra.direct_sum(self.group, itertools.repeat(self, copies))

    def _join(self, other: "Rep") -> Self | None:
        """The sum with ``other`` as one rep of this class, if there is one."""
        return None


def _check_count(count: int, what: str) -> None:
    if count < 0:
        raise ValueError(f"{what} does not exist: the count must be >= 0")


# The concrete reps are subclasses of Rep, and its operators return them: whichever of the two
# modules is imported first, this line completes the circle.
from equinet.reps import algebra  # noqa: E402
