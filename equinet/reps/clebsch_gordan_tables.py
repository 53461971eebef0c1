"""Clebsch-Gordan coefficients and rotation generators of SO(3) in the real basis of e3nn.

The complex coefficients are square roots of rational numbers: they are computed with Python
integers and rounded once, so a table is accurate to a few units in the last place at every degree.
"""

import functools
import math

import numpy as np
from jaxtyping import Complex, Float

from equinet.precision import read_only


@functools.lru_cache(4096)
def clebsch_gordan(l1: int, l2: int, l3: int) -> Float[np.ndarray, "{2*l1+1} {2*l2+1} {2*l3+1}"]:
    r"""The equivariant bilinear map from degrees ``l1`` and ``l2`` to degree ``l3``.

    For every rotation the table ``C`` satisfies

    .. math:: \sum_{ij} C_{ijk} D^{l_1}_{ii'} D^{l_2}_{jj'} = \sum_{k'} D^{l_3}_{kk'} C_{i'j'k'}

    with the order (degree 1 is x, y, z) and signs of e3nn, and Frobenius norm 1 (e3nn's
    ``wigner_3j``, e3nn-jax's ``clebsch_gordan``). Triples off the triangle rule give zeros.

    Args:
        l1: Degree of the first factor.
        l2: Degree of the second factor.
        l3: Degree of the result.

    Returns:
        A read-only, cached float64 table: cast it with an explicit dtype where it is used.

    Raises:
        ValueError: If a degree is negative.

    References:
        G. Racah, Theory of Complex Spectra II, Phys. Rev. 62 (1942), eq. 16.

    Example:
        >>> clebsch_gordan(1, 1, 1)[0, 1].round(4)  # x cross y is along z
        array([0.    , 0.    , 0.4082])
    """
    _check_degrees(l1, l2, l3)
    q1, q2, q3 = (_real_to_complex(l) for l in (l1, l2, l3))
    table = np.einsum("ijk,ia->ajk", _complex_clebsch_gordan(l1, l2, l3), q1)
    table = np.einsum("ajk,jb->abk", table, q2)
    real = np.einsum("abk,kc->abc", table, q3.conj()).real
    # The smallest coefficient that is not zero stays far above this for every degree in use.
    return read_only(np.where(np.abs(real) < 1e-14, 0.0, real))


@functools.lru_cache(4096)
def so3_generators(l: int) -> Float[np.ndarray, "3 {2*l+1} {2*l+1}"]:
    r"""Antisymmetric generators ``X`` of the rotations about x, y and z at degree ``l``.

    The rotation by the vector :math:`\omega` (axis times angle) acts as
    :math:`\exp(\sum_a \omega_a X_a)`, and :math:`[X_x, X_y] = X_z`. By the Wigner-Eckart theorem
    ``X`` is the table (1, l, l) rescaled.

    Args:
        l: The degree.

    Returns:
        A read-only, cached float64 table.

    Raises:
        ValueError: If the degree is negative.

    Example:
        >>> so3_generators(1)[2].round(12) + 0.0
        array([[ 0., -1.,  0.],
               [ 1.,  0.,  0.],
               [ 0.,  0.,  0.]])
    """
    scale = math.sqrt(l * (l + 1) * (2 * l + 1)) if l >= 0 else 0.0
    return read_only(np.ascontiguousarray(scale * clebsch_gordan(1, l, l).swapaxes(1, 2)))


def complex_clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l3: int) -> float:
    """The coefficient of Condon and Shortley over ``sqrt(2 l3 + 1)``: a 3j symbol up to sign.

    Zero off the triangle rule. The root of a rational number, rounded once.

    >>> round(complex_clebsch_gordan(1, 1, 1, -1, 0) ** 2, 12)
    0.333333333333
    """
    m3 = m1 + m2
    if not abs(l1 - l2) <= l3 <= l1 + l2 or abs(m1) > l1 or abs(m2) > l2 or abs(m3) > l3:
        return 0.0
    f = math.factorial
    a, b, c = l1 + l2 - l3, l3 + l1 - l2, l3 - l1 + l2
    terms = range(max(0, l2 - l3 - m1, l1 - l3 + m2), min(a, l1 - m1, l2 + m2) + 1)
    total = sum(
        (-1) ** k * math.comb(a, k) * math.comb(b, l1 - m1 - k) * math.comb(c, l2 + m2 - k)
        for k in terms
    )
    weight = f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2) * f(l3 - m3) * f(l3 + m3)
    value = math.sqrt(total * total * weight / (f(l1 + l2 + l3 + 1) * f(a) * f(b) * f(c)))
    return math.copysign(value, total)


def _complex_clebsch_gordan(l1: int, l2: int, l3: int) -> Float[np.ndarray, "m1 m2 m3"]:
    """All coefficients of three degrees."""
    table = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            table[l1 + m1, l2 + m2, l3 + m1 + m2] = complex_clebsch_gordan(l1, m1, l2, m2, l3)
    return table


def _real_to_complex(l: int) -> Complex[np.ndarray, "{2*l+1} {2*l+1}"]:
    """Rows: complex m; columns: real m. The phase (-i)^l makes the real coefficients real."""
    q = np.zeros((2 * l + 1, 2 * l + 1), np.complex128)
    q[l, l] = 1.0
    for m in range(1, l + 1):
        q[l - m, [l + m, l - m]] = math.sqrt(0.5), -1j * math.sqrt(0.5)
        q[l + m, [l + m, l - m]] = (-1) ** m * math.sqrt(0.5), 1j * (-1) ** m * math.sqrt(0.5)
    return (1, -1j, -1, 1j)[l % 4] * q


def _check_degrees(*degrees: int) -> None:
    if min(degrees) < 0:
        raise ValueError(f"degrees must be integers >= 0, got {degrees}")
