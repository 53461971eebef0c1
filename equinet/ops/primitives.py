"""Custom JAX primitives: operations whose derivatives of every order and mode are fast on a CPU.

What differentiation makes of an outer product is a reduction across the last axis, and of a gather
a scatter: both several times slower than the operation itself. Here each operation is a primitive
with its own transpose: a sum that is written out, and the gather by the inverse permutation.

`primitive` makes one from a function, `linear` and `bilinear` give it derivatives of every order
and mode (forward, reverse, and Taylor series by `jax.experimental.jet`), and `bind` applies it,
inside of `jax.shard_map` too. A `custom_vjp` would refuse forward mode.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import jet
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from equinet._sharding import vary_alike
from equinet.precision import HIGHEST


def primitive(name: str, function: Callable[..., Array]) -> Primitive:
    """A primitive that is computed by a function and mapped over leading axes.

    One abstract rule serves all primitives: the type of the result is what JAX infers when it
    traces the function, so that shape, dtype, varying mesh axes and sharding are right together.

    Args:
        name: Name in jaxprs.
        function: Takes arrays, and static options as keyword-only arguments; leading axes that are
            added to all arrays must be mapped over.
    """
    primitive = Primitive(name)
    options = inspect.getfullargspec(function).kwonlyargs
    primitive.def_impl(jax.jit(function, static_argnames=options))

    def infer_type(*operands: Any, **options: Any) -> Any:
        traced = jax.make_jaxpr(functools.partial(function, **options))(*operands)
        return traced.out_avals[0].update(weak_type=False)

    primitive.def_abstract_eval(infer_type)
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

    def batch(arguments: Sequence[Array], axes: Sequence[Any], **options: Any) -> tuple[Array, int]:
        sizes = (a.shape[i] for a, i in zip(arguments, axes, strict=True) if i is not None)
        size = next(sizes)
        leading = (batching.bdim_at_front(a, i, size) for a, i in zip(arguments, axes, strict=True))
        return bind(primitive, *leading, **options), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


def bind(primitive: Primitive, *operands: Array, **options: Any) -> Array:
    """Applies a primitive to operands that may vary along different axes of a mesh of devices.

    Args:
        primitive: Made by `primitive`.
        *operands: Its arrays.
        **options: Its static options.
    """
    return primitive.bind(*vary_alike(*operands), **options)


def linear(primitive: Primitive, transpose: Callable[..., Array]) -> None:
    """Declares a primitive of one array linear.

    Args:
        primitive: Made by `primitive`.
        transpose: Takes the cotangent, the abstract value of the operand, and the options.
    """
    ad.deflinear2(primitive, lambda g, x, **options: [transpose(g, x.aval, **options)])
    jet.deflinear(primitive)


def bilinear(primitive: Primitive, left: Callable[..., Array], right: Callable[..., Array]) -> None:
    """Declares a primitive of two arrays bilinear.

    Args:
        primitive: Made by `primitive`.
        left: Takes the cotangent, the first operand without a value, the second operand, and the
            options; returns the cotangent of the first operand.
        right: Takes the cotangent, the first operand, the second operand without a value, and the
            options; returns the cotangent of the second operand.
    """
    ad.defbilinear(primitive, left, right)

    def taylor(primals: Any, series: Any, **options: Any) -> tuple[Array, list[Array]]:
        first, second = ([p, *terms] for p, terms in zip(primals, series, strict=True))
        found = [
            functools.reduce(
                jnp.add,
                (bind(primitive, first[j], second[k - j], **options) for j in range(k + 1)),
            )
            for k in range(len(first))
        ]
        return found[0], found[1:]

    jet.jet_rules[primitive] = taylor


def _barrier_series(primals: Any, series: Any) -> tuple[Any, Any]:
    """Taylor series through `jax.lax.optimization_barrier`, for which JAX has no rule."""
    return jax.lax.optimization_barrier((list(primals), list(series)))


(_barrier,) = jax.make_jaxpr(jax.lax.optimization_barrier)(0.0).jaxpr.eqns
jet.jet_rules.setdefault(_barrier.primitive, _barrier_series)


def outer(
    x: Float[Array, "*rows a n"], y: Float[Array, "*rows b n"]
) -> Float[Array, "*rows a b n"]:
    """Outer product over axis -2 of both, entry by entry in the last axis.

    >>> outer(jnp.ones((2, 5)), jnp.ones((3, 5))).shape
    (2, 3, 5)
    """
    return bind(_outer_p, x, y)


def contract(
    u: Float[Array, "*rows a b n"], x: Float[Array, "*rows m n"], axis: int
) -> Float[Array, "*rows rest n"]:
    """Sum of ``u * x`` over axis -3 or -2 of ``u``: the transposes of `outer`.

    >>> contract(jnp.ones((2, 3, 5)), jnp.ones((3, 5)), axis=-2)[0].tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    return bind(_contract_p, u, x, axis=axis)


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
    return bind(_matrices_p, x, y, transpose_x=transpose_x, transpose_y=transpose_y)


