"""Invertible matrices: GL+(n), with positive determinant, and SL(n), with determinant one."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.group import candidates, read_only
from equinet.groups.polar_group import PolarGroup
from equinet.typing import Matrix


@dataclasses.dataclass(frozen=True, repr=False)
class GLPlus(PolarGroup):
    """The group GL+(n) of real n by n matrices with positive determinant.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> bool(GLPlus(2).contains(2 * jnp.eye(2))), bool(SL(2).contains(2 * jnp.eye(2)))
        (True, False)
    """

    def lie_algebra(self) -> Float[np.ndarray, "n*n n n"]:
        """All matrices: one entry is 1, row by row."""
        return read_only(np.eye(self.n**2).reshape(-1, self.n, self.n))

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the determinant is positive: above ``-atol`` is not enough."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        return jnp.linalg.det(g) > 0

    def _project(self, symmetric: Matrix) -> Matrix:
        return symmetric


@dataclasses.dataclass(frozen=True, repr=False)
class SL(PolarGroup):
    """The special linear group SL(n): real n by n matrices with determinant one.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> len(SL(3).lie_algebra())
        8
    """

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """Matrices without trace, orthonormal: one entry off the diagonal, then diagonal ones."""
        return _traceless_basis(self.n)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the determinant is one; ``atol`` grows with the product of the row norms."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        size = jnp.maximum(jnp.sqrt((g * g).sum(-1)).prod(-1), 1)
        return jnp.abs(jnp.linalg.det(g) - 1) <= atol * size

    def _project(self, symmetric: Matrix) -> Matrix:
        trace = jnp.trace(symmetric, axis1=-2, axis2=-1)[..., None, None] / self.n
        one = jnp.broadcast_to(jnp.eye(self.n, dtype=symmetric.dtype), symmetric.shape)
        return symmetric - trace * one


@functools.cache
def _traceless_basis(n: int) -> Float[np.ndarray, "d n n"]:
    off = [(i, j) for i in range(n) for j in range(n) if i != j]
    basis = np.zeros((n * n - 1, n, n))
    for matrix, place in zip(basis, off, strict=False):
        matrix[place] = 1
    for k in range(1, n):
        diagonal = np.zeros(n)
        diagonal[:k], diagonal[k] = 1, -k
        basis[len(off) + k - 1] = np.diag(diagonal / np.sqrt(k * (k + 1)))
    return read_only(basis)
