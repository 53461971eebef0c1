"""Wigner matrices of rotation matrices: no angles, so no singular points.

The rotation by the smallest angle that takes a direction e to the polar axis y is about an axis
that is perpendicular to y: as a quaternion it is (w, x, 0, z), a point on a sphere. The entries of
its Wigner matrix of degree l are even polynomials of degree 2 l in that point, so the matrices of
all degrees are spherical harmonics of (w, x, z) times one constant matrix. Directions below the
equator are rotated by pi about x first.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.groups.closed_forms import rotation_rows
from equinet.precision import HIGHEST, floating, read_only
from equinet.reps.clebsch_gordan_tables import clebsch_gordan
from equinet.reps.harmonics import legendre_recurrence


def wigner_d(l: int, rotation: Float[Array, "... 3 3"]) -> Float[Array, "... {2*l+1} {2*l+1}"]:
    """The matrix by which a rotation acts on degree ``l``, in the real basis of e3nn.

    Every derivative along the rotations is finite and continuous where the value is, at the
    identity and at rotations by pi too. A reflection gets the parity of the spherical harmonics,
    (-1)^l times the matrix of the rotation that is left without the inversion.

    Args:
        l: The degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        Orthogonal matrices of the same dtype. For several degrees of one rotation
        ``wigner_matrices`` shares the work.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> rotation = jnp.asarray([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> wigner_d(2, rotation).shape, bool(jnp.allclose(wigner_d(1, rotation), rotation))
        ((5, 5), True)
    """
    return wigner_matrices(l, rotation)[l]


def wigner_matrices(
    lmax: int, rotation: Float[Array, "... 3 3"]
) -> tuple[Float[Array, "..."], ...]:
    r"""The Wigner matrices of all degrees 0 to ``lmax``.

    .. math:: D^l(R) = Z^l(\alpha)\, T^l(e), \qquad e = R^T y, \quad R = R_y(\alpha)\, T(e)

    with the tilt T(e) that takes e to the polar axis y by at most a right angle, and the roll Z
    that is left. Both are polynomials in the entries of ``rotation`` and the cosine of half an
    angle of at most a right angle: no chart has a singular point.

    Args:
        lmax: The largest degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        A tuple whose entry ``l`` has the shape ``[..., 2*l+1, 2*l+1]``.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> [d.shape for d in wigner_matrices(2, jnp.eye(3))]
        [(1, 1), (3, 3), (5, 5)]
    """
    rotation = floating(rotation)
    if lmax < 0:
        raise ValueError(f"the degree must be an integer >= 0, got {lmax}")
    if rotation.shape[-2:] != (3, 3):
        raise ValueError(f"rotations must have the shape [..., 3, 3], got {rotation.shape}")
    if lmax < 2:
        return (jnp.ones((*rotation.shape[:-2], 1, 1), rotation.dtype), rotation)[: lmax + 1]
    flat = rotation.reshape(-1, 3, 3)
    sign = jnp.where(jnp.linalg.det(flat) < 0, -1, 1).astype(flat.dtype)
    # The middle row is the direction that goes to the polar axis y: what is left is a roll about y.
    tilts = tilt_matrices(lmax, flat[:, 1] * sign[:, None], lmax)
    cosine, sine = _roll(flat * sign[:, None, None], tilts[1])
    matrices = []
    for l, tilt in enumerate(tilts):
        cosines, sines = _multiples(l, cosine, sine)
        matrix = cosines * tilt + sines * tilt[:, ::-1]
        matrix = matrix * sign[:, None, None] if l % 2 else matrix
        matrices.append(matrix.reshape(*rotation.shape[:-2], 2 * l + 1, 2 * l + 1))
    return (matrices[0], rotation, *matrices[2:])


def _roll(rotation: Array, tilt: Array) -> tuple[Array, Array]:
    """Cosine and sine of the angle about y by which a rotation exceeds the tilt."""
    x, z = rotation[:, 0], rotation[:, 2]
    return jnp.sum(z * tilt[:, 2], -1), jnp.sum(x * tilt[:, 2], -1)


def _multiples(l: int, cosine: Array, sine: Array) -> tuple[Array, Array]:
    """Factors of the rows m and -m that rotate degree l about the polar axis: [n, 2 l + 1, 1]."""
    cosines, sines = [jnp.ones_like(cosine)], [jnp.zeros_like(sine)]
    for _ in range(l):
        c, s = cosines[-1], sines[-1]
        cosines.append(c * cosine - s * sine)
        sines.append(s * cosine + c * sine)
    both = jnp.stack(cosines[:0:-1] + cosines, 1), jnp.stack(sines[:0:-1] + [-s for s in sines], 1)
    return both[0][..., None], both[1][..., None]


def tilt_matrices(
    lmax: int, vectors: Float[Array, "n 3"], mmax: int
) -> list[Float[Array, "n rows columns"]]:
    """Rows |m| <= mmax of the matrices of degrees 0 to lmax.

    Args:
        lmax: Highest degree.
        vectors: Directions of any length; zero vectors give identities.
        mmax: Highest order of a row.
    """
    point, below = half_turn(vectors)
    tables, signs = zip(*(tilt_table(l, min(l, mmax)) for l in range(lmax + 1)), strict=True)
    even = even_harmonics(lmax, *point)
    # A split and sums of parts, because the transpose of a slice is a padded array.
    parts = jnp.split(even, [len(table) for table in tables[:-1]], axis=1)
    matrices = []
    for l, table in enumerate(tables):
        harmonics = jnp.concatenate(parts[: l + 1], axis=1)
        table = jnp.asarray(table.reshape(len(table), -1), even.dtype)
        flat = jnp.matmul(harmonics, table, precision=HIGHEST)
        flip = jnp.where(below[:, None], jnp.asarray(signs[l], even.dtype)[None], 1)
        matrices.append(
            flat.reshape(vectors.shape[0], 2 * min(l, mmax) + 1, 2 * l + 1) * flip[:, None]
        )
    return matrices


def half_turn(vectors: Array) -> tuple[tuple[Array, Array, Array], Array]:
    """The point (w, x, z) of every edge, and which edges were rotated by pi about x."""
    squared = jnp.sum(vectors * vectors, axis=-1)
    is_zero = squared == 0
    inverse = jnp.where(is_zero, 0, jax.lax.rsqrt(jnp.where(is_zero, 1, squared)))
    x, y, z = (vectors[:, i] * inverse for i in range(3))
    below = y < 0
    y, z = jnp.where(below, -y, y), jnp.where(below, -z, z)
    w = jnp.sqrt((1 + jnp.where(is_zero, 1, y)) / 2)
    return (w, -z / (2 * w), x / (2 * w)), below


def even_harmonics(
    lmax: int, w: Any, x: Any, z: Any, xp: Any = jnp
) -> Float[Array, "edges harmonics"]:
    """Harmonics of degrees 0, 2, ... 2 lmax about the axis w, first the cosines of every degree.

    A degree at a time for all orders, and no step is fused into the next, or compiling takes
    minutes at degree 40.
    """
    barrier = jax.lax.optimization_barrier if xp is jnp else _unchanged
    cosines, sines = [xp.ones_like(w)], [xp.zeros_like(w)]
    for _ in range(2 * lmax):
        c, s = cosines[-1], sines[-1]
        cosines.append(z * c - x * s)
        sines.append(z * s + x * c)
    cos, sin = barrier((xp.stack(cosines), xp.stack(sines)))
    previous, polar = xp.zeros_like(w)[None, :][:0], xp.ones_like(w)[None]
    parts = [polar]
    for l in range(1, 2 * lmax + 1):
        *tables, diagonal = legendre_recurrence(l)
        a, b = (xp.asarray(table, w.dtype)[:, None] for table in tables)
        rest = a * w[None] * polar - b * xp.concatenate([previous, xp.zeros_like(polar[:1])])
        previous, polar = polar, xp.concatenate([rest, xp.full_like(w, diagonal)[None]])
        previous, polar = barrier((previous, polar))
        if l % 2 == 0:
            parts += [polar * cos[: l + 1], polar[1:] * sin[1 : l + 1]]
    # Moved for good: products that contract the first axis are slow.
    return barrier(xp.concatenate(parts).T)


def _unchanged(arrays: Any) -> Any:
    return arrays


@functools.lru_cache(256)
def tilt_table(
    l: int, mmax: int
) -> tuple[Float[np.ndarray, "harmonics rows {2*l+1}"], Float[np.ndarray, "{2*l+1}"]]:
    """Coefficients of the entries in harmonics of even degree, and the signs of the rotation by pi.

    Integrals over the sphere by a quadrature that is exact for them: as well conditioned as the
    harmonics are.
    """
    points, weights = _half_sphere(4 * l)
    x, w, z = points.T
    even = np.asarray(even_harmonics(l, w, x, z, np))
    matrices = wigner_table(l, quaternion_matrices(np.stack([w, x, 0 * w, z], axis=-1)))
    rows = matrices[:, l - mmax : l + mmax + 1]
    table = ((even * weights[:, None]).T @ rows.reshape(len(rows), -1)).reshape(-1, *rows.shape[1:])
    table[np.abs(table) < 1e-13] = 0.0
    signs = np.diagonal(wigner_table(l, np.diag([1.0, -1.0, -1.0])[None])[0]).round()
    return read_only(table), read_only(signs)


def _half_sphere(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the upper half and weights of mean one: exact for even polynomials.

    Gauss-Legendre nodes in the polar coordinate y, equal angles about it.
    """
    nodes, weights = np.polynomial.legendre.leggauss(2 * (degree // 4) + 2)
    nodes, weights = nodes[len(nodes) // 2 :], weights[len(nodes) // 2 :]
    angles = 2 * math.pi * np.arange(degree + 1) / (degree + 1)
    radius = np.sqrt(1 - nodes**2)
    points = np.stack(
        [
            radius[:, None] * np.sin(angles),
            np.broadcast_to(nodes[:, None], (len(nodes), len(angles))),
            radius[:, None] * np.cos(angles),
        ],
        axis=-1,
    )
    return points.reshape(-1, 3), np.repeat(weights, len(angles)) / len(angles)


def quaternion_matrices(quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices of unit quaternions (w, x, y, z).

    >>> quaternion_matrices(np.array([[0.0, 1.0, 0.0, 0.0]]))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]
    """
    w, x, y, z = np.asarray(quaternions, np.float64).T
    return np.moveaxis(np.array(rotation_rows(x, y, z, w)), -1, 0) + 0.0


def wigner_table(
    l: int, rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n {2*l+1} {2*l+1}"]:
    """The Wigner matrices of ``wigner_d`` as a float64 numpy table.

    Args:
        l: The degree.
        rotations: Rotation matrices ``[n, 3, 3]``.

    >>> wigner_table(2, np.eye(3)[None]).shape
    (1, 5, 5)
    """
    matrices = np.ones((len(rotations), 1, 1))
    for k in range(1, l + 1):
        step = _step(k)
        product = np.tensordot(matrices, step, axes=(2, 0))
        product = np.einsum("nab,nibk->nkia", rotations, product)
        matrices = np.tensordot(product, step, axes=((2, 3), (0, 1))).swapaxes(1, 2)
    return matrices


@functools.lru_cache(256)
def _step(l: int) -> Float[np.ndarray, "{2*l-1} 3 {2*l+1}"]:
    """The isometry from degree ``l`` into the product of degrees ``l - 1`` and 1."""
    return read_only(math.sqrt(2 * l + 1) * clebsch_gordan(l - 1, 1, l))
