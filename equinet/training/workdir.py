"""The folder of a run: its config, its model and its result."""

import importlib
import importlib.metadata
import json
import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from equinet import __version__
from equinet.files import write_atomically
from equinet.training.config import flatten, from_json, to_json
from equinet.training.metrics import plain
from equinet.training.settings import TaskConfig
from equinet.training.sources import is_preset, make_importable, split_source
from equinet.training.task import Task, load_task

# What may change between two commands on one workdir: it says how long, how often and where,
# not what is trained.
RESUMABLE = frozenset(
    ["data_dir"]
    + [
        f"training.{name}"
        for name in (
            "steps",
            "log_every",
            "validate_every",
            "checkpoint_every",
            "keep_checkpoints",
            "mesh",
            "parameter_axis",
            "distributed",
            "max_minutes",
            "read_threads",
            "prefetch",
        )
    ]
)


class Workdir:
    """The folder of one run, held by one process at a time.

    Args:
        path: The folder, made where it is missing.
        config: The run's config; a folder of another experiment is refused.
        source: The config as the command named it, "configs/x.py:argument".
        writes: False on every process but the first, which reads only.

    Raises:
        ValueError: The folder belongs to another experiment or to a run under way.
    """

    def __init__(self, path: str | Path, config: TaskConfig, source: str, writes: bool) -> None:
        self.path, self.config, self.source, self.writes = Path(path), config, source, writes
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--workdir={path} is a file, expected a folder")
        self._lock: TextIO | None = None
        if writes:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._take_lock()
            except OSError as error:
                raise OSError(
                    f"--workdir={path} cannot be written ({error.strerror}): choose a folder in "
                    "which you may write"
                ) from error
        try:
            self._compare()
            if writes:
                origin = json.dumps(self._origin(), indent=2) + "\n"
                write_atomically(self.path / "config.json", to_json(config))
                write_atomically(self.path / "run.json", origin)
        except BaseException:
            self.close()
            raise

    def write_model_spec(self, spec: Mapping[str, Any]) -> None:
        """Writes model.json, from which the task rebuilds the model."""
        if self.writes:
            write_atomically(self.path / "model.json", json.dumps(plain(spec), indent=2) + "\n")

    def write_result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Writes result.json and returns what it holds."""
        text = json.dumps(plain(result)) + "\n"
        if self.writes:
            write_atomically(self.path / "result.json", text)
        return json.loads(text)

    def result(self, steps: int) -> dict[str, Any] | None:
        """The result of a finished run of `steps` steps, None where the run goes on.

        Raises:
            ValueError: The run has gone further than `steps`.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        result = json.loads(path.read_text())
        self.refuse_shorter(result["steps"], steps)
        return result if result["steps"] == steps else None

    def refuse_shorter(self, done: int, steps: int) -> None:
        """Raises ValueError where the run is past the `steps` asked for."""
        if done > steps:
            raise ValueError(
                f"{self.path} is at step {done} already, training.steps={steps}: ask for {done} "
                "or more, or use a fresh --workdir"
            )

    def close(self) -> None:
        """Lets another process have the folder."""
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ValueError(f"another run is under way in {self.path}") from error
        except (ImportError, OSError):  # Windows, or a file system without locks
            logging.getLogger("equinet").warning(
                "%s cannot be locked here: start no second run in it", self.path
            )

    def _compare(self) -> None:
        path = self.path / "config.json"
        if not path.exists():
            if (self.path / "checkpoints").exists():
                raise ValueError(f"{self.path} holds checkpoints but no config.json: use another")
            return
        old, new = flatten(_read_config(path)), flatten(self.config)
        for key in sorted((set(old) | set(new)) - RESUMABLE):
            there, here = (repr(flat[key]) if key in flat else "absent" for flat in (old, new))
            if there != here:
                raise ValueError(
                    f"{self.path} belongs to another experiment: config.{key} is {there} there "
                    f"and {here} here; use a fresh --workdir or the same settings"
                )

    def _origin(self) -> dict[str, Any]:
        path = split_source(self.source)[0].resolve() if self.source else None
        folder = str(path.parent) if path else "."
        packages = ("jax", "flax", "optax", "orbax-checkpoint", "grain")
        versions = {"equinet": __version__} | {name: _version(name) for name in packages}
        return {
            "config": self.source,
            "file": str(path) if path and not is_preset(path) else "",
            "git": _git(folder),
            "versions": versions,
        }


def read_config(workdir: str | Path) -> Any:
    """The config of the run in a workdir; a key that is newer than the run takes its default.

    Raises:
        FileNotFoundError: The folder is not of a run.
    """
    path = Path(workdir) / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no config.json in {workdir}: expected the --workdir of a training"
        )
    _find_task(workdir)
    return _read_config(path)


def read_origin(workdir: str | Path) -> dict[str, Any]:
    """The config file of the run in a workdir, its commit and the versions the run used."""
    path = Path(workdir) / "run.json"
    return json.loads(path.read_text()) if path.exists() else {"config": "", "file": ""}


def load_run(workdir: str | Path) -> tuple[Any, Task]:
    """The config of the run in a workdir, and its task, imported as the training did.

    Raises:
        FileNotFoundError: The folder is not of a run.
        ValueError: The task is not where it was.
    """
    config = read_config(workdir)
    return config, load_task(config.task)


def load_model_spec(workdir: str | Path) -> dict[str, Any]:
    """What the task wrote to rebuild its model (`Experiment.model_spec`).

    Raises:
        FileNotFoundError: The folder is not of a run.
    """
    path = Path(workdir) / "model.json"
    if not path.exists():
        raise FileNotFoundError(f"no model.json in {workdir}: expected the --workdir of a training")
    return json.loads(path.read_text())


def _find_task(workdir: str | Path) -> None:
    """Makes the task of a run importable, as it was for the training."""
    file = read_origin(workdir)["file"]
    # A workdir that was copied here from elsewhere belongs to the project in this folder.
    make_importable(Path(file) if Path(file).is_file() else Path.cwd() / "config.py")


def _read_config(path: Path) -> Any:
    try:
        return from_json(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}): it was altered by hand") from error
    except ValueError as error:
        raise ValueError(
            f"{path}: {error} (this is no config of the task as it is now: use a fresh --workdir, "
            "or the version of the code that trained here)"
        ) from error


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _git(folder: str) -> str:
    command = ["git", "-C", folder, "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
