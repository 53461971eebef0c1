"""Symmetries of space-time: the proper Lorentz group and the full one."""

import abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equinet.groups.closed_forms import entries, long_quaternion
from equinet.groups.matrix_lie_group import FormGroup
from equinet.groups.orthogonal import SO
from equinet.linalg import small_matrices as small
from equinet.precision import HIGHEST, at_least_float32, floating, read_only
from equinet.random import normal
from equinet.typing import DTypeLike, Key, Matrix, Shape


class _LorentzBase(FormGroup, abc.ABC):
    """Common base of the two Lorentz groups: the metric and the Lie algebra."""

    @property
    def form(self) -> Float[np.ndarray, "4 4"]:
        """The metric diag(1, -1, -1, -1), time first."""
        return _metric()

    def lie_algebra(self) -> Float[np.ndarray, "6 4 4"]:
        """The boosts along x, y, z, then the rotations about x, y, z."""
        return _lorentz_basis()

    def _logarithm(self, g: Matrix) -> Matrix:
        return _lorentz_logarithm(g)

    def _has_log(self, g: Matrix, atol: float) -> Bool[Array, "..."]:
        return FormGroup.contains(self, g, atol) & _proper(g)

    def _sample_proper(self, key: Key, shape: Shape, dtype: DTypeLike, scale: float) -> Matrix:
        boost_key, rotation_key = jax.random.split(key)
        rapidity = scale * normal(boost_key, (*shape, 3), dtype)
        rotation = SO(3).sample(rotation_key, shape, dtype)
        widths = [(0, 0)] * len(shape) + [(1, 0), (1, 0)]
        rotation = jnp.pad(rotation, widths)
        corner = jnp.asarray(np.diag([1.0, 0.0, 0.0, 0.0]), rotation.dtype)
        return small.matmul(boost(rapidity), rotation + jnp.broadcast_to(corner, rotation.shape))


@dataclasses.dataclass(frozen=True, repr=False)
class Lorentz(_LorentzBase):
    """The proper orthochronous Lorentz group SO+(1, 3): boosts and rotations, ``[..., 4, 4]``.

    The matrices with g^T F g = F for F = diag(1, -1, -1, -1), g[0, 0] > 0 and determinant one.
    Vectors are (t, x, y, z) in units where the speed of light is 1. Samples are a boost with normal
    rapidity times a Haar rotation.

    Example:
        >>> g = Lorentz().sample(jax.random.key(0))
        >>> bool(Lorentz().contains(g)), bool(g[0, 0] >= 1)
        (True, True)
    """

    def sample(
        self,
        key: Key,
        shape: Shape = (),
        dtype: DTypeLike | None = None,
        *,
        scale: float = 0.5,
    ) -> Matrix:
        """A boost after a Haar rotation; rapidities are normal, ``scale`` along every axis."""
        dtype = jnp.result_type(float if dtype is None else dtype)
        return self._sample_proper(key, shape, at_least_float32(dtype), scale).astype(dtype)

    def contains(self, g: Matrix, atol: float | None = None) -> Bool[Array, "..."]:
        """Whether g keeps the metric, the direction of time and the orientation."""
        kept = super().contains(g, atol)
        return kept & _proper(floating(g)) if jnp.shape(g)[-2:] == (4, 4) else kept


@dataclasses.dataclass(frozen=True, repr=False)
class FullLorentz(_LorentzBase):
    """The full Lorentz group O(1, 3): with parity and time reversal, ``[..., 4, 4]``.

    Example:
        >>> parity, reversal = FullLorentz().discrete_generators()
        >>> parity.diagonal(), reversal.diagonal()
        (array([ 1., -1., -1., -1.]), array([-1.,  1.,  1.,  1.]))
    """

    def discrete_generators(self) -> Float[np.ndarray, "2 4 4"]:
        """Parity and time reversal."""
        return np.stack([_metric(), -_metric()])

    def sample(
        self,
        key: Key,
        shape: Shape = (),
        dtype: DTypeLike | None = None,
        *,
        scale: float = 0.5,
    ) -> Matrix:
        """As ``Lorentz``, after parity and time reversal with probability 1/2 each."""
        dtype = jnp.result_type(float if dtype is None else dtype)
        key, sign_key = jax.random.split(key)
        g = self._sample_proper(key, shape, at_least_float32(dtype), scale)
        time, space = 2 * jax.random.bernoulli(sign_key, shape=(2, *shape)).astype(g.dtype) - 1
        signs = jnp.stack([time, space, space, space], -1)
        return (g * signs[..., None, :]).astype(dtype)


