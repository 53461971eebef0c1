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

    Planes whose sine is below rounding have none: any pairing of their axes will do. The others are
    found in two steps, because singular values far below the largest are lost in its square. In
    each the rest is cut off by exact zeros, or it would drown the second step.
    """
    frame, direction = small.eye_like(sine), jnp.zeros_like(sine)
    for _ in range(2):
        both = (inside[..., :, None] & inside[..., None, :]).astype(sine.dtype)
        part = small.matmul(frame.mT, small.matmul(sine, frame)) * both
        part = (part - part.mT) / 2
        size = jnp.sqrt((part * part).sum((-2, -1), keepdims=True))
        part = part / jnp.where(size > 0, size, 1.0)
        # What is outside gets the eigenvalue 4; the others are at most 1, each plane twice.
        other = 4 * small.eye_like(sine) * (1 - inside[..., None, :].astype(sine.dtype))
        squares, vectors = jnp.linalg.eigh(small.matmul(part.mT, part) + other)
        squares = jnp.repeat(squares[..., 1::2], 2, axis=-1)
        tiny = squares < 1e3 * float(jnp.finfo(sine.dtype).eps)
        known = ~tiny & (squares < 2)
        weights = jnp.where(known, jax.lax.rsqrt(jnp.where(known, squares, 1.0)), 0.0)
        turn = small.matmul(vectors * weights[..., None, :], vectors.mT) * both
        direction += small.matmul(frame, small.matmul(small.matmul(part, turn), frame.mT))
        frame, inside = small.matmul(frame, vectors), tiny
    both = (inside[..., :, None] & inside[..., None, :]).astype(sine.dtype)
    quarter = np.kron(np.eye(sine.shape[-1] // 2), [[0.0, -1.0], [1.0, 0.0]])
    turn = jnp.broadcast_to(jnp.asarray(quarter, sine.dtype), sine.shape) * both
    return direction + small.matmul(frame, small.matmul(turn, frame.mT))
