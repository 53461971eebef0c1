"""Bases of all equivariant linear maps between two representations.

The cheapest exact route is chosen for every pair of pure terms: Schur's lemma for irreps; diagrams
for tensor powers of S(n), O(n), SO(n), Sp(n), GL+(n) and the Lorentz groups; orbits for permutation
representations of finite groups; Kronecker products for direct products of groups; a float64 null
space for the rest.
"""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import scipy.sparse.csgraph
from jaxtyping import Array, Float

from equinet.groups import SO, DirectProduct, FiniteGroup, FullLorentz, GLPlus, Lorentz, O, S, Sp
from equinet.precision import floating, read_only
from equinet.reps._generators import discrete_matrices
from equinet.reps.bases.diagram_maps import DiagramMaps
from equinet.reps.bases.diagrams import (
    Diagram,
    free_diagrams,
    free_gram,
    independent,
    matching_diagrams,
    matching_gram,
    partition_diagrams,
)
from equinet.reps.bases.isotypic import Isotype, decompositions
from equinet.reps.bases.linear_maps import (
    DenseMaps,
    Maps,
    OrbitMaps,
    SignedPermutedMaps,
    kronecker_signed,
)
from equinet.reps.bases.null_space import null_space_maps
from equinet.reps.irreps import RepLike, as_rep
from equinet.reps.rep import DualRep, ProductRep, Rep
from equinet.reps.vector import Vector
from equinet.typing import Feature

LARGEST_ORBIT_TABLE = 2**26


def equivariant_basis(rep_in: RepLike, rep_out: RepLike) -> "EquivariantBasis":
    """A basis of all linear maps W with ``rep_out(g) W = W rep_in(g)`` for every g of the group.

    Made once for every pair of reps, without their matrices wherever diagrams do.

    Args:
        rep_in: Representation of the input: a ``Rep``, or anything that ``Irreps`` takes.
        rep_out: Representation of the output, of the same group.

    Returns:
        The basis. Its ``dim`` is 0 where no equivariant map exists but zero.

    Raises:
        ValueError: If the reps are of different groups.

    Example:
        >>> from equinet.groups import S
        >>> from equinet.reps import Vector
        >>> V = Vector(S(10))
        >>> equivariant_basis(V, V).dim, equivariant_basis(V**2, V**2).dim
        (2, 15)
        >>> equivariant_basis("1o", "2x1o+0e").dim
        2
    """
    rep_in, rep_out = as_rep(rep_in), as_rep(rep_out)
    if rep_in.group != rep_out.group:
        raise ValueError(
            f"no map can be equivariant between reps of {rep_in.group} and {rep_out.group}: "
            "restrict both to one group (equinet.reps.restrict)"
        )
    return _basis(rep_in, rep_out)


