r"""Equivariant maps by linear algebra: the null space of the constraints, in float64.

A matrix W commutes with the group if and only if

.. math:: \rho_{out}(A_i) W = W \rho_{in}(A_i), \qquad \rho_{out}(h_k) W = W \rho_{in}(h_k)

for a basis :math:`A_i` of the Lie algebra and the discrete generators :math:`h_k`. The sum of the
squares of these constraints, C^T C, is for a compact group its Casimir operator: its eigenvalues
next to zero stay well away from it.

References:
    M. Finzi, M. Welling, A. G. Wilson, arXiv:2104.09459 (2021), section 5.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Float

from equinet.groups import Group
from equinet.reps._generators import Sparse, discrete_matrices, lie_matrices
from equinet.reps.rep import Rep

LARGEST_DENSE = 1500
_ZERO = 1e-10  # of the largest eigenvalue, or of the generators of the group
_SMALLEST_GAP = 1e-6


def null_space_maps(rep_in: Rep, rep_out: Rep) -> Float[np.ndarray, "dim rows columns"]:
    """An orthonormal basis of the equivariant matrices.

    Dense eigenvectors where there are few entries, else a Chebyshev-filtered subspace iteration
    with sparse matrices, of a size that is doubled until it holds the null space.

    Args:
        rep_in: Rep of the input.
        rep_out: Rep of the output, of the same group.

    Raises:
        ValueError: If a large null space cannot be told from what is around it.

    Example:
        >>> from equinet.groups import SL
        >>> from equinet.reps import Vector
        >>> V = Vector(SL(2))
        >>> abs(null_space_maps(V, V)).round(3)  # the identity, normalised
        array([[[0.707, 0.   ],
                [0.   , 0.707]]])
    """
    squares = _squared_constraints(rep_in, rep_out)
    size = squares.shape[0]
    largest = _norm(squares)
    zero = _ZERO * max(largest, _scale(rep_in.group))
    if largest <= zero:
        vectors = np.eye(size)
    elif size <= LARGEST_DENSE:
        values, vectors = scipy.linalg.eigh(squares.toarray())
        vectors = vectors[:, values < zero * math.sqrt(size)]
    else:
        vectors = _filtered_null_space(squares, largest, zero)
    return vectors.T.reshape(-1, rep_out.dim, rep_in.dim)


def _generators(rep: Rep) -> tuple[Sparse, ...]:
    return lie_matrices(rep) + discrete_matrices(rep)


def _scale(group: Group) -> float:
    """The sum of the squared entries of the generators, as matrices of the group.

    Constraints are small beside it, not beside the largest of them, if they are rounding errors.
    """
    with jax.ensure_compile_time_eval():
        algebra = group.lie_linear_part(jax.tree.map(jnp.asarray, group.lie_algebra()))
        fixed = group.linear_part(jax.tree.map(jnp.asarray, group.discrete_generators()))
        return float(np.sum(np.square(algebra)) + np.sum(np.square(fixed)))


def _squared_constraints(rep_in: Rep, rep_out: Rep) -> Sparse:
    """C^T C on matrices flattened row by row."""
    eye_in, eye_out = (scipy.sparse.eye_array(rep.dim, format="csr") for rep in (rep_in, rep_out))
    total = scipy.sparse.csr_array((rep_out.dim * rep_in.dim,) * 2)
    for out, into in zip(_generators(rep_out), _generators(rep_in), strict=True):
        constraint = scipy.sparse.kron(out, eye_in) - scipy.sparse.kron(eye_out, into.T)
        total = total + constraint.T @ constraint
    return scipy.sparse.csr_array(total)


def _norm(matrix: Sparse) -> float:
    """An upper bound of the largest eigenvalue."""
    return float(abs(matrix).sum(axis=1).max()) if matrix.nnz else 0.0


def _filtered_null_space(
    squares: Sparse, largest: float, zero: float
) -> Float[np.ndarray, "size dim"]:
    """Subspace iteration with the Chebyshev polynomial that is one at zero, least on the rest."""
    rng = np.random.default_rng(0)
    block = 16
    while True:
        vectors = _subspace(squares, largest, zero, rng.normal(size=(squares.shape[0], block)))
        if vectors is not None:
            return vectors
        block *= 2
        if block > squares.shape[0] // 2:
            raise ValueError(
                f"the equivariant maps fill more than half of a space of {squares.shape[0]} "
                "dimensions: split the reps into smaller terms"
            )


def _subspace(
    squares: Sparse,
    largest: float,
    zero: float,
    vectors: Float[np.ndarray, "size block"],
    sweeps: int = 60,
) -> Float[np.ndarray, "size dim"] | None:
    """The null vectors in a block; None if all of the block is null, so that more are possible."""
    low, above = largest / 30, largest
    for sweep in range(sweeps):
        vectors, _ = np.linalg.qr(_chebyshev(squares, vectors, low, largest, degree=24))
        values, rotation = scipy.linalg.eigh(vectors.T @ (squares @ vectors))
        vectors = vectors @ rotation
        null = values < zero
        if null.all():
            return None
        residuals = np.linalg.norm(squares @ vectors - vectors * values, axis=0)
        next_one = np.argmin(np.where(null, np.inf, values))
        above = values[next_one]
        # Only once the next Ritz value has settled is there no null vector left in its mixture.
        settled = residuals[next_one] < 0.3 * above and above > _SMALLEST_GAP * largest
        exact = residuals[null].max(initial=0.0) < 1e-13 * largest
        if settled and exact:
            return vectors[:, null]
        if sweep % 6 == 5:  # the filter passes too little that lies close to zero
            low /= 2
    raise ValueError(
        f"the smallest constraint, {above / largest:.1e} of the largest, cannot be told from zero: "
        "scale the reps, or give bases of their irreducible parts"
    )


def _chebyshev(
    squares: Sparse, vectors: Float[np.ndarray, "size block"], low: float, high: float, degree: int
) -> Float[np.ndarray, "size block"]:
    """T_m((2 M - low - high) / (high - low)) v, up to a factor."""
    centre, half = (high + low) / 2, (high - low) / 2

    def step(x: np.ndarray) -> np.ndarray:
        return (squares @ x - centre * x) / half

    previous, current = vectors, step(vectors)
    for _ in itertools.repeat(None, degree - 1):
        previous, current = current, 2 * step(current) - previous
        scale = np.abs(current).max()
        previous, current = previous / scale, current / scale
    return current
