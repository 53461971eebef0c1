"""Settings and fixtures that every test shares."""

import os
import pathlib
from collections.abc import Callable

import hypothesis
import jax
import numpy as np
import pytest
from absl import flags

from equinet.data.atoms import Configuration

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


@pytest.fixture
def data_dir() -> pathlib.Path:
    """The directory of the public data sets, which the project does not ship."""
    directory = os.environ.get("EQUINET_DATA")
    if not directory:
        pytest.skip("EQUINET_DATA is not set: the public data sets are not on this machine")
    return pathlib.Path(directory)


@pytest.fixture
def make_configuration() -> Callable[..., Configuration]:
    """Makes random configurations of hydrogen, carbon and oxygen, with labels or without."""

    def make(
        atoms: int, seed: int = 0, *, cell: float | None = None, labelled: bool = True
    ) -> Configuration:
        rng = np.random.default_rng(seed)
        size = 1.5 * atoms ** (1 / 3)
        return Configuration(
            numbers=rng.choice([1, 6, 8], atoms),
            positions=rng.uniform(-size, size, (atoms, 3)),
            cell=None if cell is None else cell * (np.eye(3) + 0.2 * rng.normal(size=(3, 3))),
            pbc=(cell is not None,) * 3,
            energy=float(rng.normal()) - 100 * atoms if labelled else None,
            forces=rng.normal(size=(atoms, 3)) if labelled else None,
            stress=rng.normal(size=(3, 3)) if labelled and cell is not None else None,
            source=f"random {seed}",
        )

    return make


WATER = {
    "data.smiles": "O",
    "data.configurations": "(6, 1, 1)",
    "data.num_trajectories": "1",
    "data.spacing_fs": "3",
    "data.equilibration_fs": "3",
    "model.channels": "4",
    "model.layers": "1",
    "training.steps": "40",
    "training.batch_size": "2",
    "training.validate_every": "20",
    "training.warmup_steps": "1",
}


@pytest.fixture(scope="session")
def water() -> dict[str, str]:
    """Overrides of a potential's config for a few seconds of training on water."""
    return dict(WATER)


@pytest.fixture(scope="session")
def trained_water(tmp_path_factory: pytest.TempPathFactory, water: dict[str, str]) -> pathlib.Path:
    """The folder of a finished training of water, which no test changes; `cache` lies beside it."""
    from equinet.training import load_config, train

    folder = tmp_path_factory.mktemp("water")
    config = str(pathlib.Path(__file__).parents[1] / "configs" / "potential.py")
    overrides = [*water.items(), ("model.correlation", "2")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUINET_CACHE", str(folder / "cache"))
        train(load_config(config, overrides), folder / "run", source=config)
    return folder / "run"