class EquivariantBasis:
    """All equivariant maps between two reps; made by ``equivariant_basis``.

    The maps are counted output term by output term, input term by input term, map by map, copy of
    the input by copy, copy of the output by copy.

    Attributes:
        rep_in: Rep of the input.
        rep_out: Rep of the output.
        dim: Number of maps.
        scales: For weights ``scales[b] * z / sqrt(channels_in)`` with standard normal z, the output
            has the variance of the input, averaged over the entries of each term.
    """

    def __init__(self, rep_in: Rep, rep_out: Rep) -> None:
        self.rep_in, self.rep_out = rep_in, rep_out
        self._enter, self._leave = decompositions(rep_in, rep_out)
        self._inputs, self._outputs = self._enter.isotypes, self._leave.isotypes
        self._blocks: list[list[tuple[int, Maps, slice]]] = []
        start = 0
        for out in self._outputs:
            row = []
            for position, into in enumerate(self._inputs):
                maps = pure_maps(into.rep, out.rep)
                count = maps.dim * into.copies * out.copies
                if count:
                    row.append((position, maps, slice(start, start + count)))
                    start += count
            self._blocks.append(row)
        self.dim = start
        self.scales = self._scales()

    def dense(self) -> Float[np.ndarray, "dim rep_out.dim rep_in.dim"]:
        """The maps as matrices, float64."""
        table = np.zeros((self.dim, self.rep_out.dim, self.rep_in.dim))
        for out, row in zip(self._outputs, self._blocks, strict=True):
            for position, maps, where in row:
                into = self._inputs[position]
                block = np.zeros(
                    (maps.dim, into.copies, out.copies, self.rep_out.dim, self.rep_in.dim)
                )
                matrices = maps.dense()
                for i, columns in enumerate(into.index):
                    for o, rows in enumerate(out.index):
                        block[:, i, o, rows[:, None], columns] = matrices
                table[where] = block.reshape(-1, *table.shape[1:])
        return self._leave.matrix().T @ table @ self._enter.matrix()

    def apply(
        self, x: Feature, weights: Float[Array, "dim channels_in channels_out"]
    ) -> Float[Array, "... rep_out.dim channels_out"]:
        r"""The map :math:`y_{od} = \sum_{bic} B_b[o, i]\, x_{ic}\, w_{bcd}`.

        Args:
            x: A feature ``[..., rep_in.dim, channels_in]``.
            weights: One matrix of channels for every map.

        Raises:
            ValueError: If a shape does not fit.
        """
        x = floating(x)
        channels_in, channels_out = self._check(x, weights)
        batch = x.shape[:-2]
        x = self._enter.enter(x)
        inputs = [_gather(x, into, self.rep_in.dim) for into in self._inputs]
        parts = []
        for out, row in zip(self._outputs, self._blocks, strict=True):
            shape = (*batch, out.rep.dim, out.copies * channels_out)
            total: Array | None = None
            for position, maps, where in row:
                copies = self._inputs[position].copies
                block = weights[where].reshape(
                    maps.dim, copies, out.copies, channels_in, channels_out
                )
                block = jnp.swapaxes(block, 2, 3)
                block = block.reshape(maps.dim, copies * channels_in, out.copies * channels_out)
                y = maps.apply(inputs[position], block)
                total = y if total is None else total + y
            parts.append(jnp.zeros(shape, x.dtype) if total is None else total)
        y = _scatter(parts, self._outputs, self.rep_out.dim, channels_out, batch, x.dtype)
        return self._leave.leave(y)

    def project(
        self, kernel: Float[Array, "rep_out.dim rep_in.dim ..."]
    ) -> Float[Array, "rep_out.dim rep_in.dim ..."]:
        """The orthogonal projection P W of matrices onto the equivariant ones, without P.

        Args:
            kernel: Matrices; further axes, such as those of channels, are carried along.
        """
        if kernel.shape[:2] != (self.rep_out.dim, self.rep_in.dim):
            raise ValueError(
                f"expected [{self.rep_out.dim}, {self.rep_in.dim}, ...] for maps from "
                f"{self.rep_in} to {self.rep_out}, got {kernel.shape}"
            )
        kernel, tail = floating(kernel), kernel.shape[2:]
        kernel = _on_axis(self._leave.enter, _on_axis(self._enter.enter, kernel, 1), 0)
        projected = jnp.zeros_like(kernel)
        for out, row in zip(self._outputs, self._blocks, strict=True):
            for position, maps, _ in row:
                into = self._inputs[position]
                where = (out.index.ravel()[:, None], into.index.ravel())
                block = kernel[where].reshape(
                    out.copies, maps.rows, into.copies, maps.columns, *tail
                )
                block = maps.project(jnp.moveaxis(block, (1, 3), (0, 1)))
                block = jnp.moveaxis(block, (0, 1), (1, 3))
                block = block.reshape(out.index.size, into.index.size, *tail)
                projected = projected.at[where].set(block)
        return _on_axis(self._leave.leave, _on_axis(self._enter.leave, projected, 1), 0)

    def _scales(self) -> Float[np.ndarray, "dim"]:
        scales = np.zeros(self.dim)
        for out, row in zip(self._outputs, self._blocks, strict=True):
            count = sum(maps.dim * self._inputs[position].copies for position, maps, _ in row)
            for position, maps, where in row:
                copies = self._inputs[position].copies * out.copies
                scale = np.sqrt(out.rep.dim / (maps.norms() * count))
                scales[where] = np.repeat(scale, copies)
        return read_only(scales)

    def _check(self, x: Feature, weights: Array) -> tuple[int, int]:
        if x.ndim < 2 or x.shape[-2] != self.rep_in.dim:
            raise ValueError(
                f"expected a feature [..., {self.rep_in.dim}, channels] for {self.rep_in}, "
                f"got shape {x.shape}"
            )
        if weights.ndim != 3 or weights.shape[:2] != (self.dim, x.shape[-1]):
            raise ValueError(
                f"expected weights [{self.dim}, {x.shape[-1]}, channels_out], one matrix for each "
                f"of the {self.dim} maps, got shape {weights.shape}"
            )
        return x.shape[-1], weights.shape[-1]

    def __repr__(self) -> str:
        return f"equivariant_basis({self.rep_in!r}, {self.rep_out!r})"


