"""Settings and fixtures that every test shares."""

import pathlib

import hypothesis
import jax
import pytest
from absl import flags

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# grain reads absl flags, which only a program started through absl.app has parsed.
flags.FLAGS.mark_as_parsed()

MOST_MAPS = 40_000

# The same examples on every run and every machine; a first call compiles, so time says nothing.
hypothesis.settings.register_profile(
    "equinet",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("equinet")


def pytest_configure(config: pytest.Config) -> None:
    """Compile with few optimisations, a quarter of the suite's time, unless slow tests train."""
    if "not slow" in config.option.markexpr:
        jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True, scope="module")
def few_maps():
    """Drops compiled programs before their memory maps reach Linux' limit of 65,530 a process."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    """A JAX PRNG key, the same in every test."""
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Runs the test in float64."""
    with jax.enable_x64(True):
        yield
