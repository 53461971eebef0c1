"""Gram-Schmidt orthonormalisation of few vectors, safe where they are dependent, in any metric."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.linalg import small_matrices as small


def gram_schmidt(
    vectors: Float[Array, "... k d"], *, repeats: int = 2
) -> tuple[Float[Array, "... k d"], Float[Array, "..."]]:
    """Orthonormal rows in the order of the vectors, and the volume that the vectors span.

    A vector that depends on those before it gives a row of zeros and the volume zero, both with
    finite derivatives.

    Args:
        vectors: Vectors ``[..., k, d]``, k at most d.
        repeats: How often the earlier rows are subtracted. Once leaves errors of the size of what
            was subtracted, which matter for nearly parallel vectors; after two the rows are
            orthonormal to rounding.

    Returns:
        Rows ``[..., k, d]`` and volumes ``[...]``.

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
        for _ in range(repeats):
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
    last = small.cofactors(rows)
    matrix = jnp.swapaxes(jnp.concatenate([rows, last[..., None, :]], axis=-2), -1, -2)
    full = jnp.sum(last * last, axis=-1)[..., None, None] > 0.5
    return jnp.where(full, matrix, small.eye_like(matrix))


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
    matrix = jnp.stack([*rows, -metric * small.cofactors(frame)], axis=-1)
    margin = jnp.sqrt(jnp.min(jnp.stack(margins), axis=0))
    return jnp.where(margin[..., None, None] > 0, matrix, small.eye_like(matrix)), margin
