"""Molecular dynamics with a trained potential, through ASE."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from equinet.data.atoms import Configuration, read_configurations
from equinet.data.extras import require
from equinet.potentials.calculator import PotentialCalculator
from equinet.training import load_model_spec
from equinet.training.machine import keep_freed_memory

ase = require("ase")


def run_md(
    workdir: str | Path,
    *,
    ensemble: Literal["nve", "nvt"] = "nve",
    temperature: float = 300.0,
    timestep_fs: float = 0.5,
    steps: int = 20_000,
    friction_per_fs: float = 0.01,
    seed: int = 0,
    data: str | None = None,
    trajectory: str | None = None,
    log_every: int = 100,
    dtype: Literal["float32", "float64"] = "float32",
) -> dict[str, Any]:
    """Molecular dynamics with the best model of a training, through ASE.

    The start is the first held-out configuration of the training or the first of ``data``, with
    velocities drawn at ``temperature``.

    Args:
        workdir: Folder of the training.
        ensemble: ``"nve"`` (velocity Verlet) or ``"nvt"`` (Langevin).
        temperature: Temperature of the first velocities and of the thermostat in kelvin.
        timestep_fs: Time step in femtoseconds.
        steps: Number of steps.
        friction_per_fs: Friction of the thermostat.
        seed: Seed of velocities and noise.
        data: File with the start; the training's own if absent.
        trajectory: File, any format of ASE; ``workdir/md_<ensemble>.xyz`` if absent.
        log_every: Steps between two configurations of the trajectory.
        dtype: Type of the potential's computation.

    Returns:
        What the command prints: ``energy_drift_mev_per_atom_per_ps`` is the slope of the linear fit
        to the total energy.

    Raises:
        ValueError: If a number is out of range or the potential does not know an element.
        FileNotFoundError: If the workdir has no model.
        FloatingPointError: If the dynamics explodes.
    """
    _check_positive(temperature=temperature, timestep_fs=timestep_fs, steps=steps)
    _check_positive(log_every=log_every, friction_per_fs=friction_per_fs)
    began = time.monotonic()
    keep_freed_memory()
    calculator = PotentialCalculator.from_workdir(workdir, dtype=dtype)
    atoms = _start(workdir, data)
    atoms.calc = calculator
    path = Path(trajectory) if trajectory else Path(workdir) / f"md_{ensemble}.xyz"
    dynamics = _dynamics(atoms, ensemble, temperature, timestep_fs, friction_per_fs, seed)
    first = time.monotonic()
    energies, temperatures = _propagate(dynamics, atoms, steps, log_every, path)
    seconds = time.monotonic() - first
    return {
        "command": "md",
        "workdir": str(workdir),
        "ensemble": ensemble,
        "atoms": len(atoms),
        "steps": steps,
        "timestep_fs": timestep_fs,
        "seed": seed,
        "dtype": dtype,
        "metrics": _summary(energies, temperatures, timestep_fs, len(atoms)),
        "steps_per_second": round(steps / seconds, 1),
        "compilations": calculator.compilations,
        "trajectory": str(path),
        "seconds": round(time.monotonic() - began, 3),
        "device": jax.devices()[0].device_kind,
    }


def _summary(
    energies: Sequence[float], temperatures: Sequence[float], timestep_fs: float, atoms: int
) -> dict[str, float]:
    """Drift (slope of the linear fit), spread of the total energy, and mean temperature."""
    total = 1e3 * np.array(energies) / atoms
    picoseconds = np.arange(len(total)) * timestep_fs * 1e-3
    slope = np.polynomial.Polynomial.fit(picoseconds, total, 1).convert().coef[1]
    return {
        "energy_drift_mev_per_atom_per_ps": float(slope),
        "energy_fluctuation_mev_per_atom": float(total.std()),
        "mean_temperature_kelvin": float(np.mean(temperatures)),
    }


def _propagate(
    dynamics: Any, atoms: Any, steps: int, log_every: int, path: Path
) -> tuple[list[float], list[float]]:
    """Total energy and temperature at every step; trajectory and log lines now and then."""
    energies: list[float] = []
    temperatures: list[float] = []
    write = require("ase.io").write
    report = max(steps // 10, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    def observe() -> None:
        step = len(energies)
        energies.append(atoms.get_total_energy())
        temperatures.append(atoms.get_temperature())
        if not np.isfinite(energies[-1]):
            raise FloatingPointError(f"the energy is {energies[-1]} at step {step}: it exploded")
        if step % log_every == 0:
            write(path, atoms, append=True)
        if step % report == 0:
            text = f"step {step} of {steps}: {energies[-1]:.4f} eV, {temperatures[-1]:.0f} K"
            print(text, file=sys.stderr, flush=True)

    dynamics.attach(observe, interval=1)
    dynamics.run(steps)
    return energies, temperatures


def _dynamics(
    atoms: Any,
    ensemble: str,
    temperature: float,
    timestep_fs: float,
    friction_per_fs: float,
    seed: int,
) -> Any:
    """ASE's integrator, with the atoms thermalised and their centre at rest."""
    rng = np.random.default_rng(seed)
    velocities = require("ase.md.velocitydistribution")
    velocities.thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    velocities.Stationary(atoms)
    if not any(atoms.pbc):
        velocities.ZeroRotation(atoms)
    fs = require("ase.units").fs
    if ensemble == "nve":
        return require("ase.md.verlet").VelocityVerlet(atoms, timestep=timestep_fs * fs)
    if ensemble == "nvt":
        atoms.set_constraint(require("ase.constraints").FixCom())
        return require("ase.md.langevin").Langevin(
            atoms,
            timestep=timestep_fs * fs,
            temperature_K=temperature,
            friction=friction_per_fs / fs,
            fixcm=False,
            rng=rng,
        )
    raise ValueError(f"ensemble must be 'nve' or 'nvt', got {ensemble!r}")


def _start(workdir: str | Path, data: str | None) -> Any:
    """The first configuration of a file, or the structure that the training left."""
    if data is not None:
        configuration = read_configurations(data, require=())[0]
    else:
        spec = load_model_spec(workdir)["structure"]
        configuration = Configuration(
            numbers=np.array(spec["numbers"]),
            positions=np.array(spec["positions"]),
            cell=None if spec["cell"] is None else np.array(spec["cell"]),
            pbc=tuple(spec["pbc"]),
        )
    cell: Float[np.ndarray, "3 3"] | None = configuration.cell
    return ase.Atoms(
        numbers=configuration.numbers,
        positions=configuration.positions,
        cell=cell,
        pbc=configuration.pbc,
    )


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
