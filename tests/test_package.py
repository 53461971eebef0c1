"""The package itself: one version, and an import that loads nothing heavy."""

import subprocess
import sys
import tomllib
from pathlib import Path

import equinet


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert equinet.__version__ == project["version"]


def test_import_loads_nothing_heavy() -> None:
    code = "import equinet, sys; print(sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))"
    root = Path(equinet.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0)


def test_reps_do_not_load_e3nn() -> None:
    code = "import equinet.testing, sys; print('e3nn_jax' in sys.modules)"
    root = Path(equinet.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == ("False", 0)
