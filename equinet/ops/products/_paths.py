"""The paths of a product of irreps: which copies of irreps of two features couple to a third."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from equinet.precision import read_only
from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class Block:
    """One copy of an irrep inside an ``Irreps``.

    Attributes:
        l: Degree.
        p: Parity, 1 or -1.
        start: Index of its first component on the representation axis.
    """

    l: int
    p: int
    start: int

    @property
    def slice(self) -> slice:
        """Its components on the representation axis."""
        return slice(self.start, self.start + 2 * self.l + 1)


@functools.cache
def blocks(irreps: Irreps) -> tuple[Block, ...]:
    """All copies of all irreps, in order.

    >>> [(b.l, b.p, b.start) for b in blocks(Irreps("2x0e+1o"))]
    [(0, 1, 0), (0, 1, 1), (1, -1, 2)]
    """
    found, start = [], 0
    for mul, ir in irreps:
        for _ in range(mul):
            found.append(Block(ir.l, ir.p, start))
            start += 2 * ir.l + 1
    return tuple(found)


def obeys_triangle_rule(l1: int, l2: int, l3: int) -> bool:
    """Whether the product of irreps of degrees l1 and l2 contains the degree l3.

    >>> obeys_triangle_rule(1, 2, 3), obeys_triangle_rule(1, 2, 4)
    (True, False)
    """
    return abs(l1 - l2) <= l3 <= l1 + l2


@dataclasses.dataclass(frozen=True)
class Path:
    """One equivariant bilinear map between copies of irreps.

    Attributes:
        first: Number of the copy of an irrep in the first factor, counted from 0.
        second: Number of the copy in the second factor.
        result: Number of the copy in the result.
    """

    first: int
    second: int
    result: int


@functools.cache
def coupling_paths(
    rep1: Irreps,
    rep2: Irreps,
    rep_out: Irreps,
    *,
    even: bool = False,
    parity: bool = True,
) -> tuple[Path, ...]:
    """Every triple of copies of irreps that obeys the triangle rule and whose parities multiply.

    Args:
        rep1: Irreps of the first factor.
        rep2: Irreps of the second factor.
        rep_out: Irreps of the result.
        even: Only the triples with an even sum of the degrees, as pointwise products of functions.
        parity: Whether the parities count.

    >>> len(coupling_paths(Irreps("1o"), Irreps("1o"), Irreps("0e+1e+1o+2e")))
    3
    """
    return tuple(
        Path(i, j, k)
        for i, a in enumerate(blocks(rep1))
        for j, b in enumerate(blocks(rep2))
        for k, c in enumerate(blocks(rep_out))
        if obeys_triangle_rule(a.l, b.l, c.l)
        and (a.p * b.p == c.p or not parity)
        and not (even and (a.l + b.l + c.l) % 2)
    )


def path_degrees(
    paths: Sequence[Path], rep1: Irreps, rep2: Irreps, rep_out: Irreps
) -> list[tuple[int, int, int]]:
    """The three degrees of every path.

    >>> rep = Irreps("1o")
    >>> path_degrees(coupling_paths(rep, rep, Irreps("0e+2e")), rep, rep, Irreps("0e+2e"))
    [(1, 1, 0), (1, 1, 2)]
    """
    return [
        (blocks(rep1)[p.first].l, blocks(rep2)[p.second].l, blocks(rep_out)[p.result].l)
        for p in paths
    ]


def variance_scales(
    rep_out: Irreps, paths: Sequence[Path], coefficients: Sequence[float] | np.ndarray
) -> Float[np.ndarray, "copies"]:
    r"""Scales of the result that give variance one, for independent factors of variance one.

    .. math:: a_k = \Big( \sum_{\text{paths into } k} \frac{g_{path}^2}{2 l_k + 1} \Big)^{-1/2}

    Args:
        rep_out: Irreps of the result.
        paths: The paths of the product.
        coefficients: For every path the factor g of the Clebsch-Gordan block of Frobenius norm one.

    Returns:
        One scale for each copy of an irrep of ``rep_out``, zero where no path ends.

    >>> variance_scales(Irreps("1o"), [Path(0, 0, 0)], [1.0]).round(3).tolist()
    [1.732]
    """
    power = np.zeros(len(blocks(rep_out)))
    for path, coefficient in zip(paths, coefficients, strict=True):
        power[path.result] += coefficient**2 / (2 * blocks(rep_out)[path.result].l + 1)
    reached = power > 1e-20
    return read_only(np.where(reached, np.where(reached, power, 1.0) ** -0.5, 0.0))


def spread_copies(rep: Irreps, values: Float[np.ndarray, "copies"]) -> Float[np.ndarray, "dim 1"]:
    """One number for each copy of an irrep, repeated for its components, as a column."""
    return np.repeat(values, [2 * block.l + 1 for block in blocks(rep)])[:, None]


@functools.cache
def path_scale(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> Float[np.ndarray, "paths"]:
    r"""The factor :math:`\sqrt{(2 l_3 + 1) / \text{paths into the same copy}}` of every path."""
    paths = coupling_paths(rep1, rep2, rep_out)
    scales = variance_scales(rep_out, paths, np.ones(len(paths)))
    return read_only(scales[[path.result for path in paths]])
