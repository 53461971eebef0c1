"""The tensor products that are interchangeable in a model by one key."""

import dataclasses
from typing import Any, Protocol

from jaxtyping import Array, Float

from equinet.ops.products.clebsch_gordan import ClebschGordanProduct
from equinet.ops.products.complete import CompleteProduct
from equinet.ops.products.cp import CPProduct
from equinet.ops.products.gaunt import GauntProduct
from equinet.reps import Irreps


class TensorProduct(Protocol):
    """Interface of every bilinear equivariant map of two features.

    Implementations are frozen dataclasses, hashable and static; the parameters stay outside.

    Attributes:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps

    @property
    def paths(self) -> tuple:
        """The triples of copies of irreps that the product couples."""
        ...

    @property
    def num_weights(self) -> int:
        """Number of weights of a channel: one for each path where the weights of paths are free."""
        ...

    @property
    def equivariance_error(self) -> float:
        """Bound on the equivariance error beyond rounding."""
        ...

    @property
    def flops(self) -> int:
        """Floating-point operations for one row and channel."""
        ...

    @property
    def bytes_moved(self) -> int:
        """Bytes of both factors and the result in float32, for one row and channel."""
        ...

    def __call__(
        self,
        x: Float[Array, "... dim1 channels"],
        y: Float[Array, "... dim2 channels"],
        weights: Float[Array, "... num_weights channels"] | None = None,
    ) -> Float[Array, "... dim_out channels"]:
        """Multiplies two features, with weights that all rows share or weights for each row."""
        ...


PRODUCTS = {
    "clebsch_gordan": ClebschGordanProduct,
    "complete": CompleteProduct,
    "cp": CPProduct,
    "gaunt": GauntProduct,
}


def tensor_product(
    kind: str, rep1: Irreps, rep2: Irreps, rep_out: Irreps, **options: Any
) -> TensorProduct:
    """Makes the tensor product of a kind.

    Args:
        kind: A key of ``PRODUCTS``.
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        **options: Further fields of the class of that kind: ``method``, ``copies`` or ``rank``.

    Returns:
        The product, a frozen dataclass without parameters.

    Raises:
        ValueError: If the kind or an option is unknown, the groups differ, or no path exists.

    >>> len(tensor_product("clebsch_gordan", Irreps("1o"), Irreps("1o"), Irreps("0e+2e")).paths)
    2
    """
    if kind not in PRODUCTS:
        raise ValueError(f"unknown product {kind!r}, expected one of {sorted(PRODUCTS)}")
    made = PRODUCTS[kind]
    known = {field.name for field in dataclasses.fields(made)} - {"rep1", "rep2", "rep_out"}
    if not set(options) <= known:
        raise ValueError(
            f"product {kind!r} takes the options {sorted(known)}, got {sorted(options)}"
        )
    return made(rep1, rep2, rep_out, **options)
