"""Wigner matrices of rotation matrices: no angles, so no singular points."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from equinet.reps.tilt import tilt_matrices
from equinet.reps.tilt import wigner_table as wigner_table


def wigner_d(l: int, rotation: Float[Array, "... 3 3"]) -> Float[Array, "... {2*l+1} {2*l+1}"]:
    """The matrix by which a rotation acts on degree ``l``, in the real basis of e3nn.

    Every derivative along the rotations is finite and continuous where the value is, at the
    identity and at rotations by pi too. A reflection gets the parity of the spherical harmonics,
    (-1)^l times the matrix of the rotation that is left without the inversion.

    Args:
        l: The degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        Orthogonal matrices of the same dtype. For several degrees of one rotation
        ``wigner_matrices`` shares the work.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> turn = jnp.asarray([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> wigner_d(2, turn).shape, bool(jnp.allclose(wigner_d(1, turn), turn))
        ((5, 5), True)
    """
    return wigner_matrices(l, rotation)[l]


def wigner_matrices(
    lmax: int, rotation: Float[Array, "... 3 3"]
) -> tuple[Float[Array, "..."], ...]:
    r"""The Wigner matrices of all degrees 0 to ``lmax``.

    .. math:: D^l(R) = Z^l(\alpha)\, T^l(e), \qquad e = R^T y, \quad R = R_y(\alpha)\, T(e)

    with the tilt T(e) that takes e to the polar axis y by at most a right angle, and the roll Z
    that is left. Both are polynomials in the entries of ``rotation`` and the cosine of half an
    angle of at most a right angle: no chart has a singular point.

    Args:
        lmax: The largest degree.
        rotation: Orthogonal matrices, with any batch axes.

    Returns:
        A tuple whose entry ``l`` has the shape ``[..., 2*l+1, 2*l+1]``.

    Raises:
        ValueError: If the degree is negative or the matrices are not 3 by 3.

    Example:
        >>> [d.shape for d in wigner_matrices(2, jnp.eye(3))]
        [(1, 1), (3, 3), (5, 5)]
    """
    rotation = jnp.asarray(rotation)
    if lmax < 0:
        raise ValueError(f"the degree must be an integer >= 0, got {lmax}")
    if rotation.shape[-2:] != (3, 3):
        raise ValueError(f"rotations must have the shape [..., 3, 3], got {rotation.shape}")
    if lmax < 2:
        return (jnp.ones((*rotation.shape[:-2], 1, 1), rotation.dtype), rotation)[: lmax + 1]
    flat = rotation.reshape(-1, 3, 3)
    sign = jnp.where(jnp.linalg.det(flat) < 0, -1, 1).astype(flat.dtype)
    # The middle row is the direction that goes to the polar axis y: what is left is a roll about y.
    tilts = tilt_matrices(lmax, flat[:, 1] * sign[:, None], lmax)
    cosine, sine = _roll(flat * sign[:, None, None], tilts[1])
    matrices = []
    for l, tilt in enumerate(tilts):
        cosines, sines = _multiples(l, cosine, sine)
        matrix = cosines * tilt + sines * tilt[:, ::-1]
        matrix = matrix * sign[:, None, None] if l % 2 else matrix
        matrices.append(matrix.reshape(*rotation.shape[:-2], 2 * l + 1, 2 * l + 1))
    return (matrices[0], rotation, *matrices[2:])


def _roll(rotation: Array, tilt: Array) -> tuple[Array, Array]:
    """Cosine and sine of the angle about y by which a rotation exceeds the tilt."""
    x, z = rotation[:, 0], rotation[:, 2]
    return jnp.sum(z * tilt[:, 2], -1), jnp.sum(x * tilt[:, 2], -1)


def _multiples(l: int, cosine: Array, sine: Array) -> tuple[Array, Array]:
    """Factors of the rows m and -m that turn degree l about the polar axis: [n, 2 l + 1, 1]."""
    cosines, sines = [jnp.ones_like(cosine)], [jnp.zeros_like(sine)]
    for _ in range(l):
        c, s = cosines[-1], sines[-1]
        cosines.append(c * cosine - s * sine)
        sines.append(s * cosine + c * sine)
    both = jnp.stack(cosines[:0:-1] + cosines, 1), jnp.stack(sines[:0:-1] + [-s for s in sines], 1)
    return both[0][..., None], both[1][..., None]
