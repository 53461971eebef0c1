"""PONITA: a convolutional network on positions and orientations."""

import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from equinet.linalg import safe_normalize
from equinet.nn import MLP, CloudKernels, ConvNeXtBlock, GridKernels, Kernels, Module, ModuleOptions
from equinet.nn.orientation_kernels import windowed
from equinet.ops.graphs import GraphBatch
from equinet.ops.orientations import Grid, lift_vectors, read_vectors
from equinet.precision import HIGHEST

VARIANTS = ("separable", "complete", "edges", "positions")
Visit = Callable[[ConvNeXtBlock, Array, Kernels, Array], None]
_Read = Callable[[int, Array], tuple[Array, Array]]
_Outputs = tuple[Float[Array, "*batch n scalars_out"], Float[Array, "*batch n dim vectors_out"]]


class PONITA(Module):
    r"""Network of positions and orientations, from scalars and vectors to scalars and vectors.

    Scalars are copied over the orientations and vectors enter as :math:`v \cdot o`; ConvNeXt blocks
    follow, whose kernels depend on invariants of pairs; scalars are read out as a mean over the
    orientations and vectors as a sum of :math:`f(o)\, o`. Invariant under translations, and under
    rotations by ``variant``:

    - ``"separable"``: every point carries the orientations of a grid, kernels of :math:`a_1, a_2`
      and of :math:`a_3` one after the other. Exactly equivariant under the rotations that permute
      the grid, approximately under others, the better the more orientations there are.
    - ``"complete"``: the same points, kernels of :math:`a_1, ..., a_4` for all pairs of positions
      and orientations. Time and memory grow with the square of the orientations.
    - ``"edges"``: the orientations are the directions from every point to every other (and zero,
      for the point itself). Exactly equivariant under all rotations; time and memory grow with the
      fourth power of n.
    - ``"positions"``: kernels of distances, without orientations: scalars only. Exact.

    In space the variants treat reflections like rotations, unless ``chiral``; in the plane only
    ``"positions"`` does, for the others :math:`a_2` has a sign.

    Args:
        scalars_in: Scalars of each point.
        vectors_in: Vectors of each point.
        scalars_out: Scalars that are predicted for each point.
        vectors_out: Vectors that are predicted for each point.
        grid: Orientations; None for ``"edges"`` and ``"positions"``.
        variant: One of the four variants above.
        channels: Hidden channels.
        basis: Number of functions of the kernel basis.
        layers: Number of blocks.
        degree: Degree of the polynomials of invariants.
        cutoff: Distance at which points no longer see each other; None: all do.
        length: Unit of the invariants, in that of the positions.
        resolution: Of ``GridKernels``: the degree of polynomials that stand for the spatial
            functions and make pairs of points cheap; None: none do.
        widening: Hidden width of the blocks in channels.
        layer_scale: Start of the scale of each block; None: there is none.
        average_neighbours: The number that sums over neighbours are divided by.
        all_readouts: Whether the outputs are the mean of a read-out after every layer.
        chiral: Whether the kernels of ``"complete"`` and ``"edges"`` tell mirror images apart.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: See ``equinet.nn.ModuleOptions``.

    Raises:
        ValueError: If a number is out of range, the variant is unknown, the grid does not fit it or
            ``"positions"`` is asked for vectors.

    References:
        Bekkers et al., Fast, Expressive SE(n) Equivariant Networks through Weight-Sharing in
        Position-Orientation Space, arXiv:2310.02970 (2023).

    >>> from equinet.ops.orientations import polyhedron
    >>> grid = polyhedron("icosahedron")
    >>> model = PONITA(2, 1, 1, 1, grid=grid, channels=8, basis=8, layers=2, rngs=nnx.Rngs(0))
    >>> scalars, vectors = model(jnp.ones((4, 5, 3)), jnp.ones((4, 5, 2)), jnp.ones((4, 5, 3, 1)))
    >>> scalars.shape, vectors.shape
    ((4, 5, 1), (4, 5, 3, 1))
    """

    def __init__(
        self,
        scalars_in: int,
        vectors_in: int,
        scalars_out: int,
        vectors_out: int,
        *,
        grid: Grid | None = None,
        variant: str = "separable",
        channels: int = 64,
        basis: int = 64,
        layers: int = 4,
        degree: int = 3,
        cutoff: float | None = None,
        length: float = 1.0,
        resolution: int | None = None,
        widening: int = 4,
        layer_scale: float | None = None,
        average_neighbours: float = 1.0,
        all_readouts: bool = True,
        chiral: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        sizes = (scalars_in, vectors_in, scalars_out, vectors_out)
        _check(sizes, grid, variant, min(channels, basis, layers, widening), average_neighbours)
        if variant not in ("complete", "edges") and chiral:
            raise ValueError(f'chiral needs variant "complete" or "edges", got {variant!r}')
        if variant not in ("separable", "positions") and resolution is not None:
            raise ValueError(f'resolution needs variant "separable", got {variant!r}')
        self.sizes, self.grid, self.variant = sizes, grid, variant
        self.cutoff, self.all_readouts = cutoff, all_readouts
        shared: dict[str, Any] = {"rngs": rngs, **options}
        common = {"cutoff": cutoff, "degree": degree, "length": length, **shared}
        if variant in ("separable", "positions"):
            self.kernels: Any = GridKernels(grid, channels, basis, resolution=resolution, **common)
        else:
            self.kernels = CloudKernels(channels, basis, chiral=chiral, **common)
        ends = 2 if variant == "edges" else 1  # of an edge
        self.embedding = MLP((ends * (scalars_in + vectors_in), channels), **shared)
        block: dict[str, Any] = {
            "separable": variant == "separable",
            "widening": widening,
            "layer_scale": layer_scale,
            "average_neighbours": average_neighbours,
        }
        self.blocks = nnx.List(
            [ConvNeXtBlock(channels, basis, **block, **shared) for _ in range(layers)]
        )
        count = layers if all_readouts else 1
        self.scalars = nnx.List(
            [MLP((channels, scalars_out), use_bias=True, **shared) for _ in range(count)]
            if scalars_out
            else []
        )
        self.vectors = nnx.List(
            [MLP((channels, vectors_out), **shared) for _ in range(count)] if vectors_out else []
        )

    def __call__(
        self,
        positions: Float[Array, "*batch n dim"],
        scalars: Float[Array, "*batch n scalars_in"] | None = None,
        vectors: Float[Array, "*batch n dim vectors_in"] | None = None,
        mask: Bool[Array, "*batch n"] | None = None,
        *,
        visit: Visit | None = None,
    ) -> _Outputs:
        """Outputs of every point of a cloud in which all see all, up to the cutoff.

        Args:
            positions: ``[..., n, dim]``.
            scalars: ``[..., n, scalars_in]``; may be absent if there are none.
            vectors: ``[..., n, dim, vectors_in]``; may be absent if there are none.
            mask: Which points there are, ``[..., n]``; None: all. What the others hold does not
                matter and their outputs are zero.
            visit: Called with every block, its input, the kernels and the mask before the block
                is applied; for ``equinet.nn.position_orientation.calibrate``.

        Returns:
            Scalars ``[..., n, scalars_out]`` and vectors ``[..., n, dim, vectors_out]``.

        Raises:
            ValueError: If a shape does not fit.
        """
        lead, dtype = positions.shape[:-1], self.dtype or positions.dtype
        scalars, vectors, mask = self._checked(positions, scalars, vectors, mask)
        batch = (math.prod(lead[:-1]), lead[-1])
        positions, scalars, vectors, mask = (
            jnp.asarray(a, None if a.dtype == bool else dtype).reshape(
                *batch, *a.shape[len(lead) :]
            )
            for a in (positions, scalars, vectors, mask)
        )
        positions = jnp.where(mask[..., None], positions, 0)
        scalars = jnp.where(mask[..., None], scalars, 0)
        vectors = jnp.where(mask[..., None, None], vectors, 0)
        run = {"complete": self._complete, "edges": self._edges}.get(self.variant, self._separable)
        found = run(positions, scalars, vectors, mask, visit)
        return _outputs(found, mask, (*lead, positions.shape[-1]), self.sizes)

    def on_graph(
        self,
        graph: GraphBatch,
        scalars: Float[Array, "nodes scalars_in"] | None = None,
        vectors: Float[Array, "nodes 3 vectors_in"] | None = None,
        *,
        visit: Visit | None = None,
    ) -> _Outputs:
        """Outputs of every node of a graph whose edges are all pairs within the cutoff.

        The result equals a call on the point cloud of the nodes; the cost grows with the edges.

        Args:
            graph: Positions, slots and masks.
            scalars: ``[nodes, scalars_in]``; may be absent if there are none.
            vectors: ``[nodes, 3, vectors_in]``; may be absent if there are none.
            visit: As for a cloud.

        Returns:
            Scalars ``[nodes, scalars_out]`` and vectors ``[nodes, 3, vectors_out]``, zero for
            padding.

        Raises:
            ValueError: If the variant needs all pairs, there is no cutoff or a shape does not fit.
        """
        if self.variant not in ("separable", "positions"):
            raise ValueError(
                f'a graph needs variant "separable" or "positions", got {self.variant!r}: call the '
                "model on a cloud"
            )
        dtype = self.dtype or graph.positions.dtype
        scalars, vectors, mask = self._checked(graph.positions, scalars, vectors, graph.node_mask)
        x = self._lift(scalars.astype(dtype)[None], vectors.astype(dtype)[None])
        found = self._trunk(x, self.kernels.slots(graph), mask[None], visit, self._read_grid)
        return _outputs(found, mask[None], graph.positions.shape, self.sizes)

    def _separable(
        self, positions: Array, scalars: Array, vectors: Array, mask: Array, visit: Visit | None
    ) -> _Outputs:
        kernels = self.kernels.dense(positions, mask)
        return self._trunk(self._lift(scalars, vectors), kernels, mask, visit, self._read_grid)

    def _complete(
        self, positions: Array, scalars: Array, vectors: Array, mask: Array, visit: Visit | None
    ) -> _Outputs:
        """Every orientation of every point is a point of a cloud."""
        grid = _some(self.grid)
        batch, n, dim = positions.shape
        shape = (batch, n, grid.size)
        points = jnp.asarray(grid.points, positions.dtype).reshape(1, 1, grid.size, dim)
        orientations = jnp.broadcast_to(points, (*shape, dim)).reshape(batch, -1, dim)
        weights = jnp.repeat(mask.astype(positions.dtype) / grid.size, grid.size, axis=1)
        kernels = self.kernels(jnp.repeat(positions, grid.size, axis=1), orientations, weights)
        x = self._lift(scalars, vectors)

        def read(index: int, x: Array) -> _Outputs:
            return self._read_grid(index, x.reshape(*shape, -1))

        x = x.reshape(batch, n * grid.size, 1, -1)
        return self._trunk(x, kernels, jnp.repeat(mask, grid.size, axis=1), visit, read)

    def _edges(
        self, positions: Array, scalars: Array, vectors: Array, mask: Array, visit: Visit | None
    ) -> _Outputs:
        """The edge from i to j is a point at i in the direction of j."""
        batch, n, dim = positions.shape
        differences = positions[:, None, :] - positions[:, :, None]  # batch, i, j
        pairs = mask[:, :, None] & mask[:, None, :]
        differences, weights = windowed(differences, pairs, self.cutoff)
        orientations = safe_normalize(differences)
        starts = jnp.broadcast_to(positions[:, :, None], (batch, n, n, dim))
        flat = (a.reshape(batch, n * n, *a.shape[3:]) for a in (starts, orientations, weights))
        kernels = self.kernels(*flat)
        along = jnp.einsum("bijd,bidv->bijv", orientations, vectors, precision=HIGHEST)
        against = jnp.einsum("bijd,bjdv->bijv", orientations, vectors, precision=HIGHEST)
        first = jnp.broadcast_to(scalars[:, :, None], (batch, n, n, scalars.shape[-1]))
        ends = (first, jnp.swapaxes(first, 1, 2), along, against)
        x = self.embedding(jnp.concatenate(ends, axis=-1)).reshape(batch, n * n, 1, -1)
        total = jnp.sum(weights, axis=2)  # at least the one of the point itself
        share = weights / jnp.where(total > 0, total, 1)[..., None]

        def read(index: int, x: Array) -> _Outputs:
            y, v = self._heads(index, x.reshape(batch, n, n, -1))
            y = jnp.einsum("bij,bijs->bis", share, y, precision=HIGHEST)
            v = jnp.einsum("bij,bijd,bijv->bidv", share, orientations, v, precision=HIGHEST)
            return y, v

        return self._trunk(x, kernels, pairs.reshape(batch, n * n), visit, read)

    def _lift(
        self, scalars: Array, vectors: Array
    ) -> Float[Array, "batch n orientations channels"]:
        """Scalars and vectors as functions of the orientation, embedded."""
        size = 1 if self.grid is None else self.grid.size
        shape = (*scalars.shape[:-1], size, scalars.shape[-1])
        parts = [jnp.broadcast_to(scalars[..., None, :], shape)]
        if self.grid is not None:
            parts.append(lift_vectors(vectors, self.grid))
        return self.embedding(jnp.concatenate(parts, axis=-1))

    def _heads(self, index: int, x: Array) -> tuple[Array, Array]:
        """Scalars and coefficients of the direction, for each orientation."""
        empty = jnp.zeros((*x.shape[:-1], 0), x.dtype)
        y = self.scalars[index](x) if self.scalars else empty
        return y, self.vectors[index](x) if self.vectors else empty

    def _read_grid(self, index: int, x: Array) -> _Outputs:
        """Means over the orientations; positions alone have one, and no vectors."""
        y, v = self._heads(index, x)
        if self.grid is None:
            return jnp.mean(y, axis=-2), v
        return jnp.mean(y, axis=-2), read_vectors(v, self.grid)

    def _trunk(
        self, x: Array, kernels: Kernels, mask: Array, visit: Visit | None, read: _Read
    ) -> _Outputs:
        """The blocks, and the mean of the read-outs."""
        found = []
        for index, block in enumerate(self.blocks):
            if visit is not None:
                visit(block, x, kernels, mask)
            x = block(x, kernels)
            if self.all_readouts:
                found.append(read(index, x))
        found = found or [read(0, x)]
        return jax.tree.map(lambda *outputs: sum(outputs) / len(outputs), *found)

    def _checked(
        self, positions: Array, scalars: Array | None, vectors: Array | None, mask: Array | None
    ) -> tuple[Array, Array, Array]:
        """Inputs of the expected shapes; empty ones and a full mask where they are absent."""
        lead, dim = positions.shape[:-1], positions.shape[-1]
        if positions.ndim < 2 or dim not in (2, 3) or (self.grid and self.grid.dim != dim):
            wanted = self.grid.dim if self.grid else "2 or 3"
            raise ValueError(f"positions must have shape [..., n, {wanted}], got {positions.shape}")
        zeros = jnp.zeros
        scalars = zeros((*lead, 0), positions.dtype) if scalars is None else scalars
        vectors = zeros((*lead, dim, 0), positions.dtype) if vectors is None else vectors
        mask = jnp.ones(lead, bool) if mask is None else mask
        expected = {
            "scalars": (scalars, (*lead, self.sizes[0])),
            "vectors": (vectors, (*lead, dim, self.sizes[1])),
            "mask": (mask, lead),
        }
        for name, (array, shape) in expected.items():
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        return scalars, vectors, mask


def _outputs(
    found: tuple[Array, Array], mask: Array, lead: tuple[int, ...], sizes: tuple[int, ...]
) -> _Outputs:
    """Scalars and vectors in the shape of the positions, zero where there is no point."""
    y, v = (jnp.where(mask.reshape(*mask.shape, *(1,) * (a.ndim - 2)), a, 0) for a in found)
    return y.reshape(*lead[:-1], sizes[2]), v.reshape(*lead, sizes[3])


def _some(grid: Grid | None) -> Grid:
    if grid is None:
        raise ValueError("a grid of orientations is needed, got None")
    return grid


def _check(
    sizes: tuple[int, int, int, int],
    grid: Grid | None,
    variant: str,
    smallest: int,
    average_neighbours: float,
) -> None:
    scalars_in, vectors_in, scalars_out, vectors_out = sizes
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}, expected one of {VARIANTS}")
    if (grid is not None) != (variant in ("separable", "complete")):
        needed = "needs a grid" if grid is None else "has no grid: leave it out"
        raise ValueError(f"variant {variant!r} {needed}, got grid={grid}")
    if min(sizes) < 0 or scalars_in + vectors_in < 1 or scalars_out + vectors_out < 1:
        raise ValueError(
            "at least one scalar or vector must go in (ones serve) and one must come out, got "
            f"{scalars_in}, {vectors_in} in and {scalars_out}, {vectors_out} out"
        )
    if variant == "positions" and vectors_in + vectors_out:
        raise ValueError(
            f"positions alone carry no vectors, got {vectors_in} in and {vectors_out} out: choose "
            "a variant with orientations"
        )
    if smallest < 1 or not average_neighbours > 0:
        raise ValueError(
            "channels, basis, layers and widening must be at least 1 and average_neighbours "
            f"positive, got a smallest of {smallest} and {average_neighbours}"
        )