_basis = functools.lru_cache(256)(EquivariantBasis)


@functools.lru_cache(1024)
def pure_maps(rep_in: Rep, rep_out: Rep) -> Maps:
    """All equivariant maps between two pure reps, by the cheapest route."""
    maps = rep_out._maps_from(rep_in, pure_maps)
    if maps is not None:
        return maps
    for route in (_diagram_maps, _orbit_maps):
        maps = route(rep_in, rep_out)
        if maps is not None:
            return maps
    return DenseMaps(null_space_maps(rep_in, rep_out))


def _vector_factors(rep: Rep) -> tuple[bool, ...] | None:
    """For a tensor power, which factors are dual; None for every other rep."""
    factors = rep.factors if isinstance(rep, ProductRep) else (rep,)
    vector = Vector(rep.group)
    if not all(factor in (vector, vector.dual) for factor in factors):
        return None
    return tuple(isinstance(factor, DualRep) for factor in factors)


def _diagram_maps(rep_in: Rep, rep_out: Rep) -> Maps | None:
    group = rep_in.group.linear_group
    make = _DIAGRAMS.get(type(group))
    duals_in, duals_out = _vector_factors(rep_in), _vector_factors(rep_out)
    if make is None or duals_in is None or duals_out is None:
        return None
    n, form = group.vector_dim, getattr(group, "form", None)
    if isinstance(group, GLPlus):
        # An index of the input is a slot for a vector, an index of its dual one for a form.
        upper = [not dual for dual in duals_out] + list(duals_in)
        diagrams = _reduced(
            matching_diagrams(range(len(upper)), lambda a, b: upper[a] != upper[b]), n
        )
        return DiagramMaps(n, len(duals_out), len(duals_in), diagrams)
    maps = DiagramMaps(
        n, len(duals_out), len(duals_in), make(len(duals_out) + len(duals_in), n), form
    )
    if form is None or not (any(duals_in) or any(duals_out)):
        return maps
    # A dual vector becomes a vector by the form, an isometry.
    return SignedPermutedMaps(
        maps,
        kronecker_signed(
            [_signed(form) if dual else None for dual in duals_out], [n] * len(duals_out)
        ),
        kronecker_signed(
            [_signed(form.T) if dual else None for dual in duals_in], [n] * len(duals_in)
        ),
    )


def _signed(form: Float[np.ndarray, "n n"]) -> tuple[np.ndarray, np.ndarray]:
    index = np.abs(form).argmax(1)
    return index, form[np.arange(len(form)), index]


def _reduced(diagrams: Sequence[Diagram], n: int, *, symplectic: bool = False) -> list[Diagram]:
    """A linearly independent subset that spans the same; all of them where n is large enough."""
    pairs = len(diagrams[0].blocks) if diagrams else 0
    if n >= (2 * pairs if symplectic else pairs):
        return list(diagrams)
    return [diagrams[i] for i in independent(matching_gram(diagrams, n, symplectic=symplectic))]


