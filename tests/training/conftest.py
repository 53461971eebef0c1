"""The toy project, whose task uses all of the engine, and how to run it."""

import json
from pathlib import Path

import pytest

from equinet.training import load_config, train

TOY = Path(__file__).parent / "toy_project" / "toy_config.py"


@pytest.fixture(scope="session")
def toy():
    """The path of the toy config."""
    return str(TOY)


@pytest.fixture
def run_toy(tmp_path):
    """Trains the toy config with overrides in a workdir below the test's folder."""

    def run(workdir="run", **overrides):
        pairs = [(key.replace("__", "."), str(value)) for key, value in overrides.items()]
        return train(load_config(str(TOY), pairs), tmp_path / workdir, source=str(TOY))

    return run


@pytest.fixture
def records():
    """The records of a workdir's metrics.jsonl without what a clock measured."""

    def read(workdir):
        lines = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
        clocks = ("seconds", "steps_per_second")
        return [{k: v for k, v in json.loads(x).items() if k not in clocks} for x in lines]

    return read
