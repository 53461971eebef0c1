"""Settings and fixtures that every test shares."""

import hypothesis
import jax
import pytest
from absl import flags

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of a test is compilation: a quarter less of it. Programs that tests start are optimised.
jax.config.update("jax_disable_most_optimizations", True)

# grain reads absl flags, which only a program started through absl.app has parsed.
flags.FLAGS.mark_as_parsed()

# The same examples on every run and every machine; a first call compiles, so time says nothing.
hypothesis.settings.register_profile(
    "equinet",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("equinet")


@pytest.fixture
def key() -> jax.Array:
    """A JAX PRNG key, the same in every test."""
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Runs the test in float64."""
    with jax.enable_x64(True):
        yield
