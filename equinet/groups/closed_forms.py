"""Closed forms of exp, log and their Jacobians for the motions of the plane and of space.

Everything is made of components and of a few functions of the squared angle. The motions are the
rotations over dual numbers: what a Jacobian of SO(3) is at w + e rho, with e^2 = 0, is that of
SE(3), so its block off the diagonal is a derivative in the direction rho.

References:
    J. Solà, J. Deray, D. Atchuthan, A micro Lie theory for state estimation in robotics, arXiv
    1812.01537, equations 132 to 180.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equinet.groups.angle_functions import (
    Scalars,
    angle_factor,
    curvature_slopes,
    curvatures,
    from_half_cotangent,
    half_angle,
    half_angle_and_curvatures,
    inverse_curvature,
)

Rows = list[list[Scalars]]
Vectors = Float[Array, "... 3"]
Matrices = Float[Array, "... 3 3"]


@jax.jit
def so2_exp(v: Float[Array, "... 1"]) -> Float[Array, "... 2 2"]:
    """The rotations by these angles."""
    c, s = jnp.cos(v[..., 0]), jnp.sin(v[..., 0])
    return from_rows([[c, -s], [s, c]])


@jax.jit
def so2_log(g: Float[Array, "... 2 2"]) -> Float[Array, "... 1"]:
    """The angles, above -pi and up to pi."""
    return _plane_angle(entries(g))[..., None]


@jax.jit
def se2_exp(v: Float[Array, "... 3"]) -> Matrices:
    """Motions of the plane; coordinates are the translation (x, y), then the angle."""
    x, y, t = components(v)
    s, c = half_angle(t * t)
    sine, less = 2 * s * c, 2 * s * s * t  # sin t / t and (1 - cos t) / t
    zero, one = jnp.zeros_like(t), jnp.ones_like(t)
    cos, sin = 1 - less * t, sine * t
    shift = [sine * x - less * y, less * x + sine * y]
    return from_rows([[cos, -sin, shift[0]], [sin, cos, shift[1]], [zero, zero, one]])


@jax.jit
def se2_log(g: Matrices) -> Float[Array, "... 3"]:
    """Translations come first; the angle lies above -pi and up to pi."""
    m = entries(g)
    t = _plane_angle(m)
    diagonal = 1 - t * t * inverse_curvature(t * t)[0]  # (t / 2) cot(t / 2)
    x, y = m[0][2], m[1][2]
    return jnp.stack([diagonal * x + t / 2 * y, diagonal * y - t / 2 * x, t], -1)


@jax.jit
def se2_left_jacobian(v: Float[Array, "... 3"]) -> Matrices:
    """The left Jacobian of exp."""
    x, y, t = components(v)
    a, b, d = curvatures(t * t)
    zero, one = jnp.zeros_like(t), jnp.ones_like(t)
    corner = [b * y + d * t * x, d * t * y - b * x]
    return from_rows([[a, -b * t, corner[0]], [b * t, a, corner[1]], [zero, zero, one]])


@jax.jit
def se2_left_jacobian_inverse(v: Float[Array, "... 3"]) -> Matrices:
    """The inverse of the left Jacobian; singular where the angle is 2 pi."""
    x, y, t = components(v)
    e = inverse_curvature(t * t)[0]
    diagonal, half = 1 - t * t * e, t / 2
    zero, one = jnp.zeros_like(t), jnp.ones_like(t)
    corner = [e * t * x - y / 2, e * t * y + x / 2]
    return from_rows([[diagonal, half, corner[0]], [-half, diagonal, corner[1]], [zero, zero, one]])


@jax.jit
def so3_exp(v: Vectors) -> Matrices:
    """Rodrigues' formula 1 + a W + b W^2 with a = sin t / t, b = (1 - cos t) / t^2."""
    x, y, z = components(v)
    s, c = half_angle(x * x + y * y + z * z)
    return from_rows(rotation_rows(s * x, s * y, s * z, c))


@jax.jit
def so3_log(g: Matrices) -> Vectors:
    """Rotation vectors no longer than pi; at pi one of the two."""
    factor, _, vector = _log_parts(entries(g))
    return jnp.stack([factor * x for x in vector], -1)


