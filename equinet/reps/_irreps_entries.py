"""The entries of irreps, and how they are read from text, pairs, lists and e3nn's objects."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from equinet.reps.irreps import Irrep, Irreps

_EXAMPLE = 'write for example "8x0e+4x1o" or [(8, "0e"), (4, "1o")]'


class MulIrrep(NamedTuple):
    """An irrep with its multiplicity, such as 8x1o: an ordinary pair ``(mul, ir)``.

    Attributes:
        mul: The multiplicity.
        ir: The irrep.

    Example:
        >>> from equinet.reps import Irrep, Irreps
        >>> entry = Irreps("8x1o")[0]
        >>> entry.mul, entry.ir, entry.dim, entry == (8, Irrep("1o"))
        (8, 1o, 24, True)
    """

    mul: int
    ir: "Irrep"

    @property
    def dim(self) -> int:
        """The dimension of all copies together."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"


class SortedIrreps(NamedTuple):
    """What ``Irreps.sort`` returns.

    Attributes:
        irreps: The sorted irreps.
        p: The new position of every entry.
        inv: The old position of every entry that is now there.
    """

    irreps: "Irreps"
    p: tuple[int, ...]
    inv: tuple[int, ...]


def read_irrep(irrep: Any) -> tuple[int, int]:
    """The degree and the parity of "1o", ``(1, -1)``, an ``Irrep`` or one of e3nn.

    Raises:
        ValueError: If it cannot be read.
    """
    if isinstance(irrep, str):
        match = re.fullmatch(r"\s*(\d+)([eoy])\s*", irrep)
        if match is not None:
            l = int(match[1])
            return l, {"e": 1, "o": -1, "y": (-1) ** l}[match[2]]
    elif _is_irrep(irrep):
        return irrep.l, irrep.p
    elif isinstance(irrep, tuple) and len(irrep) == 2:
        return irrep
    raise ValueError(f'cannot read an irrep from {irrep!r}; write for example "1o" or (1, -1)')


def read_entries(irreps: Any) -> list[tuple[int, tuple[int, int]]]:
    """The pairs of a multiplicity and an irrep ``(l, p)`` in anything that ``Irreps`` takes.

    Raises:
        ValueError: If it cannot be read, or could be read in two ways.
    """
    if _is_irrep(irreps):
        return [(1, read_irrep(irreps))]
    if isinstance(irreps, str):
        irreps = irreps.split("+") if irreps.strip() else ()
    if not isinstance(irreps, Iterable):
        raise ValueError(f"cannot read irreps from {irreps!r}; {_EXAMPLE}")
    return [_read_entry(entry) for entry in irreps]


def _read_entry(entry: Any) -> tuple[int, tuple[int, int]]:
    if isinstance(entry, str):
        match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+[eoy])\s*", entry)
        if match is None:
            raise ValueError(
                f"cannot read irreps from {entry!r}; an entry is a multiplicity, a degree and a "
                'parity e or o, such as "8x1o"'
            )
        return int(match[1] or 1), read_irrep(match[2])
    if hasattr(entry, "mul") and hasattr(entry, "ir"):
        return _checked(entry.mul, entry.ir)
    if _is_irrep(entry):
        return 1, read_irrep(entry)
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise ValueError(f"cannot read irreps from {entry!r}; {_EXAMPLE}")
    if isinstance(entry[1], int):
        first, second = entry
        irrep = f"{first}{'e' if second == 1 else 'o'}" if second in (1, -1) else "1o"
        raise ValueError(
            f"the pair {entry!r} in a list of irreps could be a degree with a parity, or a "
            f'multiplicity with a degree: write "{irrep}" for one irrep, or ({first}, "1o") for '
            f"{first} copies of the irrep 1o"
        )
    return _checked(*entry)


def _checked(mul: Any, irrep: Any) -> tuple[int, tuple[int, int]]:
    if not isinstance(mul, int) or mul < 0:
        raise ValueError(f"a multiplicity is an integer >= 0, got {mul!r} in {(mul, irrep)!r}")
    return mul, read_irrep(irrep)


def _is_irrep(irrep: Any) -> bool:
    return hasattr(irrep, "l") and hasattr(irrep, "p")
