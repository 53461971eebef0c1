"""Functions of the squared rotation angle, smooth at zero, for exp, log and their Jacobians.

They are polynomials and divisions, no trigonometric calls: XLA spends five nanoseconds on a sine on
a CPU, and less than two on everything here. Values that several entries of a matrix share stand
behind a barrier, so that XLA does not compute them once for every entry.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalars = Float[Array, "..."]


@jax.custom_jvp
def half_angle(square: Scalars) -> tuple[Scalars, Scalars]:
    """sin(t / 2) / t and cos(t / 2) for t^2 = ``square``, up to one common sign.

    The common sign is left open because t / 2 is reduced by multiples of pi: nothing that depends
    on the rotation alone sees it.
    """
    near = square < 1
    t = jnp.sqrt(jnp.where(near, 1.0, square))
    half = t / 2
    count = jax.lax.stop_gradient(jnp.round(half / np.pi))
    rest = half
    for part in _pi_parts(square.dtype):
        rest = rest - count * part
    x = jnp.where(near, square / 4, rest * rest)
    terms = 13 if square.dtype == np.float64 else 8
    sine = _series(x, [1 / factorial(2 * k + 1) * (-1) ** k for k in range(terms)])
    cosine = _series(x, [1 / factorial(2 * k) * (-1) ** k for k in range(terms)])
    s = jnp.where(near, 0.5, rest / t) * sine
    return jax.lax.optimization_barrier((s, cosine))


@half_angle.defjvp
def _half_angle_jvp(
    primals: tuple[Scalars], tangents: tuple[Scalars]
) -> tuple[tuple[Scalars, Scalars], tuple[Scalars, Scalars]]:
    """Derivatives in the squared angle: (c / 2 - s) / (2 t^2) and -s / 4."""
    (square,), (step,) = primals, tangents
    s, c = half_angle(square)
    near, low, high = _split(square)
    ks = range(1, _terms(square) + 1)
    series = _series(low, [(-1) ** k * k / (2 * 4**k * factorial(2 * k + 1)) for k in ks])
    slope = jnp.where(near, series, (c / 2 - s) / (2 * high))
    return (s, c), (slope * step, -s / 4 * step)


def curvatures(square: Scalars) -> tuple[Scalars, Scalars, Scalars]:
    """The functions a = sin t / t, b = (1 - cos t) / t^2 and d = (t - sin t) / t^3."""
    return half_angle_and_curvatures(square)[1]


def half_angle_and_curvatures(
    square: Scalars,
) -> tuple[tuple[Scalars, Scalars], tuple[Scalars, Scalars, Scalars]]:
    """What ``half_angle`` and ``curvatures`` return, computed together."""
    s, c = half_angle(square)
    a, b = 2 * s * c, 2 * s * s
    near, low, high = _split(square)
    d = jnp.where(near, _series(low, _cubic(low)), (1 - a) / high)
    return (s, c), jax.lax.optimization_barrier((a, b, d))


def curvature_slopes(square: Scalars) -> tuple[Scalars, Scalars]:
    """The derivatives of b and d in the squared angle."""
    a, b, d = curvatures(square)
    near, low, high = _split(square)
    ks = range(1, _terms(square) + 1)
    slope_b = _series(low, [(-1) ** k * k / factorial(2 * k + 2) for k in ks])
    slope_d = _series(low, [(-1) ** k * k / factorial(2 * k + 3) for k in ks])
    slopes = (
        jnp.where(near, slope_b, (a / 2 - b) / high),
        jnp.where(near, slope_d, (b - 3 * d) / (2 * high)),
    )
    return jax.lax.optimization_barrier(slopes)


def inverse_curvature(square: Scalars) -> tuple[Scalars, Scalars]:
    """E = (1 - (t / 2) cot(t / 2)) / t^2 and its derivative in the squared angle."""
    s, c = half_angle(square)
    near, low, high = _split(square)
    far = jnp.where(near, 1.0, s)
    e = from_half_cotangent(square, c / (2 * far))
    _, b, d = curvatures(square)
    slope = jnp.where(near, _series(low, _bernoulli(2)), (d / (4 * b) - e) / high)
    return jax.lax.optimization_barrier((e, slope))


def from_half_cotangent(square: Scalars, cotangent: Scalars) -> Scalars:
    """The e of ``inverse_curvature`` from (t / 2) cot(t / 2), by its series near zero."""
    near, low, high = _split(square)
    return jnp.where(near, _series(low, _bernoulli(1)), (1 - cotangent) / high)


def _split(square: Scalars) -> tuple[Array, Scalars, Scalars]:
    """Where to use a series; what goes into it, and into the other branch, without overflow."""
    near = square < 1
    return near, jnp.where(near, square, 0.0), jnp.where(near, 1.0, square)


def _cubic(square: Scalars) -> list[float]:
    """The series of (t - sin t) / t^3 in t^2."""
    return [(-1) ** k / factorial(2 * k + 3) for k in range(_terms(square))]


def _terms(square: Scalars) -> int:
    return 10 if square.dtype == np.float64 else 6


def _series(x: Scalars, coefficients: Sequence[float]) -> Scalars:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


@functools.lru_cache
def _bernoulli(derivative: int, terms: int = 12) -> tuple[float, ...]:
    """Series in t^2 of e (derivative 1) or of its derivative (2): |B_2k| / (2k)! t^(2k - 2)."""
    numbers = [Fraction(1)]
    for m in range(1, 2 * terms + 4):
        binomials = [factorial(m + 1) // (factorial(k) * factorial(m + 1 - k)) for k in range(m)]
        total = sum((c * b for c, b in zip(binomials, numbers, strict=True)), Fraction(0))
        numbers.append(-total / (m + 1))
    series = [abs(numbers[2 * k]) / factorial(2 * k) for k in range(1, terms + 2)]
    if derivative == 2:
        series = [k * value for k, value in enumerate(series)][1:]
    return tuple(float(value) for value in series[:terms])


@functools.lru_cache
def _pi_parts(dtype: np.dtype) -> tuple[float, ...]:
    """Pi as a sum whose first part times a small integer is exact in this dtype."""
    if dtype == np.float64:
        first = float(np.float32(np.pi))
        return first, np.pi - first, 1.2246467991473532e-16
    first, second = 3.140625, float(np.float32(np.pi - 3.140625))
    return first, second, np.pi - first - second


@jax.custom_jvp
def angle_factor(square: Scalars, w: Scalars) -> Scalars:
    """2 atan2(n, w) / n of a quaternion with real part w >= 0 and a vector of squared length n^2.

    Half-angle formulas twice: the angle becomes small enough for a series, and nothing is divided
    by n, which is zero at the identity.
    """
    long = w + jnp.sqrt(square + w * w)
    x = square / (long * long)
    wide = 1 + jnp.sqrt(1 + x)
    terms = 21 if w.dtype == np.float64 else 9
    series = _series(x / (wide * wide), [(-1) ** k / (2 * k + 1) for k in range(terms)])
    return jax.lax.optimization_barrier(8 * series / (long * wide))


@angle_factor.defjvp
def _angle_factor_jvp(
    primals: tuple[Scalars, Scalars], tangents: tuple[Scalars, Scalars]
) -> tuple[Scalars, Scalars]:
    """With f the factor: -f^3 d / 2 in n^2, where d = (t - sin t) / t^3, and -2 / |q|^2 in w."""
    (square, w), (step, step_w) = primals, tangents
    factor = angle_factor(square, w)
    length = square + w * w
    near, low, high = _split(factor * factor * square)
    series = _series(low, _cubic(low))
    d = jnp.where(near, series, (1 - 2 * w / (length * factor)) / high)
    return factor, -(factor**3) * d / 2 * step - 2 / length * step_w