@jax.jit
def so3_left_jacobian(v: Vectors) -> Matrices:
    """1 + b W + d W^2 with d = (t - sin t) / t^3."""
    x, y, z = components(v)
    _, b, d = curvatures(x * x + y * y + z * z)
    return from_rows(_quadratic(x, y, z, b, d))


@jax.jit
def so3_left_jacobian_inverse(v: Vectors) -> Matrices:
    """1 - W / 2 + e W^2 with e = (1 - (t / 2) cot(t / 2)) / t^2; singular where t = 2 pi."""
    x, y, z = components(v)
    e = inverse_curvature(x * x + y * y + z * z)[0]
    return from_rows(_quadratic(x, y, z, -0.5, e))


@jax.jit
def se3_exp(v: Float[Array, "... 6"]) -> Float[Array, "... 4 4"]:
    """Motions of space; coordinates are rho, then w: the translation is Jl(w) rho."""
    *rho, x, y, z = components(v)
    square = x * x + y * y + z * z
    (s, c), (_, b, d) = half_angle_and_curvatures(square)
    shift = _apply_quadratic(rho, (x, y, z), b, d)
    return _homogeneous(rotation_rows(s * x, s * y, s * z, c), shift)


@jax.jit
def se3_log(g: Float[Array, "... 4 4"]) -> Float[Array, "... 6"]:
    """The rotation vector w is that of ``so3_log``; rho is Jl(w)^-1 times the translation."""
    m = entries(g)
    factor, cotangent, vector = _log_parts(m)
    w = [factor * x for x in vector]
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    e = from_half_cotangent(square, cotangent)
    rho = _apply_quadratic([row[3] for row in m[:3]], w, -0.5, e)
    return jnp.stack([*rho, *w], -1)


@jax.jit
def se3_left_jacobian(v: Float[Array, "... 6"]) -> Float[Array, "... 6 6"]:
    """[[Jl(w), Q], [0, Jl(w)]] with Q the derivative of Jl at w in the direction rho."""
    *rho, x, y, z = components(v)
    square = x * x + y * y + z * z
    _, b, d = curvatures(square)
    slope_b, slope_d = curvature_slopes(square)
    diagonal = _quadratic(x, y, z, b, d)
    return _triangular(diagonal, _derivative(rho, (x, y, z), (b, slope_b), (d, slope_d)))


@jax.jit
def se3_left_jacobian_inverse(v: Float[Array, "... 6"]) -> Float[Array, "... 6 6"]:
    """The inverse of the left Jacobian, again over dual numbers; singular where |w| = 2 pi."""
    *rho, x, y, z = components(v)
    e, slope = inverse_curvature(x * x + y * y + z * z)
    diagonal = _quadratic(x, y, z, -0.5, e)
    return _triangular(diagonal, _derivative(rho, (x, y, z), (-0.5, 0.0), (e, slope)))


@jax.jit
def se3_adjoint(g: Float[Array, "... 4 4"]) -> Float[Array, "... 6 6"]:
    """[[R, [t]x R], [0, R]]."""
    r = entries(g)[:3]
    x, y, z = (row.pop() for row in r)
    crossed = [
        [y * r[2][j] - z * r[1][j] for j in range(3)],
        [z * r[0][j] - x * r[2][j] for j in range(3)],
        [x * r[1][j] - y * r[0][j] for j in range(3)],
    ]
    return _triangular(r, crossed)


@jax.jit
def so2_left_jacobian(v: Float[Array, "... 1"]) -> Float[Array, "... 1 1"]:
    """One: the group is commutative."""
    return jnp.ones_like(v)[..., None]


def is_rotation(g: Float[Array, "... n n"], atol: float) -> Bool[Array, "..."]:
    """Whether the rows are orthonormal up to ``atol`` and the determinant is positive; n = 2, 3."""
    return _are_rotations(entries(g), atol)


def is_motion(g: Float[Array, "... n+1 n+1"], atol: float) -> Bool[Array, "..."]:
    """Whether each is a homogeneous matrix whose linear part is a rotation; n = 2, 3."""
    *rows, last = entries(g)
    inside = _are_rotations([row[:-1] for row in rows], atol) & (jnp.abs(last[-1] - 1) <= atol)
    for entry in last[:-1]:
        inside &= jnp.abs(entry) <= atol
    return inside


