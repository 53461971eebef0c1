"""Coordinates from distances: classical multidimensional scaling, which needs no frame."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.linalg import safe_eigh
from equinet.ops.frames._points import tolerance
from equinet.precision import floating


def squared_distances(x: Float[Array, "... n d"]) -> Float[Array, "... n n"]:
    r"""Squared distances between all points, :math:`D^2_{ij} = |x_i - x_j|^2`.

    Args:
        x: Points ``[..., n, d]``.

    Returns:
        ``[..., n, n]``, in the squared unit of the points.

    >>> squared_distances(jnp.array([[0.0], [3.0]])).tolist()
    [[0.0, 9.0], [9.0, 0.0]]
    """
    x = floating(x)
    difference = x[..., :, None, :] - x[..., None, :, :]
    return jnp.sum(difference * difference, axis=-1)


def mds(
    squares: Float[Array, "... n n"],
    dim: int,
    mask: Bool[Array, "... n"] | None = None,
    *,
    scale: bool = False,
) -> tuple[Float[Array, "... n dim"], Bool[Array, "..."]]:
    r"""Points whose distances are the given ones, in their principal axes.

    .. math:: B = -\tfrac12 J D^2 J = V \Lambda V^\top, \qquad E = V_k \sqrt{\Lambda_k}

    with J = 1 - 11^T / n. Distances are invariant to rotations, reflections and translations, and
    so is every function of E. The sign of each column is chosen such that the sum of the cubes of
    its entries is positive; mirror images thus have the same coordinates. E is discontinuous where
    eigenvalues are equal and where a sum of cubes vanishes, as is every choice of axes.

    Args:
        squares: Squared distances ``[..., n, n]``.
        dim: The k of the formula, the number of coordinates.
        mask: False for padding, ``[..., n]``, which gets zeros.
        scale: Whether to divide by the mean of the squared distances first, which makes the
            result invariant to scale too.

    Returns:
        The coordinates ``[..., n, dim]``, and ``[...]`` True where they are not determined: where
        eigenvalues are equal, or the sum of the cubes of a column vanishes, as in a cloud with a
        mirror plane.

    Raises:
        ValueError: If there are fewer points than coordinates, or the matrix is not square.

    References:
        Torgerson, Multidimensional scaling, Psychometrika (1952).

    >>> x = jnp.array([[0.0, 0, 0], [3.0, 0, 0], [0.0, 2, 0], [0.0, 0, 1]])
    >>> points, degenerate = mds(squared_distances(x), 3)
    >>> bool(jnp.allclose(squared_distances(points), squared_distances(x), atol=1e-4))
    True
    """
    squares = floating(squares)
    n = squares.shape[-1]
    if squares.ndim < 2 or squares.shape[-2] != n:
        raise ValueError(f"expected squared distances [..., n, n], got {squares.shape}")
    if not 1 <= dim <= n:
        raise ValueError(f"{n} points have 1 to {n} coordinates, got dim={dim}")
    inner = _inner_products(squares, mask, scale)
    values, vectors = safe_eigh(inner)
    rtol = tolerance(None, squares)
    largest = values[..., :1]
    kept = values[..., :dim]
    real = kept > rtol * largest
    root = jnp.where(real, jnp.sqrt(jnp.where(real, kept, 1)), 0)
    points = vectors[..., :dim] * root[..., None, :]
    cubes = jax.lax.stop_gradient(jnp.sum(points**3, axis=-2))
    size = jax.lax.stop_gradient(jnp.sum(jnp.abs(points) ** 3, axis=-2))
    points = points * jnp.where(cubes < 0, -1, 1).astype(points.dtype)[..., None, :]
    following = jnp.concatenate([values, jnp.zeros_like(largest)], axis=-1)[..., 1 : dim + 1]
    close = (kept - following <= rtol * largest) & real
    unsigned = (jnp.abs(cubes) <= rtol * size) & real
    return points, jnp.any(close | unsigned, axis=-1)


def _inner_products(
    squares: Float[Array, "... n n"], mask: Bool[Array, "... n"] | None, scale: bool
) -> Float[Array, "... n n"]:
    """The B of the formula; rows and columns of padding are zero."""
    present = jnp.ones(squares.shape[:-1], bool) if mask is None else mask
    both = present[..., None] & present[..., None, :]
    count = jnp.maximum(jnp.sum(present, axis=-1), 1).astype(squares.dtype)[..., None, None]
    squares = jnp.where(both, squares, 0)
    if scale:
        mean = jnp.sum(squares, axis=(-2, -1), keepdims=True) / count**2
        squares = squares / jnp.where(mean > 0, mean, 1)
    rows = jnp.sum(squares, axis=-1, keepdims=True) / count
    whole = jnp.sum(rows, axis=-2, keepdims=True) / count
    return jnp.where(both, rows + jnp.swapaxes(rows, -1, -2) - squares - whole, 0) / 2
