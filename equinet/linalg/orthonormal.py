"""Gram-Schmidt orthonormalisation of few vectors, safe where they are dependent, in any metric."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.linalg import small_matrices as small


def gram_schmidt(
    vectors: Float[Array, "... k d"],
) -> tuple[Float[Array, "... k d"], Float[Array, "..."]]:
    """Orthonormal rows in the order of the vectors, and the volume that the vectors span.

    A vector that depends on those before it gives a row of zeros and the volume zero, both with
    derivatives that are finite.

    >>> rows, volume = gram_schmidt(jnp.array([[2.0, 0.0, 0.0], [5.0, 3.0, 0.0]]))
    >>> rows.tolist(), float(volume)
    ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 6.0)
    """
    rows: list[Array] = []
    volume = jnp.ones(vectors.shape[:-2], vectors.dtype)
    tiny = 16 * float(jnp.finfo(vectors.dtype).eps)
    for k in range(vectors.shape[-2]):
        vector = vectors[..., k, :]
        rest = vector
        for _ in range(2):  # twice: once leaves errors of the size of what was taken away
            for row in rows:
                rest = rest - jnp.sum(rest * row, axis=-1, keepdims=True) * row
        square = jnp.sum(rest * rest, axis=-1, keepdims=True)
        whole = jnp.sum(vector * vector, axis=-1, keepdims=True)
        full = square > tiny**2 * whole
        norm = jnp.sqrt(jnp.where(full, square, 1))
        rows.append(jnp.where(full, rest / norm, 0))
        volume = volume * jnp.where(full, norm, 0)[..., 0]
    return jnp.stack(rows, axis=-2), volume


def complete_axes(rows: Float[Array, "... {d-1} d"]) -> Float[Array, "... d d"]:
    """Orthonormal rows as the columns of a rotation: the last one makes the determinant one.

    Rows of zeros give the identity.

    >>> complete_axes(jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).astype(int).tolist()
    [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    """
    last = cofactors(rows)
    matrix = jnp.swapaxes(jnp.concatenate([rows, last[..., None, :]], axis=-2), -1, -2)
    full = jnp.sum(last * last, axis=-1)[..., None, None] > 0.5
    return jnp.where(full, matrix, small.eye_like(matrix))


def cofactors(rows: Float[Array, "... {d-1} d"]) -> Float[Array, "... d"]:
    """The vector perpendicular to d - 1 others that with them, as the last row, spans their volume.

    >>> cofactors(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).astype(int).tolist()
    [0, 0, 1]
    """
    d = rows.shape[-1]
    if d == 1:
        return jnp.ones((*rows.shape[:-2], 1), rows.dtype)
    parts = []
    for i in range(d):
        minor = jnp.concatenate([rows[..., :i], rows[..., i + 1 :]], axis=-1)
        parts.append((-1) ** (d - 1 + i) * determinant(minor))
    return jnp.stack(parts, axis=-1)


def determinant(matrix: Float[Array, "... k k"]) -> Float[Array, "..."]:
    """The determinant by expansion along the first row: few rows, every derivative finite.

    >>> float(determinant(jnp.array([[1.0, 2.0], [3.0, 4.0]])))
    -2.0
    """
    size = matrix.shape[-1]
    if size == 1:
        return matrix[..., 0, 0]
    terms = []
    for j in range(size):
        rest = matrix[..., 1:, :]
        minor = jnp.concatenate([rest[..., :j], rest[..., j + 1 :]], axis=-1)
        terms.append((-1) ** j * matrix[..., 0, j] * determinant(minor))
    return sum(terms[1:], terms[0])


def minkowski_gram_schmidt(
    vectors: Float[Array, "... 3 4"],
) -> tuple[Float[Array, "... 4 4"], Float[Array, "..."]]:
    r"""A Lorentz transformation whose columns are the orthonormalised vectors and a fourth.

    In the metric diag(1, -1, -1, -1), time first. The first vector is timelike and gives the time
    axis; the next two give two axes of space, and the last one follows from determinant one.

    Args:
        vectors: A timelike vector and two more, in general position.

    Returns:
        Matrices of columns, and the smallest of: the first vector's squared norm relative to its
        energy squared, the parts of the others perpendicular to those before, relative to their
        energies. Not positive where the vectors have no such matrix; it is the identity there.

    >>> vectors = jnp.array([[2.0, 0, 0, 0], [1.0, 1, 0, 0], [1.0, 0, 1, 0]])
    >>> bool(jnp.allclose(minkowski_gram_schmidt(vectors)[0], jnp.eye(4)))
    True
    """
    metric = jnp.asarray([1.0, -1.0, -1.0, -1.0], vectors.dtype)
    metric = jnp.broadcast_to(metric, (*vectors.shape[:-2], 4))
    rows, margins = [], []
    for k, sign in enumerate((1, -1, -1)):
        rest = vectors[..., k, :]
        scale = jnp.sum(rest * rest, axis=-1, keepdims=True)
        for _ in range(2):
            for row, own in zip(rows, (1, -1, -1), strict=False):
                rest = rest - own * jnp.sum(metric * rest * row, axis=-1, keepdims=True) * row
        square = sign * jnp.sum(metric * rest * rest, axis=-1, keepdims=True)
        full = square > 0
        rows.append(rest / jnp.sqrt(jnp.where(full, square, 1)))
        margins.append(jnp.where(full, square / jnp.where(scale > 0, scale, 1), 0)[..., 0])
    rows[0] = rows[0] * jnp.where(rows[0][..., :1] < 0, -1, 1)
    frame = jnp.stack(rows, axis=-2)
    matrix = jnp.stack([*rows, -metric * cofactors(frame)], axis=-1)
    margin = jnp.sqrt(jnp.min(jnp.stack(margins), axis=0))
    return jnp.where(margin[..., None, None] > 0, matrix, small.eye_like(matrix)), margin