def _are_rotations(m: Rows, atol: float) -> Bool[Array, "..."]:
    """Entry by entry, which XLA fuses into one pass over the matrices."""
    if len(m) == 2:
        volume = m[0][0] * m[1][1] - m[0][1] * m[1][0]
    else:
        normal = _cross(m[1], m[2])
        volume = m[0][0] * normal[0] + m[0][1] * normal[1] + m[0][2] * normal[2]
    inside = volume > 0
    for i, row in enumerate(m):
        for other in m[i:]:
            product = sum(x * y for x, y in zip(row, other, strict=True))
            inside &= jnp.abs(product - (1 if row is other else 0)) <= atol
    return inside


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """Formulas for a connected group of motions in its exponential coordinates.

    Attributes:
        contains: Whether matrices lie in the group up to a tolerance.
        exp: From coordinates to elements.
        log: From elements to coordinates; whatever it gives for other matrices has no meaning.
        left_jacobian: Of ``exp``, from coordinates.
        left_jacobian_inverse: The inverse of the left Jacobian, from coordinates.
    """

    contains: Callable[[Array, float], Array]
    exp: Callable[[Array], Array]
    log: Callable[[Array], Array]
    left_jacobian: Callable[[Array], Array]
    left_jacobian_inverse: Callable[[Array], Array]


ROTATIONS = {
    2: ClosedForm(is_rotation, so2_exp, so2_log, so2_left_jacobian, so2_left_jacobian),
    3: ClosedForm(is_rotation, so3_exp, so3_log, so3_left_jacobian, so3_left_jacobian_inverse),
}
"""By the dimension of space, for SO(n), the identity component of O(n)."""

MOTIONS = {
    2: ClosedForm(is_motion, se2_exp, se2_log, se2_left_jacobian, se2_left_jacobian_inverse),
    3: ClosedForm(is_motion, se3_exp, se3_log, se3_left_jacobian, se3_left_jacobian_inverse),
}
"""By the dimension of space, for SE(n), the identity component of E(n)."""


def components(v: Float[Array, "... d"]) -> list[Scalars]:
    """The d entries of the last axis."""
    # The transpose of a split is one concatenation, that of d slices is d padded sums.
    pieces = jax.lax.split(v, (1,) * v.shape[-1], axis=v.ndim - 1)
    return list(jax.lax.optimization_barrier([piece[..., 0] for piece in pieces]))


def entries(g: Float[Array, "... n n"]) -> Rows:
    """The entries of matrices, row by row."""
    n = g.shape[-1]
    flat = components(g.reshape(*g.shape[:-2], n * n))
    return [flat[n * i : n * i + n] for i in range(n)]


def from_rows(rows: Sequence[Sequence[Scalars]]) -> Float[Array, "... n n"]:
    """Matrices ``[..., n, n]`` whose entries are given row by row."""
    flat = jnp.stack([entry for row in rows for entry in row], -1)
    flat = jax.lax.optimization_barrier(flat)
    return flat.reshape(*flat.shape[:-1], len(rows), len(rows[0]))


def _homogeneous(rotation: Rows, shift: Sequence[Scalars]) -> Float[Array, "... 4 4"]:
    zero, one = jnp.zeros_like(shift[0]), jnp.ones_like(shift[0])
    rows = [[*row, entry] for row, entry in zip(rotation, shift, strict=True)]
    return from_rows([*rows, [zero, zero, zero, one]])


def _triangular(diagonal: Rows, corner: Rows) -> Float[Array, "... 6 6"]:
    zero = jnp.zeros_like(diagonal[0][0])
    upper = [[*d, *c] for d, c in zip(diagonal, corner, strict=True)]
    return from_rows([*upper, *([zero, zero, zero, *d] for d in diagonal)])


def rotation_rows(x: Scalars, y: Scalars, z: Scalars, w: Scalars) -> Rows:
    """The rotation of a unit quaternion x i + y j + z k + w."""
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    xx, yy, zz, xy, xz, yz = x2 * x, y2 * y, z2 * z, x2 * y, x2 * z, y2 * z
    wx, wy, wz = w * x2, w * y2, w * z2
    return [
        [1 - (yy + zz), xy - wz, xz + wy],
        [xy + wz, 1 - (xx + zz), yz - wx],
        [xz - wy, yz + wx, 1 - (xx + yy)],
    ]


