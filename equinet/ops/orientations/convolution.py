r"""Convolutions over positions and orientations: invariants of pairs, polynomials, sums.

A pair of position-orientations :math:`(x_i, o_i), (x_j, o_j)` with :math:`r = x_j - x_i` has the
invariants

.. math:: a_1 = r \cdot o_i, \quad a_2 = |r - a_1 o_i|, \quad a_3 = o_i \cdot o_j, \quad
          a_4 = r \cdot o_j, \quad a_5 = \det(r, o_i, o_j)

In space the first four are complete up to reflections and :math:`a_5` tells mirror images apart; in
the plane :math:`a_2` is signed, and with :math:`a_1` and :math:`a_2` the angle of the orientations
is all there is. Each is a polynomial in the coordinates but :math:`a_2`, a length: its derivatives
are zero where it vanishes, which is on the axis of :math:`o_i` and where points coincide.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet._sharding import vary_alike
from equinet.chunks import rows_per_chunk
from equinet.linalg import safe_norm
from equinet.ops._chebyshev import chebyshev_polynomials
from equinet.precision import floating, read_only

Precision = jax.lax.Precision | str | None


def spatial_invariants(
    vectors: Float[Array, "... dim"], orientations: Float[Array, "... dim"]
) -> Float[Array, "... 2"]:
    r"""The invariants of one orientation and the vector to another point.

    :math:`a_1 = r \cdot o` and :math:`a_2 = |r - a_1 o|` in space; in the plane
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
        complete: Whether a4 is among them. Without it, torsions of the sender about the receiver
            are not seen in space.
        chiral: Whether a5 is, which changes sign under reflections; only in space.

    Returns:
        a1, a2, a3 and what was asked for, ``[..., 3]`` to ``[..., 5]``.

    Raises:
        ValueError: If the dimension is neither 2 nor 3, or ``chiral`` is asked for in the plane.

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
    turned = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return jnp.stack(turned, axis=-1)


