"""Molecules sampled by Langevin dynamics and labelled with GFN-xTB, as data without a download."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from equinet.data.atoms.configurations import (
    Configuration,
    format_configurations,
    read_configurations,
)
from equinet.data.extras import require
from equinet.files import cache_directory, write_atomically

_log = logging.getLogger(__name__)

_METHODS = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")
# Part of the cache's key: raise it whenever the sampling changes.
_RECIPE = 2
_WORKER = Path(__file__).with_name("_xtb_worker.py")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


# The default time between configurations and the many trajectories: with the default friction the
# forces of ethanol (in axes fixed to the molecule) correlate by -0.1 after 50 fs and by 0.02 after
# 70 fs, at 300 K and at 500 K, but rotamers last longer.
def sample_molecule(
    molecule: str = "CCO",
    *,
    num_configurations: int,
    temperature_K: float = 500.0,
    timestep_fs: float = 1.0,
    spacing_fs: float = 50.0,
    equilibration_fs: float = 300.0,
    friction_per_fs: float = 0.05,
    num_trajectories: int = 16,
    method: str = "GFN2-xTB",
    seed: int = 0,
    workers: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Configuration]:
    """Samples a molecule by Langevin dynamics and labels the samples with energies and forces.

    Every trajectory starts from a different conformer and different velocities. The list contains
    one trajectory after the other, so that its end, if held out, is independent of the rest. The
    result does not depend on ``workers`` or the cache. On another processor or with other versions
    of the libraries rounding differs, and the dynamics, being chaotic, then diverges.

    Args:
        molecule: SMILES string; the default is ethanol.
        num_configurations: Number of configurations over all trajectories.
        temperature_K: Temperature in kelvin.
        timestep_fs: Time step in femtoseconds.
        spacing_fs: Time between configurations of a trajectory in femtoseconds.
        equilibration_fs: Time before the first configuration of a trajectory in femtoseconds.
        friction_per_fs: Friction of the Langevin dynamics in 1/fs.
        num_trajectories: Number of independent trajectories; at most one for each configuration.
        method: ``"GFN2-xTB"``, ``"GFN1-xTB"`` or ``"IPEA1-xTB"``.
        seed: Seed of geometries, velocities and noise.
        workers: Number of processes; None for one per processor.
        cache: Folder of the cache; None for ``cache_directory()``.
        progress: Called with (configurations done, all configurations) after every configuration.

    Raises:
        ValueError: If a setting is out of range, or the SMILES string cannot be parsed.
        RuntimeError: If a calculation fails.

    >>> sample_molecule("CCO", num_configurations=0)
    Traceback (most recent call last):
    ValueError: got num_configurations=0, expected a number above 0
    """
    times = {"timestep_fs": timestep_fs, "spacing_fs": spacing_fs}
    others = {"temperature_K": temperature_K, "friction_per_fs": friction_per_fs}
    settings = _settings(molecule, method, seed, equilibration_fs, **times, **others)
    _check_positive(workers=workers or 1)
    plan = _plan(num_configurations, num_trajectories)
    path = _cache_path(settings, plan, cache)
    configurations = _load(path, plan)
    if configurations is None:
        configurations = _sample(settings, plan, workers or _processors(), progress)
        _store(path, {"settings": settings, "plan": plan}, configurations)
    return _with_sources(configurations, molecule, plan)


def _with_sources(
    configurations: Sequence[Configuration], molecule: str, plan: Sequence[tuple[int, int]]
) -> list[Configuration]:
    sources = [
        f"xtb {molecule} trajectory {k} configuration {i}"
        for k, count in plan
        for i in range(count)
    ]
    return [
        dataclasses.replace(configuration, source=source)
        for configuration, source in zip(configurations, sources, strict=True)
    ]


def _settings(
    molecule: str,
    method: str,
    seed: int,
    equilibration_fs: float,
    *,
    timestep_fs: float,
    spacing_fs: float,
    **numbers: float,
) -> dict[str, Any]:
    """All settings on which a trajectory depends; they are part of the key of the cache."""
    if method not in _METHODS:
        raise ValueError(f"got method={method!r}, expected one of {', '.join(_METHODS)}")
    if seed < 0:
        raise ValueError(f"got seed={seed}, expected 0 or more")
    if not 0 <= equilibration_fs < math.inf:
        raise ValueError(f"got equilibration_fs={equilibration_fs}, expected 0 or more")
    _check_positive(timestep_fs=timestep_fs, spacing_fs=spacing_fs, **numbers)
    return {
        "molecule": molecule,
        "method": method,
        "timestep_fs": float(timestep_fs),
        "spacing_steps": max(1, round(spacing_fs / timestep_fs)),
        "equilibration_steps": round(equilibration_fs / timestep_fs),
        "dynamics_accuracy": 10.0,
        "label_accuracy": 0.01,
        "seed": int(seed),
        **{name: float(number) for name, number in numbers.items()},
    }


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise ValueError(f"got {name}={number}, expected a number above 0")


def _plan(number: int, trajectories: int) -> list[tuple[int, int]]:
    """The pairs (trajectory, number of its configurations)."""
    _check_positive(num_configurations=number, num_trajectories=trajectories)
    trajectories = min(trajectories, number)
    each, more = divmod(number, trajectories)
    return [(walker, each + (walker < more)) for walker in range(trajectories)]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache_path(
    settings: dict[str, Any], plan: Sequence[Any], cache: str | os.PathLike[str] | None
) -> Path:
    for package in ("tblite", "rdkit"):
        require(package)
    versions = {
        name: importlib.metadata.version(name) for name in ("ase", "tblite", "rdkit", "numpy")
    }
    key = json.dumps([_RECIPE, settings, plan, versions], sort_keys=True)
    folder = cache_directory() if cache is None else Path(cache)
    return folder / "xtb" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.xyz"


def _load(path: Path, plan: Sequence[tuple[int, int]]) -> list[Configuration] | None:
    """The configurations in the cache; None if they are missing, incomplete or damaged."""
    note = path.with_suffix(".json")
    if not (path.exists() and note.exists()):
        return None
    try:
        digest = json.loads(note.read_text(encoding="utf-8"))["sha256"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError("the file was changed after it was written")
        configurations = read_configurations(path)
        if len(configurations) != sum(count for _, count in plan):
            raise ValueError(f"it holds {len(configurations)} configurations")
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning(
            "generating anew, the cached configurations in %s are damaged: %s", path, error
        )
        return None
    return configurations


def _store(path: Path, note: dict[str, Any], configurations: Sequence[Configuration]) -> None:
    text = format_configurations(configurations)
    note["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    try:
        write_atomically(path, text)
        write_atomically(path.with_suffix(".json"), json.dumps(note, indent=1))
    except OSError as error:
        _log.warning("the generated configurations could not be kept in %s: %s", path.parent, error)


def _sample(
    settings: dict[str, Any],
    plan: Sequence[tuple[int, int]],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Configuration]:
    total = sum(count for _, count in plan)
    jobs = [{"settings": settings, "walkers": plan[w::workers]} for w in range(workers)]
    sampled: dict[tuple[int, int], Configuration] = {}
    for line in _run([job for job in jobs if job["walkers"]]):
        if "error" in line:
            kind = {"ValueError": ValueError, "ImportError": ImportError}.get(line["kind"])
            raise (kind or RuntimeError)(
                f"{settings['method']} of {settings['molecule']!r}, trajectory {line['walker']}: "
                f"{line['error']}"
            )
        sampled[line["walker"], line["index"]] = Configuration(
            numbers=np.array(line["numbers"]),
            positions=np.array(line["positions"]),
            energy=line["energy"],
            forces=np.array(line["forces"]),
            source=f"xtb trajectory {line['walker']} configuration {line['index']}",
        )
        if progress is not None:
            progress(len(sampled), total)
    return [sampled[key] for key in sorted(sampled)]


def _run(jobs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Runs one process per job and yields the lines of all processes in the order of arrival.

    Plain processes and pipes are used rather than a pool: a process ends when its pipe breaks, so
    that none survives when this one is killed, and a user's script needs no main guard.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in jobs]
        processes = []
        for job, error in zip(jobs, errors, strict=True):
            # -P: modules in the script's folder must not shadow the standard library.
            process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                text=True,
                env={**os.environ, **_ONE_THREAD},
            )
            stack.callback(_stop, process)
            assert process.stdin is not None
            json.dump(job, process.stdin)
            process.stdin.close()
            threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
            processes.append(process)
        for _ in processes:
            yield from map(json.loads, iter(lines.get, None))
        for process, error in zip(processes, errors, strict=True):
            if process.wait() != 0:
                error.seek(0)
                tail = error.read()[-2000:].strip()
                raise RuntimeError(f"a process of the sampling ended with {process.wait()}: {tail}")


def _forward(source: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    with contextlib.suppress(ValueError):  # The pipe is closed if the sampling is aborted.
        for line in source:
            lines.put(line)
    lines.put(None)


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
