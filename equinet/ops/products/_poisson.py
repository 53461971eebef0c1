r"""Gaunt products completed by Poisson brackets, on a grid.

With :math:`L = r \times \nabla` the bracket of two functions on the sphere is

.. math:: \{F, G\} = r \cdot (L F \times L G)

It changes sign with its factors, and couples exactly the triples of degrees with an odd sum, which
the pointwise product leaves out. Integration by parts turns its integral with a harmonic into an
integral of a vector field with a vector harmonic:
:math:`\int \{F, G\}\, Y = \int F\, (r \times L G) \cdot L Y`.
"""

import functools
import math

import jax.numpy as jnp
from jaxtyping import Array

from equinet.ops.products._gaunt_grid import Signal, degree_of, from_grid, multiply_signals, to_grid
from equinet.reps import Irreps, complex_clebsch_gordan

PAIRS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def bracket_coefficient(l1: int, l2: int, l3: int) -> float:
    r"""The coefficient of a path in the Poisson bracket, up to sign.

    .. math:: \sqrt{(2l_1+1)(2l_2+1)(2l_3+1)\, l_1(l_1+1)\, l_2(l_2+1)}\;
              \Big|\begin{pmatrix} l_1 & l_2 & l_3 \\ 1 & -1 & 0 \end{pmatrix}\Big|

    in front of the Clebsch-Gordan block of norm one; zero where the sum of the degrees is even.

    >>> round(bracket_coefficient(1, 1, 1), 12) == round(3 * 2**0.5, 12)
    True
    """
    if (l1 + l2 + l3) % 2 == 0:
        return 0.0
    threej = abs(complex_clebsch_gordan(l1, 1, l2, -1, l3))
    size = (2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1) * l1 * (l1 + 1) * l2 * (l2 + 1)
    return math.sqrt(size) * threej


def multiply_poisson(reps: tuple[Irreps, ...], ratio: float, x: Array, y: Array) -> Array:
    """Pointwise products into irreps of the same nature, brackets into the others.

    Args:
        reps: Irreps of the factors and of the result; each is a function by its degree.
        ratio: Factor of the brackets.
        x: First factor, ``[dim1, batch]``.
        y: Second factor, ``[dim2, batch]``.
    """
    degree = degree_of(*reps)
    f = {s: _with_slopes(reps[0], degree, x, s) for s in (1, -1)}
    g = {s: _with_slopes(reps[1], degree, y, s) for s in (1, -1)}
    totals: dict[int, Signal] = {1: [None, None], -1: [None, None]}
    for a, b in PAIRS:
        product = multiply_signals(f[a][0], g[b][0])
        totals[a * b] = _add(totals[a * b], product)
        bracket = _add(multiply_signals(f[a][1], g[b][2]), multiply_signals(f[a][2], g[b][1]), -1.0)
        totals[-a * b] = _add(totals[-a * b], _mirror(bracket), ratio)
    return _array(from_grid(reps[2], degree, totals[s], natural=s) for s in (1, -1))


def multiply_vector(reps: tuple[Irreps, ...], ratio: float, x: Array, y: Array) -> Array:
    """The same map by a field of vectors: the bracket differentiates y and the result."""
    degree = degree_of(*reps)
    f = {s: to_grid(reps[0], degree, x, natural=s) for s in (1, -1)}
    g = {s: _with_slopes(reps[1], degree, y, s) for s in (1, -1)}
    parts = []
    for s in (1, -1):
        product: Signal = [None, None]
        field: list[Signal] = [[None, None], [None, None]]
        for a, b in PAIRS:
            if a * b == s:
                product = _add(product, multiply_signals(f[a], g[b][0]))
            else:
                field[0] = _add(field[0], multiply_signals(f[a], g[b][1]), ratio)
                field[1] = _add(field[1], multiply_signals(f[a], g[b][2]), -ratio)
        parts += [
            from_grid(reps[2], degree, product, natural=s),
            from_grid(reps[2], degree, _mirror(field[0]), kind="second", natural=s),
            from_grid(reps[2], degree, _mirror(field[1]), kind="first", natural=s),
        ]
    return _array(parts)


def _with_slopes(rep: Irreps, degree: int, x: Array, natural: int) -> tuple[Signal, Signal, Signal]:
    values, first, second = (
        to_grid(rep, degree, x, kind=kind, natural=natural)
        for kind in ("values", "first", "second")
    )
    return values, first, second


def _mirror(signal: Signal) -> Signal:
    """Exchanges even and odd parts: the bracket of two even functions is odd."""
    return signal[::-1]


def _add(total: Signal, signal: Signal, factor: float = 1.0) -> Signal:
    """``total + factor * signal``."""
    return [
        a if b is None else factor * b if a is None else a + factor * b
        for a, b in zip(total, signal, strict=True)
    ]


def _array(parts) -> Array:
    return functools.reduce(jnp.add, (part for part in parts if not isinstance(part, float)))
