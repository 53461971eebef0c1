"""The wheel alone, in a fresh environment: it trains, evaluates and uses a potential."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHORT = [
    f"--config.{key}={value}"
    for key, value in {
        "model.channels": 4,
        "model.layers": 1,
        "model.correlation": 2,
        "training.steps": 4,
        "training.batch_size": 2,
        "training.warmup_steps": 1,
        "training.validate_every": 2,
    }.items()
]
WATER = [
    f"--config.{key}={value}"
    for key, value in {
        "data.smiles": "O",
        "data.configurations": "(6, 2, 2)",
        "data.num_trajectories": 1,
        "data.spacing_fs": 3,
        "data.equilibration_fs": 3,
    }.items()
]

pytestmark = pytest.mark.slow


def run(*words: object, folder: Path, code: int = 0) -> subprocess.CompletedProcess:
    """Runs a command that sees neither this project nor the packages of this environment."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "JAX_PLATFORMS": "cpu"}
    environment |= {"EQUINET_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run([str(word) for word in build], check=True)
    (path,) = folder.glob("equinet_jax-*.whl")
    return path


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user, with `venv/` in which the wheel is installed, and `my.xyz`."""
    folder = tmp_path_factory.mktemp("user")
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"]
    pip += [f"{wheel}[potentials,plots]", "-c", ROOT / "constraints.txt"]
    subprocess.run([str(word) for word in pip], check=True)
    write_water(folder / "my.xyz")
    return folder


def write_water(path: Path) -> None:
    """Twelve configurations of water whose labels are those of springs."""
    lines = []
    for number in range(12):
        stretch = 0.02 * (number - 6)
        force = -10.0 * stretch
        lines += [
            "3",
            f'Properties=species:S:1:pos:R:3:forces:R:3 energy={5.0 * stretch**2} pbc="F F F"',
            f"O 0 0 0 {-force} 0 0",
            f"H {0.96 + stretch} 0 0 {force} 0 0",
            "H -0.24 0.93 0 0 0 0",
        ]
    path.write_text("\n".join(lines) + "\n")


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"equinet", "equinet_jax"}
    for name in (
        "py.typed",
        "__init__.pyi",
        "ops/products/__init__.pyi",
        "ops/products/cp_factors.npz",
        "presets/potential.py",
        "commands/templates/my_task.py",
    ):
        assert f"equinet/{name}" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_trains_on_labels_of_xtb_and_uses_the_potential(project: Path) -> None:
    command = project / "venv/bin/equinet"
    listed = json.loads(run(command, "list", "--json", folder=project).stdout)
    assert "potential" in listed["presets"]
    assert listed["configs"] == {}
    words = ["train", "--config=potential", "--workdir=runs/water", *SHORT, *WATER]
    result = json.loads(run(command, *words, folder=project).stdout.splitlines()[-1])
    assert (result["status"], result["steps"]) == ("finished", 4)
    report = run(command, "evaluate", "--workdir=runs/water", folder=project).stdout
    assert json.loads(report.splitlines()[-1])["metrics"] == result["metrics"]
    words = ["md", "--workdir=runs/water", "--steps=10", "--log_every=5"]
    result = json.loads(run(command, *words, folder=project).stdout.splitlines()[-1])
    assert (project / result["trajectory"]).read_text().count("Lattice") in (0, 3)
    run(command, "plot", "--workdir=runs/water", folder=project)
    figures = {path.name for path in (project / "runs/water/figures").iterdir()}
    names = ("learning_curves", "energies", "forces", "elements")
    assert figures == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_the_wheel_trains_on_a_file_of_the_user(project: Path) -> None:
    command = project / "venv/bin/equinet"
    parts = {"train": "my.xyz@:8", "validation": "my.xyz@8:10", "test": "my.xyz@10:"}
    data = [f"--config.data.{name}={part}" for name, part in parts.items()]
    words = ["train", "--config=potential", "--workdir=runs/mine", *SHORT]
    words += ["--config.data.source=files", *data]
    result = json.loads(run(command, *words, folder=project).stdout.splitlines()[-1])
    assert result["status"] == "finished"
    words = ["evaluate", "--workdir=runs/mine", "--data=my.xyz"]
    report = json.loads(run(command, *words, folder=project).stdout.splitlines()[-1])
    assert report["configurations"] == 12


def test_the_wheel_starts_a_project(project: Path) -> None:
    command = project / "venv/bin/equinet"
    text = json.loads(run(command, "init", "mine", "--json", folder=project).stdout)["next"]
    words = [*text.split()[1:], "--config.training.steps=3"]
    result = json.loads(run(command, *words, folder=project).stdout.splitlines()[-1])
    assert result["equivariance_error"]["float64"] < 1e-10


def test_a_missing_extra_is_one_line(project: Path) -> None:
    code = (
        "import sys; sys.modules['tblite'] = None; sys.modules['ase'] = None; "
        "from equinet.cli import main; "
        "sys.exit(main(['train', '--config=potential', '--workdir=runs/none']))"
    )
    done = run(project / "venv/bin/python", "-c", code, folder=project, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'equinet-jax[potentials]'" in done.stderr


def test_nothing_but_equinet_is_installed(project: Path) -> None:
    code = (
        "import importlib.util as u, importlib.metadata as m, equinet; "
        "print(u.find_spec('experiments'), u.find_spec('configs'), "
        "m.version('equinet-jax') == equinet.__version__)"
    )
    done = run(project / "venv/bin/python", "-c", code, folder=project)
    assert done.stdout.split() == ["None", "None", "True"]
