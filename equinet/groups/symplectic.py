"""Symplectic matrices: Sp(n)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equinet.groups.matrix_lie_group import FormGroup
from equinet.precision import HIGHEST, at_least_float32, read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key, Matrix, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class Sp(FormGroup):
    """The real symplectic group Sp(n): n by n matrices that keep the form [[0, 1], [-1, 0]].

    Coordinates are positions first, then momenta: n is even.

    Args:
        n: Number of rows, even.

    Raises:
        ValueError: If ``n`` is not an even positive integer.

    Example:
        >>> group = Sp(4)
        >>> g = group.sample(jax.random.key(0))
        >>> bool(group.contains(g)), len(group.lie_algebra())
        (True, 10)
    """

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"Sp(n) needs an even integer n >= 2, got {self.n!r}, e.g. Sp(4)")
        if self.n % 2:
            raise ValueError(
                f"Sp(n) needs an even n (positions and momenta), got {self.n}; "
                f"nearest: Sp({self.n + 1})"
            )

    @property
    def form(self) -> Float[np.ndarray, "n n"]:
        """The matrix J = [[0, 1], [-1, 0]]."""
        return _symplectic_form(self.n)

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """[[a, b], [c, -a^T]] with symmetric b and c; orthonormal, n (n + 1) / 2 of them."""
        return _symplectic_basis(self.n)

    def sample(
        self,
        key: Key,
        shape: Shape = (),
        dtype: DTypeLike | None = None,
        *,
        scale: float = 0.5,
    ) -> Matrix:
        """P R: P the exponential of a normal symmetric element, R Haar on the unitary part.

        Args:
            key: A random key.
            shape: Batch axes.
            dtype: The dtype of the result.
            scale: Standard deviation of log P in an orthonormal basis.
        """
        dtype = jnp.result_type(float if dtype is None else dtype)
        wide = at_least_float32(dtype)
        k = self.n // 2
        spd_key, rotation_key = jax.random.split(key)
        a, b = jnp.moveaxis(normal(spd_key, (*shape, 2, k, k), wide), -3, 0)
        # Symmetrising halves the variance of entries off the diagonal, so that this is isotropic;
        # every entry stands twice in the matrix.
        a, b = ((m + jnp.swapaxes(m, -1, -2)) / 2 for m in (a, b))
        spd = self.exp(scale * _blocks(a, b, b, -a) / np.sqrt(2).astype(wide))
        x, y = jnp.moveaxis(normal(rotation_key, (*shape, 2, k, k), wide), -3, 0)
        # The polar factor of a complex Gaussian matrix is Haar on U(k), here written as reals.
        left, _, right = jnp.linalg.svd(_blocks(x, y, -y, x))
        rotation = jnp.matmul(left, right, precision=HIGHEST)
        return jnp.matmul(spd, rotation, precision=HIGHEST).astype(dtype)


def _blocks(a: Matrix, b: Matrix, c: Matrix, d: Matrix) -> Matrix:
    return jnp.concatenate([jnp.concatenate([a, b], -1), jnp.concatenate([c, d], -1)], -2)


@functools.lru_cache
def _symplectic_form(n: int) -> Float[np.ndarray, "n n"]:
    return read_only(np.kron([[0.0, 1.0], [-1.0, 0.0]], np.eye(n // 2)))


@functools.lru_cache
def _symplectic_basis(n: int) -> Float[np.ndarray, "d n n"]:
    k, basis = n // 2, []
    for i in range(k):
        for j in range(k):
            a = np.zeros((n, n))
            a[i, j], a[k + j, k + i] = 1, -1
            basis.append(a)
    for row, column in ((0, k), (k, 0)):
        for i in range(k):
            for j in range(i, k):
                b = np.zeros((n, n))
                b[row + i, column + j] = b[row + j, column + i] = 1
                basis.append(b)
    return read_only(np.stack([b / np.linalg.norm(b) for b in basis]))
