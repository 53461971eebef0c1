"""The logarithm of rotations in any dimension, up to and at half turns."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from equinet.groups import small
from equinet.typing import Matrix


@jax.jit
def rotation_logarithm(g: Matrix) -> Matrix:
    """An antisymmetric logarithm of rotations in any dimension, at pi too; not differentiable.

    Let V be the space of the planes that turn by more than some angle. There -g turns by little,
    and g = exp(pi J) (-g), where J is the direction of turning: J^2 = -1 on V. Off V the ordinary
    logarithm serves. Planes that turn by pi to rounding have no direction: any will do.

    Args:
        g: Rotations ``[..., n, n]``.

    Returns:
        Antisymmetric matrices, with norms of planes up to pi.
    """
    n = g.shape[-1]
    cosine, sine = (g + g.mT) / 2, (g - g.mT) / 2
    values, vectors = jnp.linalg.eigh(cosine)  # ascending, each plane twice
    pairs = n // 2
    # By pairs, so that no plane is split; the angle is an odd one, unlikely between two equal ones.
    far = jnp.repeat(values[..., : 2 * pairs : 2] < np.cos(2.3971), 2, axis=-1)
    inside = vectors[..., : 2 * pairs] * far[..., None, :].astype(g.dtype)
    inner = _direction(small.matmul(inside.mT, small.matmul(sine, inside)), far)
    direction = small.matmul(inside, small.matmul(inner, inside.mT))
    projector = small.matmul(inside, inside.mT)
    near = small.matmul(g, small.eye_like(g) - 2 * projector)
    log = small.logm(near) + np.asarray(np.pi, g.dtype) * direction
    return (log - log.mT) / 2


def _direction(sine: Matrix, inside: Bool[Array, "... m"]) -> Matrix:
    """J with J^2 = -1 on the coordinates ``inside``: the polar factor of the antisymmetric sine.

    Planes whose sine is below rounding have none; the others are found in two steps, because
    singular values far below the largest are lost in its square.
    """
    left = small.eye_like(sine) * inside[..., None, :].astype(sine.dtype)
    direction = jnp.zeros_like(sine)
    for _ in range(2):
        part = small.matmul(left, small.matmul(sine, left))
        size = jnp.sqrt((part * part).sum((-2, -1), keepdims=True))
        part = part / jnp.where(size > 0, size, 1.0)
        # What is not left gets the eigenvalue 4; the others are at most 1, each plane twice.
        other = 4 * (small.eye_like(sine) - left)
        squares, vectors = jnp.linalg.eigh(small.matmul(part.mT, part) + other)
        squares = jnp.repeat(squares[..., 1::2], 2, axis=-1)
        tiny = squares < 1e3 * float(jnp.finfo(sine.dtype).eps)
        known = ~tiny & (squares < 2)
        weights = jnp.where(known, jax.lax.rsqrt(jnp.where(known, squares, 1.0)), 0.0)
        direction += small.matmul(part, small.matmul(vectors * weights[..., None, :], vectors.mT))
        left = small.matmul(vectors * tiny[..., None, :].astype(sine.dtype), vectors.mT)
    values, vectors = jnp.linalg.eigh(left)
    vectors = vectors * (values > 0.5)[..., None, :].astype(sine.dtype)
    x, y = vectors[..., 0::2], vectors[..., 1::2]
    half_turns = small.matmul(x, y.mT)
    return direction + half_turns - half_turns.mT
