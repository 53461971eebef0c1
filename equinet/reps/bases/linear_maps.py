"""Families of linear maps between two axes: what an equivariant basis is made of."""

import abc
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from equinet.chunks import map_chunks, rows_per_chunk
from equinet.precision import HIGHEST

Kernel = Float[Array, "rows columns ..."]
Weights = Float[Array, "dim channels_in channels_out"]


class Maps(abc.ABC):
    """``dim`` linearly independent maps from an axis of ``columns`` entries to one of ``rows``."""

    dim: int
    rows: int
    columns: int

    @abc.abstractmethod
    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """The matrices."""

    @abc.abstractmethod
    def norms(self) -> Float[np.ndarray, "dim"]:
        """The squared Frobenius norms."""

    @abc.abstractmethod
    def apply(
        self, x: Float[Array, "... columns channels_in"], weights: Weights
    ) -> Float[Array, "... rows channels_out"]:
        """The sum over b of the matrices B_b on the axis -2 and the weights w_b on the axis -1."""

    @abc.abstractmethod
    def each(
        self, x: Float[Array, "... columns channels"]
    ) -> Float[Array, "... rows {self.dim}*channels"]:
        """Every map by itself, side by side on the channel axis: first all channels of map 0."""

    @abc.abstractmethod
    def project(self, kernel: Kernel) -> Kernel:
        """The orthogonal projection of matrices onto the span of the maps."""


class IdentityMaps(Maps):
    """The one map between two copies of an irrep."""

    def __init__(self, size: int) -> None:
        self.dim, self.rows, self.columns = 1, size, size

    def dense(self) -> Float[np.ndarray, "1 size size"]:
        """The identity matrix."""
        return np.eye(self.rows)[None]

    def norms(self) -> Float[np.ndarray, "1"]:
        """The size."""
        return np.array([float(self.rows)])

    def apply(self, x: Array, weights: Weights) -> Array:
        """The channels mixed."""
        return jnp.matmul(x, weights[0])

    def each(self, x: Array) -> Array:
        """The input itself."""
        return x

    def project(self, kernel: Kernel) -> Kernel:
        """The trace, over the size, times the identity."""
        mean = jnp.trace(kernel) / self.rows
        eye = jnp.eye(self.rows, dtype=kernel.dtype)
        return eye.reshape(self.rows, self.rows, *(1,) * mean.ndim) * mean[None, None]


class DenseMaps(Maps):
    """Maps given as matrices that are orthonormal: those of a numerical null space."""

    def __init__(self, table: Float[np.ndarray, "dim rows columns"]) -> None:
        self.dim, self.rows, self.columns = table.shape
        self._table = table

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """The table itself."""
        return self._table

    def norms(self) -> Float[np.ndarray, "dim"]:
        """Ones."""
        return np.ones(self.dim)

    def apply(self, x: Array, weights: Weights) -> Array:
        """Through one matrix of rows and columns with channels, or map by map: what is cheaper."""
        _, channels_in, channels_out = weights.shape
        table = jnp.asarray(self._table, x.dtype)
        batch = math.prod(x.shape[:-2])
        kernel = self.dim * channels_in * channels_out * self.rows * self.columns
        kernel += batch * self.rows * self.columns * channels_in * channels_out
        stages = batch * self.dim * self.rows * channels_in * (self.columns + channels_out)
        if kernel <= stages:
            return _through_kernel(
                x, jnp.einsum("boi,bcd->icod", table, weights, precision=HIGHEST)
            )
        return jnp.matmul(self.each(x), weights.reshape(-1, channels_out))

    def each(self, x: Array) -> Array:
        """One product with the matrices of all maps."""
        table = jnp.asarray(self._table, x.dtype)
        moved = jnp.einsum("boi,...ic->...obc", table, x, precision=HIGHEST)
        return moved.reshape(*moved.shape[:-2], self.dim * x.shape[-1])

    def project(self, kernel: Kernel) -> Kernel:
        """Q (Q^T W)."""
        table = jnp.asarray(self._table, kernel.dtype)
        inner = jnp.einsum("boi,oi...->b...", table, kernel, precision=HIGHEST)
        return jnp.einsum("boi,b...->oi...", table, inner, precision=HIGHEST)


