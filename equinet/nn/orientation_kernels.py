"""Kernels on positions and orientations: one basis of functions, shared by all layers."""

import dataclasses
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from equinet.linalg import safe_norm
from equinet.nn.activations import normalized
from equinet.nn.mlp import MLP
from equinet.nn.module import Module, ModuleOptions
from equinet.ops.graphs import GraphBatch, by_receiver, edge_vectors, polynomial_envelope
from equinet.ops.orientations import Grid, pair_invariants, spatial_invariants
from equinet.ops.orientations._polynomials import (
    disc_nodes,
    disc_polynomials,
    monomials,
    polynomial_features,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Kernels:
    """What the convolutions of all layers know of the points: a basis of kernel functions.

    Attributes:
        spatial: Values for every sender, receiver and orientation, times window and mask,
            ``[batch, senders, receivers, orientations, values]``; half of the orientations where
            the grid is antipodal (see ``equinet.ops.orientations.convolve_positions``).
        coefficients: From the values to the basis, ``[values, basis]``; None: they are the basis.
        spherical: Values for pairs of orientations, ``[orientations, orientations, basis]``; None
            without orientations.
        senders: Sender of every slot of a graph, ``[nodes, slots]``; None: all points.
    """

    spatial: Float[Array, "batch senders receivers orientations values"]
    coefficients: Float[Array, "values basis"] | None = None
    spherical: Float[Array, "orientations orientations basis"] | None = None
    senders: Int[Array, "nodes slots"] | None = None


class KernelBasis(Module):
    r"""A perceptron on the polynomials of invariants: the functions that kernels are made of.

    :math:`b(a) = \sigma(W_2\, \sigma(W_1\, p(a / \ell)))` with all monomials p of degree 1 to
    ``degree`` and biases.

    Args:
        invariants: Number of invariants.
        hidden: Hidden width.
        basis: Number of functions.
        degree: Highest degree of the monomials.
        length: The unit :math:`\ell` of the invariants.
        activation: After both layers.
        rngs: Random keys, of which the stream ``params`` is used.
        **options: Types, precision, initialisers and sharding (``ModuleOptions``); see the page
            :doc:`/layers/module_contract`.

    References:
        Bekkers et al., arXiv:2310.02970 (2023).

    >>> KernelBasis(2, 16, 8, rngs=nnx.Rngs(0))(jnp.ones((5, 2))).shape
    (5, 8)
    """

    def __init__(
        self,
        invariants: int,
        hidden: int,
        basis: int,
        *,
        degree: int = 3,
        length: float = 1.0,
        activation: Callable[[Array], Array] = jax.nn.gelu,
        rngs: nnx.Rngs,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.configure(rngs, options)
        if degree < 1 or not length > 0:
            raise ValueError(
                "degree must be at least 1 and length positive, got "
                f"degree={degree} and length={length}"
            )
        self.invariants, self.degree, self.length = invariants, degree, float(length)
        self.activation = normalized(activation)
        self.mlp = MLP(
            (len(monomials(invariants, degree)), hidden, basis),
            activation=activation,
            use_bias=True,
            rngs=rngs,
            **options,
        )

    def __call__(self, invariants: Float[Array, "... invariants"]) -> Float[Array, "... basis"]:
        """The functions at ``[..., invariants]``.

        Raises:
            ValueError: If the number of invariants is another.
        """
        if invariants.shape[-1] != self.invariants:
            raise ValueError(f"expected [..., {self.invariants}], got {invariants.shape}")
        features = polynomial_features(invariants / self.length, self.degree)
        return self.activation(self.mlp(features))


class GridKernels(Module):
    r"""Kernels of a grid of orientations that every point carries, or of positions alone.

    The spatial basis is a function of :math:`a_1, a_2` (without a grid: of the distance), the
    spherical one of :math:`a_3`. With ``resolution`` the spatial functions are polynomials of that
    total degree on the disc of the cutoff: the perceptron runs at fixed nodes, the polynomials take
    the values it has there, and what pairs of points cost no longer depends on its widths.

    Args:
        grid: Orientations, or None for positions alone.
        hidden: Hidden width of the perceptrons.
        basis: Number of functions.
        cutoff: Distance at which the kernels end smoothly; None: they do not end.
        resolution: Degree of the polynomials; None: the perceptron runs for every pair of points.
        **options: Of ``KernelBasis``.

    Raises:
        ValueError: If a number is out of range, or ``resolution`` is given without grid or cutoff.

    >>> from equinet.ops.orientations import polyhedron
    >>> kernels = GridKernels(polyhedron("icosahedron"), 16, 8, rngs=nnx.Rngs(0))
    >>> kernels.dense(jnp.ones((5, 7, 3)), None).spatial.shape
    (5, 7, 7, 6, 8)
    """

    def __init__(
        self,
        grid: Grid | None,
        hidden: int,
        basis: int,
        *,
        cutoff: float | None = None,
        resolution: int | None = None,
        **options: Any,
    ) -> None:
        if resolution is not None and (grid is None or cutoff is None or resolution < 1):
            raise ValueError(
                "resolution must be at least 1 and needs a grid and a cutoff, the radius of the "
                f"disc: got resolution={resolution}, grid={grid}, cutoff={cutoff}"
            )
        if cutoff is not None and not cutoff > 0:
            raise ValueError(f"cutoff must be positive or None, got {cutoff}")
        self.grid, self.cutoff, self.resolution = grid, cutoff, resolution
        self.spatial = KernelBasis(1 if grid is None else 2, hidden, basis, **options)
        angles = {**options, "length": 1.0}
        self.spherical = None if grid is None else KernelBasis(1, hidden, basis, **angles)

    def dense(
        self, positions: Float[Array, "batch n dim"], mask: Bool[Array, "batch n"] | None
    ) -> Kernels:
        """Kernels of all pairs of points, those of a point with itself among them.

        Args:
            positions: ``[batch, n, dim]``.
            mask: Which points there are, ``[batch, n]``; None: all.

        Returns:
            On an antipodal grid with half of the orientations.

        Raises:
            ValueError: If the dimension is not the grid's.
        """
        vectors = positions[:, :, None] - positions[:, None, :]  # batch, sender, receiver
        pairs = None if mask is None else mask[:, :, None] & mask[:, None, :]
        halved = self.grid is not None and self.grid.is_antipodal
        return self._kernels(vectors, pairs, halved, None)

    def slots(self, graph: GraphBatch) -> Kernels:
        """Kernels of the edges of a graph, in slots, and of every node with itself.

        Raises:
            ValueError: If there is no cutoff: the edges of the graph must not end abruptly.
        """
        if self.cutoff is None:
            raise ValueError("a graph needs a cutoff, that of its edges: got cutoff=None")
        nodes = jnp.arange(graph.num_nodes, dtype=graph.senders.dtype)
        senders = jnp.concatenate([nodes[:, None], by_receiver(graph.senders, graph)], axis=1)
        vectors = by_receiver(edge_vectors(graph, far=2 * self.cutoff), graph)
        vectors = jnp.concatenate([jnp.zeros_like(vectors[:, :1]), vectors], axis=1)
        mask = by_receiver(graph.edge_mask, graph)
        mask = jnp.concatenate([graph.node_mask[:, None], mask], axis=1)
        return self._kernels(jnp.swapaxes(vectors, 0, 1)[None], mask.T[None], False, senders)

    def _kernels(
        self,
        vectors: Float[Array, "batch senders receivers dim"],
        mask: Bool[Array, "batch senders receivers"] | None,
        halved: bool,
        senders: Array | None,
    ) -> Kernels:
        vectors, weights = windowed(vectors, mask, self.cutoff)
        if self.grid is None:
            values = self.spatial(safe_norm(vectors, keepdims=True))[..., None, :]
            return Kernels(values * weights[..., None, None].astype(values.dtype), senders=senders)
        if vectors.shape[-1] != self.grid.dim:
            raise ValueError(
                f"the grid {self.grid.kind!r} is of dimension {self.grid.dim}, got positions "
                f"with {vectors.shape[-1]} coordinates: choose a grid of their dimension"
            )
        points = jnp.asarray(self.grid.points, vectors.dtype)
        cosines = jnp.matmul(points, points.T, precision=jax.lax.Precision.HIGHEST)
        spherical = self._angular(cosines)
        points = points[: self.grid.size // 2] if halved else points
        points = points.reshape((1,) * (vectors.ndim - 1) + points.shape)
        values, coefficients = self._values(spatial_invariants(vectors[..., None, :], points))
        return Kernels(
            values * weights[..., None, None].astype(values.dtype), coefficients, spherical, senders
        )

    def _angular(self, cosines: Array) -> Array | None:
        return None if self.spherical is None else self.spherical(cosines[..., None])

    def _values(self, invariants: Array) -> tuple[Array, Array | None]:
        """The basis, or polynomials and the coefficients of the basis."""
        if self.resolution is None or self.cutoff is None:
            return self.spatial(invariants), None
        half = self.grid is not None and self.grid.dim == 3
        nodes, matrix = disc_nodes(self.resolution, half)
        at_nodes = self.spatial(jnp.asarray(self.cutoff * nodes, invariants.dtype))
        coefficients = jnp.asarray(matrix, at_nodes.dtype)
        coefficients = jnp.matmul(coefficients, at_nodes, precision=jax.lax.Precision.HIGHEST)
        values = disc_polynomials(invariants / self.cutoff, self.resolution, half=half)
        return values, coefficients


class CloudKernels(Module):
    r"""Kernels of points that have one orientation each, functions of all their invariants.

    Nothing is factorised: the basis depends on :math:`a_1, ..., a_4`, which are complete in space
    up to reflections; with ``chiral`` on :math:`a_5` too.

    Args:
        hidden: Hidden width of the perceptron.
        basis: Number of functions.
        cutoff: Distance at which the kernels end smoothly; None: they do not end.
        complete: Whether :math:`a_4` is among the invariants.
        chiral: Whether :math:`a_5` is, for three-dimensional points.
        **options: Of ``KernelBasis``.

    Raises:
        ValueError: If the cutoff is not positive.

    >>> kernels = CloudKernels(16, 8, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((5, 7, 3))
    >>> kernels(x, x, jnp.ones((5, 7))).spatial.shape
    (5, 7, 7, 1, 8)
    """

    def __init__(
        self,
        hidden: int,
        basis: int,
        *,
        cutoff: float | None = None,
        complete: bool = True,
        chiral: bool = False,
        **options: Any,
    ) -> None:
        if cutoff is not None and not cutoff > 0:
            raise ValueError(f"cutoff must be positive or None, got {cutoff}")
        self.cutoff, self.complete, self.chiral = cutoff, complete, chiral
        self.basis = KernelBasis(3 + complete + chiral, hidden, basis, **options)

    def __call__(
        self,
        positions: Float[Array, "batch points dim"],
        orientations: Float[Array, "batch points dim"],
        weights: Float[Array, "batch points"],
    ) -> Kernels:
        """Kernels of all pairs.

        Args:
            positions: ``[batch, points, dim]``.
            orientations: Unit vectors, or zero where there is none, ``[batch, points, dim]``.
            weights: What each point counts as a sender, ``[batch, points]``.
        """
        vectors = positions[:, :, None] - positions[:, None, :]
        vectors, window = windowed(vectors, None, self.cutoff)
        invariants = pair_invariants(
            vectors,
            orientations[:, None, :],
            orientations[:, :, None],
            complete=self.complete,
            chiral=self.chiral,
        )
        values = self.basis(invariants)
        window = (window * weights[:, :, None])[..., None].astype(values.dtype)
        return Kernels((values * window)[..., None, :])


def windowed(
    vectors: Float[Array, "*pairs dim"], mask: Bool[Array, "*pairs"] | None, cutoff: float | None
) -> tuple[Float[Array, "*pairs dim"], Float[Array, "*pairs"]]:
    """Vectors within the cutoff and the envelope at their lengths; others are zero vectors."""
    inside = jnp.ones(vectors.shape[:-1], bool) if mask is None else mask
    window = jnp.ones(vectors.shape[:-1], vectors.dtype)
    if cutoff is not None:
        distances = safe_norm(vectors)
        inside = inside & (distances < cutoff)
        window = polynomial_envelope(distances, cutoff)
    return jnp.where(inside[..., None], vectors, 0), jnp.where(inside, window, 0)
