"""The SO(2) convolution of an edge (eSCN): its inputs, and a plain form of it in float64.

Rotate the features so that the edge points along the polar axis, scale by the radial weights, mix
degrees and channels for each order m by a real matrix for m = 0 and a complex one for the pair
(m, -m), and rotate back. Radial weights `[edges, rows, channels]` and matrices run over m = 0, 1,
... mmax and within m over the degrees m ... lmax. At the top only numpy is imported: the worker
of another environment uses the inputs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHECKED = 4


def order_rows(lmax: int, mmax: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For m = 0 to mmax the places of the components m and -m of the degrees m to lmax.

    >>> order_rows(2, 1)
    [(array([0, 2, 6]), array([0, 2, 6])), (array([3, 7]), array([1, 5]))]
    """
    pairs = []
    for m in range(mmax + 1):
        middle = np.array([l * l + l for l in range(m, lmax + 1)])
        pairs.append((middle + m, middle - m))
    return pairs


def so2_inputs(case: Mapping[str, Any]) -> dict[str, Any]:
    """Features, edge vectors, radial weights, matrices and cotangent, equal in every process.

    The case holds `lmax`, `mmax`, `channels` and `edges`. `matrices` has `[1 or 2, out, in]` for
    each m: real, and real and imaginary parts.
    """
    rng = np.random.default_rng(0)
    lmax, channels, edges = case["lmax"], case["channels"], case["edges"]
    sizes = [lmax + 1 - m for m in range(case["mmax"] + 1)]
    shapes = {
        "x": (edges, (lmax + 1) ** 2, channels),
        "vectors": (edges, 3),
        "radial": (edges, sum(sizes), channels),
        "cotangent": (edges, (lmax + 1) ** 2, channels),
    }
    data: dict[str, Any] = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    widths = [size * channels for size in sizes]
    data["matrices"] = [
        (rng.normal(size=(1 if m == 0 else 2, n, n)) / np.sqrt(n)).astype(np.float32)
        for m, n in enumerate(widths)
    ]
    return data


def so2_reference(data: Mapping[str, Any], lmax: int, mmax: int) -> dict[str, np.ndarray]:
    """The messages of the first edges, and the gradients of `x`, `vectors` and `radial`."""
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    wigner_matrices = importlib.import_module("equinet.reps.wigner").wigner_matrices

    def messages(x: Any, vectors: Any, radial: Any) -> Any:
        turns = wigner_matrices(lmax, to_polar_axis(jnp, vectors))
        splits = [slice(l * l, (l + 1) ** 2) for l in range(lmax + 1)]
        turned = jnp.concatenate(
            [jnp.einsum("eij,ejc->eic", t, x[:, s]) for t, s in zip(turns, splits, strict=True)], 1
        )
        mixed, begin = jnp.zeros_like(turned), 0
        for m, (plus, minus) in enumerate(order_rows(lmax, mmax)):
            scale = radial[:, begin : begin + len(plus)]
            begin += len(plus)
            real, imaginary = ((turned[:, at] * scale).reshape(len(x), -1) for at in (plus, minus))
            first, last = data["matrices"][m][0], data["matrices"][m][-1]
            shape = (len(x), len(plus), -1)
            if m == 0:
                mixed = mixed.at[:, plus].set((real @ first.T).reshape(shape))
                continue
            mixed = mixed.at[:, plus].set((real @ first.T - imaginary @ last.T).reshape(shape))
            mixed = mixed.at[:, minus].set((imaginary @ first.T + real @ last.T).reshape(shape))
        return jnp.concatenate(
            [
                jnp.einsum("eji,ejc->eic", t, mixed[:, s])
                for t, s in zip(turns, splits, strict=True)
            ],
            1,
        )

    with jax.enable_x64(True):
        first = [jnp.asarray(data[n][:CHECKED], jnp.float64) for n in ("x", "vectors", "radial")]
        output, backward = jax.vjp(messages, *first)
        gradients = backward(jnp.asarray(data["cotangent"][:CHECKED], jnp.float64))
        names = ("output", "x", "vectors", "radial")
        return {n: np.asarray(a) for n, a in zip(names, (output, *gradients), strict=True)}


def to_polar_axis(numbers: Any, vectors: Any) -> Any:
    """Rotations that turn vectors to the y axis, by the smallest angle; not for those along -y.

    Args:
        numbers: numpy or jax.numpy.
        vectors: `[edges, 3]`.
    """
    x, y, z = (vectors / numbers.linalg.norm(vectors, axis=-1, keepdims=True)).T
    scale = 1 / (1 + y)
    rows: Sequence[Sequence[Any]] = (
        (1 - x * x * scale, -x, -x * z * scale),
        (x, y, z),
        (-x * z * scale, -z, 1 - z * z * scale),
    )
    return numbers.stack([numbers.stack(row, -1) for row in rows], -2)