def _quadratic(x: Scalars, y: Scalars, z: Scalars, first: Scalars | float, second: Scalars) -> Rows:
    """1 + first W + second W^2 for the cross product matrix W."""
    sx, sy, sz = second * x, second * y, second * z
    xx, yy, zz, xy, xz, yz = sx * x, sy * y, sz * z, sx * y, sx * z, sy * z
    fx, fy, fz = first * x, first * y, first * z
    return [
        [1 - (yy + zz), xy - fz, xz + fy],
        [xy + fz, 1 - (xx + zz), yz - fx],
        [xz - fy, yz + fx, 1 - (xx + yy)],
    ]


def _cross(u: Sequence[Scalars], v: Sequence[Scalars]) -> list[Scalars]:
    return [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ]


def _apply_quadratic(
    rho: Sequence[Scalars], w: Sequence[Scalars], first: Scalars | float, second: Scalars
) -> list[Scalars]:
    """(1 + first W + second W^2) rho."""
    once = _cross(w, rho)
    twice = _cross(w, once)
    return [r + first * p + second * q for r, p, q in zip(rho, once, twice, strict=True)]


def _derivative(
    rho: Sequence[Scalars],
    w: Sequence[Scalars],
    first: tuple[Scalars | float, Scalars | float],
    second: tuple[Scalars, Scalars],
) -> Rows:
    """Derivative of 1 + first W + second W^2 at w in the direction rho.

    ``first`` and ``second`` come with their derivatives in the squared angle.
    """
    dot = 2 * (rho[0] * w[0] + rho[1] * w[1] + rho[2] * w[2])  # derivative of the squared angle
    slope, both = second[1] * dot, second[0]
    # W^2 = w w^T - t^2: its derivative is symmetric, with 2 rho.w on the diagonal.
    half = [both * r + slope / 2 * x for r, x in zip(rho, w, strict=True)]
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    level = both * dot + slope * square
    skew = [first[0] * r + first[1] * dot * x for r, x in zip(rho, w, strict=True)]
    outer = [[half[i] * w[j] + w[i] * half[j] for j in range(3)] for i in range(3)]
    return [
        [outer[0][0] - level, outer[0][1] - skew[2], outer[0][2] + skew[1]],
        [outer[1][0] + skew[2], outer[1][1] - level, outer[1][2] - skew[0]],
        [outer[2][0] - skew[1], outer[2][1] + skew[0], outer[2][2] - level],
    ]


def _plane_angle(m: Rows) -> Scalars:
    return jnp.arctan2(m[1][0] - m[0][1], m[0][0] + m[1][1])


def _log_parts(m: Rows) -> tuple[Scalars, Scalars, list[Scalars]]:
    """A factor and a vector whose product is the rotation vector, and (t / 2) cot(t / 2).

    The columns of 4 q q^T are linear in the entries of the matrix; the one with the largest
    diagonal entry is a multiple of the quaternion without cancellation, at pi as anywhere.
    """
    w, vector = long_quaternion(m)
    sign = jnp.where(w < 0, -1.0, 1.0).astype(w.dtype)
    w, vector = sign * w, [sign * x for x in vector]
    square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]
    factor = angle_factor(square, w)
    return factor, factor * w / 2, vector


def long_quaternion(m: Rows) -> tuple[Scalars, list[Scalars]]:
    """A quaternion of the rotation, not normalised: real part and vector."""
    xx, yy, zz = m[0][0], m[1][1], m[2][2]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    diagonal = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz]
    columns = [
        [diagonal[0], x, y, z],
        [x, diagonal[1], xy, xz],
        [y, xy, diagonal[2], yz],
        [z, xz, yz, diagonal[3]],
    ]
    real_or_x = diagonal[0] >= diagonal[1]
    y_or_z = diagonal[2] >= diagonal[3]
    first = jnp.maximum(diagonal[0], diagonal[1]) >= jnp.maximum(diagonal[2], diagonal[3])
    w, *vector = [
        jnp.where(first, jnp.where(real_or_x, a, b), jnp.where(y_or_z, c, d))
        for a, b, c, d in zip(*columns, strict=True)
    ]
    return w, vector
