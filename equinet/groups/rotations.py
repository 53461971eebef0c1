"""Representations of rotations by numbers, and conversions through the rotation matrix.

No representation of SO(3) by four numbers or fewer is continuous: quaternions, rotation vectors
and Euler angles all jump somewhere, which a network that predicts them has to learn. The others
here are continuous functions of the matrix.

References:
    Y. Zhou, C. Barnes, J. Lu, J. Yang, H. Li, On the continuity of rotation representations in
    neural networks, arXiv 1812.07035.
    J. Levinson et al., An analysis of SVD for deep rotation estimation, arXiv 2006.14616.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.groups.angle_functions import Scalars
from equinet.groups.closed_forms import (
    components,
    entries,
    from_rows,
    long_quaternion,
    rotation_rows,
    so3_exp,
    so3_log,
)
from equinet.groups.decompositions import rotation_derivative
from equinet.linalg import gram_schmidt, safe_norm, safe_normalize
from equinet.linalg import small_matrices as small
from equinet.precision import floating
from equinet.typing import Matrix

Rotation = Float[Array, "... 3 3"]


def quaternion_to_matrix(q: Float[Array, "... 4"]) -> Rotation:
    """The rotation of a quaternion (w, x, y, z) of any length but zero.

    Example:
        >>> print(quaternion_to_matrix(jnp.asarray([0.0, 0.0, 0.0, 2.0])))
        [[-1.  0.  0.]
         [ 0. -1.  0.]
         [ 0.  0.  1.]]
    """
    w, x, y, z = components(safe_normalize(floating(q)))
    return from_rows(rotation_rows(x, y, z, w))


def matrix_to_quaternion(r: Rotation) -> Float[Array, "... 4"]:
    """The unit quaternion (w, x, y, z) with w >= 0; it jumps at rotations by pi."""
    w, vector = long_quaternion(entries(floating(r)))
    q = jnp.stack([w, *vector], -1)
    q = q / jnp.sqrt((q * q).sum(-1, keepdims=True))
    return jnp.where(q[..., :1] < 0, -q, q)


def axis_angle_to_matrix(v: Float[Array, "... 3"]) -> Rotation:
    """The rotation about the axis v by the angle ``|v|``."""
    return so3_exp(floating(v))


def matrix_to_axis_angle(r: Rotation) -> Float[Array, "... 3"]:
    """The rotation vector in radians, no longer than pi; it jumps at rotations by pi."""
    return so3_log(floating(r))


def euler_to_matrix(angles: Float[Array, "... 3"], axes: str = "ZYX") -> Rotation:
    """The product of three rotations about coordinate axes.

    Args:
        angles: Angles ``[..., 3]`` in radians.
        axes: Capital letters are axes that rotate with the body, applied from left to right:
            ``"ZYX"`` is Rz(a) Ry(b) Rx(c), yaw, pitch and roll. Small letters are fixed axes:
            ``"xyz"`` is Rz(c) Ry(b) Rx(a).

    Returns:
        Rotations ``[..., 3, 3]``.

    Raises:
        ValueError: If ``axes`` is not three axes of one kind, neighbours different.

    Example:
        >>> quarter = jnp.asarray([jnp.pi / 2, 0.0, 0.0])
        >>> print(euler_to_matrix(quarter, "ZYX").round(3) + 0.0)
        [[ 0. -1.  0.]
         [ 1.  0.  0.]
         [ 0.  0.  1.]]
    """
    angles = floating(angles)
    order, fixed = _axes(axes)
    factors = [_about_axis(axis, angles[..., i]) for i, axis in enumerate(order)]
    a, b, c = factors[::-1] if fixed else factors
    return small.matmul(small.matmul(a, b), c)


def matrix_to_euler(r: Rotation, axes: str = "ZYX") -> Float[Array, "... 3"]:
    """Euler angles of rotations; in a gimbal lock one of the three angles is zero.

    The middle angle lies between -pi / 2 and pi / 2 for three different axes, and between 0 and pi
    where the first is the last.

    Raises:
        ValueError: If ``axes`` is not three axes of one kind, neighbours different.
    """
    r = floating(r)
    order, fixed = _axes(axes)
    i, j, k = order[::-1] if fixed else order
    m = entries(r)
    if i != k:
        sign = 1 if (j - i) % 3 == 1 else -1
        sine, cosine = sign * m[i][k], safe_norm(jnp.stack([m[i][i], m[i][j]], -1))
        locked = cosine < _locked(r)
        b = jnp.arctan2(sine, cosine)
        first, last = (-sign * m[j][k], m[k][k]), (-sign * m[i][j], m[i][i])
        rest = (sign * m[k][j], m[j][j])
    else:
        l = 3 - i - j
        sign = 1 if (j - i) % 3 == 1 else -1
        sine = safe_norm(jnp.stack([m[i][j], m[i][l]], -1))
        locked = sine < _locked(r)
        b = jnp.arctan2(sine, m[i][i])
        first, last = (m[j][i], -sign * m[l][i]), (m[i][j], sign * m[i][l])
        rest = (sign * m[l][j], m[j][j])
    y, x = (jnp.where(locked, q, p) for p, q in zip(first, rest, strict=True))
    a = jnp.arctan2(y, x)
    c = jnp.arctan2(jnp.where(locked, 0.0, last[0]), jnp.where(locked, 1.0, last[1]))
    return jnp.stack([c, b, a] if fixed else [a, b, c], -1)


def gram_schmidt_to_matrix(x: Float[Array, "... n*(n-1)"]) -> Matrix:
    """Makes n - 1 columns orthonormal; the last is their generalised cross product.

    For n = 3 these are the six numbers of arXiv 1812.07035, equation 12. Multiplying every column
    by a rotation from the left multiplies the result.

    Args:
        x: Columns one after another ``[..., n (n - 1)]``; parallel ones give no rotation.

    Returns:
        Rotations ``[..., n, n]``.

    Raises:
        ValueError: If the length is not n (n - 1) for an integer n >= 2.

    Example:
        >>> print(gram_schmidt_to_matrix(jnp.asarray([2.0, 0, 0, 5, 3, 0])))
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]]
    """
    x = floating(x)
    length = x.shape[-1]
    n = (1 + math.isqrt(1 + 4 * length)) // 2
    _check_length(length, n * (n - 1), n, "n (n - 1): 2, 6, 12, ...")
    return _orthonormal(x.reshape(*x.shape[:-1], n - 1, n))


def matrix_to_gram_schmidt(r: Matrix) -> Float[Array, "... n*(n-1)"]:
    """The first n - 1 columns, one after another: six numbers for n = 3."""
    r = floating(r)
    n = r.shape[-1]
    return r.mT[..., : n - 1, :].reshape(*r.shape[:-2], n * (n - 1))


def stereographic_to_matrix(x: Float[Array, "... n*n-2*n+2"]) -> Matrix:
    """The rotation of the numbers from ``matrix_to_stereographic``, defined almost everywhere.

    Args:
        x: Two numbers, then n - 2 vectors of n: ``[..., n^2 - 2 n + 2]``, five numbers for n = 3.

    Returns:
        Rotations ``[..., n, n]``.

    Raises:
        ValueError: If the length is not n^2 - 2 n + 2 for an integer n >= 2.
    """
    x = floating(x)
    length = x.shape[-1]
    n = 1 + math.isqrt(max(length - 1, 0))
    _check_length(length, n * n - 2 * n + 2, n, "n^2 - 2 n + 2: 2, 5, 10, ...")
    columns = x[..., 2:].reshape(*x.shape[:-1], n - 2, n)
    squares = (columns * columns).sum(-1)
    size = jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
    first = jnp.concatenate([x[..., :2], (size - 1 / size) / 2], -1)
    return _orthonormal(jnp.concatenate([first[..., None, :], columns], -2))


def matrix_to_stereographic(r: Matrix) -> Float[Array, "... n*n-2*n+2"]:
    """The fewest continuous numbers known: n^2 - 2 n + 2, five for n = 3.

    All but two entries z of the first column move into the lengths z + sqrt(1 + z^2) of the other
    columns but the last: a stereographic projection of (z, column) from a pole that it never meets.
    """
    r = floating(r)
    n = r.shape[-1]
    z, columns = r[..., 2:, 0], r.mT[..., 1 : n - 1, :]
    scaled = columns * (z + jnp.sqrt(1 + z * z))[..., None]
    return jnp.concatenate([r[..., :2, 0], scaled.reshape(*r.shape[:-2], n * (n - 2))], -1)


def nearest_rotation(m: Matrix) -> Matrix:
    """The rotation nearest to a matrix: U diag(1, ..., 1, det(U V)) V of its singular values.

    Smooth, at equal singular values too, but where the determinant is negative and the two least
    singular values are equal, or zero.

    Args:
        m: Matrices ``[..., n, n]``.

    Returns:
        Rotations ``[..., n, n]``.
    """
    return _nearest_rotation(floating(m))


@jax.custom_jvp
def _nearest_rotation(m: Matrix) -> Matrix:
    u, _, v = jnp.linalg.svd(m)
    sign = jnp.sign(small.determinant(u) * small.determinant(v))
    flipped = jnp.concatenate([u[..., :-1], u[..., -1:] * sign[..., None, None]], -1)
    return small.matmul(flipped, v)


@_nearest_rotation.defjvp
def _nearest_rotation_jvp(primals: tuple[Matrix], tangents: tuple[Matrix]) -> tuple[Matrix, Matrix]:
    rotation = _nearest_rotation(*primals)
    return rotation, rotation_derivative(rotation, *primals, *tangents)


def svd_to_matrix(x: Float[Array, "... n*n"]) -> Matrix:
    """``nearest_rotation`` of the n^2 numbers, read row by row: nine for n = 3.

    Raises:
        ValueError: If the length is not a square.
    """
    x = floating(x)
    n = math.isqrt(x.shape[-1])
    _check_length(x.shape[-1], n * n, n, "n^2: 4, 9, 16, ...")
    return nearest_rotation(x.reshape(*x.shape[:-1], n, n))


def matrix_to_svd(r: Matrix) -> Float[Array, "... n*n"]:
    """All entries of the matrices, row by row: nine numbers for n = 3."""
    r = floating(r)
    return r.reshape(*r.shape[:-2], r.shape[-1] ** 2)


REPRESENTATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "quaternion": (quaternion_to_matrix, matrix_to_quaternion),
    "axis_angle": (axis_angle_to_matrix, matrix_to_axis_angle),
    "euler": (euler_to_matrix, matrix_to_euler),
    "6d": (gram_schmidt_to_matrix, matrix_to_gram_schmidt),
    "5d": (stereographic_to_matrix, matrix_to_stereographic),
    "9d": (svd_to_matrix, matrix_to_svd),
    "matrix": (lambda r: r, lambda r: r),
}
"""By name: the functions to and from matrices of SO(3); 6d, 5d and 9d serve every SO(n)."""


def convert(x: Float[Array, "..."], source: str, target: str) -> Float[Array, "..."]:
    """Numbers of one representation as those of another, through the matrix.

    Raises:
        ValueError: If a name is not in ``REPRESENTATIONS``.

    Example:
        >>> print(convert(jnp.asarray([1.0, 0, 0, 0]), "quaternion", "6d"))
        [1. 0. 0. 0. 1. 0.]
    """
    for name in (source, target):
        if name not in REPRESENTATIONS:
            raise ValueError(
                f"got the representation {name!r}, expected one of {list(REPRESENTATIONS)}"
            )
    return REPRESENTATIONS[target][1](REPRESENTATIONS[source][0](x))


def _locked(r: Rotation) -> float:
    return 10 * float(jnp.finfo(r.dtype).eps)


def _orthonormal(columns: Float[Array, "... n-1 n"]) -> Matrix:
    rows, _ = gram_schmidt(columns, repeats=1)
    return jnp.concatenate([rows, small.cofactors(rows)[..., None, :]], -2).mT


def _about_axis(axis: int, angle: Scalars) -> Rotation:
    vector = [jnp.zeros_like(angle)] * 3
    vector[axis] = angle
    return so3_exp(jnp.stack(vector, -1))


def _axes(axes: str) -> tuple[list[int], bool]:
    order = ["xyz".find(letter) for letter in axes.lower()]
    kind = axes.isupper() or axes.islower()
    if len(order) != 3 or min(order) < 0 or not kind or order[1] in (order[0], order[2]):
        raise ValueError(
            f"got the axes {axes!r}, expected three letters of XYZ (rotating axes) or of xyz "
            "(fixed axes), neighbours different, e.g. 'ZYX'"
        )
    return order, axes.islower()


def _check_length(length: int, expected: int, n: int, rule: str) -> None:
    if length != expected or n < 2:
        raise ValueError(f"got {length} numbers on the last axis, expected {rule}")
