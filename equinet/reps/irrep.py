"""One irreducible representation of O(3), and the many ways in which users write several."""

import dataclasses
import itertools
import re
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Irrep:
    """One irreducible representation of O(3): degree and parity.

    Args:
        l: The degree, an integer >= 0; the dimension is 2 l + 1.
        p: The parity, 1 (even, "e") or -1 (odd, "o"): the factor that the inversion gives.

    Raises:
        ValueError: If the degree is negative or the parity is not 1 or -1.

    Example:
        >>> Irrep(1, -1) * Irrep(1, -1)
        (0e, 1e, 2e)
    """

    l: int
    p: int

    def __post_init__(self) -> None:
        if not isinstance(self.l, int) or self.l < 0 or self.p not in (1, -1):
            raise ValueError(
                f"an irrep has an integer l >= 0 and p = 1 or -1, got {self.l, self.p}"
            )

    @property
    def dim(self) -> int:
        """The dimension, 2 l + 1."""
        return 2 * self.l + 1

    def __mul__(self, other: "Irrep") -> tuple["Irrep", ...]:
        degrees = range(abs(self.l - other.l), self.l + other.l + 1)
        return tuple(Irrep(l, self.p * other.p) for l in degrees)

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    __repr__ = __str__


def order(ir: Irrep) -> tuple[int, int]:
    """The sort key: by degree, the parity of the spherical harmonics first."""
    return ir.l, -ir.p * (-1) ** ir.l


def merge(entries: Iterable[tuple[int, Irrep]]) -> tuple[tuple[int, Irrep], ...]:
    """Drops empty entries and counts neighbours of the same irrep together."""
    runs = itertools.groupby((e for e in entries if e[0]), key=lambda entry: entry[1])
    return tuple((sum(mul for mul, _ in run), ir) for ir, run in runs)


def read_entries(irreps: Any) -> tuple[tuple[int, Irrep], ...]:
    """The ``(mul, Irrep)`` entries of whatever names irreps.

    Raises:
        ValueError: If it cannot be read.
    """
    if isinstance(irreps, Irrep):
        return ((1, irreps),)
    if isinstance(irreps, str):
        irreps = irreps.split("+") if irreps.strip() else ()
    if not isinstance(irreps, Iterable):
        raise ValueError(f'cannot read irreps from {irreps!r}; write for example "8x0e+4x1o"')
    return tuple(_read_entry(entry) for entry in irreps)


def _read_entry(entry: Any) -> tuple[int, Irrep]:
    if isinstance(entry, str):
        match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+[eoy])\s*", entry)
        if match is None:
            raise ValueError(
                f"cannot read irreps from {entry!r}; an entry is a multiplicity, a degree and a "
                'parity e or o, such as "8x1o"'
            )
        return int(match[1] or 1), _read_irrep(match[2])
    if hasattr(entry, "mul") and hasattr(entry, "ir"):  # e3nn_jax
        entry = entry.mul, entry.ir
    if isinstance(entry, tuple) and len(entry) == 2 and not isinstance(entry[1], int):
        mul, irrep = entry
        if not isinstance(mul, int) or mul < 0:
            raise ValueError(f"a multiplicity is an integer >= 0, got {mul!r} in {entry!r}")
        return mul, _read_irrep(irrep)
    return 1, _read_irrep(entry)


def _read_irrep(irrep: Any) -> Irrep:
    if isinstance(irrep, Irrep):
        return irrep
    if isinstance(irrep, str) and re.fullmatch(r"\s*\d+[eoy]\s*", irrep):
        l = int(irrep.strip()[:-1])
        return Irrep(l, {"e": 1, "o": -1, "y": (-1) ** l}[irrep.strip()[-1]])
    if isinstance(irrep, tuple) and len(irrep) == 2:
        return Irrep(*irrep)
    l, p = getattr(irrep, "l", None), getattr(irrep, "p", None)
    if l is not None and p is not None:  # e3nn_jax
        return Irrep(l, p)
    raise ValueError(f'cannot read an irrep from {irrep!r}; write for example "1o" or (1, -1)')