def move_rows(
    x: Float[Array, "*rows m n"],
    index: Sequence[int] | np.ndarray,
    inverse: Sequence[int] | np.ndarray,
) -> Float[Array, "*rows k n"]:
    """Rows ``index`` of axis -2; an index beyond the end gives a row of zeros.

    Args:
        x: Rows on axis -2.
        index: For every row of the result the row of ``x``.
        inverse: For every row of ``x`` the row of the result: ``index[inverse[i]] == i``.

    >>> move_rows(jnp.array([[1.0], [2.0]]), (1, 2, 0), (2, 0))[:, 0].tolist()
    [2.0, 0.0, 1.0]
    """
    return bind(_move_p, x, index=tuple(map(int, index)), inverse=tuple(map(int, inverse)))


def repeat_rows(x: Float[Array, "*rest"], rows: int) -> Float[Array, "rows *rest"]:
    """Copies an array to every row; the transpose, a sum over the rows, is a product of matrices.

    >>> repeat_rows(jnp.ones((3, 2)), 5).shape
    (5, 3, 2)
    """
    return bind(_repeat_p, x.reshape(-1), rows=rows).reshape(rows, *x.shape)


def dot(table: np.ndarray, x: Float[Array, "dim batch"]) -> Float[Array, "rows batch"]:
    """A constant float64 table times a batch of vectors, in their dtype at the highest precision.

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


def _repeat(x: Array, *, rows: int) -> Array:
    return jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], rows, x.shape[-1]))


def _sum(x: Array) -> Array:
    # Two rows of ones: on a CPU a matrix product is several times faster than one with a vector.
    ones = jnp.ones((2, x.shape[-2]), x.dtype)
    return jnp.matmul(ones, x, precision=HIGHEST)[..., 0, :]


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


_outer_p = primitive("outer", _outer)
_contract_p = primitive("contract", _contract)
_matrices_p = primitive("multiply_matrices", _matrices)
_move_p = primitive("move_rows", _move)
_repeat_p = primitive("repeat_rows", _repeat)
_sum_p = primitive("sum_rows", _sum)
bilinear(_matrices_p, _matrices_x, _matrices_y)
bilinear(_outer_p, lambda g, x, y: contract(g, y, -2), lambda g, x, y: contract(g, x, -3))
bilinear(
    _contract_p,
    lambda g, u, x, axis: outer(g, x) if axis == -2 else outer(x, g),
    lambda g, u, x, axis: contract(u, g, -3 if axis == -2 else -2),
)
linear(_repeat_p, lambda g, x, rows: bind(_sum_p, g))
linear(_sum_p, lambda g, x: bind(_repeat_p, g, rows=x.shape[-2]))
linear(_move_p, lambda g, x, index, inverse: move_rows(g, inverse, index))
