"""The package itself: one version, and what its packages show."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import equinet

ROOT = Path(equinet.__file__).parent
PACKAGES = sorted(
    ".".join(["equinet", *stub.parent.relative_to(ROOT).parts]) for stub in ROOT.rglob("*.pyi")
)


def run_python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def stub_names(name: str) -> tuple[list[str], list[str]]:
    """The list `__all__` of a stub, and the names that it binds."""
    path = ROOT.joinpath(*name.split(".")[1:], "__init__.pyi")
    tree = ast.parse(path.read_text())
    bound, listed = [], []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            bound += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.AnnAssign):
            bound.append(ast.unparse(node.target))
        elif isinstance(node, ast.Assign):
            listed = ast.literal_eval(node.value)
    public = [name for name in listed if not name.startswith("__")]
    return public, [name for name in bound if not name.startswith("__")]


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert project["project"]["name"] == "equinet-jax"
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "equinet/__init__.py"
    assert equinet.__version__


def test_there_are_stubs() -> None:
    assert {"equinet", "equinet.groups", "equinet.ops.products"} <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_shows_what_its_stub_lists_and_nothing_else(name: str) -> None:
    package = importlib.import_module(name)
    listed, bound = stub_names(name)
    assert sorted(listed) == sorted(bound)
    assert sorted(dir(package)) == sorted(listed)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there_and_none_is_a_module_of_the_package(name: str) -> None:
    package = importlib.import_module(name)
    for public in stub_names(name)[0]:
        value = getattr(package, public)
        if isinstance(value, type(sys)):
            assert f"{name}.{public}" in [*PACKAGES, "equinet.testing"], public


def test_the_front_door_has_the_names_that_a_user_tries_first() -> None:
    assert {"Irreps", "O", "SO", "Vector", "spherical_harmonics", "nn"} <= set(dir(equinet))
    assert str(equinet.Irreps("2x0e+1o")) == "2x0e+1o"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="Irrepz"):
        getattr(equinet, "Irrepz")  # noqa: B009


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import equinet; new = set(sys.modules) - before; "
        "print(len(new), sorted({'jax', 'flax', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    count, rest = run_python(code).split(" ", 1)
    assert rest == "[]"
    assert int(count) < 100  # jax alone has more than 500


def test_the_command_answers_a_wrong_flag_before_jax_is_loaded() -> None:
    code = (
        "import sys; from equinet.cli import main; "
        "code = main(['train', '--config=potential', '--workdir=w', '--stpes=3']); "
        "print(code, 'jax' in sys.modules, 'numpy' in sys.modules)"
    )
    assert run_python(code) == "2 False False"


def test_reps_do_not_load_e3nn() -> None:
    assert run_python("import equinet.testing, sys; print('e3nn_jax' in sys.modules)") == "False"
