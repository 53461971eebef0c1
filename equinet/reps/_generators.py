"""Sparse float64 matrices of the generators of a group in a representation."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
import scipy.sparse

Sparse = Any  # a scipy.sparse.csr_array, which has no type information


@functools.lru_cache(256)
def lie_matrices(rep: Any) -> tuple[Sparse, ...]:
    """The matrices of the basis of the Lie algebra."""
    return rep._lie_matrices()


@functools.lru_cache(256)
def discrete_matrices(rep: Any) -> tuple[Sparse, ...]:
    """The matrices of the discrete generators."""
    return rep._discrete_matrices()


def evaluate(function: Callable[..., Any], arguments: Any) -> tuple[Sparse, ...]:
    """The values of a JAX function of stacked elements, in float64 and outside of any trace."""
    if not len(jax.tree.leaves(arguments)[0]):
        return ()
    cpu = jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True), jax.ensure_compile_time_eval(), jax.default_device(cpu):
        wide = jax.tree.map(
            lambda a: jax.numpy.asarray(np.asarray(a, np.float64 if a.dtype.kind == "f" else None)),
            arguments,
        )
        matrices = np.asarray(function(wide), np.float64)
    return tuple(scipy.sparse.csr_array(matrix) for matrix in matrices)


def kronecker_products(parts: Iterable[tuple[Sparse, ...]]) -> tuple[Sparse, ...]:
    """The Kronecker product of the factors' matrices, for every generator."""
    return tuple(functools.reduce(_kron, row) for row in zip(*parts, strict=True))


def kronecker_sums(parts: Iterable[tuple[Sparse, ...]]) -> tuple[Sparse, ...]:
    """The Kronecker sum of the factors' matrices, for every generator."""
    return tuple(functools.reduce(_kron_sum, row) for row in zip(*parts, strict=True))


def block_diagonals(parts: Iterable[tuple[Sparse, ...]]) -> tuple[Sparse, ...]:
    """The terms' matrices along the diagonal, for every generator."""
    rows = zip(*parts, strict=True)
    return tuple(scipy.sparse.csr_array(scipy.sparse.block_diag(row)) for row in rows)


def _kron(a: Sparse, b: Sparse) -> Sparse:
    return scipy.sparse.csr_array(scipy.sparse.kron(a, b))


def _kron_sum(a: Sparse, b: Sparse) -> Sparse:
    left, right = scipy.sparse.eye_array(a.shape[0]), scipy.sparse.eye_array(b.shape[0])
    return scipy.sparse.csr_array(scipy.sparse.kron(a, right) + scipy.sparse.kron(left, b))
