"""XLA's convolution of images, with padding to the size of the input."""

import jax
from jaxtyping import Array, Float


def direct(
    x: Float[Array, "batch *sizes C"],
    kernel: Float[Array, "*K I O"],
    precision: str | None = None,
    groups: int = 1,
) -> Float[Array, "batch *sizes O"]:
    """XLA's convolution with zeros beyond the edge, ``[batch, *sizes, O]``.

    Args:
        x: Images ``[batch, *sizes, C]``.
        kernel: ``[*K, C / groups, O]``.
        precision: Precision of the products.
        groups: Number of groups of channels that are convolved separately.
    """
    space = "DHW"[-(x.ndim - 2) :] if x.ndim > 2 else ""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * len(space),
        padding="SAME",
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        feature_group_count=groups,
        precision=precision,
    )
