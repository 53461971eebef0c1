"""Coefficients and scales of the pointwise product of functions on the sphere."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.products._paths import (
    blocks,
    coupling_paths,
    obeys_triangle_rule,
    path_degrees,
    spread_copies,
    variance_scales,
)
from equinet.precision import read_only
from equinet.reps import Irreps


def gaunt_coefficient(l1: int, l2: int, l3: int) -> float:
    r"""The integral of three harmonics in terms of the Clebsch-Gordan block of norm one.

    .. math:: |G| = \sqrt{(2l_1+1)(2l_2+1)(2l_3+1)}\; \Big|\begin{pmatrix} l_1 & l_2 & l_3 \\
              0 & 0 & 0 \end{pmatrix}\Big|

    for harmonics of mean square one on the sphere; zero where the sum of the degrees is odd.

    >>> gaunt_coefficient(1, 1, 1), gaunt_coefficient(2, 0, 2)
    (0.0, 2.23606797749979)
    """
    total = l1 + l2 + l3
    if total % 2 or not obeys_triangle_rule(l1, l2, l3):
        return 0.0
    f, g = math.factorial, total // 2
    square = math.prod(f(total - 2 * l) for l in (l1, l2, l3)) / f(total + 1)
    threej = math.sqrt(square) * (f(g) / math.prod(f(g - l) for l in (l1, l2, l3)))
    return threej * math.sqrt((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1))


def split_weights(weights: Array, reps: tuple[Irreps, ...]) -> list[Array]:
    """The weights of the factors and of the result, which follow each other on axis -2."""
    ends = np.cumsum([len(blocks(rep)) for rep in reps])[:-1].tolist()
    return jnp.split(weights, ends, axis=-2)


@functools.cache
def gaunt_scale(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> Float[np.ndarray, "dim_out 1"]:
    """Scales for outputs of variance one from independent inputs of variance one."""
    reps = rep1, rep2, rep_out
    paths = coupling_paths(*reps, even=True)
    sizes = [gaunt_coefficient(*degrees) for degrees in path_degrees(paths, *reps)]
    return read_only(spread_copies(rep_out, variance_scales(rep_out, paths, sizes)))
