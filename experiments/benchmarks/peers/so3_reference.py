"""What a Clebsch-Gordan product must give: inputs, path by path values, the fit of the scales.

Libraries differ in the order and the normalisation of the paths. `fit_scales` finds one factor for
each path from random inputs; with these the outputs and all gradients must agree with a product
in float64, one path after the other. Arrays are in equinet's layout `[rows, (lmax + 1)**2,
channels]`. At the top only numpy is imported: workers of other environments use the inputs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Triple = tuple[int, int, int]
Arrays = dict[str, np.ndarray]
LARGEST_ERROR = 2e-4
WHOLE_LMAX = 4  # to it, gradients of weights that all rows share are compared too


def all_paths(lmax: int) -> list[Triple]:
    """Every path of degrees 0 to lmax that SO(3) allows, in equinet's order.

    >>> all_paths(1)
    [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
    """
    degrees = range(lmax + 1)
    triples = [(a, b, c) for a in degrees for b in degrees for c in degrees]
    return [(a, b, c) for a, b, c in triples if abs(a - b) <= c <= a + b]


def natural_paths(lmax: int) -> list[Triple]:
    """The paths of natural parity, in the same order: the sum of the degrees is even."""
    return [path for path in all_paths(lmax) if sum(path) % 2 == 0]


def block(l: int) -> slice:
    """Where a degree stands."""
    return slice(l * l, (l + 1) ** 2)


def inputs_of(case: Mapping[str, Any]) -> Arrays:
    """Factors `x` and `y`, `weights` of all paths and the `cotangent`, equal in every process.

    The case holds `lmax`, `channels`, `batch` and `weights`, "shared" or "rows".
    """
    rng = np.random.default_rng(0)
    batch, channels, dim = case["batch"], case["channels"], (case["lmax"] + 1) ** 2
    rows = (batch,) if case["weights"] == "rows" else ()
    shapes = {name: (batch, dim, channels) for name in ("x", "y", "cotangent")}
    shapes["weights"] = (*rows, len(all_paths(case["lmax"])), channels)
    return {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def vectors_of(case: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `[vectors, 3]` and a cotangent of their harmonics, equal in every process.

    The case holds `lmax` and the number of `vectors`.
    """
    rng = np.random.default_rng(0)
    sizes = (3, (case["lmax"] + 1) ** 2)
    first, second = (rng.normal(size=(case["vectors"], n)).astype(np.float32) for n in sizes)
    return first, second


def product_reference(
    data: Arrays, paths: Sequence[Triple], weights: np.ndarray | None = None
) -> tuple[list[np.ndarray], Arrays]:
    """The coupling of every path, and with weights the product and its gradients, in float64.

    Args:
        data: `x`, `y` and `cotangent`; `y` may have one channel for all of `x`.
        paths: The paths.
        weights: Of the paths, `[rows, paths, channels]`.

    Returns:
        The couplings `[rows, 2 l3 + 1, channels]` of the paths, and `output` and the gradients `x`,
        `y` and `weights` (for each row), empty without weights.
    """
    clebsch_gordan = importlib.import_module("equinet.reps").clebsch_gordan  # a worker has none
    x, y, cotangent = (data[name].astype(np.float64) for name in ("x", "y", "cotangent"))
    shape = (len(x), x.shape[1], max(x.shape[2], y.shape[2]))
    y = np.broadcast_to(y, (len(x), y.shape[1], shape[2]))
    couplings: list[np.ndarray] = []
    found: Arrays = {} if weights is None else {n: np.zeros(shape) for n in ("output", "x", "y")}
    rows = []
    for index, (a, b, c) in enumerate(paths):
        table = clebsch_gordan(a, b, c)
        left = np.einsum("bic,ijk->bjkc", x[:, block(a)], table, optimize=True)
        couplings.append((left * y[:, block(b), None]).sum(1))
        if weights is None:
            continue
        weight, back = weights[:, index, None], cotangent[:, block(c)]
        found["output"][:, block(c)] += weight * couplings[-1]
        found["y"][:, block(b)] += (left * (weight * back)[:, None]).sum(2)
        pulled = np.einsum("bkc,ijk->bijc", weight * back, table, optimize=True)
        found["x"][:, block(a)] += (pulled * y[:, None, block(b)]).sum(2)
        rows.append((couplings[-1] * back).sum(1))
    if weights is not None:
        found["weights"] = np.stack(rows, 1)
    return couplings, found


def fit_scales(
    output: np.ndarray,
    couplings: Sequence[np.ndarray],
    weights: np.ndarray,
    paths: Sequence[Triple],
) -> tuple[np.ndarray, float]:
    """The factor of every path in an output, and the share of the output that none explain.

    Args:
        output: `[rows, dim, channels]`.
        couplings: Of the paths, for these rows.
        weights: That were used, `[rows, paths, channels]`.
        paths: The paths.
    """
    scales, worst = np.zeros(len(paths)), 0.0
    covered = np.zeros(output.shape[1], bool)
    for l in sorted({c for _, _, c in paths}):
        chosen = [index for index, path in enumerate(paths) if path[2] == l]
        columns = [(couplings[i] * weights[:, i, None]).ravel() for i in chosen]
        table, target = np.stack(columns, 1), output[:, block(l)].ravel()
        scales[chosen] = np.linalg.lstsq(table, target, rcond=None)[0]
        worst = max(worst, float(np.abs(table @ scales[chosen] - target).max()))
        covered[block(l)] = True
    worst = max(worst, float(np.abs(output[:, ~covered]).max(initial=0.0)))
    return scales, worst / float(np.abs(output).max())


def checked(case: Mapping[str, Any]) -> tuple[slice, slice]:
    """The rows and channels that are compared; there are more equations than paths.

    Channels do not mix, so two are enough, unless all of them share one second factor.
    """
    if case.get("shared_factor"):
        return slice(4), slice(None)
    whole = case["lmax"] <= WHOLE_LMAX
    return slice(None if whole else 4 * (case["lmax"] + 1)), slice(2)


def take(data: Arrays, case: Mapping[str, Any]) -> Arrays:
    """The inputs or results of the rows and channels that are compared."""
    rows, channels = checked(case)
    chosen = {name: array[..., channels] for name, array in data.items()}
    per_row = [name for name, array in chosen.items() if array.ndim == 3]
    return chosen | {name: chosen[name][rows] for name in per_row}


def judge_product(
    found: Arrays, data: Arrays, paths: Sequence[Triple], *, whole: bool = False
) -> None:
    """Compares a product with free path weights, and its gradients, with the reference.

    Args:
        found: `output`, and the gradients `x`, `y` and `weights` if there are any.
        data: The inputs; `weights` are those of `paths`, shared or for each row.
        paths: The paths that the library computes.
        whole: These are all rows, so that a gradient of shared weights can be compared.

    Raises:
        ValueError: If they differ by more than rounding in float32.
    """
    shared = data["weights"].ndim == 2
    weights = np.broadcast_to(data["weights"], (len(data["x"]), *data["weights"].shape[-2:]))
    couplings, _ = product_reference(data, paths)
    scales, error = fit_scales(found["output"], couplings, weights, paths)
    _, expected = product_reference(data, paths, weights * scales[:, None])
    expected["weights"] = expected["weights"] * scales[:, None]
    if data["y"].shape[-1] == 1:
        expected["y"] = expected["y"].sum(-1, keepdims=True)
    if shared and whole:
        expected["weights"] = expected["weights"].sum(0)
    elif shared:
        del expected["weights"]
    compared = {n: relative(found[n], array) for n, array in expected.items() if n in found}
    compare({"paths": error} | compared)


def judge_fixed(
    found: Arrays, data: Arrays, paths: Sequence[Triple], *, largest: float = LARGEST_ERROR
) -> None:
    """Compares a product whose path weights are not free: it must be a sum of these paths.

    The weights of the sum are fitted to the output, for every channel; then the gradients of the
    factors must be those of that sum.

    Args:
        found: `output`, and the gradients `x` and `y` if there are any.
        data: The factors and the cotangent.
        paths: The paths that the product may have.
        largest: The largest relative error.

    Raises:
        ValueError: If the output is no such sum, or the gradients are not its gradients.
    """
    couplings, _ = product_reference(data, paths)
    rows, channels = len(data["x"]), found["output"].shape[-1]
    ones, fitted, errors = np.ones((rows, len(paths), 1)), [], []
    for c in range(channels):
        alone = [coupling[..., [c]] for coupling in couplings]
        scales, error = fit_scales(found["output"][..., [c]], alone, ones, paths)
        fitted.append(scales)
        errors.append(error)
    weights = np.broadcast_to(np.stack(fitted, -1), (rows, len(paths), channels))
    _, expected = product_reference(data, paths, weights)
    compared = {n: relative(found[n], expected[n]) for n in ("output", "x", "y") if n in found}
    compare({"paths": max(errors)} | compared, largest)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest number.

    >>> relative(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.5
    """
    if found.shape != expected.shape:
        raise ValueError(f"another shape: got {found.shape}, expected {expected.shape}")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def compare(errors: Mapping[str, float], largest: float = LARGEST_ERROR) -> None:
    """Judges relative errors.

    Raises:
        ValueError: If one is larger than that, or not a number.
    """
    worst = max(errors, key=lambda name: (not errors[name] <= largest, errors[name]))
    if not errors[worst] <= largest:
        raise ValueError(f"another result: {worst} differs by {errors[worst]:.1e}")
