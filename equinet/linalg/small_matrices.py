"""Linear algebra of many small matrices, made of elementwise products that XLA fuses.

A batched matrix product of this size spends its time on calls: for 100,000 products of 4 by 4
matrices on a CPU, ``jnp.matmul`` takes a hundred times as long as the sum of outer products here.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet._sharding import vary_alike
from equinet.precision import HIGHEST, at_least_float32
from equinet.typing import Matrix

LARGEST_UNROLLED = 16
FEW = 256  # matrices, below which compiling the elementwise products costs more than they save
LARGEST_SQUARINGS = 12
_NORM = 0.75  # up to which the Taylor polynomials below are exact to rounding


def matmul(a: Float[Array, "... i k"], b: Float[Array, "... k j"]) -> Float[Array, "... i j"]:
    """The matrix product at full precision; batch axes broadcast.

    Example:
        >>> matmul(jnp.eye(2), jnp.ones((3, 2, 1))).shape
        (3, 2, 1)
    """
    many = math.prod(jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])) >= FEW
    if not many or not 0 < a.shape[-1] <= LARGEST_UNROLLED or a.dtype.itemsize < 4:
        return jnp.matmul(a, b, precision=HIGHEST)
    rank = max(a.ndim, b.ndim)
    a = a.reshape((1,) * (rank - a.ndim) + a.shape)
    b = b.reshape((1,) * (rank - b.ndim) + b.shape)
    total = a[..., :, 0, None] * b[..., None, 0, :]
    for k in range(1, a.shape[-1]):
        total = total + a[..., :, k, None] * b[..., None, k, :]
    return total


def apply(a: Float[Array, "... i k"], x: Float[Array, "... k"]) -> Float[Array, "... i"]:
    """The matrix times a vector at full precision; batch axes broadcast."""
    return matmul(a, x[..., None])[..., 0]


def eye_like(a: Matrix) -> Matrix:
    """The identity in the shape of ``a``."""
    return jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)


def inverse(a: Matrix) -> Matrix:
    """The inverse: by cofactors up to three rows and by 2 by 2 blocks of minors for four."""
    n = a.shape[-1]
    if n not in (2, 3, 4) or math.prod(a.shape[:-2]) < FEW:
        return jnp.linalg.inv(a.astype(at_least_float32(a.dtype))).astype(a.dtype)
    m = [[a[..., i, j] for j in range(n)] for i in range(n)]
    if n == 2:
        determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0]
        adjugate = [m[1][1], -m[0][1], -m[1][0], m[0][0]]
    elif n == 3:
        cofactor = [
            [
                m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3]
                - m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3]
                for j in range(3)
            ]
            for i in range(3)
        ]
        determinant = sum(m[0][j] * cofactor[0][j] for j in range(3))
        adjugate = [cofactor[j][i] for i in range(3) for j in range(3)]
    else:
        determinant, adjugate = _adjugate4(m)
    inverted = jnp.stack(adjugate, -1).reshape(a.shape)
    return inverted / jnp.asarray(determinant)[..., None, None]


def determinant(a: Matrix) -> Float[Array, "..."]:
    """The determinant; up to three rows, and of many matrices up to four, as a polynomial.

    Args:
        a: Matrices ``[..., n, n]``.

    Example:
        >>> float(determinant(jnp.asarray([[1.0, 2.0], [3.0, 4.0]])))
        -2.0
    """
    n = a.shape[-1]
    if n > 4 or (n == 4 and math.prod(a.shape[:-2]) < FEW):
        return jnp.linalg.det(a.astype(at_least_float32(a.dtype))).astype(a.dtype)
    return _polynomial_determinant([[a[..., i, j] for j in range(n)] for i in range(n)])


def cofactors(rows: Float[Array, "... {n-1} n"]) -> Float[Array, "... n"]:
    """The generalised cross product of n - 1 vectors of n entries.

    It is perpendicular to all of them, and as the last row below them it gives the determinant
    that is its squared length. A polynomial in the entries: all derivatives are finite.

    Args:
        rows: Vectors ``[..., n - 1, n]``.

    Returns:
        Vectors ``[..., n]``.

    Example:
        >>> cofactors(jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).astype(int).tolist()
        [0, 0, 1]
    """
    n = rows.shape[-1]
    if n == 1:
        return jnp.ones((*rows.shape[:-2], 1), rows.dtype)
    if n == 3:
        return jnp.cross(rows[..., 0, :], rows[..., 1, :])
    m = [[rows[..., i, j] for j in range(n)] for i in range(n - 1)]
    minors = [_polynomial_determinant([row[:j] + row[j + 1 :] for row in m]) for j in range(n)]
    return jnp.stack([(-1) ** (n - 1 + j) * minor for j, minor in enumerate(minors)], -1)


def _polynomial_determinant(m: list[list[Array]]) -> Array:
    """The determinant of the entries ``m[i][j]`` by minors of two rows, or along the first row."""
    n = len(m)
    if n == 1:
        return m[0][0]
    if n == 2:
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]
    if n == 4:
        return _laplace4(*_minors4(m))
    terms = [
        (-1) ** j * m[0][j] * _polynomial_determinant([row[:j] + row[j + 1 :] for row in m[1:]])
        for j in range(n)
    ]
    return functools.reduce(lambda x, y: x + y, terms)


_PAIRS = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
_Minors = dict[tuple[int, int], Array]


def _minors4(m: list[list[Array]]) -> tuple[_Minors, _Minors]:
    """The minors of the upper two rows and of the lower two, by their columns."""

    def minor(upper: int, i: int, j: int) -> Array:
        return m[upper][i] * m[upper + 1][j] - m[upper][j] * m[upper + 1][i]

    return {pair: minor(0, *pair) for pair in _PAIRS}, {pair: minor(2, *pair) for pair in _PAIRS}


def _laplace4(s: _Minors, c: _Minors) -> Array:
    signs = (1, -1, 1, 1, -1, 1)
    terms = [sign * s[p] * c[q] for sign, p, q in zip(signs, _PAIRS, _PAIRS[::-1], strict=True)]
    return functools.reduce(lambda x, y: x + y, terms)


def _adjugate4(m: list[list[Array]]) -> tuple[Array, list[Array]]:
    """The determinant of four rows, and the entries of the adjugate matrix row by row."""
    s, c = _minors4(m)
    entries: list[Array] = []
    for i in range(4):
        for j in range(4):
            # The cofactor of entry (j, i): the other row of j's half, times minors of the other.
            row = {0: 1, 1: 0, 2: 3, 3: 2}[j]
            minors = c if j < 2 else s
            rest = [k for k in range(4) if k != i]
            value = sum(
                (-1) ** index * m[row][k] * minors[tuple(q for q in rest if q != k)]  # type: ignore[index]
                for index, k in enumerate(rest)
            )
            entries.append((-1) ** (i + j) * jnp.asarray(value))
    return _laplace4(s, c), entries


@jax.jit
def expm(a: Matrix) -> Matrix:
    """The matrix exponential, by a Taylor polynomial of a / 2^s and s squarings.

    Differentiable to any order. The norm may be up to 3000; above, the result is NaN.

    Args:
        a: Matrices ``[..., n, n]``.

    Returns:
        Matrices of the same shape.

    Example:
        >>> print(expm(jnp.zeros((2, 2))))
        [[1. 0.]
         [0. 1.]]
    """
    scaled, steps = _scale(a)
    return _repeat(lambda x: matmul(x, x), _taylor(scaled, shift=0), steps)


@jax.jit
def phi1(a: Matrix) -> Matrix:
    """(exp(a) - 1) / a = 1 + a / 2 + a^2 / 6 + ..., by doubling.

    It maps the last column of a Lie algebra element of a semidirect product into a translation,
    and on ``ad`` it is the left Jacobian of the exponential.

    Args:
        a: Matrices ``[..., n, n]``.

    Returns:
        Matrices of the same shape.
    """
    scaled, steps = _scale(a)
    phi = _taylor(scaled, shift=1)
    both = jnp.stack([phi, matmul(scaled, phi)])

    def double(pair: Array) -> Array:
        phi, less_one = pair[0], pair[1]  # (exp - 1) / x and exp - 1
        twice = matmul(less_one[None], pair)
        return jnp.stack([phi + twice[0] / 2, 2 * less_one + twice[1]])

    return _repeat(double, both, jnp.stack([steps, steps]))[0]


def _scale(a: Matrix) -> tuple[Matrix, Float[Array, "..."]]:
    norm = jnp.abs(jax.lax.stop_gradient(a)).sum(-2).max(-1, initial=0)
    steps = jnp.ceil(jnp.log2(jnp.maximum(norm / _NORM, 1)))
    return a * jnp.exp2(-steps)[..., None, None], steps


def _repeat(f: Callable[[Array], Array], x: Array, steps: Float[Array, "..."]) -> Array:
    """Applies f as often as each element needs; NaN where that is more than the largest number."""

    def step(x: Array, k: Array) -> tuple[Array, None]:
        needed = steps > k
        # A loop of fixed length can be differentiated backwards; a step that none needs is skipped.
        some = lambda x: jnp.where(needed[..., None, None], f(x), x)  # noqa: E731
        return jax.lax.cond(needed.any(), some, lambda x: x, x), None

    x, _ = jax.lax.scan(step, x, jnp.arange(LARGEST_SQUARINGS, dtype=steps.dtype))
    inside = (steps <= LARGEST_SQUARINGS)[..., None, None]
    return jnp.where(inside, x, jnp.full_like(x, jnp.nan))


def _taylor(a: Matrix, shift: int) -> Matrix:
    """The sum of a^k / (k + shift)! by Paterson and Stockmeyer's rule: few products."""
    width = 4 if a.dtype == np.float64 else 3
    one = eye_like(a)
    powers = [one, a]
    while len(powers) <= width:
        powers.append(matmul(powers[-1], a))
    blocks = width  # degree width^2: 16 or 9
    total = one / math.factorial(width * blocks + shift)
    for block in reversed(range(blocks)):
        terms = [
            powers[i] / math.factorial(block * width + i + shift) for i in reversed(range(width))
        ]
        total = functools.reduce(lambda x, y: x + y, terms, matmul(total, powers[width]))
    return total


