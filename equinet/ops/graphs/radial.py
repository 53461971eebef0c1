"""Radial bases on [0, cutoff] and the envelope that ends them smoothly."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops._chebyshev import chebyshev_polynomials
from equinet.precision import floating, read_only


def polynomial_envelope(
    distances: Float[Array, "..."], cutoff: float, p: int = 6
) -> Float[Array, "..."]:
    r"""Polynomial that falls from 1 at zero to 0 at the cutoff.

    With :math:`x = r / r_c`,
    :math:`u(x) = 1 - \frac{(p+1)(p+2)}{2} x^p + p(p+2) x^{p+1} - \frac{p(p+1)}{2} x^{p+2}`
    for x < 1, else 0; u, u' and u'' vanish at the cutoff.

    Args:
        distances: Distances, in the unit of ``cutoff``.
        cutoff: Where the envelope ends.
        p: Order, at least 2: the higher, the later the fall.

    Returns:
        Envelope of every distance.

    Raises:
        ValueError: If ``cutoff`` is not positive or ``p`` is less than 2.

    References:
        Gasteiger, Gross, Guennemann, arXiv:2003.03123 (2020), eq. 8.

    >>> print(polynomial_envelope(jnp.array([0.0, 5.0, 7.0]), 5.0))
    [1. 0. 0.]
    """
    _check_cutoff(cutoff)
    distances = floating(distances)
    if p < 2:
        raise ValueError(f"the order p of the envelope must be at least 2, got {p}")
    x = distances / cutoff
    # 1 - x^p (a - x (b - c x)): Horner's form keeps the cancellation at x = 1 small.
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    x = jnp.where(x < 1, x, 1)
    return jnp.where(x < 1, 1 - x**p * (a - x * (b - c * x)), 0)


def bessel_basis(
    distances: Float[Array, "..."], cutoff: float, num_basis: int
) -> Float[Array, "... {num_basis}"]:
    r"""Spherical Bessel functions of order zero that vanish at the cutoff.

    :math:`b_n(r) = \sqrt{2 / r_c}\, \sin(n \pi r / r_c) / r`; finite, with every
    derivative, at r = 0.

    Args:
        distances: Distances, in the unit of ``cutoff``.
        cutoff: Where every function has a zero.
        num_basis: Number of functions, n = 1..num_basis.

    Returns:
        ``[..., num_basis]``.

    Raises:
        ValueError: If ``cutoff`` or ``num_basis`` is not positive.

    References:
        Gasteiger, Gross, Guennemann, arXiv:2003.03123 (2020), eq. 7.

    >>> print(np.asarray(bessel_basis(jnp.array([0.0, 1.0]), 2.0, 2)).round(4) + 0.0)
    [[1.5708 3.1416]
     [1.     0.    ]]
    """
    _check_cutoff(cutoff)
    distances = floating(distances)
    if num_basis < 1:
        raise ValueError(f"num_basis must be at least 1, got {num_basis}")
    order = jnp.arange(1, num_basis + 1, dtype=distances.dtype)
    frequency = order.reshape((1,) * distances.ndim + (-1,)) / cutoff
    # jnp.sinc(x) = sin(pi x) / (pi x) has exact derivatives of every order at zero.
    scale = math.sqrt(2 / cutoff) * math.pi
    return scale * frequency * jnp.sinc(frequency * distances[..., None])


def gaussian_basis(
    distances: Float[Array, "..."], cutoff: float, num_basis: int
) -> Float[Array, "... {num_basis}"]:
    r"""Gaussians at equal distances, :math:`g_n(r) = \exp(-(r - \mu_n)^2 / 2 \sigma^2)`.

    The centres run from 0 to the cutoff and :math:`\sigma` is their distance.

    Args:
        distances: Distances, in the unit of ``cutoff``.
        cutoff: Centre of the last Gaussian.
        num_basis: Number of functions, at least 2.

    Returns:
        ``[..., num_basis]``.

    Raises:
        ValueError: If ``cutoff`` is not positive or ``num_basis`` is less than 2.

    >>> print(gaussian_basis(jnp.array([0.0]), 4.0, 3).round(2))
    [[1.   0.61 0.14]]
    """
    _check_cutoff(cutoff)
    distances = floating(distances)
    if num_basis < 2:
        raise ValueError(f"num_basis must be at least 2, got {num_basis}")
    width = cutoff / (num_basis - 1)
    centres = width * jnp.arange(num_basis, dtype=distances.dtype)
    offset = distances[..., None] - centres.reshape((1,) * distances.ndim + (-1,))
    return jnp.exp(-0.5 * (offset / width) ** 2)


def chebyshev_basis(
    distances: Float[Array, "..."], cutoff: float, num_basis: int
) -> Float[Array, "... {num_basis}"]:
    r"""Chebyshev polynomials :math:`T_n(x)`, n = 0..num_basis-1, of :math:`x = 2 r / r_c - 1`.

    Args:
        distances: Distances within [0, cutoff].
        cutoff: End of the interval.
        num_basis: Number of polynomials, at least 2.

    Returns:
        ``[..., num_basis]``.

    Raises:
        ValueError: If ``cutoff`` is not positive or ``num_basis`` is less than 2.

    >>> print(chebyshev_basis(jnp.array([0.0, 1.0, 2.0]), 2.0, 3))
    [[ 1. -1.  1.]
     [ 1.  0. -1.]
     [ 1.  1.  1.]]
    """
    _check_cutoff(cutoff)
    distances = floating(distances)
    if num_basis < 2:
        raise ValueError(f"num_basis must be at least 2, got {num_basis}")
    x = distances * (2 / cutoff) - 1
    return jnp.stack(chebyshev_polynomials(x, num_basis), axis=-1)


@functools.cache
def chebyshev_interpolation(
    degree: int,
) -> tuple[Float[np.ndarray, "{degree}"], Float[np.ndarray, "{degree} {degree}"]]:
    """Chebyshev nodes on [0, 1] and the matrix from values there to coefficients.

    The polynomial with the coefficients ``matrix @ f(nodes)`` equals f at the nodes.

    Args:
        degree: Number of nodes and of coefficients.

    Returns:
        Nodes ``[degree]`` and matrix ``[degree, degree]``, read-only float64.

    >>> nodes, matrix = chebyshev_interpolation(2)
    >>> (matrix @ (2 * nodes - 1)).round(12).tolist()  # the coefficients of T_1
    [0.0, 1.0]
    """
    angles = (np.arange(degree) + 0.5) * np.pi / degree
    matrix = 2 / degree * np.cos(np.outer(np.arange(degree), angles))
    matrix[0] /= 2
    nodes = (np.cos(angles) + 1) / 2
    return read_only(nodes), read_only(matrix)


def _check_cutoff(cutoff: float) -> None:
    if not cutoff > 0:
        raise ValueError(f"cutoff must be positive, got {cutoff}")
