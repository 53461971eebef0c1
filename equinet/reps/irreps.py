"""Sums of irreps of O(3) and SO(3), in the names and the order of e3nn, and the way to e3nn-jax."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.groups import SO, Group, O
from equinet.reps.blocks import apply_to_copies, block_diagonal
from equinet.reps.clebsch_gordan import so3_generators
from equinet.reps.irrep import Irrep, merge, order, read_entries
from equinet.reps.rep import Rep
from equinet.reps.wigner import wigner_matrices
from equinet.typing import Element, Feature, Matrix

HIGHEST = jax.lax.Precision.HIGHEST


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
        sign = _determinant(rotation)[..., None, None] if improper else None
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


def from_irreps_array(array: Any, channels: int | None = None) -> tuple[Irreps, Feature]:
    """The feature that holds the numbers of an ``e3nn_jax.IrrepsArray``.

    Args:
        array: An ``e3nn_jax.IrrepsArray`` ``[..., irreps.dim]``.
        channels: Length of the channel axis, a divisor of every multiplicity; None stands for their
            greatest common divisor. Copy ``c * channels + k`` becomes copy ``c`` of channel ``k``.

    Returns:
        The irreps and the feature ``[..., irreps.dim, channels]``, of the same dtype.

    Raises:
        ValueError: If ``array`` is something else or ``channels`` is not a common divisor.

    Example:
        >>> import e3nn_jax as e3nn
        >>> irreps, x = from_irreps_array(e3nn.zeros("128x0e+64x1o", (10,)))
        >>> irreps, x.shape
        (Irreps("2x0e+1o"), (10, 5, 64))
    """
    import e3nn_jax

    if not isinstance(array, e3nn_jax.IrrepsArray):
        raise ValueError(
            f"expected an e3nn_jax.IrrepsArray, got {type(array).__name__}; "
            "wrap it: e3nn_jax.IrrepsArray('8x0e+8x1o', array)"
        )
    irreps = Irreps(array.irreps)
    divisor = math.gcd(*(mul for mul, _ in irreps)) or 1
    channels = divisor if channels is None else channels
    if channels < 1 or divisor % channels:
        raise ValueError(
            f"channels = {channels} does not divide every multiplicity of {irreps}; "
            f"take a divisor of {divisor}"
        )
    batch = array.shape[:-1]
    parts = [jnp.zeros((*batch, 0, channels), array.dtype)]
    for (mul, ir), where in zip(irreps, irreps.slices, strict=True):
        part = array.array[..., where].reshape(*batch, mul // channels, channels, ir.dim)
        part = jnp.swapaxes(part, -1, -2)
        parts.append(part.reshape(*batch, mul // channels * ir.dim, channels))
    reduced = Irreps([(mul // channels, ir) for mul, ir in irreps])
    return reduced, jnp.concatenate(parts, axis=-2)


def to_irreps_array(irreps: Any, x: Feature) -> Any:
    """The ``e3nn_jax.IrrepsArray`` that holds a feature; undoes ``from_irreps_array``.

    Args:
        irreps: Anything ``Irreps`` takes.
        x: A feature ``[..., irreps.dim, channels]``.

    Returns:
        An array ``[..., irreps.dim * channels]`` of ``channels`` times the multiplicities.

    Raises:
        ValueError: If the feature does not have the shape that the irreps say.

    Example:
        >>> to_irreps_array("2x0e+1o", jnp.zeros((10, 5, 64))).irreps
        128x0e+64x1o
    """
    import e3nn_jax

    irreps = Irreps(irreps)
    x = jnp.asarray(x)
    if x.ndim < 2 or x.shape[-2] != irreps.dim:
        raise ValueError(f"{irreps!r} needs [..., {irreps.dim}, channels], got {x.shape}")
    *batch, _, channels = x.shape
    parts = [x[..., 0, :0]] if irreps.dim else [x.reshape(*batch, 0)]
    for (mul, ir), where in zip(irreps, irreps.slices, strict=True):
        part = x[..., where, :].reshape(*batch, mul, ir.dim, channels)
        parts.append(jnp.swapaxes(part, -1, -2).reshape(*batch, mul * channels * ir.dim))
    names = e3nn_jax.Irreps([(mul * channels, (ir.l, ir.p)) for mul, ir in irreps])
    return e3nn_jax.IrrepsArray(names, jnp.concatenate(parts, axis=-1))


def _multiply(matrix: Float[Array, "... dim dim"], x: Feature) -> Feature:
    return jnp.einsum("...ij,...jc->...ic", matrix, x, precision=HIGHEST)


def _determinant(matrix: Float[Array, "... 3 3"]) -> Float[Array, "..."]:
    first, second, third = (matrix[..., i, :] for i in range(3))
    return (first * jnp.cross(second, third)).sum(-1)