@jax.jit
def sqrtm(a: Matrix) -> Matrix:
    """The principal square root by Denman and Beavers' iteration in product form.

    NaN or garbage where an eigenvalue is negative or zero: check the square.

    References:
        S. H. Cheng, N. J. Higham, C. S. Kenney, A. J. Laub, Approximating the logarithm of a matrix
        to specified accuracy, SIAM J. Matrix Anal. Appl. 22 (2001), equations 4.2 and 4.3.
    """
    one = eye_like(a)
    power = -1 / (2 * a.shape[-1])

    def step(state: tuple[Matrix, Matrix, Array]) -> tuple[Matrix, Matrix, Array]:
        m, x, count = state
        # Scaling by the determinant brings eigenvalues far from one there in a few steps.
        scale = jnp.abs(determinant(m)) ** power
        far = (jnp.abs(m - one).max((-2, -1)) > 0.1) & (scale > 0) & jnp.isfinite(scale)
        scale = jnp.where(far, scale, 1.0)[..., None, None]
        back = inverse(m) / scale**2
        return (one + (scale**2 * m + back) / 2) / 2, scale * matmul(x, one + back) / 2, count + 1

    def unfinished(state: tuple[Matrix, Matrix, Array]) -> Bool[Array, ""]:
        m, _, count = state
        tolerance = 10 * jnp.finfo(a.dtype).eps
        error = jnp.abs(m - one).max(initial=0, where=jnp.isfinite(m))
        return (error > tolerance) & (count < 25)

    return jax.lax.while_loop(unfinished, step, (a, a, jnp.int32(0)))[1]


