"""The tensor products side by side on this machine: what `equinet products` prints."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from equinet.ops.products import PRODUCTS, TensorProduct
from equinet.reps import Irreps
from equinet.testing import equivariance_error

VARIANTS: dict[str, tuple[tuple[str, dict[str, Any], int], ...]] = {
    "clebsch_gordan": (("-", {}, 1),),
    "gaunt": tuple((method, {"method": method}, -1) for method in ("grid", "separable", "fft")),
    "complete": tuple(
        (method, {"method": method}, 1) for method in ("matrix", "poisson", "vector")
    ),
    "cp": (("all paths", {}, 1), ("natural parity", {}, -1)),
}
"""Name, options and parity of the irreps with which each product is shown."""

APPROXIMATE = 1e-9
"""Stated equivariance error from which a product counts as an approximation."""

HEADS = {
    "product": "product",
    "method": "method",
    "paths": "paths",
    "parameters": "weights",
    "equivariance_error_float32": "error f32",
    "equivariance_error_float64": "error f64",
    "exactness": "equivariance",
    "forward_ms": "forward ms",
    "forward_backward_ms": "fwd+bwd ms",
    "compile_s": "compile s",
    "temporaries_mb": "temp MB",
}


def compare_products(
    lmax: int,
    *,
    channels: int = 16,
    batch: int = 256,
    products: Sequence[str] | None = None,
    repeats: int = 7,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure every product of degrees 0 to ``lmax`` with themselves to degrees 0 to ``lmax``.

    Products that can have every path get irreps of even parity, ``0e+1e+2e+...``, for which every
    path is admitted; a Gaunt product, and a CP product a second time, get functions on the sphere,
    ``0e+1o+2e+...``. Weights are shared by the batch.

    Args:
        lmax: Highest degree, at least 1.
        channels: Number of channels.
        batch: Number of rows.
        products: Keys of ``PRODUCTS``; all if absent.
        repeats: Timed calls of each function, of which the median counts.
        progress: Told the name of each product before it is measured.

    Returns:
        One row for each product and method, with the keys of ``HEADS``; where a product cannot be
        made at this degree, the row has ``error`` in place of the numbers.

    Raises:
        ValueError: If ``lmax``, ``channels`` or ``batch`` is less than 1, or a name is unknown.
    """
    if min(lmax, channels, batch, repeats) < 1:
        raise ValueError(
            "lmax, channels, batch and repeats must be at least 1, got "
            f"{lmax}, {channels}, {batch} and {repeats}"
        )
    names = list(PRODUCTS if products is None else products)
    unknown = sorted(set(names) - set(PRODUCTS))
    if unknown:
        raise ValueError(f"unknown products {unknown}, expected some of {sorted(PRODUCTS)}")
    rows = []
    for name in names:
        for method, options, parity in VARIANTS.get(name, (("-", {}, 1),)):
            rep = Irreps.spherical_harmonics(lmax, parity=parity)
            head = {"product": name, "method": method}
            progress(" ".join(head.values()).rstrip(" -"))
            try:
                product = PRODUCTS[name](rep, rep, rep, **options)
            except ValueError as error:
                rows.append({**head, "error": str(error)})
                continue
            rows.append({**head, **measure(product, channels, batch, repeats)})
    return rows


def measure(product: TensorProduct, channels: int, batch: int, repeats: int) -> dict[str, Any]:
    """Paths, parameters, errors and times of one product."""
    rng = np.random.default_rng(0)
    shapes = (
        (batch, product.rep1.dim, channels),
        (batch, product.rep2.dim, channels),
        (product.num_weights, channels),
        (batch, product.rep_out.dim, channels),
    )
    x, y, weights, cotangent = (rng.normal(size=shape).astype(np.float32) for shape in shapes)

    def backward(x: Array, y: Array, weights: Array, cotangent: Array) -> tuple[Array, ...]:
        z, pull = jax.vjp(product, x, y, weights)
        return (z, *pull(cotangent))

    begin = time.perf_counter()
    forward = jax.jit(product).lower(x, y, weights).compile()
    both = jax.jit(backward).lower(x, y, weights, cotangent).compile()
    compile_s = time.perf_counter() - begin
    analysis = both.memory_analysis()
    return {
        "paths": len(product.paths),
        "parameters": product.num_weights * channels,
        **_errors(product),
        **_exactness(product),
        "forward_ms": _median_ms(lambda: forward(x, y, weights), repeats),
        "forward_backward_ms": _median_ms(lambda: both(x, y, weights, cotangent), repeats),
        "compile_s": compile_s,
        "temporaries_mb": None if analysis is None else analysis.temp_size_in_bytes / 1e6,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a markdown table; below it notes, and the products that could not be made."""
    shown = [list(HEADS.values()), ["---"] * len(HEADS)]
    shown += [[_text(row[key]) for key in HEADS] for row in rows if "error" not in row]
    widths = [max(len(line[i]) for line in shown) for i in range(len(HEADS))]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in shown
    ]
    notes = [f"{row['product']}, {row['method']}: {row['note']}" for row in rows if row.get("note")]
    failed = [f"{row['product']}: {row['error']}" for row in rows if "error" in row]
    return "\n".join([*lines, *notes, *failed])


def _errors(product: TensorProduct) -> dict[str, float]:
    weights = np.random.default_rng(1).normal(size=(product.num_weights, 1))
    function = jax.jit(lambda x, y: product(x, y, jnp.asarray(weights, x.dtype)))
    reps = (product.rep1, product.rep2), product.rep_out
    return {
        f"equivariance_error_{name}": equivariance_error(
            function, *reps, jax.random.key(0), dtype=name, channels=1
        )
        for name in ("float32", "float64")
    }


def _exactness(product: TensorProduct) -> dict[str, str]:
    """Whether a product is equivariant up to rounding, and a note where it is not."""
    stated = product.equivariance_error
    if stated < APPROXIMATE:
        return {"exactness": "exact"}
    note = (
        f"this product is an approximation of low rank by choice, and so is its equivariance: it "
        f"states a largest error of {stated:.2g} relative to the result. With rank='exact' a CP "
        "product refuses to approximate; 'clebsch_gordan' and 'complete' have every path exactly"
    )
    return {"exactness": "approximate", "note": note}


def _median_ms(call: Callable[[], Any], repeats: int) -> float:
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"
