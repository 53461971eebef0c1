"""Outer products and moved rows whose derivatives of every order and mode are fast on a CPU.

What differentiation makes of an outer product is a reduction across the last axis, and of a gather
a scatter: both several times slower than the operation itself. Here each operation is a primitive
that names its transpose: a sum that is written out, and the gather by the inverse permutation.
"""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from equinet.precision import HIGHEST


def outer(
    x: Float[Array, "*rows a n"], y: Float[Array, "*rows b n"]
) -> Float[Array, "*rows a b n"]:
    """Outer product over axis -2 of both, entry by entry in the last axis.

    >>> outer(jnp.ones((2, 5)), jnp.ones((3, 5))).shape
    (2, 3, 5)
    """
    return _outer_p.bind(x, y)


def contract(
    u: Float[Array, "*rows a b n"], x: Float[Array, "*rows m n"], axis: int
) -> Float[Array, "*rows rest n"]:
    """Sum of ``u * x`` over axis -3 or -2 of ``u``: the transposes of `outer`.

    >>> contract(jnp.ones((2, 3, 5)), jnp.ones((3, 5)), axis=-2)[0].tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    return _contract_p.bind(u, x, axis=axis)


def multiply_matrices(
    x: Float[Array, "a b n"],
    y: Float[Array, "b c n"],
    *,
    transpose_x: bool = False,
    transpose_y: bool = False,
) -> Float[Array, "a c n"]:
    """A product of small matrices for each entry of the last axis.

    >>> x = jnp.arange(4.0).reshape(2, 2, 1)
    >>> multiply_matrices(x, x)[..., 0].tolist()
    [[2.0, 3.0], [6.0, 11.0]]
    """
    return _matrices_p.bind(x, y, transpose_x=transpose_x, transpose_y=transpose_y)


def move_rows(
    x: Float[Array, "*rows m n"],
    index: Sequence[int] | np.ndarray,
    inverse: Sequence[int] | np.ndarray,
) -> Float[Array, "*rows k n"]:
    """Rows ``index`` of axis -2; an index beyond the end gives a row of zeros.

    Args:
        x: Rows on axis -2.
        index: Which row goes to each place.
        inverse: At which place each row is found: ``index[inverse[i]] == i``.

    >>> move_rows(jnp.array([[1.0], [2.0]]), (1, 2, 0), (2, 0))[:, 0].tolist()
    [2.0, 0.0, 1.0]
    """
    return _move_p.bind(x, index=tuple(map(int, index)), inverse=tuple(map(int, inverse)))


def repeat_rows(x: Float[Array, "*rest"], rows: int) -> Float[Array, "rows *rest"]:
    """The same for every row; its transpose, a sum over the rows, is a product of matrices.

    >>> repeat_rows(jnp.ones((3, 2)), 5).shape
    (5, 3, 2)
    """
    return _repeat_p.bind(x.reshape(-1), rows=rows).reshape(rows, *x.shape)


def _repeat(x: Array, *, rows: int) -> Array:
    return jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], rows, x.shape[-1]))


def _sum(x: Array) -> Array:
    # Two rows of ones: on a CPU a matrix product is several times faster than one with a vector.
    ones = jnp.ones((2, x.shape[-2]), x.dtype)
    return jnp.matmul(ones, x, precision=jax.lax.Precision.HIGHEST)[..., 0, :]


def _outer(x: Array, y: Array) -> Array:
    return x[..., :, None, :] * y[..., None, :, :]


def _contract(u: Array, x: Array, *, axis: int) -> Array:
    terms = (
        (u[..., i, :] if axis == -2 else u[..., i, :, :]) * x[..., i, None, :]
        for i in range(x.shape[-2])
    )
    return functools.reduce(jnp.add, terms)


def _matrices(x: Array, y: Array, *, transpose_x: bool, transpose_y: bool) -> Array:
    columns = x if transpose_x else jnp.swapaxes(x, -3, -2)
    rows = jnp.swapaxes(y, -3, -2) if transpose_y else y
    terms = (columns[..., i, :, None, :] * rows[..., i, None, :, :] for i in range(rows.shape[-3]))
    return functools.reduce(jnp.add, terms)


def _matrices_x(g: Array, x: Any, y: Array, *, transpose_x: bool, transpose_y: bool) -> Array:
    if transpose_x:
        return multiply_matrices(y, g, transpose_x=transpose_y, transpose_y=True)
    return multiply_matrices(g, y, transpose_y=not transpose_y)


def _matrices_y(g: Array, x: Array, y: Any, *, transpose_x: bool, transpose_y: bool) -> Array:
    if transpose_y:
        return multiply_matrices(g, x, transpose_x=True, transpose_y=transpose_x)
    return multiply_matrices(x, g, transpose_x=not transpose_x)


def _move(x: Array, *, index: tuple[int, ...], inverse: tuple[int, ...]) -> Array:
    if max(index) >= x.shape[-2]:
        x = jnp.concatenate([x, jnp.zeros_like(x[..., :1, :])], axis=-2)
    return x[..., np.array(index, np.int32), :]


def primitive(name: str, function: Any) -> Primitive:
    """A primitive that is computed by ``function`` and mapped over leading axes."""
    primitive = Primitive(name)
    words = inspect.getfullargspec(function).kwonlyargs
    primitive.def_impl(jax.jit(function, static_argnames=words))
    primitive.def_abstract_eval(
        lambda *avals, **words: _shaped(
            avals[0], jax.eval_shape(functools.partial(function, **words), *avals)
        )
    )
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

    def batch(arguments: Sequence[Array], axes: Sequence[Any], **words: Any) -> tuple[Array, int]:
        sizes = (a.shape[i] for a, i in zip(arguments, axes, strict=True) if i is not None)
        size = next(sizes)
        leading = (batching.bdim_at_front(a, i, size) for a, i in zip(arguments, axes, strict=True))
        return primitive.bind(*leading, **words), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


def _shaped(like: Any, result: jax.ShapeDtypeStruct) -> Any:
    return like.update(shape=result.shape, dtype=result.dtype, weak_type=False)


_outer_p = primitive("outer", _outer)


_contract_p = primitive("contract", _contract)


_matrices_p = primitive("multiply_matrices", _matrices)


_move_p = primitive("move_rows", _move)


ad.defbilinear(_matrices_p, _matrices_x, _matrices_y)


ad.defbilinear(
    _outer_p,
    lambda g, x, y: contract(g, y, -2),
    lambda g, x, y: contract(g, x, -3),
)


ad.defbilinear(
    _contract_p,
    lambda g, u, x, axis: outer(g, x) if axis == -2 else outer(x, g),
    lambda g, u, x, axis: contract(u, g, -3 if axis == -2 else -2),
)


_repeat_p = primitive("repeat_rows", _repeat)


_sum_p = primitive("sum_rows", _sum)


ad.deflinear2(_repeat_p, lambda g, x, rows: [_sum_p.bind(g)])


ad.deflinear2(_sum_p, lambda g, x: [_repeat_p.bind(g, rows=x.aval.shape[-2])])


ad.deflinear2(_move_p, lambda g, x, index, inverse: [move_rows(g, inverse, index)])


def dot(table: np.ndarray, x: Float[Array, "dim lanes"]) -> Float[Array, "rows lanes"]:
    """A constant float64 table times lanes, in their type and at the highest precision.

    A table of one row or column gets a second one of zeros: on a CPU a product of matrices is
    several times faster than one of a matrix and a vector, forward and transposed.

    >>> dot(np.array([[2.0, 3.0]]), jnp.ones((2, 5))).tolist()
    [[5.0, 5.0, 5.0, 5.0, 5.0]]
    """
    rows, columns = table.shape
    if rows > 1 and columns > 1:
        return jnp.matmul(jnp.asarray(table, x.dtype), x, precision=HIGHEST)
    padded = np.zeros((max(rows, 2), max(columns, 2)))
    padded[:rows, :columns] = table
    if columns == 1:
        x = jnp.concatenate([x, jnp.zeros_like(x)])
    return jnp.matmul(jnp.asarray(padded, x.dtype), x, precision=HIGHEST)[:rows]