def boost(rapidity: Float[Array, "... 3"]) -> Matrix:
    """The boosts with these rapidity vectors: exp of the sum of the boost generators.

    For rapidity r u with a unit vector u it is [[cosh r, sinh r u^T], [sinh r u, 1 + (cosh r - 1)
    u u^T]]; smooth at zero.

    Args:
        rapidity: Vectors ``[..., 3]``.

    Returns:
        Matrices ``[..., 4, 4]``.

    Example:
        >>> print(boost(jnp.asarray([1.0, 0.0, 0.0]))[0])
        [1.5430807 1.1752012 0.        0.       ]
    """
    rapidity = floating(rapidity)
    square = (rapidity * rapidity).sum(-1)[..., None]
    near = square < 1e-2
    safe = jnp.where(near, 1.0, square)
    r = jnp.sqrt(safe)
    # sinh r / r and (cosh r - 1) / r^2 with their series at zero.
    ratio = jnp.where(near, _series(square, 3), jnp.sinh(r) / r)
    curve = jnp.where(near, _series(square, 4) / 2, 2 * jnp.sinh(r / 2) ** 2 / safe)
    corner = 1 + square * curve
    first = jnp.concatenate([corner, ratio * rapidity], -1)[..., None, :]
    outer = rapidity[..., :, None] * rapidity[..., None, :]
    one = jnp.broadcast_to(jnp.eye(3, dtype=rapidity.dtype), outer.shape)
    rest = jnp.concatenate([(ratio * rapidity)[..., None], one + curve[..., None] * outer], -1)
    return jnp.concatenate([first, rest], -2)


def _series(x: Float[Array, "..."], first: int, terms: int = 6) -> Float[Array, "..."]:
    """1 + x / (first - 1) first + ...: each term divides by the next two integers."""
    total = jnp.ones_like(x)
    for k in reversed(range(terms)):
        a = first - 1 + 2 * k
        total = 1 + total * x / (a * (a + 1))
    return total


def _proper(g: Matrix) -> Bool[Array, "..."]:
    """Whether transformations that keep the metric keep time's direction and the orientation.

    The determinant of the block of space is that of g times g[0, 0], and less lost to rounding.
    """
    g = g.astype(at_least_float32(g.dtype))
    return (g[..., 0, 0] > 0) & (small.determinant(g[..., 1:, 1:]) > 0)


@jax.jit
def _lorentz_logarithm(g: Matrix) -> Matrix:
    r"""The logarithm of a boost times a rotation by their complex quaternion; not differentiable.

    With the rapidity :math:`\rho` and the rotation vector :math:`\omega` of the logarithm, the
    complex vector :math:`\zeta = \rho - i \omega` has the quaternion

    .. math:: c_0 = \cosh(z / 2), \quad \vec c = \frac{\sinh(z / 2)}{z} \zeta,
              \quad z^2 = \zeta \cdot \zeta,

    which is the product of the quaternions of the boost and of the rotation. Their half angles need
    square roots of the entries only, so that large rapidities, of which e^(-rapidity) is far below
    rounding beside e^rapidity, lose no accuracy.

    Args:
        g: Proper orthochronous transformations ``[..., 4, 4]``.
    """
    energy, momentum = g[..., 0, 0], g[..., 1:, 0]
    outer = momentum[..., :, None] * g[..., 0, None, 1:]
    rotation = g[..., 1:, 1:] - outer / (1 + energy)[..., None, None]
    real, vector = long_quaternion(entries(rotation))
    quaternion = jnp.stack([real, *vector], -1)
    quaternion = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    cosh = jnp.sqrt((energy + 1) / 2)
    sinh = momentum / (2 * cosh)[..., None]
    real, vector = quaternion[..., 0], quaternion[..., 1:]
    dot = (sinh * vector).sum(-1)
    first = jax.lax.complex(cosh * real, -dot)
    rest = jax.lax.complex(
        sinh * real[..., None] + jnp.cross(sinh, vector), -cosh[..., None] * vector
    )
    square = (rest * rest).sum(-1)
    root = jnp.sqrt(square)
    is_null = root == 0
    half = jnp.log1p(root + square / (1 + first))
    factor = jnp.where(is_null, 1, half / jnp.where(is_null, 1, root))
    zeta = 2 * factor[..., None] * rest
    coordinates = jnp.concatenate([zeta.real, -zeta.imag], -1)
    basis = jnp.asarray(_lorentz_basis(), g.dtype)
    return jnp.einsum("...d,dij->...ij", coordinates, basis, precision=HIGHEST)


@functools.lru_cache
def _metric() -> Float[np.ndarray, "4 4"]:
    return read_only(np.diag([1.0, -1.0, -1.0, -1.0]))


@functools.lru_cache
def _lorentz_basis() -> Float[np.ndarray, "6 4 4"]:
    basis = np.zeros((6, 4, 4))
    axes = np.arange(3)
    basis[axes, 0, 1 + axes] = basis[axes, 1 + axes, 0] = 1
    basis[3:, 1:, 1:] = SO(3).lie_algebra()
    return read_only(basis)
