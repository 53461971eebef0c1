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

    Planes whose sine is below rounding have none: what is added far below rounding decides.
    Newton's iteration, scaled by norms, takes them all to one in a dozen steps.
    """
    both = (inside[..., :, None] & inside[..., None, :]).astype(sine.dtype)
    quarter = np.kron(np.eye(sine.shape[-1] // 2), [[0.0, -1.0], [1.0, 0.0]])
    quarter = jnp.broadcast_to(jnp.asarray(quarter, sine.dtype), sine.shape)
    tiny = 1e-3 * float(jnp.finfo(sine.dtype).eps)

    def step(_: int, x: Matrix) -> Matrix:
        back = small.inverse(x)
        sizes = [jnp.sqrt((y * y).sum((-2, -1), keepdims=True)) for y in (back, x)]
        scale = jnp.sqrt(sizes[0] / sizes[1])
        x = (scale * x - back / scale) / 2  # the inverse transposed is minus the inverse
        return (x - x.mT) / 2

    start = (sine - sine.mT) / 2 * both + quarter * jnp.where(both > 0, tiny, 1.0)
    return jax.lax.fori_loop(0, 16, step, start) * both
