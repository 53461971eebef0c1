"""Subgroups that move some axes of a space and leave the others alone."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.matrix_lie_group import MatrixLieGroup, candidates, differs
from equinet.precision import HIGHEST, floating, read_only
from equinet.typing import DTypeLike, Key, Matrix, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class OnAxes(MatrixLieGroup):
    """A matrix group H that acts on some axes of R^n and as the identity on the others.

    ``OnAxes(O(2), 3, (0, 1))`` is the subgroup of O(3) that keeps the z axis pointwise.

    Args:
        group: The group H of k by k matrices.
        n: Dimension of the whole space.
        axes: The k axes, in the order in which H counts them.

    Raises:
        ValueError: If ``group`` is not a group of matrices, or the axes are not k different ones.

    Example:
        >>> from equinet.groups import O
        >>> OnAxes(O(2), 3, (0, 1)).lie_algebra()[0]
        array([[ 0., -1.,  0.],
               [ 1.,  0.,  0.],
               [ 0.,  0.,  0.]])
    """

    group: MatrixLieGroup
    n: int
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        check_linear("OnAxes", self.group)
        object.__setattr__(self, "axes", tuple(int(axis) for axis in self.axes))
        k = self.group.matrix_dim
        if (
            len(self.axes) != k
            or len(set(self.axes)) != k
            or not set(self.axes) <= set(range(self.n))
        ):
            raise ValueError(
                f"got axes {self.axes} of {self.n}; {self.group} needs {k} different "
                f"ones from 0 to {self.n - 1}"
            )

    @property
    def matrix_dim(self) -> int:
        """Number of rows of an element: n."""
        return self.n

    @property
    def is_orthogonal(self) -> bool:
        """Whether H is orthogonal."""
        return self.group.is_orthogonal

    def embed(self, h: Matrix) -> Matrix:
        """The elements ``[..., n, n]`` that H's elements ``[..., k, k]`` are."""
        rest = np.eye(self.n) - self._choice @ self._choice.T
        whole = self._embed(h)
        return whole + jnp.broadcast_to(jnp.asarray(rest, whole.dtype), whole.shape)

    def restrict(self, g: Matrix) -> Matrix:
        """The block ``[..., k, k]`` on the axes: the inverse of ``embed``."""
        g = floating(g)
        choice = jnp.asarray(self._choice, g.dtype)
        return jnp.einsum("na,...nm,mb->...ab", choice, g, choice, precision=HIGHEST)

    def inverse(self, g: Matrix) -> Matrix:
        """The inverse in H."""
        return self.embed(self.group.inverse(self.restrict(g)))

    def sample(self, key: Key, shape: Shape = (), dtype: DTypeLike | None = None) -> Matrix:
        """Elements of H as H samples them, on the axes."""
        return self.embed(self.group.sample(key, shape, dtype))

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether the block on the axes lies in H and the rest is the identity."""
        g, atol = candidates(g, atol)
        if g.shape[-2:] != (self.n, self.n):
            return jnp.zeros(g.shape[:-2], bool)
        block = self.restrict(g)
        rest = g - self._embed(block)
        outside = differs(rest, np.eye(self.n) - self._choice @ self._choice.T, atol)
        return self.group.contains(block, atol) & ~outside

    def lie_algebra(self) -> Float[np.ndarray, "d n n"]:
        """The basis of H on the axes, zero elsewhere."""
        return _embedded_basis(self)

    def discrete_generators(self) -> Float[np.ndarray, "k n n"]:
        """The discrete generators of H, on the axes."""
        rest = np.eye(self.n) - self._choice @ self._choice.T
        blocks = np.asarray(self.group.discrete_generators())
        return self._choice @ blocks @ self._choice.T + rest

    def exp_coordinates(self, v: Float[Array, "... d"]) -> Matrix:
        """The exponential in H."""
        return self.embed(self.group.exp_coordinates(v))

    def exp(self, algebra: Matrix) -> Matrix:
        """The exponential in H."""
        return self.embed(self.group.exp(self.restrict(algebra)))

    def left_jacobian(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The left Jacobian of H, whose coordinates the subgroup shares."""
        return self.group.left_jacobian(v)

    def left_jacobian_inverse(self, v: Float[Array, "... d"]) -> Float[Array, "... d d"]:
        """The inverse of the left Jacobian of H."""
        return self.group.left_jacobian_inverse(v)

    def adjoint(self, g: Matrix) -> Float[Array, "... d d"]:
        """The adjoint matrices of H."""
        return self.group.adjoint(self.restrict(g))

    def _log_coordinates(self, g: Matrix) -> Float[Array, "... d"]:
        return self.group._log_coordinates(self.restrict(g))

    def _has_log(self, g: Matrix, atol: float) -> Bool[Array, "..."]:
        return self.contains(g, atol) & self.group._has_log(self.restrict(g), atol)

    def _embed(self, h: Matrix) -> Matrix:
        h = floating(h)
        choice = jnp.asarray(self._choice, h.dtype)
        return jnp.einsum("na,...ab,mb->...nm", choice, h, choice, precision=HIGHEST)

    @property
    def _choice(self) -> Float[np.ndarray, "n k"]:
        """Column a is the unit vector of the a-th axis."""
        return np.eye(self.n)[:, list(self.axes)]


def check_linear(name: str, group: object) -> None:
    """Raises the ``ValueError`` of a construction that needs a group of linear maps."""
    if not isinstance(group, MatrixLieGroup) or group.matrix_dim != group.vector_dim:
        raise ValueError(
            f"{name} needs a group of matrices that acts linearly, got {group!r}; "
            "O(n), SO(n), GLPlus(n), SL(n), Sp(n) and Lorentz() are"
        )


@functools.lru_cache
def _embedded_basis(group: OnAxes) -> Float[np.ndarray, "d n n"]:
    return read_only(group._choice @ group.group.lie_algebra() @ group._choice.T)
