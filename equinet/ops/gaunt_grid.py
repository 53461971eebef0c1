"""Gaunt products on a grid: values at points of the sphere by matrix products."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.klein import characters
from equinet.ops.lanes import dot
from equinet.ops.outer import move_rows
from equinet.ops.paths import blocks
from equinet.ops.s2grid import S2Grid, folded_grid
from equinet.ops.spherical_harmonics import harmonics_table
from equinet.reps import Irreps

Signal = list[Float[Array, "points lanes"] | None]
"""Values at the points of the folded grid for each of the eight characters; None: zero."""


def multiply_grid(reps: tuple[Irreps, ...], *factors: Array) -> Array:
    """The integral of the product with every harmonic of the last rep, on an eighth of the sphere.

    Harmonics change at most their sign under the reflections in x, y and z. Sorted by these eight
    characters, values at an eighth of the points tell those at all of them, and of the products
    of characters each gives one: an eighth of the work of a matrix product to all points.
    """
    degree = degree_of(*reps)
    signals = (
        to_grid(sorted_harmonics(rep, degree), rep, x)
        for rep, x in zip(reps[:-1], factors, strict=True)
    )
    product = functools.reduce(multiply_signals, signals)
    return from_grid(sorted_harmonics(reps[-1], degree), degree, reps[-1], product)


def multiply_signals(f: Signal, g: Signal) -> Signal:
    """Pointwise product: the characters of the factors are combined by exclusive or."""
    found: Signal = []
    for k in range(8):
        terms = [a * b for t in range(8) if (a := f[t]) is not None and (b := g[t ^ k]) is not None]
        found.append(functools.reduce(jnp.add, terms) if terms else None)
    return found


def to_grid(tables: tuple[np.ndarray, ...], rep: Irreps, x: Float[Array, "dim lanes"]) -> Signal:
    """Values of the harmonics of every character at the points."""
    index, inverse, ends = _by_character(rep)
    parts = jnp.split(move_rows(x, index, inverse), ends)
    return [
        dot(table, part) if len(part) else None for table, part in zip(tables, parts, strict=True)
    ]


def from_grid(
    tables: tuple[np.ndarray, ...], degree: int, rep: Irreps, signal: Signal
) -> Float[Array, "dim lanes"]:
    """Integrals of values with every harmonic of the same character."""
    _, quadrature = folded_grid(degree)
    index, inverse, _ = _by_character(rep)
    like = next(values for values in signal if values is not None)
    parts = [
        jnp.zeros((table.shape[1], like.shape[1]), like.dtype)
        if values is None
        else dot((table * quadrature[:, None]).T, values)
        for table, values in zip(tables, signal, strict=True)
        if table.shape[1]
    ]
    return move_rows(jnp.concatenate(parts), inverse, index)


@functools.cache
def _by_character(
    rep: Irreps,
) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """The components by character, the inverse, and where each character but the first begins."""
    kinds = characters(rep)
    index = np.argsort(kinds, kind="stable")
    ends = np.cumsum(np.bincount(kinds, minlength=8))[:-1]
    return tuple(index.tolist()), tuple(np.argsort(index).tolist()), ends.tolist()


@functools.cache
def sorted_harmonics(
    rep: Irreps, degree: int
) -> tuple[Float[np.ndarray, "points components"], ...]:
    """Harmonics at the points of the folded grid, by their character."""
    index, _, ends = _by_character(rep)
    values = harmonics_at(folded_grid(degree)[0], rep)[:, list(index)]
    return tuple(np.split(values, ends, axis=1))


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
    harmonics = harmonics_table(lmax, points)
    return np.concatenate([harmonics[:, b.l**2 : (b.l + 1) ** 2] for b in blocks(rep)], axis=1)


def degree_of(*reps: Irreps) -> int:
    """Degree of the integral of a product: the sum of the highest degrees.

    >>> degree_of(Irreps("0e+1o"), Irreps("2e"))
    3
    """
    return sum(max(block.l for block in blocks(rep)) for rep in reps)


def lane_bytes(reps: tuple[Irreps, ...], x: Array) -> int:
    """Bytes of the values on a grid of all factors, for one row and channel."""
    return (len(reps) - 1) * x.dtype.itemsize * (degree_of(*reps) + 1) ** 2 // 2