class OrbitMaps(Maps):
    """Maps between permutation reps of a finite group: one for each orbit of pairs of indices.

    Args:
        labels: The orbit of every pair, numbered from 0.
    """

    def __init__(self, labels: Int[np.ndarray, "rows columns"]) -> None:
        self.rows, self.columns = labels.shape
        self._labels = labels.astype(np.int32)
        self._sizes = np.bincount(labels.ravel()).astype(np.float64)
        self.dim = len(self._sizes)

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """One on the orbit, zero elsewhere."""
        return (self._labels == np.arange(self.dim)[:, None, None]).astype(np.float64)

    def norms(self) -> Float[np.ndarray, "dim"]:
        """The sizes of the orbits."""
        return self._sizes

    def apply(self, x: Array, weights: Weights) -> Array:
        """Through the matrix whose entries the orbits share, a few of its rows at a time."""
        _, channels_in, channels_out = weights.shape
        per_row = self.columns * channels_in * channels_out * x.dtype.itemsize

        def rows(labels: Int[Array, "chunk columns"]) -> Float[Array, "chunk ... channels_out"]:
            y = _through_kernel(x, jnp.transpose(weights[labels], (1, 2, 0, 3)))
            return jnp.moveaxis(y, -2, 0)

        y = map_chunks(rows, rows_per_chunk(self.rows, per_row), jnp.asarray(self._labels))
        return jnp.moveaxis(y, 0, -2)

    def each(self, x: Array) -> Array:
        """The sums over the entries of each orbit in each row."""
        *batch, _, channels = x.shape
        flat = jnp.moveaxis(x, -2, 0).reshape(self.columns, -1)

        def rows(labels: Int[Array, "chunk columns"]) -> Float[Array, "chunk dim entries"]:
            chosen = labels[:, None] == np.arange(self.dim, dtype=np.int32)[None, :, None]
            return jnp.einsum("rki,ie->rke", chosen.astype(x.dtype), flat, precision=HIGHEST)

        per_row = self.dim * self.columns * x.dtype.itemsize
        y = map_chunks(rows, rows_per_chunk(self.rows, per_row), jnp.asarray(self._labels))
        y = jnp.moveaxis(y.reshape(self.rows, self.dim, *batch, channels), (0, 1), (-3, -2))
        return y.reshape(*batch, self.rows, self.dim * channels)

    def project(self, kernel: Kernel) -> Kernel:
        """The mean over each orbit."""
        flat = kernel.reshape(-1, *kernel.shape[2:])
        sums = jax.ops.segment_sum(flat, self._labels.ravel(), self.dim)
        sizes = jnp.asarray(self._sizes, kernel.dtype).reshape(-1, *(1,) * (sums.ndim - 1))
        return (sums / sizes)[self._labels]


class KroneckerMaps(Maps):
    """All Kronecker products of the maps of several factors, the last factor counting fastest."""

    def __init__(self, factors: Sequence[Maps]) -> None:
        self._first, *rest = factors
        self._rest = rest[0] if len(rest) == 1 else KroneckerMaps(rest) if rest else None
        self.dim = math.prod(maps.dim for maps in factors)
        self.rows = math.prod(maps.rows for maps in factors)
        self.columns = math.prod(maps.columns for maps in factors)

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """The Kronecker products."""
        if self._rest is None:
            return self._first.dense()
        product = np.einsum("aij,bkl->abikjl", self._first.dense(), self._rest.dense())
        return product.reshape(self.dim, self.rows, self.columns)

    def norms(self) -> Float[np.ndarray, "dim"]:
        """The products."""
        if self._rest is None:
            return self._first.norms()
        return np.outer(self._first.norms(), self._rest.norms()).ravel()

    def apply(self, x: Array, weights: Weights) -> Array:
        """Each map of the first factor by itself, then those of the others with the weights."""
        if self._rest is None:
            return self._first.apply(x, weights)
        first, rest = self._first, self._rest
        mixed = weights.reshape(first.dim, rest.dim, *weights.shape[1:])
        mixed = jnp.swapaxes(mixed, 0, 1).reshape(rest.dim, -1, weights.shape[-1])
        y = rest.apply(self._each_of_first(x), mixed)
        return y.reshape(*y.shape[:-3], self.rows, weights.shape[-1])

    def each(self, x: Array) -> Array:
        """Each map of the first factor, then each of the others."""
        if self._rest is None:
            return self._first.each(x)
        first, rest, channels = self._first, self._rest, x.shape[-1]
        y = rest.each(self._each_of_first(x))
        y = y.reshape(*y.shape[:-3], self.rows, rest.dim, first.dim, channels)
        return jnp.swapaxes(y, -3, -2).reshape(*y.shape[:-3], self.dim * channels)

    def _each_of_first(self, x: Array) -> Float[Array, "... first.rows rest.columns channels"]:
        x = x.reshape(*x.shape[:-2], self._first.columns, -1, x.shape[-1])
        return jnp.swapaxes(self._first.each(jnp.swapaxes(x, -3, -2)), -3, -2)

    def project(self, kernel: Kernel) -> Kernel:
        """One factor after the other."""
        if self._rest is None:
            return self._first.project(kernel)
        first, rest, tail = self._first, self._rest, kernel.shape[2:]
        kernel = kernel.reshape(first.rows, rest.rows, first.columns, rest.columns, *tail)
        kernel = first.project(jnp.swapaxes(kernel, 1, 2))
        kernel = rest.project(jnp.moveaxis(kernel, (0, 1), (2, 3)))
        kernel = jnp.moveaxis(kernel, (2, 3), (0, 2))
        return kernel.reshape(self.rows, self.columns, *tail)