def _brauer(points: int, n: int) -> list[Diagram]:
    return _reduced(matching_diagrams(range(points)), n)


def _symplectic(points: int, n: int) -> list[Diagram]:
    return _reduced(matching_diagrams(range(points)), n, symplectic=True)


def _special(points: int, n: int) -> list[Diagram]:
    free = free_diagrams(points, n)
    if len(free) > 1:
        free = [free[i] for i in independent(free_gram(free, n))]
    return _brauer(points, n) + free


# Which diagrams span the invariants of a group, reduced to a basis.
_DIAGRAMS: dict[type, Callable[[int, int], list[Diagram]]] = {
    S: partition_diagrams,
    O: _brauer,
    FullLorentz: _brauer,
    GLPlus: _brauer,
    Sp: _symplectic,
    SO: _special,
    Lorentz: _special,
}


def _orbit_maps(rep_in: Rep, rep_out: Rep) -> Maps | None:
    small = rep_in.dim * rep_out.dim <= LARGEST_ORBIT_TABLE
    permutes = rep_in.is_permutation and rep_out.is_permutation
    if not (small and permutes and _is_finite(rep_in.group)):
        return None
    rows, columns = rep_out.dim, rep_in.dim
    pairs = np.arange(rows * columns)
    edges = []
    outs, ins = discrete_matrices(rep_out), discrete_matrices(rep_in)
    for out, into in zip(outs, ins, strict=True):
        # Column j of a permutation matrix has its one in the row to which j moves.
        to_row, to_column = out.tocsc().indices, into.tocsc().indices
        edges.append((to_row[:, None] * columns + to_column).ravel())
    graph = scipy.sparse.coo_array(
        (
            np.ones(len(edges) * len(pairs), np.int8),
            (np.tile(pairs, len(edges)), np.concatenate(edges) if edges else pairs[:0]),
        ),
        shape=(len(pairs),) * 2,
    )
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return OrbitMaps(labels.reshape(rows, columns))


def _is_finite(group: object) -> bool:
    if isinstance(group, DirectProduct):
        return all(_is_finite(factor) for factor in group.factors)
    return isinstance(group, FiniteGroup)


def _gather(x: Feature, into: Isotype, dim: int) -> Float[Array, "... dim copies*channels"]:
    """The copies of a pure rep side by side on the channel axis."""
    if into.copies == 1 and into.rep.dim == dim:
        return x if _is_range(into.index[0]) else jnp.take(x, into.index[0], axis=-2)
    if all(_is_range(copy) for copy in into.index):
        parts = [x[..., copy[0] : copy[0] + len(copy), :] for copy in into.index]
    else:
        parts = [jnp.take(x, copy, axis=-2) for copy in into.index]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, -1)


def _scatter(
    parts: Sequence[Array],
    outputs: Sequence[Isotype],
    dim: int,
    channels: int,
    batch: tuple[int, ...],
    dtype: np.dtype,
) -> Feature:
    """Puts every copy at its indices on the axis."""
    pieces: list[tuple[np.ndarray, Array]] = []
    for part, out in zip(parts, outputs, strict=True):
        for k, index in enumerate(out.index):
            pieces.append((index, part[..., k * channels : (k + 1) * channels]))
    if not pieces:
        return jnp.zeros((*batch, dim, channels), dtype)
    pieces.sort(key=lambda piece: int(piece[0][0]) if len(piece[0]) else 0)
    order = np.concatenate([index for index, _ in pieces])
    y = pieces[0][1] if len(pieces) == 1 else jnp.concatenate([p for _, p in pieces], -2)
    return y if _is_range(order) else jnp.take(y, np.argsort(order).astype(np.int32), axis=-2)


def _on_axis(change: Callable[[Array], Array], kernel: Array, axis: int) -> Array:
    """Applies a change of basis of the axis -2 to another axis."""
    return jnp.moveaxis(change(jnp.moveaxis(kernel, axis, -1)[..., None])[..., 0], -1, axis)


def _is_range(index: np.ndarray) -> bool:
    return bool(np.all(np.diff(index) == 1))
