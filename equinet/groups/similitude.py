"""Scalings of space, and similitudes: scalings together with rotations."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.general_linear import PolarGroup
from equinet.groups.matrix_lie_group import candidates, differs
from equinet.groups.orthogonal import SO
from equinet.linalg import small_matrices as small
from equinet.precision import read_only
from equinet.typing import Matrix


@dataclasses.dataclass(frozen=True, repr=False)
class Scalings(PolarGroup):
    """The group of positive multiples s 1 of the identity, elements ``[..., n, n]``.

    Samples have a normal log s: its norm sqrt(n) log s has the standard deviation ``scale``.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> len(Scalings(2).lie_algebra()), bool(Scalings(2).contains(-jnp.eye(2)))
        (1, False)
    """

    @property
    def has_rotations(self) -> bool:
        """False: R is the identity."""
        return False

    def lie_algebra(self) -> Float[np.ndarray, "1 n n"]:
        """The identity, of norm one."""
        return _identity_basis(self.n)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether each is a positive multiple of the identity."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        factor = jnp.trace(g, axis1=-2, axis2=-1) / self.n
        positive = factor > 0
        unit = g / jnp.where(positive, factor, 1.0)[..., None, None]
        return positive & ~differs(unit, np.eye(self.n), atol)

    def _project(self, symmetric: Matrix) -> Matrix:
        return _trace_part(symmetric)


@dataclasses.dataclass(frozen=True, repr=False)
class Similitudes(PolarGroup):
    """The group of positive multiples s R of rotations, which keep angles; ``[..., n, n]``.

    Samples have a Haar R and a normal log s: sqrt(n) log s has the standard deviation ``scale``.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> group = Similitudes(2)
        >>> bool(group.contains(jnp.asarray([[0.0, -3.0], [3.0, 0.0]])))
        True
        >>> bool(group.contains(jnp.asarray([[1.0, 0.0], [0.0, 3.0]])))
        False
    """

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """The identity, of norm one, then the algebra of the rotations."""
        return _similitude_basis(self.n)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether g over the n-th root of its determinant is a rotation."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        determinant = small.determinant(g)
        positive = determinant > 0
        factor = jnp.where(positive, determinant, 1.0) ** (1 / self.n)
        return positive & SO(self.n).contains(g / factor[..., None, None], atol)

    def _project(self, symmetric: Matrix) -> Matrix:
        return _trace_part(symmetric)


def _trace_part(symmetric: Matrix) -> Matrix:
    trace = jnp.trace(symmetric, axis1=-2, axis2=-1)[..., None, None] / symmetric.shape[-1]
    return trace * jnp.broadcast_to(small.eye_like(symmetric), symmetric.shape)


@functools.lru_cache
def _identity_basis(n: int) -> Float[np.ndarray, "1 n n"]:
    return read_only(np.eye(n)[None] / np.sqrt(n))


@functools.lru_cache
def _similitude_basis(n: int) -> Float[np.ndarray, "d n n"]:
    return read_only(np.concatenate([_identity_basis(n), SO(n).lie_algebra()]))
