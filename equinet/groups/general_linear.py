"""Invertible matrices: GL+(n), with positive determinant, and SL(n), with determinant one."""

import abc
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups import decompositions
from equinet.groups.matrix_lie_group import MatrixLieGroup, candidates
from equinet.groups.orthogonal import SO, check_dimension
from equinet.linalg import small_matrices as small
from equinet.precision import at_least_float32, floating, read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key, Matrix, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class PolarGroup(MatrixLieGroup, abc.ABC):
    """Groups of matrices g = P R that contain their polar factors P and R.

    P is symmetric positive definite and R a rotation. The base of GL+(n), SL(n), the scalings and
    the similitudes: the factors are sampled one after the other, and their logarithms are
    coordinates of the whole group. A subclass defines ``lie_algebra``, ``contains`` and
    ``_project``.
    """

    n: int

    def __post_init__(self) -> None:
        check_dimension(type(self).__name__, self.n)

    @property
    def has_rotations(self) -> bool:
        """Whether the rotations of space are in the group; if not, R is the identity."""
        return True

    @property
    def symmetric_dim(self) -> int:
        """Number of dimensions of the symmetric elements log P."""
        rotations = len(SO(self.n).lie_algebra()) if self.has_rotations else 0
        return len(self.lie_algebra()) - rotations

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element."""
        return self.n

    @abc.abstractmethod
    def _project(self, symmetric: Matrix) -> Matrix:
        """The part of symmetric matrices that lies in the Lie algebra."""

    def sample(
        self,
        key: Key,
        shape: Shape = (),
        dtype: DTypeLike | None = None,
        *,
        scale: float = 0.5,
    ) -> Matrix:
        """P R: log P normal and isotropic among the symmetric elements, R of Haar measure.

        Args:
            key: A random key.
            shape: Batch axes.
            dtype: The dtype of the result.
            scale: Standard deviation of log P along every direction of norm one.
        """
        dtype = jnp.result_type(float if dtype is None else dtype)
        wide = at_least_float32(dtype)
        spd_key, rotation_key = jax.random.split(key)
        noise = normal(spd_key, (*shape, self.n, self.n), wide)
        symmetric = self._project((noise + jnp.swapaxes(noise, -1, -2)) / 2)
        spd = small.expm(scale * symmetric)
        if not self.has_rotations:
            return spd.astype(dtype)
        rotation = SO(self.n).sample(rotation_key, shape, wide)
        return small.matmul(spd, rotation).astype(dtype)

    def log_sample_density(self, g: Matrix, *, scale: float = 0.5) -> Float[Array, "..."]:
        """Log density of ``sample`` with respect to Haar measure.

        The mean of f(g) exp(-density) over samples estimates the integral of f over the group, for
        the Haar measure that is dX dR at the identity (see ``polar_log_density``).

        Args:
            g: Elements ``[..., n, n]``.
            scale: The scale that ``sample`` was called with.

        Example:
            >>> from equinet.groups import GLPlus
            >>> group = GLPlus(2)
            >>> group.log_sample_density(group.sample(jax.random.key(0), (5,))).shape
            (5,)
        """
        spd, _ = decompositions.polar(floating(g))
        x = self._log_spd(spd)
        gaussian = -(x * x).sum((-2, -1)) / (2 * scale**2)
        constant = -self.symmetric_dim * math.log(scale * math.sqrt(2 * math.pi))
        return gaussian + constant - decompositions.polar_log_density(x)

    def polar_coordinates(self, g: Matrix) -> Float[Array, "... d"]:
        """Coordinates vee(log P + log R) for g = P R, which exist on the whole group.

        Smooth except where R is a rotation by pi; near the identity they agree to first order with
        the coordinates of the exponential.

        Args:
            g: Elements ``[..., n, n]``.

        Returns:
            Coordinates ``[..., d]``.

        Raises:
            ValueError: If a determinant is not positive; under jit the result is NaN.

        Example:
            >>> from equinet.groups import SL
            >>> group = SL(2)
            >>> v = group.polar_coordinates(jnp.asarray([[-2.0, 0.0], [0.0, -0.5]]))
            >>> print(group.from_polar_coordinates(v).round(4) + 0.0)  # exp alone misses it
            [[-2.   0. ]
             [ 0.  -0.5]]
        """
        spd, rotation = decompositions.polar(floating(g))
        group = SO(self.n)
        return self.vee(self._log_spd(spd) + group.hat(group._log_coordinates(rotation)))

    def from_polar_coordinates(self, v: Float[Array, "... d"]) -> Matrix:
        """exp(X) exp(W), X and W the symmetric and antisymmetric parts of hat(v)."""
        algebra = self.hat(v)
        spd = small.expm((algebra + algebra.mT) / 2)
        return small.matmul(spd, SO(self.n).exp((algebra - algebra.mT) / 2))

    def _log_spd(self, spd: Matrix) -> Matrix:
        """The symmetric logarithm of positive definite matrices; smooth."""
        from equinet.groups.general_linear import GLPlus  # which imports this module

        group = GLPlus(self.n)
        return self._project(group.hat(group._log_coordinates(spd)))


@dataclasses.dataclass(frozen=True, repr=False)
class GLPlus(PolarGroup):
    """The group GL+(n) of real n by n matrices with positive determinant, ``[..., n, n]``.

    Samples are exp(X) R: X symmetric and normal with standard deviation ``scale``, R a Haar
    rotation.

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
        return small.determinant(g) > 0

    def _project(self, symmetric: Matrix) -> Matrix:
        return symmetric


@dataclasses.dataclass(frozen=True, repr=False)
class SL(PolarGroup):
    """The special linear group SL(n): real n by n matrices with determinant one, ``[..., n, n]``.

    Samples are exp(X) R: X symmetric without trace and normal with standard deviation ``scale``, R
    a Haar rotation.

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
        return jnp.abs(small.determinant(g) - 1) <= atol * size

    def _project(self, symmetric: Matrix) -> Matrix:
        trace = jnp.trace(symmetric, axis1=-2, axis2=-1)[..., None, None] / self.n
        one = jnp.broadcast_to(jnp.eye(self.n, dtype=symmetric.dtype), symmetric.shape)
        return symmetric - trace * one


@functools.lru_cache
def _traceless_basis(n: int) -> Float[np.ndarray, "d n n"]:
    off = [(i, j) for i in range(n) for j in range(n) if i != j]
    basis = np.zeros((n * n - 1, n, n))
    for matrix, index in zip(basis, off, strict=False):
        matrix[index] = 1
    for k in range(1, n):
        diagonal = np.zeros(n)
        diagonal[:k], diagonal[k] = 1, -k
        basis[len(off) + k - 1] = np.diag(diagonal / np.sqrt(k * (k + 1)))
    return read_only(basis)
