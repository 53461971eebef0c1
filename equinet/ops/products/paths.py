"""The paths of a Clebsch-Gordan product: which blocks of two features couple to a third."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from equinet.reps import Irreps


@dataclasses.dataclass(frozen=True)
class Block:
    """One copy of an irrep inside an ``Irreps``: degree, parity and where it starts."""

    l: int
    p: int
    start: int

    @property
    def slice(self) -> slice:
        """Position on the representation axis."""
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


@dataclasses.dataclass(frozen=True)
class Path:
    """One equivariant bilinear map: block of the first factor, of the second, of the result."""

    first: int
    second: int
    result: int


@functools.cache
def coupling_paths(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> tuple[Path, ...]:
    """Every triple of blocks that obeys the triangle rule and whose parities multiply.

    >>> len(coupling_paths(Irreps("1o"), Irreps("1o"), Irreps("0e+1e+1o+2e")))
    3
    """
    return tuple(
        Path(i, j, k)
        for i, a in enumerate(blocks(rep1))
        for j, b in enumerate(blocks(rep2))
        for k, c in enumerate(blocks(rep_out))
        if abs(a.l - b.l) <= c.l <= a.l + b.l and a.p * b.p == c.p
    )


@functools.cache
def path_scale(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> Float[np.ndarray, "paths"]:
    """sqrt((2 l3 + 1) / number of paths into the same block of the result)."""
    results = [path.result for path in coupling_paths(rep1, rep2, rep_out)]
    degrees = np.array([blocks(rep_out)[k].l for k in results])
    return np.sqrt((2 * degrees + 1) / np.bincount(results)[results])
