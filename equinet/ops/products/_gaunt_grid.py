"""Gaunt products on a grid: values at points of the sphere by matrix products."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.primitives import dot, move_rows
from equinet.ops.products._paths import blocks
from equinet.ops.sphere import S2Grid, hemisphere_grid
from equinet.reps import Irreps, so3_generators, spherical_harmonics_table

Signal = list[Float[Array, "points batch"] | None]
"""Values of the even and of the odd part on half of the sphere; None: zero."""


def multiply_grid(reps: tuple[Irreps, ...], *factors: Array) -> Array:
    """The integral of the product with every harmonic of the last rep, on half of the sphere."""
    degree = degree_of(*reps)
    signals = (to_grid(rep, degree, x) for rep, x in zip(reps[:-1], factors, strict=True))
    found = from_grid(reps[-1], degree, functools.reduce(multiply_signals, signals))
    return jnp.asarray(found, factors[0].dtype)


def multiply_signals(f: Signal, g: Signal) -> Signal:
    """Pointwise product: even times odd is odd, all others are even."""
    found: Signal = []
    for k in range(2):
        terms = [a * b for t in range(2) if (a := f[t]) is not None and (b := g[t ^ k]) is not None]
        found.append(functools.reduce(jnp.add, terms) if terms else None)
    return found


def to_grid(
    rep: Irreps,
    degree: int,
    x: Float[Array, "dim batch"],
    *,
    kind: str = "values",
    natural: int | None = None,
) -> Signal:
    """Values at the points of the grid.

    Args:
        rep: Irreps as functions on the sphere, by their degrees.
        degree: Of the grid.
        x: Coefficients.
        kind: ``"values"``, or ``"first"`` and ``"second"``: derivatives along two tangents.
        natural: 1 or -1: only the irreps of natural parity, or only the others.
    """
    index, inverse, even = _by_parity(rep, natural)
    if not index:
        return [None, None]
    parts = jnp.split(move_rows(x, index, inverse), [even])
    tables = _tables(rep, degree, kind, natural)
    return [
        dot(table, part) if len(part) else None for table, part in zip(tables, parts, strict=True)
    ]


def from_grid(
    rep: Irreps,
    degree: int,
    signal: Signal,
    *,
    kind: str = "values",
    natural: int | None = None,
) -> Float[Array, "dim batch"] | float:
    """Integrals of a signal with every harmonic, or with its derivatives; see `to_grid`."""
    index, inverse, _ = _by_parity(rep, natural)
    like = next((values for values in signal if values is not None), None)
    if not index or like is None:
        return 0.0
    _, quadrature = hemisphere_grid(degree)
    parts = [
        jnp.zeros((table.shape[1], like.shape[1]), like.dtype)
        if values is None
        else dot((table * quadrature[:, None]).T, values)
        for table, values in zip(_tables(rep, degree, kind, natural), signal, strict=True)
        if table.shape[1]
    ]
    return move_rows(jnp.concatenate(parts), inverse, index)


@functools.cache
def _by_parity(rep: Irreps, natural: int | None) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Components of even, then of odd degree; the index of each; the number of even ones."""
    sizes = [2 * b.l + 1 for b in blocks(rep)]
    kept = np.repeat([natural in (None, b.p * (-1) ** b.l) for b in blocks(rep)], sizes)
    odd = np.repeat([b.l % 2 for b in blocks(rep)], sizes)
    index = np.flatnonzero(kept)
    index = index[np.argsort(odd[index], kind="stable")]
    place = np.full(rep.dim, len(index))
    place[index] = np.arange(len(index))
    return tuple(index.tolist()), tuple(place.tolist()), int(np.sum(odd[index] == 0))


@functools.cache
def _tables(
    rep: Irreps, degree: int, kind: str, natural: int | None
) -> tuple[Float[np.ndarray, "points components"], ...]:
    """Harmonics, or their derivatives, at the points: of even and of odd degrees."""
    index, _, even = _by_parity(rep, natural)
    points, _ = hemisphere_grid(degree)
    values = harmonics_at(points, rep) if kind == "values" else _slopes(points, rep, kind)
    return tuple(np.split(values[:, list(index)], [even], axis=1))


def _slopes(points: np.ndarray, rep: Irreps, kind: str) -> Float[np.ndarray, "points dim"]:
    """``e . (r x grad Y)`` with e the first or second of two tangents, a right-handed frame."""
    ring = np.stack([points[:, 2], 0 * points[:, 1], -points[:, 0]], axis=-1)
    at_pole = np.linalg.norm(ring, axis=-1, keepdims=True) < 1e-9  # there any tangent will do
    ring = np.where(at_pole, [1.0, 0.0, 0.0], ring)
    first = ring / np.linalg.norm(ring, axis=-1, keepdims=True)
    tangent = first if kind == "first" else np.cross(points, first)
    columns = []
    for b in blocks(rep):
        values = spherical_harmonics_table(b.l, points)[:, b.l**2 :]
        # A rotation of the coefficients by the axis a moves the function: its slope is -a . L.
        columns.append(-np.einsum("pa,akm,pk->pm", tangent, so3_generators(b.l), values))
    return np.concatenate(columns, axis=1)


def multiply_separable(reps: tuple[Irreps, ...], *factors: Array) -> Array:
    """The same on the whole grid by separated transforms."""
    degrees = [max(block.l for block in blocks(rep)) for rep in reps]
    grid = S2Grid(max(sum(degrees), 2 * max(degrees)), method="separable")
    values = [grid.to_grid(_all_degrees(rep, x)) for rep, x in zip(reps[:-1], factors, strict=True)]
    z = grid.from_grid(functools.reduce(jnp.multiply, values), degrees[-1])
    index, inverse = all_degrees(reps[-1])
    return move_rows(z, inverse, index)


def _all_degrees(rep: Irreps, x: Array) -> Array:
    index, inverse = all_degrees(rep)
    return move_rows(x, index, inverse)


@functools.cache
def all_degrees(rep: Irreps) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Component at each of the harmonics 0 to lmax (``rep.dim``: none), and the inverse."""
    inverse = [k for b in blocks(rep) for k in range(b.l**2, (b.l + 1) ** 2)]
    index = [rep.dim] * (max(inverse, default=0) + 1)
    for component, k in enumerate(inverse):
        index[k] = component
    return tuple(index), tuple(inverse)


def harmonics_at(points: np.ndarray, rep: Irreps) -> Float[np.ndarray, "points dim"]:
    """The harmonics of every irrep by its degree, in float64."""
    lmax = max(block.l for block in blocks(rep))
    harmonics = spherical_harmonics_table(lmax, points)
    return np.concatenate([harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in blocks(rep)], axis=1)


def degree_of(*reps: Irreps) -> int:
    """Degree of the integral of a product: the sum of the highest degrees.

    >>> degree_of(Irreps("0e+1o"), Irreps("2e"))
    3
    """
    return sum(max(block.l for block in blocks(rep)) for rep in reps)


def signal_bytes(reps: tuple[Irreps, ...], x: Array) -> int:
    """Bytes of the values on a grid of all factors, for one row and channel."""
    return (len(reps) - 1) * x.dtype.itemsize * (degree_of(*reps) + 1) ** 2 // 2


def grid_flops(degree: int, components: int, products: int = 1) -> int:
    """Operations on the grid for one row and channel.

    Args:
        degree: Of the grid.
        components: Of all features that are transformed, together.
        products: Number of pointwise products.

    >>> grid_flops(12, 3 * 25)
    5772
    """
    points = len(hemisphere_grid(degree)[1])
    return points * (2 * components + 6 * products)