@functools.cache
def monomials(variables: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """The variables that each polynomial feature multiplies, degree by degree.

    >>> monomials(2, 2)
    ((0,), (1,), (0, 0), (0, 1), (1, 1))
    """
    return tuple(
        factors
        for d in range(1, degree + 1)
        for factors in itertools.combinations_with_replacement(range(variables), d)
    )


def polynomial_features(
    x: Float[Array, "... variables"], degree: int
) -> Float[Array, "... features"]:
    """All monomials of degree 1 to ``degree``, each once, in the order of ``monomials``.

    Args:
        x: Variables on the last axis.
        degree: Highest degree, at least 1.

    Returns:
        ``[..., features]`` with ``binomial(variables + degree, degree) - 1`` features.

    Raises:
        ValueError: If the degree is less than one.

    >>> polynomial_features(jnp.array([2.0, 3.0]), 2).tolist()
    [2.0, 3.0, 4.0, 6.0, 9.0]
    """
    if degree < 1:
        raise ValueError(f"the degree of polynomial features must be at least 1, got {degree}")
    made: dict[tuple[int, ...], Array] = {}
    for factors in monomials(x.shape[-1], degree):
        last = x[..., factors[-1]]
        made[factors] = made[factors[:-1]] * last if len(factors) > 1 else last
    return jnp.stack(list(made.values()), axis=-1)


@functools.cache
def disc_nodes(
    degree: int, half: bool
) -> tuple[Float[np.ndarray, "nodes 2"], Float[np.ndarray, "polynomials nodes"]]:
    """Points of the unit disc, and the matrix from values there to coefficients.

    The coefficients are those of ``disc_polynomials``, by least squares over nodes that are dense
    at the rim; a polynomial of this degree gets its own.

    Args:
        degree: Total degree of the polynomials.
        half: Whether the disc is the half of it where the second coordinate is not negative.

    Returns:
        Nodes ``[nodes, 2]`` and matrix ``[polynomials, nodes]``, read-only float64.
    """
    rings, rays = degree + 3, 2 * degree + 5
    radii = np.sin((np.arange(rings) + 0.5) * np.pi / (2 * rings))
    if half:
        angles = (np.arange(rays) + 0.5) * np.pi / rays
    else:
        angles = 2 * np.pi * np.arange(rays) / rays
    waves = np.stack([np.cos(angles), np.sin(angles)], -1)
    nodes = (radii[:, None, None] * waves).reshape(-1, 2)
    u, v = _standard(nodes, half)
    table = np.polynomial.chebyshev.chebvander2d(u, v, [degree, degree])
    matrix = np.linalg.pinv(table[:, [i * (degree + 1) + j for i, j in _pairs(degree)]])
    return read_only(nodes), read_only(matrix)


def disc_polynomials(
    x: Float[Array, "... 2"], degree: int, *, half: bool
) -> Float[Array, "... polynomials"]:
    r"""Products of Chebyshev polynomials :math:`T_i(u)\, T_j(v)`, :math:`i + j \le` degree.

    Args:
        x: Points (u, v) of the unit disc, ``[..., 2]``.
        degree: Total degree, at least 1.
        half: Whether v is in [0, 1]; then :math:`T_j(2 v - 1)`.

    Returns:
        ``[..., (degree + 1) * (degree + 2) / 2]``.

    >>> disc_polynomials(jnp.array([0.5, 1.0]), 1, half=True).tolist()
    [1.0, 1.0, 0.5]
    """
    u, v = _standard(x, half)
    first, second = (chebyshev_polynomials(t, degree + 1) for t in (u, v))
    return jnp.stack([first[i] * second[j] for i, j in _pairs(degree)], axis=-1)


def _standard(x: Array | np.ndarray, half: bool) -> tuple:
    return x[..., 0], 2 * x[..., 1] - 1 if half else x[..., 1]


def _pairs(degree: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]


def convolve_positions(
    kernel: Float[Array, "batch senders receivers orientations_kernel basis"],
    weights: Float[Array, "basis channels"],
    x: Float[Array, "batch senders receivers orientations channels"],
    *,
    precision: Precision = None,
    block_bytes: int | None = None,
) -> Float[Array, "batch receivers orientations channels"]:
    r"""The depth-wise spatial sum, :math:`y_{i o c} = \sum_{j b} k_{i j o b} w_{b c}\, x_{j o c}`.

    The kernel of all channels is never held: for one sender at a time it is made, used and dropped,
    and made again in the backward pass.

    With half as many orientations in the kernel as in the features, the second half of these are
    the antipodes of the first, senders and receivers are the same points, and :math:`k_{i j}` at
    ``-o`` is :math:`k_{j i}` at ``o``. Half of the work is then saved.

    Args:
        kernel: Values of the basis for receiver i, sender j, zero where there is no pair.
        weights: From the basis to the channels.
        x: Features of the senders: axis 2 has size one where all receivers have the same senders,
            else each receiver has senders of its own.
        precision: Of the product of kernel and weights.
        block_bytes: Bound on the bytes in flight, which decides how many entries of the batch are
            taken at once; None: the cache of a core.

    Returns:
        ``[batch, receivers, orientations, channels]``.
    """
    batch, _, receivers, orientations, _ = kernel.shape
    halved = orientations < x.shape[-2]
    # In flight are the kernels of one sender, their product with its features and both cotangents.
    held = 4 * receivers * orientations * weights.shape[-1] * x.dtype.itemsize
    graphs = _divisor(batch, rows_per_chunk(batch, held, block_bytes, in_core=True))
    term = jax.checkpoint(functools.partial(_halved_term if halved else _term, precision=precision))

    def of_graphs(arguments: tuple[Array, Array]) -> Array:
        kernel, x = arguments
        points = x[:, :, 0] if halved else x[:, 0, 0]  # as receivers; of use to antipodes alone

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
    """What one sender adds to all receivers."""
    del points
    values = jnp.matmul(kernel, weights, precision=precision)
    return (values * x).astype(_wide(x)), jnp.zeros((), x.dtype)


def _halved_term(
    kernel: Array, x: Array, weights: Array, points: Array, *, precision: Precision
) -> tuple[Array, Array]:
    """What one point sends at the first orientations, and what it receives at their antipodes."""
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
    """The features of the senders in every slot, as ``convolve_positions`` takes them."""
    return x[senders.T][None]


def convolve_orientations(
    kernel: Float[Array, "orientations orientations channels"],
    x: Float[Array, "... orientations channels"],
    *,
    precision: Precision = None,
) -> Float[Array, "... orientations channels"]:
    r"""The depth-wise mean over orientations, :math:`y_{p c} = \frac1N \sum_o k_{p o c} x_{o c}`.

    Args:
        kernel: ``[orientations, orientations, channels]``, the result's first.
        x: ``[..., orientations, channels]``.
        precision: Of the products.

    Returns:
        ``[..., orientations, channels]``.
    """
    rows = x.reshape(-1, *x.shape[-2:])
    y = jnp.einsum("poc,noc->npc", kernel / kernel.shape[1], rows, precision=precision)
    return y.reshape(x.shape)
