"""Irreducible representations of O(3) and their direct sums, named and ordered as in e3nn.

Irreps differ from e3nn's in two respects: neighbouring entries of the same irrep are always merged,
``Irreps("1o+1o") == Irreps("2x1o")``, and ``*`` of two of them is the tensor product of
representations, whose axis is the product of the axes (``tensor_product`` decomposes it).
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Int

from equinet.groups import SO, Group, O
from equinet.reps._irreps_action import IrrepsAction
from equinet.reps._irreps_entries import MulIrrep, SortedIrreps, read_entries, read_irrep
from equinet.reps.rep import Rep

type IrrepsLike = str | Irrep | Iterable[Any]
"""Anything that ``Irreps`` takes: "8x0e+4x1o", an ``Irrep``, ``Irreps``, or a list of pairs."""

type RepLike = Rep | IrrepsLike
"""A ``Rep``, or anything that ``Irreps`` takes."""


@functools.total_ordering
@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class Irrep:
    """One irreducible representation of O(3): its degree and its parity.

    Irreps are sorted by degree, and within a degree the parity of the spherical harmonics comes
    first: 0e, 0o, 1o, 1e, 2e, 2o. An irrep equals its name: ``Irrep(1, -1) == "1o"``.

    Args:
        l: The degree, an integer >= 0; or the name of the irrep, such as "1o" ("1y" stands for the
            parity of the spherical harmonics); or another irrep or a pair ``(l, p)``.
        p: The parity, 1 (even, "e") or -1 (odd, "o"): the number by which the inversion multiplies.
            It is left out where ``l`` names the whole irrep.

    Raises:
        ValueError: If the degree is negative, the parity is not 1 or -1, or a name cannot be read.

    Example:
        >>> Irrep("1o") * Irrep(1, -1), 3 * Irrep("2e")
        ((0e, 1e, 2e), Irreps("3x2e"))
    """

    l: int
    p: int

    def __init__(self, l: Any, p: int | None = None) -> None:
        degree, parity = read_irrep(l) if p is None else (l, p)
        if not isinstance(degree, int) or degree < 0 or parity not in (1, -1):
            raise ValueError(
                f"an irrep has an integer l >= 0 and p = 1 or -1, got {(degree, parity)}; "
                'write Irrep("1o") or Irrep(1, -1)'
            )
        object.__setattr__(self, "l", degree)
        object.__setattr__(self, "p", int(parity))

    @classmethod
    def iterator(cls, lmax: int) -> "Iterator[Irrep]":
        """All irreps of degrees 0 to ``lmax``, in order.

        >>> list(Irrep.iterator(1))
        [0e, 0o, 1o, 1e]
        """
        for l in range(lmax + 1):
            yield cls(l, (-1) ** l)
            yield cls(l, -((-1) ** l))

    @property
    def dim(self) -> int:
        """The dimension, 2 l + 1."""
        return 2 * self.l + 1

    def is_scalar(self) -> bool:
        """Whether this is the trivial irrep 0e."""
        return self.l == 0 and self.p == 1

    def __mul__(self, other: Any) -> Any:
        """The irreps of the tensor product with an irrep; for an integer that many copies."""
        if isinstance(other, int):
            return Irreps([(other, self)])
        if not isinstance(other, Irrep):
            return NotImplemented
        degrees = range(abs(self.l - other.l), self.l + other.l + 1)
        return tuple(Irrep(l, self.p * other.p) for l in degrees)

    def __rmul__(self, copies: Any) -> "Irreps":
        return self * copies if isinstance(copies, int) else NotImplemented

    def __add__(self, other: Any) -> Rep:
        return Irreps(self) + other

    def __radd__(self, other: Any) -> Rep:
        return other + Irreps(self)

    def __iter__(self) -> Iterator[int]:
        return iter((self.l, self.p))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str(self) == other.strip()
        return isinstance(other, Irrep) and (self.l, self.p) == (other.l, other.p)

    def __lt__(self, other: "Irrep") -> bool:
        return (self.l, -self.p * (-1) ** self.l) < (other.l, -other.p * (-1) ** other.l)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    __repr__ = __str__


@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class Irreps(IrrepsAction):
    """A direct sum of irreps with multiplicities, such as ``Irreps("2x0e+1o")``.

    The axis that the group acts on is ordered as in e3nn: entry by entry, copy by copy, and within
    a copy the 2 l + 1 components, x, y, z for l = 1. Iterating gives the pairs ``(mul, ir)``.

    Neighbouring entries of the same irrep are merged and empty ones dropped, which reorders
    nothing. Irreps add to Irreps and to strings, and equal the strings that name them. ``*`` and
    ``**`` are the tensor product of representations, whose axis is the product of the axes;
    ``tensor_product`` decomposes it. For SO(3) and SE(3), which have no inversion, every irrep is
    written even.

    Args:
        irreps: A string as in e3nn, an ``Irrep``, an iterable of pairs ``(mul, irrep)`` or of
            irreps (each an ``Irrep`` or a string), an ``e3nn_jax.Irreps`` or another ``Irreps``.
        group: O(3), SO(3), E(3) or SE(3); None stands for the group of ``irreps`` or for O(3).

    Raises:
        ValueError: If ``irreps`` cannot be read or the group is not one of the four.

    Example:
        >>> irreps = Irreps("8x0e + 1o + 1o")
        >>> irreps, irreps.dim, irreps.lmax, "1o" in irreps, irreps[1:]
        (Irreps("8x0e+2x1o"), 14, 1, True, Irreps("2x1o"))
        >>> from equinet.groups import SO
        >>> Irreps(irreps, group=SO(3))
        Irreps("8x0e+2x1e", group=SO(3))
    """

    def __init__(self, irreps: IrrepsLike = (), *, group: Group | None = None) -> None:
        if group is None:
            group = irreps.group if isinstance(irreps, Irreps) else O(3)
        if group.linear_group not in (O(3), SO(3)):
            raise ValueError(f"Irreps are those of O(3), SO(3), E(3) and SE(3), got group {group}")
        entries = [MulIrrep(mul, Irrep(*irrep)) for mul, irrep in read_entries(irreps)]
        if group.linear_group == SO(3):
            entries = [MulIrrep(mul, Irrep(ir.l, 1)) for mul, ir in entries]
        object.__setattr__(self, "entries", _merge(entries))
        object.__setattr__(self, "group", group)

    @classmethod
    def spherical_harmonics(
        cls, lmax: int, parity: int = -1, *, group: Group | None = None
    ) -> "Irreps":
        """The irreps of the spherical harmonics of degrees 0 to ``lmax``.

        Args:
            lmax: The largest degree.
            parity: -1 for functions of a vector (0e+1o+2e+...), 1 for those of a pseudovector.
            group: As for the class.

        Example:
            >>> Irreps.spherical_harmonics(3)
            Irreps("0e+1o+2e+3o")
        """
        return cls([Irrep(l, parity**l) for l in range(lmax + 1)], group=group)

    @property
    def lmax(self) -> int:
        """The largest degree.

        Raises:
            ValueError: If there is no irrep.
        """
        if not self.entries:
            raise ValueError("empty Irreps have no lmax")
        return max(ir.l for _, ir in self.entries)

    @property
    def ls(self) -> list[int]:
        """The degree of every irrep, counted with multiplicity."""
        return [ir.l for mul, ir in self.entries for _ in range(mul)]

    @property
    def num_irreps(self) -> int:
        """The number of irreps, counted with multiplicity."""
        return sum(mul for mul, _ in self.entries)

    def is_scalar(self) -> bool:
        """Whether every irrep is the trivial one, 0e."""
        return all(ir.is_scalar() for _, ir in self.entries)

    def count(self, irrep: Any) -> int:
        """How often an irrep (an ``Irrep``, a string or a pair) occurs.

        Example:
            >>> Irreps("2x0e+1o+0e").count("0e")
            3
        """
        wanted = self._irrep(irrep)
        return sum(mul for mul, ir in self.entries if ir == wanted)

    def filter(
        self,
        keep: Callable[[Irrep], bool] | IrrepsLike | None = None,
        *,
        drop: Callable[[Irrep], bool] | IrrepsLike | None = None,
        lmax: int | None = None,
    ) -> "Irreps":
        """The entries that are kept, in order.

        Args:
            keep: A predicate of an ``Irrep``, or irreps (anything ``Irreps`` takes) to keep; None
                keeps all.
            drop: The same for what to drop; None drops nothing.
            lmax: The largest degree to keep.

        Example:
            >>> Irreps("0e+1o+2e").filter("1o+2e", lmax=1), Irreps("0e+1o").filter(drop="0e")
            (Irreps("1o"), Irreps("1o"))
        """
        kept = self._predicate(keep, default=True)
        dropped = self._predicate(drop, default=False)
        entries = [e for e in self.entries if kept(e.ir) and not dropped(e.ir)]
        return Irreps([e for e in entries if lmax is None or e.ir.l <= lmax], group=self.group)

    def sort(self) -> SortedIrreps:
        """The irreps in order, and where every entry went.

        Example:
            >>> Irreps("1o+0e+1o").sort()
            SortedIrreps(irreps=Irreps("0e+2x1o"), p=(1, 0, 2), inv=(1, 0, 2))
        """
        inverse = self._sorted()
        positions = tuple(int(i) for i in np.argsort(inverse))
        return SortedIrreps(self.regroup(), positions, tuple(inverse))

    def simplify(self) -> "Irreps":
        """The irreps themselves, because neighbouring entries of one irrep are always merged."""
        return self

    def regroup(self) -> "Irreps":
        """Sorted by degree, the parity of the spherical harmonics first, and merged.

        Example:
            >>> Irreps("1e+0o+1o+0e+1o").regroup()
            Irreps("0e+0o+2x1o+1e")
        """
        return Irreps([self.entries[i] for i in self._sorted()], group=self.group)

    def regroup_index(self) -> Int[np.ndarray, "dim"]:
        """The int32 index with which ``x[..., index, :]`` is a feature of ``regroup()``.

        Example:
            >>> Irreps("1o+0e").regroup_index()
            array([3, 0, 1, 2], dtype=int32)
        """
        axis, slices = np.arange(self.dim, dtype=np.int32), self.slices()
        return np.concatenate([axis[:0], *(axis[slices[i]] for i in self._sorted())])

    def tensor_product(
        self,
        other: IrrepsLike,
        *,
        keep: Callable[[Irrep], bool] | IrrepsLike | None = None,
        lmax: int | None = None,
    ) -> "Irreps":
        """The irreps of the tensor product, decomposed and regrouped.

        Args:
            other: The second factor: anything ``Irreps`` takes.
            keep: As for ``filter``.
            lmax: As for ``filter``.

        Raises:
            ValueError: If ``other`` is an ``Irreps`` of another group.

        Example:
            >>> Irreps("1o").tensor_product("0e+1o")
            Irreps("0e+1o+1e+2e")
        """
        if isinstance(other, Irreps) and other.group != self.group:
            raise ValueError(f"cannot multiply irreps of {self.group} and {other.group}")
        pairs = itertools.product(self.entries, Irreps(other, group=self.group).entries)
        entries = [(m1 * m2, ir) for (m1, ir1), (m2, ir2) in pairs for ir in ir1 * ir2]
        return Irreps(entries, group=self.group).filter(keep, lmax=lmax).regroup()

    def _irrep(self, irrep: Any) -> Irrep:
        (entry,) = Irreps(Irrep(irrep), group=self.group).entries
        return entry.ir

    def _predicate(
        self, which: Callable[[Irrep], bool] | IrrepsLike | None, *, default: bool
    ) -> Callable[[Irrep], bool]:
        if which is None:
            return lambda ir: default
        if callable(which):
            return which
        return {ir for _, ir in Irreps(which, group=self.group)}.__contains__

    def _sorted(self) -> list[int]:
        return sorted(range(len(self.entries)), key=lambda i: self.entries[i].ir)

    def _join(self, other: Rep) -> "Irreps | None":
        if not isinstance(other, Irreps):
            return None
        return Irreps(self.entries + other.entries, group=self.group)

    def _repeat(self, copies: int) -> "Irreps":
        return Irreps(self.entries * copies, group=self.group)

    def __add__(self, other: Any) -> Rep:
        named = isinstance(other, str | Irrep)
        return super().__add__(Irreps(other, group=self.group) if named else other)

    def __radd__(self, other: Any) -> Rep:
        named = isinstance(other, str | Irrep)
        return Irreps(other, group=self.group) + self if named else super().__radd__(other)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                return self == Irreps(other, group=self.group)
            except ValueError:
                return False
        return super().__eq__(other)

    __hash__ = Rep.__hash__

    def __contains__(self, irrep: Any) -> bool:
        return self.count(irrep) > 0

    def __iter__(self) -> Iterator[MulIrrep]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: SupportsIndex) -> MulIrrep: ...

    @overload
    def __getitem__(self, index: slice) -> "Irreps": ...

    def __getitem__(self, index: SupportsIndex | slice) -> "MulIrrep | Irreps":
        if isinstance(index, slice):
            return Irreps(self.entries[index], group=self.group)
        return self.entries[index]

    def __str__(self) -> str:
        return "+".join(f"{mul}x{ir}" if mul > 1 else str(ir) for mul, ir in self.entries)

    def __repr__(self) -> str:
        group = "" if self.group == O(3) else f", group={self.group!r}"
        return f'Irreps("{self}"{group})'


def _merge(entries: Iterable[MulIrrep]) -> tuple[MulIrrep, ...]:
    """Drops empty entries and counts neighbours of the same irrep together."""
    runs = itertools.groupby((e for e in entries if e.mul), key=lambda entry: entry.ir)
    return tuple(MulIrrep(sum(mul for mul, _ in run), ir) for ir, run in runs)


def as_rep(rep: RepLike) -> Rep:
    """A representation as it is; anything else is read as ``Irreps`` of O(3).

    Args:
        rep: A ``Rep``, or anything that ``Irreps`` takes.

    Raises:
        ValueError: If it cannot be read.

    Example:
        >>> from equinet.reps import Vector
        >>> as_rep("2x0e+1o"), as_rep(Vector(O(2)))
        (Irreps("2x0e+1o"), Vector(O(2)))
    """
    return rep if isinstance(rep, Rep) else Irreps(rep)
