"""Meshes of one device; many devices and processes are in test_resume."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from equinet.training import TrainingConfig
from equinet.training.mesh import local_shards, make_mesh, make_put_batch, to_host, vector_sharding

ONE = TrainingConfig(mesh=(("data", 1), ("model", 1)))


def test_axes_are_auto():
    mesh = make_mesh(ONE)
    assert mesh.axis_types == (AxisType.Auto,) * 2
    assert local_shards(mesh) == range(1)


def test_all_devices():
    assert make_mesh(TrainingConfig()).shape["data"] == jax.device_count()


def test_too_many_devices():
    with pytest.raises(ValueError, match="asks for 4096 devices, found"):
        make_mesh(TrainingConfig(mesh=(("data", 4096),)))
    with pytest.raises(ValueError, match="asks for 4096 devices, found"):
        make_mesh(TrainingConfig(mesh=(("data", -1), ("model", 4096))))


def test_batches_and_state_go_there_and_back():
    mesh = make_mesh(ONE)
    batch = {"x": np.arange(6.0, dtype=np.float32).reshape(1, 6)}
    there = make_put_batch(mesh)(batch)
    assert there["x"].sharding.mesh == mesh
    np.testing.assert_array_equal(to_host(there)["x"], batch["x"])
    assert to_host(there)["x"].flags.owndata


def test_vectors_are_split_where_they_divide():
    mesh = make_mesh(ONE)
    assert vector_sharding(mesh, (1024,), "model").spec == jax.P("model")
    assert vector_sharding(mesh, (4, 6), "data").spec == jax.P(None, "data")
    assert vector_sharding(mesh, (), "data").spec == jax.P()
    assert vector_sharding(mesh, (4,), None).spec == jax.P()


def test_distributed_without_others_says_what_to_set(monkeypatch):
    from equinet.training.mesh import initialize_distributed

    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)

    def initialize(**kwargs):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(ValueError, match="Set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES"):
        initialize_distributed(TrainingConfig(distributed=True))