@jax.jit
def logm(a: Matrix) -> Matrix:
    """The principal logarithm by inverse scaling and squaring; NaN where there is none.

    Not for differentiation: ``MatrixLieGroup.log`` has a derivative rule.

    Args:
        a: Matrices ``[..., n, n]``.

    Returns:
        Matrices of the same shape, NaN where an eigenvalue is zero or negative.
    """
    one = eye_like(a)

    def far(x: Matrix) -> Bool[Array, "..."]:
        return jnp.abs(x - one).sum(-2).max(-1, initial=0) > 0.5

    def step(state: tuple[Matrix, Array, Array]) -> tuple[Matrix, Array, Array]:
        x, roots, count = state
        needed = far(x)
        x = jnp.where(needed[..., None, None], sqrtm(x), x)
        return x, roots + needed.astype(a.dtype), count + 1

    def unfinished(state: tuple[Matrix, Array, Array]) -> Bool[Array, ""]:
        return far(state[0]).any() & (state[2] < 20)

    roots, count = vary_alike(jnp.zeros(a.shape[:-2], a.dtype), jnp.int32(0), like=(a,))
    start = (a, roots, count)
    x, roots, _ = jax.lax.while_loop(unfinished, step, start)
    z = matmul(x - one, inverse(x + one))
    square = matmul(z, z)
    terms = 17 if a.dtype == np.float64 else 8
    total = one / (2 * terms + 1)
    for k in reversed(range(terms)):
        total = one / (2 * k + 1) + matmul(square, total)
    log = 2 * matmul(z, total) * jnp.exp2(roots)[..., None, None]
    return jnp.where(_undone(log, a)[..., None, None], log, jnp.full_like(log, jnp.nan))


def _undone(log: Matrix, a: Matrix) -> Bool[Array, "..."]:
    """Whether exp(log) gives ``a`` back."""
    tolerance = 1e3 * float(jnp.finfo(a.dtype).eps) ** 0.75
    size = jnp.abs(a).max((-2, -1), initial=0)
    return jnp.abs(expm(log) - a).max((-2, -1), initial=0) <= tolerance * size
