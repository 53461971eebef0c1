"""The complete product: every Clebsch-Gordan path at the cost of a product of functions."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.ops.primitives import multiply_matrices
from equinet.ops.products._base import ProductBase, check_no_copies
from equinet.ops.products._batch import map_batch, weigh_copies
from equinet.ops.products._gaunt_coefficients import gaunt_coefficient, split_weights
from equinet.ops.products._gaunt_grid import degree_of, grid_flops, signal_bytes
from equinet.ops.products._matrices import (
    from_matrix,
    matrix_coefficient,
    matrix_degree,
    to_matrix,
)
from equinet.ops.products._paths import (
    Path,
    blocks,
    coupling_paths,
    path_degrees,
    spread_copies,
    variance_scales,
)
from equinet.ops.products._poisson import bracket_coefficient, multiply_poisson, multiply_vector
from equinet.precision import read_only
from equinet.reps import Irreps

_METHODS = ("matrix", "poisson", "vector")


@dataclasses.dataclass(frozen=True)
class CompleteProduct(ProductBase):
    r"""Product of two features that contains every path, also the antisymmetric ones.

    .. math:: z = \sum_{n=1}^{k} w^{(3)}_n \odot P\big(w^{(1)}_n \odot x,\; w^{(2)}_n \odot y\big)

    with weights per irrep and channel and a fixed bilinear map P in which every path of the
    Clebsch-Gordan product has a coefficient that is not zero. One copy (k = 1) can scale paths only
    by the degrees; with more copies their ratios become free. Three maps P:

    - ``"matrix"``: features as matrices on an irrep of degree j, multiplied as matrices. Paths
      have 6j symbols as coefficients; O(L^3) but for the change of basis.
    - ``"poisson"``: the pointwise product of functions on the sphere, with Gaunt coefficients, plus
      their Poisson bracket, which holds exactly the paths of odd :math:`l_1 + l_2 + l_3`.
    - ``"vector"``: the same map as ``"poisson"``, by fields of vectors on the sphere.

    Parities multiply: pointwise products keep the natural parity :math:`(-1)^l`, brackets give the
    other one, and features of both parities are taken apart and put together again. The scale of
    every irrep of the result gives outputs of variance one.

    Attributes:
        rep1: Irreps of the first factor, each at most once.
        rep2: Irreps of the second factor, with the same restriction.
        rep_out: Irreps of the result, with the same restriction.
        method: Which map.
        copies: The number k of weighted copies.

    Raises:
        ValueError: If an irrep occurs twice, no path exists, or an option is unknown.

    References:
        Matrices: Unke and Maennel, arXiv:2401.07595 (2024), as "fused tensor layer". Vector fields
        on the sphere: arXiv:2602.21466 (2026).

    >>> product = CompleteProduct("0e+1o", "0e+1o", "0e+1o+1e+2e")
    >>> product(jnp.ones((5, 4, 8)), jnp.ones((5, 4, 8))).shape, len(product.paths)
    ((5, 12, 8), 6)
    """

    rep1: Irreps
    rep2: Irreps
    rep_out: Irreps
    method: str = "matrix"
    copies: int = 1

    def _check(self) -> None:
        for name in ("rep1", "rep2", "rep_out"):
            check_no_copies("complete product", name, getattr(self, name))
        if self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {_METHODS}")
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every triple of copies of irreps that the triangle rule and the parities admit."""
        return coupling_paths(self.rep1, self.rep2, self.rep_out)

    @property
    def coefficients(self) -> Float[np.ndarray, "paths"]:
        """Factor in P of the Clebsch-Gordan block of norm one of every path, ``[paths]``."""
        return _coefficients(self.rep1, self.rep2, self.rep_out, self.method)

    @property
    def num_weights(self) -> int:
        """Number of weights of a channel: in every copy one for each irrep of the three reps."""
        return self.copies * sum(len(blocks(rep)) for rep in self._reps)

    @property
    def flops(self) -> int:
        """Floating-point operations for one row and channel."""
        dims = np.array([rep.dim for rep in self._reps])
        if self.method == "matrix":
            size = 2 * _size(*self._reps) + 1
            return self.copies * int(size**2 * dims.sum() // 2 + 2 * size**3)
        transforms = np.array([3, 3, 1] if self.method == "poisson" else [1, 3, 3])
        return self.copies * grid_flops(degree_of(*self._reps), int(transforms @ dims), products=3)

    @property
    def _reps(self) -> tuple[Irreps, Irreps, Irreps]:
        return self.rep1, self.rep2, self.rep_out

    def _compute(self, x: Array, y: Array, weights: Array | None) -> Array:
        if weights is None:
            return self._multiply(x, y) * math.sqrt(self.copies)
        results = []
        for copy in jnp.split(weights, self.copies, axis=-2):
            first, second, last = split_weights(copy, self._reps)
            z = self._multiply(
                weigh_copies(self.rep1, x, first), weigh_copies(self.rep2, y, second)
            )
            results.append(weigh_copies(self.rep_out, z, last))
        return functools.reduce(jnp.add, results) * math.sqrt(1 / self.copies)

    def _multiply(self, x: Array, y: Array) -> Array:
        scale = _scale(*self._reps, self.method)
        if self.method == "matrix":
            size = 2 * _size(*self._reps) + 1
            kernel, row_bytes = _multiply_matrix, 4 * x.dtype.itemsize * size**2
        else:
            kernel = multiply_poisson if self.method == "poisson" else multiply_vector
            kernel = functools.partial(kernel, ratio=_ratio(*self._reps))
            row_bytes = 3 * signal_bytes(self._reps, x)

        def scaled(x: Array, y: Array) -> Array:
            return kernel(self._reps, x=x, y=y) * jnp.asarray(scale, x.dtype)

        return map_batch(scaled, row_bytes, x, y)


def _multiply_matrix(reps: tuple[Irreps, ...], x: Array, y: Array) -> Array:
    """Writes features as matrices, one for each parity, and multiplies these."""
    j = _size(*reps)
    first = {p: to_matrix(reps[0], p, j, x) for p in (1, -1)}
    second = {p: to_matrix(reps[1], p, j, y) for p in (1, -1)}
    parts = []
    for parity in (1, -1):
        terms = [
            multiply_matrices(a, b)
            for p in (1, -1)
            if (a := first[p]) is not None and (b := second[p * parity]) is not None
        ]
        if terms:
            parts.append(from_matrix(reps[2], parity, j, functools.reduce(jnp.add, terms)))
    return functools.reduce(jnp.add, (part for part in parts if not isinstance(part, float)))


@functools.cache
def _size(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> int:
    """Degree j of the matrices."""
    return matrix_degree(tuple(sorted(set(_degrees(rep1, rep2, rep_out)))))


def _degrees(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> list[tuple[int, int, int]]:
    reps = rep1, rep2, rep_out
    return path_degrees(coupling_paths(*reps), *reps)


@functools.cache
def _coefficients(rep1: Irreps, rep2: Irreps, rep_out: Irreps, method: str) -> np.ndarray:
    reps = rep1, rep2, rep_out
    if method == "matrix":
        j = _size(*reps)
        return np.array([matrix_coefficient(*degrees, j) for degrees in _degrees(*reps)])
    ratio = _ratio(*reps)
    sizes = [gaunt_coefficient(*d) + ratio * bracket_coefficient(*d) for d in _degrees(*reps)]
    return read_only(np.array(sizes))


@functools.cache
def _ratio(rep1: Irreps, rep2: Irreps, rep_out: Irreps) -> float:
    """The factor of the bracket that makes odd paths as strong in the mean as even paths."""
    found = _degrees(rep1, rep2, rep_out)
    odd = [bracket_coefficient(*d) ** 2 / (2 * d[2] + 1) for d in found if sum(d) % 2]
    even = [gaunt_coefficient(*d) ** 2 / (2 * d[2] + 1) for d in found if sum(d) % 2 == 0]
    return math.sqrt(np.mean(even) / np.mean(odd)) if odd and even else 1.0


@functools.cache
def _scale(
    rep1: Irreps, rep2: Irreps, rep_out: Irreps, method: str
) -> Float[np.ndarray, "dim_out 1"]:
    paths = coupling_paths(rep1, rep2, rep_out)
    sizes = _coefficients(rep1, rep2, rep_out, method)
    return read_only(spread_copies(rep_out, variance_scales(rep_out, paths, sizes)))
