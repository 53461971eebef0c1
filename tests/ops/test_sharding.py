"""Several devices: values and gradients are those of one device, by either kind of sharding."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from equinet._sharding import keep_sharding, vary_alike

PROGRAM = pathlib.Path(__file__).with_name("sharded_program.py")


@pytest.fixture(scope="module")
def differences() -> dict[str, dict[str, float]]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, str(PROGRAM)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shard_map", "explicit"])
def test_values_and_gradients_on_two_devices(
    kind: str, differences: dict[str, dict[str, float]]
) -> None:
    # The gradient of a factor that the devices share is a sum over them.
    assert len(differences[kind]) >= 9
    assert {name: error for name, error in differences[kind].items() if error > 1e-11} == {}


def test_one_device_changes_nothing() -> None:
    x, y = jnp.ones(3), jnp.ones(2)
    assert vary_alike(x, y) == (x, y)
    assert keep_sharding(lambda a: a, x, ndim=1) is x
    assert str(jax.make_jaxpr(lambda a: keep_sharding(jnp.sin, a, ndim=1))(x)).count("sin") == 1
