"""Sharding of the arrays that an operation creates, under a mesh with explicit axes."""

import math

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array


def mapped_like(array: Array, like: Array) -> Array:
    """The array, mapped by ``jax.vmap`` wherever ``like`` is.

    The initial value of a scan must be mapped if the carry is, for the mapping of a scan creates
    axes without the explicit sharding.
    """
    return jnp.where(jnp.isnan(like.reshape(-1)[0]), array, array)


def shard_like(array: Array, like: Array, axes: int) -> Array:
    """Gives the leading axes of an array the explicit sharding of those of another one.

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