class SignedPermutedMaps(Maps):
    """Maps between axes whose entries are permuted, with signs, by an isomorphism of reps.

    Args:
        maps: The maps M.
        outputs: (index, signs) of P in P M Q; None where it is the identity. Row i of P has its
            sign in column ``index[i]``.
        inputs: Those of Q.
    """

    def __init__(
        self,
        maps: Maps,
        outputs: tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows"]] | None,
        inputs: tuple[Int[np.ndarray, "columns"], Float[np.ndarray, "columns"]] | None,
    ) -> None:
        self._maps, self._outputs, self._inputs = maps, outputs, inputs
        self.dim, self.rows, self.columns = maps.dim, maps.rows, maps.columns

    def dense(self) -> Float[np.ndarray, "dim rows columns"]:
        """P M Q."""
        table = self._maps.dense()
        if self._outputs is not None:
            index, signs = self._outputs
            table = table[:, index] * signs[:, None]
        if self._inputs is not None:
            index, signs = self._inputs
            inverse = np.argsort(index)
            table = table[:, :, inverse] * signs[inverse]
        return table

    def norms(self) -> Float[np.ndarray, "dim"]:
        """Those of the maps."""
        return self._maps.norms()

    def apply(self, x: Array, weights: Weights) -> Array:
        """Q, then M, then P."""
        y = self._maps.apply(_signed_take(x, self._inputs, -2), weights)
        return _signed_take(y, self._outputs, -2)

    def each(self, x: Array) -> Array:
        """Q, then each M, then P."""
        return _signed_take(self._maps.each(_signed_take(x, self._inputs, -2)), self._outputs, -2)

    def project(self, kernel: Kernel) -> Kernel:
        """P (the projection of P^T W Q^T) Q."""
        kernel = _signed_take(kernel, _inverse(self._outputs), 0)
        kernel = _signed_take(kernel, self._inputs, 1)
        kernel = self._maps.project(kernel)
        kernel = _signed_take(kernel, self._outputs, 0)
        return _signed_take(kernel, _inverse(self._inputs), 1)


_Signed = tuple[np.ndarray, np.ndarray] | None


def _signed_take(x: Array, which: _Signed, axis: int) -> Array:
    if which is None:
        return x
    index, signs = which
    shape = [1] * x.ndim
    shape[axis] = len(signs)
    return jnp.take(x, index, axis=axis) * jnp.asarray(signs, x.dtype).reshape(shape)


def _inverse(which: _Signed) -> _Signed:
    if which is None:
        return None
    index, signs = which
    inverse = np.argsort(index).astype(np.int32)
    return inverse, signs[inverse]


def _through_kernel(
    x: Array, kernel: Float[Array, "columns channels_in rows channels_out"]
) -> Array:
    columns, channels_in, rows, channels_out = kernel.shape
    flat = x.reshape(*x.shape[:-2], columns * channels_in)
    y = jnp.matmul(flat, kernel.reshape(columns * channels_in, -1), precision=HIGHEST)
    return y.reshape(*y.shape[:-1], rows, channels_out)


def kronecker_signed(parts: Sequence[_Signed], sizes: Sequence[int]) -> _Signed:
    """The signed permutation of a tensor product, from those of its factors (None: identity)."""
    if all(part is None for part in parts):
        return None
    filled = [
        (np.arange(size), np.ones(size)) if part is None else part
        for part, size in zip(parts, sizes, strict=True)
    ]
    index, signs = functools.reduce(
        lambda a, b: (
            (a[0][:, None] * len(b[0]) + b[0]).ravel(),
            np.outer(a[1], b[1]).ravel(),
        ),
        filled,
    )
    return index.astype(np.int32), signs
