"""Sums of irreps of O(3) and SO(3), in the names and the order of e3nn, and the way to e3nn-jax."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.groups import SO, Group, O
from equinet.linalg import block_diagonal, determinant
from equinet.precision import HIGHEST
from equinet.reps._blocks import apply_to_copies
from equinet.reps.clebsch_gordan_tables import so3_generators
from equinet.reps.rep import Rep
from equinet.reps.wigner import wigner_matrices
from equinet.typing import Element, Feature, Matrix

type IrrepsLike = str | Irrep | Iterable[Any]
"""Anything that ``Irreps`` takes: "8x0e+4x1o", an ``Irrep``, ``Irreps``, or a list of pairs."""

type RepLike = Rep | IrrepsLike
"""A ``Rep``, or anything that ``Irreps`` takes."""


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


@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class Irreps(Rep):
    """A direct sum of irreps with multiplicities, such as ``Irreps("2x0e+1o")``.

    The axis that the group acts on is ordered as in e3nn: entry by entry, copy by copy, and within
    a copy the 2 l + 1 components, x, y, z for l = 1. Iterating gives the pairs ``(mul, Irrep)``.

    Normal form: neighbouring entries of the same irrep are merged and empty ones dropped, which
    moves nothing; the order is kept. Irreps add to Irreps. ``*`` and ``**`` are the tensor product
    of any reps, whose axis is the product of the axes; ``tensor_product`` decomposes it.

    For SO(3) and SE(3) parity says nothing: every irrep is then written even.

    Args:
        irreps: An e3nn string, an iterable of ``(mul, irrep)`` pairs or of irreps (each an
            ``Irrep``, a string or a pair ``(l, p)``), an ``e3nn_jax.Irreps`` or another ``Irreps``.
        group: O(3), SO(3), E(3) or SE(3); None stands for the group of ``irreps`` or for O(3).

    Raises:
        ValueError: If ``irreps`` cannot be read or the group is not one of the four.

    Example:
        >>> irreps = Irreps("8x0e + 1o + 1o")
        >>> irreps, irreps.dim, irreps.lmax
        (Irreps("8x0e+2x1o"), 14, 1)
        >>> Irreps(irreps, group=SO(3))
        Irreps("8x0e+2x1e", group=SO(3))
    """

    entries: tuple[tuple[int, Irrep], ...]
    group: Group

    def __init__(self, irreps: Any = (), *, group: Group | None = None) -> None:
        if group is None:
            group = irreps.group if isinstance(irreps, Irreps) else O(3)
        if group.linear_group not in (O(3), SO(3)):
            raise ValueError(f"Irreps are those of O(3), SO(3), E(3) and SE(3), got group {group}")
        entries = read_entries(irreps)
        if group.linear_group == SO(3):
            entries = ((mul, Irrep(ir.l, 1)) for mul, ir in entries)
        object.__setattr__(self, "entries", merge(entries))
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
    def dim(self) -> int:
        """Length of the axis that the group acts on."""
        return sum(mul * ir.dim for mul, ir in self.entries)

    @property
    def is_orthogonal(self) -> bool:
        """Always true."""
        return True

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
    def num_irreps(self) -> int:
        """Number of irreps, counted with multiplicity."""
        return sum(mul for mul, _ in self.entries)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each entry stands on the axis."""
        ends = list(itertools.accumulate((mul * ir.dim for mul, ir in self.entries), initial=0))
        return tuple(itertools.starmap(slice, itertools.pairwise(ends)))

    def count(self, irrep: Any) -> int:
        """How often an irrep (an ``Irrep``, a string or a pair) occurs.

        Example:
            >>> Irreps("2x0e+1o+0e").count("0e")
            3
        """
        ((_, wanted),) = Irreps([irrep], group=self.group)
        return sum(mul for mul, ir in self.entries if ir == wanted)

    def filter(
        self, keep: Callable[[Irrep], bool] | Any = None, *, lmax: int | None = None
    ) -> "Irreps":
        """The entries that are kept, in order.

        Args:
            keep: A predicate of an ``Irrep``, or irreps (anything ``Irreps`` takes) to keep.
            lmax: The largest degree to keep.

        Example:
            >>> Irreps("0e+1o+2e").filter("1o+2e", lmax=1)
            Irreps("1o")
        """
        kept = keep if callable(keep) else None
        if keep is not None and kept is None:
            kept = {ir for _, ir in Irreps(keep, group=self.group)}.__contains__
        entries = [(mul, ir) for mul, ir in self.entries if kept is None or kept(ir)]
        return Irreps([e for e in entries if lmax is None or e[1].l <= lmax], group=self.group)

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
        axis = np.arange(self.dim, dtype=np.int32)
        return np.concatenate([axis[:0], *(axis[self.slices[i]] for i in self._sorted())])

    def tensor_product(
        self, other: Any, *, keep: Callable[[Irrep], bool] | Any = None, lmax: int | None = None
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

    def matrix(self, g: Element) -> Float[Array, "... dim dim"]:
        """Block-diagonal Wigner matrices; improper elements multiply by the parity."""
        corner = self.group.linear_part(g)[..., :0, :0]
        blocks = self._blocks(g)
        return block_diagonal(corner, [(mul, blocks[ir]) for mul, ir in self.entries])

    def lie_matrix(self, algebra: Matrix) -> Float[Array, "... dim dim"]:
        """Block-diagonal generators."""
        algebra = self.group.lie_linear_part(algebra)
        omega = O(3).vee(algebra)
        tables = {ir: jnp.asarray(so3_generators(ir.l), omega.dtype) for _, ir in self.entries}
        blocks = [
            (mul, jnp.einsum("...a,aij->...ij", omega, tables[ir], precision=HIGHEST))
            for mul, ir in self.entries
        ]
        return block_diagonal(algebra[..., :0, :0], blocks)

    def _apply(self, g: Element, x: Feature) -> Feature:
        if not self.entries:
            return x
        blocks = self._blocks(g)
        parts = []
        for (mul, ir), where in zip(self.entries, self.slices, strict=True):
            multiply = functools.partial(_multiply, blocks[ir].astype(x.dtype))
            parts.append(apply_to_copies(multiply, mul, x[..., where, :]))
        return jnp.concatenate(parts, axis=-2)

    def _blocks(self, g: Element) -> dict[Irrep, Float[Array, "..."]]:
        rotation = self.group.linear_part(g)
        irreps = {ir for _, ir in self.entries}
        matrices = wigner_matrices(max((ir.l for ir in irreps), default=0), rotation)
        improper = self.group.linear_group == O(3)
        sign = determinant(rotation)[..., None, None] if improper else None
        return {
            ir: matrices[ir.l] if sign is None or ir.p == (-1) ** ir.l else sign * matrices[ir.l]
            for ir in irreps
        }

    def _sorted(self) -> list[int]:
        irreps = [ir for _, ir in self.entries]
        return sorted(range(len(irreps)), key=lambda i: order(irreps[i]))

    def _join(self, other: Rep) -> "Irreps | None":
        if not isinstance(other, Irreps):
            return None
        return Irreps(self.entries + other.entries, group=self.group)

    def _repeat(self, copies: int) -> "Irreps":
        return Irreps(self.entries * copies, group=self.group)

    def __iter__(self) -> Iterator[tuple[int, Irrep]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[int, Irrep]:
        return self.entries[index]

    def __str__(self) -> str:
        return "+".join(f"{mul}x{ir}" if mul > 1 else str(ir) for mul, ir in self.entries)

    def __repr__(self) -> str:
        group = "" if self.group == O(3) else f", group={self.group!r}"
        return f'Irreps("{self}"{group})'


def _multiply(matrix: Float[Array, "... dim dim"], x: Feature) -> Feature:
    return jnp.einsum("...ij,...jc->...ic", matrix, x, precision=HIGHEST)


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
