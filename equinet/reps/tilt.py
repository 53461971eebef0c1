"""Rotations by at most a right angle onto the polar axis, whose matrices need no angles.

The rotation by the smallest angle that takes a direction e to the polar axis y turns about an axis
that is perpendicular to y: as a quaternion it is (w, x, 0, z), a point on a sphere. The entries of
its Wigner matrix of degree l are even polynomials of degree 2 l in that point, so the matrices of
all degrees are spherical harmonics of (w, x, z) times one constant matrix. Directions below the
equator are turned by pi about x first.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.reps.clebsch_gordan import clebsch_gordan

HIGHEST = jax.lax.Precision.HIGHEST


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
        turn = jnp.where(below[:, None], jnp.asarray(signs[l], even.dtype)[None], 1)
        matrices.append(flat.reshape(len(vectors), -1, 2 * l + 1) * turn[:, None])
    return matrices


def half_turn(vectors: Array) -> tuple[tuple[Array, Array, Array], Array]:
    """The point (w, x, z) of every edge, and which edges were turned."""
    squared = jnp.sum(vectors * vectors, axis=-1)
    is_zero = squared == 0
    inverse = jnp.where(is_zero, 0, jax.lax.rsqrt(jnp.where(is_zero, 1, squared)))
    x, y, z = (vectors[:, i] * inverse for i in range(3))
    below = y < 0
    y, z = jnp.where(below, -y, y), jnp.where(below, -z, z)
    w = jnp.sqrt((1 + jnp.where(is_zero, 1, y)) / 2)
    return (w, -z / (2 * w), x / (2 * w)), below


def even_harmonics(lmax: int, w: Array, x: Array, z: Array) -> Float[Array, "edges harmonics"]:
    """Harmonics of degrees 0, 2, ... 2 lmax about the axis w, first the cosines of every degree.

    A degree at a time for all orders, and no step is fused into the next, or compiling takes
    minutes at degree 40.
    """
    cosines, sines = [jnp.ones_like(w)], [jnp.zeros_like(w)]
    for _ in range(2 * lmax):
        c, s = cosines[-1], sines[-1]
        cosines.append(z * c - x * s)
        sines.append(z * s + x * c)
    cos, sin = jax.lax.optimization_barrier((jnp.stack(cosines), jnp.stack(sines)))
    previous, polar = jnp.zeros_like(w)[None, :][:0], jnp.ones_like(w)[None]
    parts = [polar]
    for l in range(1, 2 * lmax + 1):
        a, b, diagonal = (jnp.asarray(t, w.dtype)[:, None] for t in _recurrence(l))
        rest = a * w[None] * polar - b * jnp.concatenate([previous, jnp.zeros_like(polar[:1])])
        previous, polar = polar, jnp.concatenate([rest, diagonal * jnp.ones_like(w)[None]])
        previous, polar = jax.lax.optimization_barrier((previous, polar))
        if l % 2 == 0:
            parts += [polar * cos[: l + 1], polar[1:] * sin[1 : l + 1]]
    # Moved for good: products that contract the first axis are slow.
    return jax.lax.optimization_barrier(jnp.concatenate(parts).T)


@functools.cache
def _recurrence(l: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of w times the last degree, of the one before it, and the factor of order l."""
    m = np.arange(l)
    a = np.sqrt((4 * l * l - 1) / (l * l - m * m))
    b = a * np.sqrt(np.maximum((l - 1) ** 2 - m * m, 0) / max(4 * (l - 1) ** 2 - 1, 1))
    diagonal = math.prod(math.sqrt((2 * k + 1) / (2 * k)) for k in range(1, l + 1)) * math.sqrt(2)
    return a, b, np.array([diagonal])


def _even_table(lmax: int, w: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The same by numpy, in float64."""
    turns = (z + 1j * x) ** np.arange(2 * lmax + 1)[:, None]
    previous, polar = np.zeros((0, len(w))), np.ones((1, len(w)))
    parts = [polar]
    for l in range(1, 2 * lmax + 1):
        a, b, diagonal = (table[:, None] for table in _recurrence(l))
        rest = a * w * polar - b * np.concatenate([previous, np.zeros((1, len(w)))])
        previous, polar = polar, np.concatenate([rest, diagonal * np.ones((1, len(w)))])
        if l % 2 == 0:
            parts += [polar * turns.real[: l + 1], polar[1:] * turns.imag[1 : l + 1]]
    return np.concatenate(parts).T


@functools.cache
def tilt_table(
    l: int, mmax: int
) -> tuple[Float[np.ndarray, "harmonics rows {2*l+1}"], Float[np.ndarray, "{2*l+1}"]]:
    """Coefficients of the entries in harmonics of even degree, and the signs of the turn by pi.

    Integrals over the sphere by a quadrature that is exact for them: as well conditioned as the
    harmonics are.
    """
    points, weights = _half_sphere(4 * l)
    x, w, z = points.T
    even = _even_table(l, w, x, z)
    matrices = wigner_table(l, quaternion_matrices(np.stack([w, x, 0 * w, z], axis=-1)))
    rows = matrices[:, l - mmax : l + mmax + 1]
    table = ((even * weights[:, None]).T @ rows.reshape(len(rows), -1)).reshape(-1, *rows.shape[1:])
    table[np.abs(table) < 1e-13] = 0.0
    signs = np.diagonal(wigner_table(l, np.diag([1.0, -1.0, -1.0])[None])[0]).round()
    table.setflags(write=False)
    signs.setflags(write=False)
    return table, signs


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
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2) + 0.0


def wigner_table(
    l: int, rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n {2*l+1} {2*l+1}"]:
    """The same by numpy, for tables: float64, nothing to compile.

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


@functools.cache
def _step(l: int) -> Float[np.ndarray, "{2*l-1} 3 {2*l+1}"]:
    """The isometry from degree ``l`` into the product of degrees ``l - 1`` and 1."""
    table = math.sqrt(2 * l + 1) * clebsch_gordan(l - 1, 1, l)
    table.setflags(write=False)
    return table
