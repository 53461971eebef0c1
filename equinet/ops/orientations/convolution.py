r"""Convolutions over positions and orientations: invariants of pairs and depth-wise sums.

A pair of position-orientations :math:`(x_i, o_i), (x_j, o_j)` with :math:`r = x_j - x_i` has the
invariants

.. math:: a_1 = r \cdot o_i, \quad a_2 = |r - a_1 o_i|, \quad a_3 = o_i \cdot o_j, \quad
          a_4 = r \cdot o_j, \quad a_5 = \det(r, o_i, o_j)

In three dimensions the first four are complete up to reflections, and :math:`a_5` distinguishes
mirror images. In the plane :math:`a_2` has a sign, and :math:`a_1`, :math:`a_2` and the angle
between the orientations are complete. All are polynomials in the coordinates except :math:`a_2`,
a length: where it vanishes (on the axis of :math:`o_i` and where points coincide) its derivatives
are defined as zero.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet._sharding import vary_alike
from equinet.chunks import rows_per_chunk
from equinet.linalg import safe_norm
from equinet.precision import floating

Precision = jax.lax.Precision | str | None


def spatial_invariants(
    vectors: Float[Array, "... dim"], orientations: Float[Array, "... dim"]
) -> Float[Array, "... 2"]:
    r"""The invariants of one orientation and the vector to another point.

    :math:`a_1 = r \cdot o` and :math:`a_2 = |r - a_1 o|` in three dimensions; in the plane
    :math:`a_2 = r \cdot o^\perp` with :math:`o^\perp = (-o_y, o_x)`, which has a sign.

    Args:
        vectors: r, ``[..., dim]``.
        orientations: Unit vectors, ``[..., dim]``; axes of size one broadcast.

    Returns:
        ``[..., 2]``, in the unit of the vectors.

    Raises:
        ValueError: If the dimension is neither 2 nor 3.

    References:
        Bekkers et al., arXiv:2310.02970 (2023), section 3.

    >>> spatial_invariants(jnp.array([3.0, 0.0, 4.0]), jnp.array([0.0, 0.0, 1.0])).tolist()
    [4.0, 3.0]
    """
    vectors, orientations = floating(vectors), floating(orientations)
    dim = vectors.shape[-1]
    if dim not in (2, 3) or orientations.shape[-1] != dim:
        raise ValueError(
            "vectors and orientations must both have 2 or both have 3 coordinates on the last "
            f"axis, got {vectors.shape} and {orientations.shape}"
        )
    along = jnp.sum(vectors * orientations, axis=-1, keepdims=True)
    if dim == 3:
        across = safe_norm(vectors - along * orientations, keepdims=True)
    else:
        normal = jnp.stack([-orientations[..., 1], orientations[..., 0]], axis=-1)
        across = jnp.sum(vectors * normal, axis=-1, keepdims=True)
    return jnp.concatenate([along, across], axis=-1)


def pair_invariants(
    vectors: Float[Array, "... dim"],
    receivers: Float[Array, "... dim"],
    senders: Float[Array, "... dim"],
    *,
    complete: bool = True,
    chiral: bool = False,
) -> Float[Array, "... invariants"]:
    """The invariants of two orientations and the vector between their points.

    Args:
        vectors: From the receiving to the sending point, ``[..., dim]``.
        receivers: Orientation of the receiving point, ``[..., dim]``.
        senders: Orientation of the sending point, ``[..., dim]``.
        complete: Whether to include a4. Without it the invariants in three dimensions do not
            depend on torsions of the sender about the receiver.
        chiral: Whether to include a5, which changes sign under reflections; only in three
            dimensions.

    Returns:
        a1, a2, a3 and the optional invariants, ``[..., 3]`` to ``[..., 5]``; a1, a2 and a4 have
        the unit of the vectors.

    Raises:
        ValueError: If the dimension is neither 2 nor 3, or ``chiral`` is set in the plane.

    >>> r, o = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 1.0])
    >>> pair_invariants(r, o, r, chiral=True).tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """
    vectors, receivers, senders = (floating(x) for x in (vectors, receivers, senders))
    if chiral and vectors.shape[-1] != 3:
        raise ValueError("the plane has no fifth invariant: a2 has a sign, set chiral=False")
    parts = [spatial_invariants(vectors, receivers)]
    parts.append(jnp.sum(receivers * senders, axis=-1, keepdims=True))
    if complete:
        parts.append(jnp.sum(vectors * senders, axis=-1, keepdims=True))
    if chiral:
        parts.append(jnp.sum(vectors * _cross(receivers, senders), axis=-1, keepdims=True))
    shape = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(p, (*shape, p.shape[-1])) for p in parts], axis=-1)


def _cross(a: Array, b: Array) -> Array:
    """The cross product of arrays that broadcast."""
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return jnp.stack(parts, axis=-1)


def convolve_positions(
    kernel: Float[Array, "batch senders receivers orientations_kernel basis"],
    weights: Float[Array, "basis channels"],
    x: Float[Array, "batch senders receivers orientations channels"],
    *,
    precision: Precision = None,
    block_bytes: int | None = None,
) -> Float[Array, "batch receivers orientations channels"]:
    r"""The depth-wise spatial sum, :math:`y_{i o c} = \sum_{j b} k_{i j o b} w_{b c}\, x_{j o c}`.

    The kernel of all channels is never in memory: it is computed for one sender at a time, and
    again in the backward pass.

    If the kernel has half as many orientations as the features, the following is assumed, and half
    of the work is saved: the second half of the orientations are the antipodes of the first half,
    senders and receivers are the same points, and :math:`k_{i j}` at ``-o`` equals
    :math:`k_{j i}` at ``o``.

    Args:
        kernel: Values of the basis for receiver i, sender j, zero where there is no pair.
        weights: Matrix from the basis to the channels.
        x: Features of the senders. Axis 2 has size one if all receivers have the same senders, and
            else holds the senders of each receiver.
        precision: Precision of the product of kernel and weights.
        block_bytes: Bound on the bytes of the intermediate arrays, which decides how many entries
            of the batch are computed at once; None: the size of a core's cache.

    Returns:
        ``[batch, receivers, orientations, channels]``.
    """
    batch, _, receivers, orientations, _ = kernel.shape
    halved = orientations < x.shape[-2]
    # Held are the kernels of one sender, their product with its features and both cotangents.
    held = 4 * receivers * orientations * weights.shape[-1] * x.dtype.itemsize
    graphs = _divisor(batch, rows_per_chunk(batch, held, block_bytes, in_core=True))
    term = jax.checkpoint(functools.partial(_halved_term if halved else _term, precision=precision))

    def of_graphs(arguments: tuple[Array, Array]) -> Array:
        kernel, x = arguments
        points = x[:, :, 0] if halved else x[:, 0, 0]  # features as receivers, for the antipodes

        def of_sender(total: Array, arguments: tuple[Array, Array]) -> tuple[Array, Array]:
            received, sent = term(*arguments, weights, points)
            return total + received, sent

        zero = jnp.zeros((graphs, receivers, orientations, weights.shape[-1]), _wide(x))
        by_sender = jnp.moveaxis(kernel, 1, 0), jnp.moveaxis(x, 1, 0)
        # Inside of shard_map a carry must vary over the mesh axes that the results vary over.
        zero, *_ = vary_alike(zero, kernel, x, weights)
        total, sent = jax.lax.scan(of_sender, zero, by_sender)
        return jnp.concatenate([total, jnp.moveaxis(sent, 0, 1)], axis=-2) if halved else total

    blocks = tuple(a.reshape(batch // graphs, graphs, *a.shape[1:]) for a in (kernel, x))
    if batch == graphs:
        result = of_graphs((blocks[0][0], blocks[1][0]))
    else:
        result = jax.lax.map(of_graphs, blocks)
    return result.reshape(batch, receivers, *x.shape[-2:]).astype(x.dtype)


def _term(
    kernel: Array, x: Array, weights: Array, points: Array, *, precision: Precision
) -> tuple[Array, Array]:
    """The contribution of one sender to all receivers, ``[batch, receivers, orientations, C]``."""
    del points
    values = jnp.matmul(kernel, weights, precision=precision)
    return (values * x).astype(_wide(x)), jnp.zeros((), x.dtype)


def _halved_term(
    kernel: Array, x: Array, weights: Array, points: Array, *, precision: Precision
) -> tuple[Array, Array]:
    """The terms that one point sends at the first orientations and receives at their antipodes."""
    values = jnp.matmul(kernel, weights, precision=precision)
    half = kernel.shape[-2]
    received = (values * x[..., :half, :]).astype(_wide(x))
    return received, jnp.sum(values * points[..., half:, :], axis=1, dtype=_wide(x))


def _wide(x: Array) -> np.dtype:
    """The type in which sums over neighbours accumulate."""
    return x.dtype if x.dtype.itemsize > 2 else jnp.dtype(jnp.float32)


def _divisor(rows: int, most: int) -> int:
    """The largest divisor of ``rows`` that is at most ``most``."""
    small = (d for i in range(1, math.isqrt(rows) + 1) if rows % i == 0 for d in (i, rows // i))
    return max(d for d in small if d <= most)


def slot_features(
    x: Float[Array, "nodes orientations channels"], senders: Int[Array, "nodes slots"]
) -> Float[Array, "1 slots nodes orientations channels"]:
    """Gathers the features of the senders in every slot, in the form of ``convolve_positions``.

    Args:
        x: Features of the nodes, ``[nodes, orientations, channels]``.
        senders: Index of the sender in each slot of each receiver, ``[nodes, slots]``.

    Returns:
        ``[1, slots, nodes, orientations, channels]``.
    """
    return x[senders.T][None]


def convolve_orientations(
    kernel: Float[Array, "orientations orientations channels"],
    x: Float[Array, "... orientations channels"],
    *,
    precision: Precision = None,
) -> Float[Array, "... orientations channels"]:
    r"""The depth-wise mean over orientations, :math:`y_{p c} = \frac1N \sum_o k_{p o c} x_{o c}`.

    Args:
        kernel: ``[orientations, orientations, channels]``; the orientation p of the result is on
            the first axis.
        x: ``[..., orientations, channels]``.
        precision: Precision of the products.

    Returns:
        ``[..., orientations, channels]``.
    """
    rows = x.reshape(-1, *x.shape[-2:])
    y = jnp.einsum("poc,noc->npc", kernel / kernel.shape[1], rows, precision=precision)
    return y.reshape(x.shape)
