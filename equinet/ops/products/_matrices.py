r"""Features as matrices on an irrep of degree j, and products of such matrices.

.. math:: X_{ab} = \sum_{lm} x_{lm}\, T^l_m, \qquad T^l_m = \sqrt{2l+1}\; C^{j j l}_{a b m}

is an isometry of the degrees 0 to 2 j onto the real matrices of size 2 j + 1, and equivariant,
:math:`X \mapsto D^j X D^{j\top}`. In the product of two matrices every triple of degrees that obeys
the triangle rule is coupled, by a 6j symbol.
"""

import dataclasses
import functools
import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.primitives import dot, move_rows
from equinet.ops.products._paths import blocks, obeys_triangle_rule
from equinet.ops.products._sign_blocks import characters
from equinet.reps import Irreps, clebsch_gordan

SMALLEST = 1e-3
"""A coupling below this part of the largest counts as missing: the next degree j is taken."""


def to_matrix(
    rep: Irreps, parity: int, j: int, x: Float[Array, "dim batch"]
) -> Float[Array, "size size batch"] | None:
    """The irreps of one parity as a matrix on degree j; None if there are none.

    Args:
        rep: Irreps, each at most once.
        parity: Which of them.
        j: Degree of the rows and columns.
        x: The feature.
    """
    plan = _plan(rep, parity, j)
    if not plan.components[0]:
        return None
    parts = jnp.split(move_rows(x, *plan.components), plan.component_ends)
    rows = [
        dot(table, part) if len(part) else jnp.zeros((len(table), x.shape[-1]), x.dtype)
        for table, part in zip(plan.tables, parts, strict=True)
    ]
    return move_rows(jnp.concatenate(rows), *plan.entries).reshape(2 * j + 1, 2 * j + 1, -1)


def from_matrix(
    rep: Irreps, parity: int, j: int, matrix: Float[Array, "size size batch"] | None
) -> Float[Array, "dim batch"] | float:
    """The irreps of one parity in a matrix, zeros for the others: the transpose of `to_matrix`."""
    plan = _plan(rep, parity, j)
    if not plan.components[0] or matrix is None:
        return 0.0
    flat = move_rows(matrix.reshape(-1, matrix.shape[-1]), *plan.entries[::-1])
    parts = jnp.split(flat, plan.entry_ends)
    rows = [
        dot(table.T, part) for table, part in zip(plan.tables, parts, strict=True) if table.shape[1]
    ]
    return move_rows(jnp.concatenate(rows), *plan.components[::-1])


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """Components and entries of the matrix by their character under the rotations by pi.

    Attributes:
        tables: For each character ``[entries, components]``.
        components: The components sorted by character, and the index of each in this order.
        component_ends: Index at which each character but the first begins.
        entries: The index of each entry in the order by character, and the entries in that order.
        entry_ends: Index at which each character but the first begins.
    """

    tables: tuple[np.ndarray, ...]
    components: tuple[tuple[int, ...], tuple[int, ...]]
    component_ends: list[int]
    entries: tuple[tuple[int, ...], tuple[int, ...]]
    entry_ends: list[int]


@functools.cache
def _plan(rep: Irreps, parity: int, j: int) -> _Plan:
    table = np.concatenate(
        [
            math.sqrt(2 * b.l + 1) * clebsch_gordan(j, j, b.l).reshape(-1, 2 * b.l + 1)
            for b in blocks(rep)
        ],
        axis=1,
    )
    chosen = np.repeat([b.p == parity for b in blocks(rep)], [2 * b.l + 1 for b in blocks(rep)])
    kinds, side = characters(rep), characters(Irreps([(1, (j, 1))]))
    entry_kinds = (side[:, None] ^ side[None, :]).reshape(-1)
    components = np.flatnonzero(chosen)
    components = components[np.argsort(kinds[components], kind="stable")]
    index = np.full(rep.dim, len(components))
    index[components] = np.arange(len(components))
    entries = np.argsort(entry_kinds, kind="stable")
    tables = tuple(table[np.ix_(entry_kinds == k, chosen & (kinds == k))] for k in range(4))
    return _Plan(
        tables,
        (tuple(components.tolist()), tuple(index.tolist())),
        np.cumsum([t.shape[1] for t in tables])[:-1].tolist(),
        (tuple(np.argsort(entries).tolist()), tuple(entries.tolist())),
        np.cumsum([t.shape[0] for t in tables])[:-1].tolist(),
    )


def matrix_coefficient(l1: int, l2: int, l3: int, j: int) -> float:
    r"""The coefficient of a path in a product of matrices, up to sign.

    .. math:: \sqrt{(2l_1+1)(2l_2+1)(2l_3+1)}\;
              \Big|\begin{Bmatrix} l_1 & l_2 & l_3 \\ j & j & j \end{Bmatrix}\Big|

    in front of the Clebsch-Gordan block of norm one.

    >>> round(matrix_coefficient(1, 1, 1, 1), 12)
    0.866025403784
    >>> matrix_coefficient(3, 5, 5, 3)
    0.0
    """
    f, total = math.factorial, l1 + l2 + l3
    if not obeys_triangle_rule(l1, l2, l3) or max(l1, l2, l3) > 2 * j:
        return 0.0
    lower = (total, l1 + 2 * j, l2 + 2 * j, l3 + 2 * j)
    upper = (l1 + l2 + 2 * j, l2 + l3 + 2 * j, l3 + l1 + 2 * j)
    terms = (
        Fraction(
            (-1) ** t * f(t + 1),
            math.prod(f(t - s) for s in lower) * math.prod(f(u - t) for u in upper),
        )
        for t in range(max(lower), min(upper) + 1)
    )
    triangles = Fraction(
        f(l1 + l2 - l3) * f(l2 + l3 - l1) * f(l3 + l1 - l2), f(total + 1)
    ) * math.prod(Fraction(f(l) ** 2 * f(2 * j - l), f(2 * j + l + 1)) for l in (l1, l2, l3))
    square = sum(terms) ** 2 * triangles * (2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1)
    return math.sqrt(square)


@functools.cache
def matrix_degree(degrees: tuple[tuple[int, int, int], ...]) -> int:
    """The smallest j for which a product of matrices couples all of the triples of degrees.

    >>> matrix_degree(((1, 1, 1), (2, 2, 2))), matrix_degree(((3, 5, 5), (5, 5, 5)))
    (1, 4)
    """
    j = -(-max(l for triple in degrees for l in triple) // 2)
    while True:
        sizes = [matrix_coefficient(*triple, j) for triple in degrees]
        if min(sizes) > SMALLEST * max(sizes):
            return j
        j += 1
