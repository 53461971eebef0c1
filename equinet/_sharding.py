"""Operations on a mesh of devices: what `jax.shard_map` and explicit sharding require.

Inside of `jax.shard_map` the type of an array names the mesh axes along which it varies, and the
operands of a primitive must agree on them. On a mesh with explicit axes (the default of
`jax.make_mesh`) the type of an array names the mesh axis that shards each of its axes, and JAX
refuses a reshape or a contraction whose result it cannot place.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array


def varying_axes(*arrays: Array) -> frozenset[str]:
    """The manual mesh axes along which any of the arrays varies; none outside of `jax.shard_map`.

    >>> varying_axes(jnp.ones(3))
    frozenset()
    """
    return frozenset().union(*(jax.typeof(array).manual_axis_type.varying for array in arrays))


def vary_alike(*arrays: Array, like: Sequence[Array] = ()) -> tuple[Array, ...]:
    """Marks arrays as varying along the union of their manual mesh axes; no values change.

    The transpose of the mark is a sum over the devices, which the gradient of a factor that all
    devices share needs.

    Args:
        *arrays: Arrays of any shapes.
        like: Further arrays whose axes count, but which are not returned.

    >>> len(vary_alike(jnp.ones(3), jnp.ones(2)))
    2
    """
    wanted = varying_axes(*arrays, *like)
    if not wanted:
        return arrays
    missing = (tuple(sorted(wanted - varying_axes(array))) for array in arrays)
    return tuple(
        jax.lax.pcast(array, axes, to="varying") if axes else array
        for array, axes in zip(arrays, missing, strict=True)
    )


def keep_sharding(
    function: Callable[..., Array],
    *operands: Any,
    ndim: int,
    mixed: Sequence[int] = (-2,),
    like: Sequence[Array] | None = None,
) -> Array:
    """Calls a function whose result keeps the sharding of its operands axis by axis.

    On a mesh with explicit axes the function runs with automatic axes, where XLA places what lies
    between the operands and the result. On other meshes, and without one, this is a plain call.

    Args:
        function: Takes the operands and returns one array.
        *operands: Trees of arrays.
        ndim: Number of axes of the result.
        mixed: Axes of the result, counted from the end, that are computed from all entries of an
            axis of the operands; these are not sharded.
        like: The arrays whose shardings the result keeps, aligned at the last axis; the operands
            if absent.

    Returns:
        The result of the function. Its axes are sharded as the axes of the operands that stand at
        the same place, counted from the end.

    >>> keep_sharding(lambda x: x.sum(-2, keepdims=True), jnp.ones((4, 3, 2)), ndim=3).shape
    (4, 1, 2)
    """
    leaves = jax.tree.leaves(operands)
    mesh = next((m for m in map(_mesh, leaves) if _is_explicit(m)), None)
    if mesh is None:
        return function(*operands)
    explicit = tuple(
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    )
    spec = _common_spec(leaves if like is None else like, ndim, mixed)
    sharding = NamedSharding(mesh, spec)
    inside: Any = jax.sharding.auto_axes(function, axes=explicit, out_sharding=sharding)
    return inside(*operands)


def mapped_like(array: Array, like: Array) -> Array:
    """Return the array, mapped by ``jax.vmap`` along the axes along which ``like`` is mapped.

    The initial value of a scan must be mapped if the carry is, for the mapping of a scan creates
    axes without the explicit sharding.
    """
    return jnp.where(jnp.isnan(like.reshape(-1)[0]), array, array)


def shard_like(array: Array, like: Array, axes: int) -> Array:
    """Gives the leading axes of an array the explicit sharding that another array's axes have.

    Args:
        array: An array that was created without a sharding.
        like: The array whose first ``axes`` axes have the same sizes.
        axes: Number of axes.

    Returns:
        The array itself where no axis is sharded explicitly.
    """
    sharding = jax.typeof(like).sharding
    names = sharding.spec[:axes]
    if all(name is None for name in names):
        return array
    return jax.sharding.reshard(array, NamedSharding(sharding.mesh, PartitionSpec(*names)))


def reshape_rest(x: Array, axes: int, *rest: int) -> Array:
    """Reshapes all axes but the first ones, which keep their sizes and their explicit sharding.

    Args:
        x: An array whose axes behind the first ``axes`` are not sharded explicitly.
        axes: Number of axes to keep.
        *rest: Sizes of the new axes behind them, one of which may be -1.
    """
    names = jax.typeof(x).sharding.spec[:axes]
    if all(name is None for name in names):
        return x.reshape(*x.shape[:axes], *rest)
    known = math.prod(size for size in rest if size != -1)
    free = math.prod(x.shape[axes:]) // max(known, 1)
    shape = (*x.shape[:axes], *(free if size == -1 else size for size in rest))
    spec = PartitionSpec(*names, *[None] * len(rest))
    return jax.lax.reshape(x, shape, out_sharding=spec)


def _mesh(array: Any) -> Any:
    return jax.typeof(array).sharding.mesh


def _is_explicit(mesh: Any) -> bool:
    return AxisType.Explicit in (mesh.axis_types or ())


def _common_spec(arrays: Sequence[Array], ndim: int, mixed: Sequence[int]) -> PartitionSpec:
    """For each axis the first partition of an array that has it, no mesh axis twice."""
    entries: list[Any] = [None] * ndim
    used: set[str] = set()
    for axis in range(-ndim, 0):
        for array in arrays:
            kind = jax.typeof(array)
            if axis in mixed or kind.ndim < -axis or kind.sharding.spec[axis] is None:
                continue
            entry = kind.sharding.spec[axis]
            names = {entry} if isinstance(entry, str) else set(entry)
            if entries[axis] is None and not names & used:
                entries[axis] = entry
                used |= names
    return PartitionSpec(*entries)
