"""Devices: the mesh, where the state and the batches lie on it, and several processes."""

import functools
import math
import os
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from equinet.training.settings import TrainingConfig


def initialize_distributed(config: TrainingConfig) -> None:
    """Connects the processes of one run, if the config says that there are several.

    A cluster's own launcher is recognised; elsewhere JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID say where the others are.

    Raises:
        ValueError: Nothing says where the other processes are.
    """
    if not config.distributed or jax.distributed.is_initialized():
        return
    names = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
    numbers = {key: int(os.environ[name]) for key, name in names.items() if name in os.environ}
    try:
        jax.distributed.initialize(
            num_processes=numbers.get("num_processes"), process_id=numbers.get("process_id")
        )
    except ValueError as error:
        raise ValueError(
            f"config.training.distributed: {error} Set JAX_COORDINATOR_ADDRESS, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID, or config.training.distributed=false"
        ) from error


def make_mesh(config: TrainingConfig) -> Mesh:
    """The mesh of the config, with Auto axes: gathers and segment sums fail on Explicit ones.

    Raises:
        ValueError: The mesh asks for more devices than there are.
    """
    names = tuple(name for name, _ in config.mesh)
    sizes = [size for _, size in config.mesh]
    available, fixed = jax.device_count(), math.prod(size for size in sizes if size != -1)
    sizes = [available // fixed if size == -1 else size for size in sizes]
    wanted = math.prod(sizes)
    if not 0 < wanted <= available or (jax.process_count() > 1 and wanted != available):
        raise ValueError(
            f"config.training.mesh: {config.mesh} asks for {max(wanted, fixed)} devices, found "
            f"{available} ({jax.default_backend()}): change --config.training.mesh"
        )
    devices = jax.devices()[:wanted]
    auto = (AxisType.Auto,) * len(names)
    return jax.make_mesh(tuple(sizes), names, axis_types=auto, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis, one entry a shard, is split over "data"."""
    return NamedSharding(mesh, PartitionSpec("data"))


def vector_sharding(mesh: Mesh, shape: tuple[int, ...], axis: str | None) -> NamedSharding:
    """The last axis is split over the mesh axis `axis` where it divides; else copies."""
    if axis is None or not shape or shape[-1] == 0 or shape[-1] % mesh.shape[axis]:
        return replicated(mesh)
    return NamedSharding(mesh, PartitionSpec(*(None,) * (len(shape) - 1), axis))


def local_shards(mesh: Mesh) -> range:
    """The numbers of the shards that this process's devices hold.

    Raises:
        ValueError: They are not consecutive: the order of the mesh axes scatters them.
    """
    shards = mesh.shape["data"]
    places = sharded_batch(mesh).addressable_devices_indices_map((shards,)).values()
    numbers = sorted({number for place in places if place for number in range(shards)[place[0]]})
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise ValueError(
            f"config.training.mesh: shards {numbers} of this process: put 'data' first"
        )
    return range(numbers[0], numbers[-1] + 1)


def make_put_batch(mesh: Mesh) -> Callable[[PyTree], PyTree]:
    """What puts a numpy batch of this process's shards on the devices as global arrays."""
    sharding = sharded_batch(mesh)
    if jax.process_count() > 1:
        return functools.partial(jax.make_array_from_process_local_data, sharding)
    # A compiled identity takes an eighth of the time of `jax.device_put` on a batch of 18 arrays.
    return jax.jit(lambda batch: batch, in_shardings=sharding, out_shardings=sharding)


def put_state(arrays: PyTree, shardings: PyTree) -> PyTree:
    """Arrays known in full to every process, as global arrays that own their memory."""

    def put(array: jax.Array, sharding: NamedSharding) -> jax.Array:
        host = np.array(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])

    return jax.tree.map(put, arrays, shardings)


def to_host(arrays: Mapping[str, jax.Array]) -> dict[str, np.ndarray]:
    """Copies of global arrays in the memory of every process, gathered where they are split."""
    split = {name: x for name, x in arrays.items() if not x.is_fully_replicated}
    if split:
        mesh = next(iter(split.values())).sharding.mesh  # type: ignore[attr-defined]
        split = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(split)
    return {name: np.array(split.get(name, x)) for name, x in arrays.items()}
