"""Motions of n-dimensional space: a linear group together with the translations."""

import abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.closed_forms import MOTIONS, ClosedForm, se3_adjoint
from equinet.groups.matrix_lie_group import MatrixLieGroup, candidates, differs
from equinet.groups.orthogonal import SO, O, check_dimension
from equinet.groups.subgroup import check_linear
from equinet.linalg import small_matrices as small
from equinet.precision import floating, read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key, Matrix, PointCloud, Shape


class SemidirectGroup(MatrixLieGroup, abc.ABC):
    """Translations of R^n together with a linear group H: homogeneous matrices ``[..., n+1, n+1]``.

    The element with linear part A and translation t is ``[[A, t], [0, 1]]``. It sends a point x to
    A x + t and a direction v to A v: the representations of the group are those of H.
    """

    @property
    @abc.abstractmethod
    def linear_group(self) -> MatrixLieGroup:
        """The group H of linear parts."""

    @property
    def vector_dim(self) -> int:
        """Dimension n of the space that the group acts on."""
        return self.linear_group.vector_dim

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element: n + 1."""
        return self.vector_dim + 1

    @property
    def is_orthogonal(self) -> bool:
        """Whether the group H of linear parts is orthogonal."""
        return self.linear_group.is_orthogonal

    def linear_part(self, g: Matrix) -> Matrix:
        """The linear parts A ``[..., n, n]`` of elements ``[..., n + 1, n + 1]``."""
        return floating(g)[..., :-1, :-1]

    def translation(self, g: Matrix) -> PointCloud:
        """The translations t ``[..., n]`` of elements ``[..., n + 1, n + 1]``."""
        return floating(g)[..., :-1, -1]

    def homogeneous(self, linear: Matrix, translation: PointCloud) -> Matrix:
        """The elements with these linear parts ``[..., n, n]`` and translations ``[..., n]``."""
        linear, translation = floating(linear), floating(translation)
        batch = jnp.broadcast_shapes(linear.shape[:-2], translation.shape[:-1])
        n, dtype = self.vector_dim, linear.dtype
        linear = jnp.broadcast_to(linear, (*batch, n, n))
        column = jnp.broadcast_to(translation.astype(dtype), (*batch, n))[..., None]
        last = jnp.broadcast_to(jnp.eye(n + 1, dtype=dtype)[-1:], (*batch, 1, n + 1))
        return jnp.concatenate([jnp.concatenate([linear, column], -1), last], -2)

    def inverse(self, g: Matrix) -> Matrix:
        """The motion back: linear part A^-1, translation -A^-1 t."""
        back = self.linear_group.inverse(self.linear_part(g))
        return self.homogeneous(back, -small.apply(back, self.translation(g)))

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Matrix:
        """Linear parts as H samples them, translations from the standard normal distribution."""
        linear_key, translation_key = jax.random.split(key)
        linear = self.linear_group.sample(linear_key, shape, dtype)
        size = (*shape, self.vector_dim)
        return self.homogeneous(linear, normal(translation_key, size, linear.dtype))

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the linear part is in H and the last row is (0, ..., 0, 1)."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.matrix_dim, self.matrix_dim):
            return jnp.zeros(g.shape[:-2], bool)
        projective = differs(g[..., -1, :], np.eye(self.matrix_dim)[-1], atol)
        return self.linear_group.contains(self.linear_part(g), atol) & ~projective

    def act(self, g: Matrix, points: PointCloud) -> PointCloud:
        """Moves points ``[..., n]`` to A x + t; batch axes broadcast."""
        rotated = super().act(g, points)
        shift = self.translation(g).astype(rotated.dtype)
        return rotated + jnp.broadcast_to(shift, rotated.shape)

    def lie_algebra(self) -> Float[np.ndarray, "d n+1 n+1"]:
        """The n translations, then the basis of the Lie algebra of H."""
        return _semidirect_basis(self)

    def discrete_generators(self) -> Float[np.ndarray, "k n+1 n+1"]:
        """The discrete generators of H, without translation."""
        return _embed(np.asarray(self.linear_group.discrete_generators()), 1.0)

    def _logarithm(self, g: Matrix) -> Matrix:
        """[[A, r], [0, 0]]: A the logarithm of the linear part, phi1(A) r the translation."""
        linear = self.linear_group._logarithm(self.linear_part(g))
        inverse = small.inverse(small.phi1(linear))
        algebra = self.homogeneous(linear, small.apply(inverse, self.translation(g)))
        corner = jnp.asarray(np.diag([0.0] * self.vector_dim + [1.0]), algebra.dtype)
        return algebra - jnp.broadcast_to(corner, algebra.shape)


@dataclasses.dataclass(frozen=True, repr=False)
class E(SemidirectGroup):
    """The Euclidean group E(n): rotations, reflections and translations.

    Elements are ``[[R, t], [0, 1]]`` with R in O(n), of shape ``[..., n + 1, n + 1]``. They send a
    point x to R x + t and a vector v to R v. Samples have a Haar R and a standard normal t.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> inversion = E(3).discrete_generators()[0]
        >>> E(3).act(inversion, jnp.asarray([1.0, 2.0, 3.0]))
        Array([-1., -2., -3.], dtype=float32)
    """

    n: int

    def __post_init__(self) -> None:
        check_dimension("E", self.n)

    @property
    def linear_group(self) -> O:
        """The group O(n) of the linear parts of the motions."""
        return O(self.n)

    @property
    def closed_form(self) -> ClosedForm | None:
        """Formulas for n = 2 and 3."""
        return MOTIONS.get(self.n)

    def _has_log(self, g: Matrix, atol: float) -> Bool[Array, "..."]:
        return SE(self.n)._has_log(g, atol)


@dataclasses.dataclass(frozen=True, repr=False)
class SE(SemidirectGroup):
    """The special Euclidean group SE(n): rotations and translations.

    Elements are ``[[R, t], [0, 1]]`` with R in SO(n), of shape ``[..., n + 1, n + 1]``. They send a
    point x to R x + t and a vector v to R v. Samples have a Haar R and a standard normal t.

    Args:
        n: Dimension of the space.

    Raises:
        ValueError: If ``n`` is not a positive integer.

    Example:
        >>> SE(3).lie_algebra().shape, SE(3).linear_group
        ((6, 4, 4), SO(3))
    """

    n: int

    def __post_init__(self) -> None:
        check_dimension("SE", self.n)

    @property
    def linear_group(self) -> SO:
        """The group SO(n) of the linear parts of the motions."""
        return SO(self.n)

    @property
    def closed_form(self) -> ClosedForm | None:
        """Formulas for n = 2 and 3."""
        return MOTIONS.get(self.n)

    def adjoint(self, g: Matrix) -> Float[Array, "... d d"]:
        """For n = 3 [[R, [t]x R], [0, R]], where t is the translation."""
        return se3_adjoint(floating(g)) if self.n == 3 else super().adjoint(g)


@dataclasses.dataclass(frozen=True, repr=False)
class Affine(SemidirectGroup):
    """The affine group R^n semidirect H: linear maps of H and translations.

    Elements are ``[[A, t], [0, 1]]`` with A in H, of shape ``[..., n + 1, n + 1]``. Samples have an
    A as H samples it and a standard normal t.

    Args:
        group: The group H of linear parts, e.g. ``GLPlus(2)``.

    Raises:
        ValueError: If ``group`` is not a group of matrices that acts linearly.

    Example:
        >>> from equinet.groups import SL
        >>> Affine(SL(2)), Affine(SL(2)).lie_algebra().shape
        (Affine(SL(2)), (5, 3, 3))
    """

    group: MatrixLieGroup

    def __post_init__(self) -> None:
        check_linear("Affine", self.group)

    @property
    def linear_group(self) -> MatrixLieGroup:
        """The group H of the linear parts."""
        return self.group


def _embed(linear: Float[np.ndarray, "k n n"], corner: float) -> Float[np.ndarray, "k n+1 n+1"]:
    matrices = np.pad(linear, ((0, 0), (0, 1), (0, 1)))
    matrices[:, -1, -1] = corner
    return matrices


@functools.lru_cache
def _semidirect_basis(group: SemidirectGroup) -> Float[np.ndarray, "d n+1 n+1"]:
    n = group.vector_dim
    translations = np.zeros((n, n + 1, n + 1))
    translations[np.arange(n), np.arange(n), -1] = 1.0
    return read_only(np.concatenate([translations, _embed(group.linear_group.lie_algebra(), 0.0)]))
