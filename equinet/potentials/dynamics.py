"""Molecular dynamics with a trained potential, through ASE."""

import dataclasses
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
from equinet.training import keep_freed_memory, load_model_spec
from equinet.training.progress import Progress

_ENDINGS = (".xyz", ".extxyz", ".traj")


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

    The start is the first test configuration of the training or the first configuration of
    ``data``, with velocities drawn at ``temperature`` and the centre of mass at rest.

    Args:
        workdir: Folder of the training.
        ensemble: ``"nve"`` (velocity Verlet) or ``"nvt"`` (Langevin).
        temperature: Temperature of the first velocities and of the thermostat in kelvin.
        timestep_fs: Time step in femtoseconds.
        steps: Number of steps.
        friction_per_fs: Friction of the thermostat in 1/fs.
        seed: Seed of the velocities and of the thermostat.
        data: Extended XYZ file with the start; the training's own if absent.
        trajectory: File that is written, extended XYZ (``.xyz``, ``.extxyz``) or ASE's own format
            (``.traj``); ``workdir/md_<ensemble>.xyz`` if absent.
        log_every: Number of steps between two configurations of the trajectory.
        dtype: Floating-point type of the potential.

    Returns:
        What `equinet md` prints. ``energy_drift_mev_per_atom_per_ps`` is the slope of the linear
        fit to the total energy.

    Raises:
        ValueError: If a number is out of range, the potential does not know an element, or the
            format of the trajectory is unknown.
        FileNotFoundError: If the workdir has no model.
        FloatingPointError: If the energy is not finite any more.
    """
    run = _Run(ensemble, temperature, timestep_fs, steps, friction_per_fs, seed, log_every)
    path = _trajectory_path(trajectory or Path(workdir) / f"md_{ensemble}.xyz")
    began = time.monotonic()
    keep_freed_memory()
    calculator = PotentialCalculator.from_workdir(workdir, dtype=dtype)
    atoms = _start(workdir, data)
    atoms.calc = calculator
    result = _propagate(run, atoms, path)
    head = {"command": "md", "workdir": str(workdir), "dtype": dtype, "trajectory": str(path)}
    seconds = round(time.monotonic() - began, 3)
    return {**head, **result, "compilations": calculator.compilations, "seconds": seconds}


@dataclasses.dataclass(frozen=True)
class _Run:
    """The numbers of a dynamics; see `run_md`."""

    ensemble: str
    temperature: float
    timestep_fs: float
    steps: int
    friction_per_fs: float
    seed: int
    log_every: int

    def __post_init__(self) -> None:
        for name in ("temperature", "timestep_fs", "steps", "friction_per_fs", "log_every"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if self.ensemble not in ("nve", "nvt"):
            raise ValueError(f"ensemble must be 'nve' or 'nvt', got {self.ensemble!r}")

    def integrator(self, atoms: Any) -> Any:
        """ASE's integrator, with velocities drawn and the centre of mass at rest."""
        rng = np.random.default_rng(self.seed)
        velocities = require("ase.md.velocitydistribution")
        velocities.thermalize_momenta(atoms, temperature_K=self.temperature, rng=rng)
        velocities.Stationary(atoms)
        if not any(atoms.pbc):
            velocities.ZeroRotation(atoms)
        fs = require("ase.units").fs
        timestep = self.timestep_fs * fs
        if self.ensemble == "nve":
            return require("ase.md.verlet").VelocityVerlet(atoms, timestep=timestep)
        atoms.set_constraint(require("ase.constraints").FixCom())
        return require("ase.md.langevin").Langevin(
            atoms,
            timestep=timestep,
            temperature_K=self.temperature,
            friction=self.friction_per_fs / fs,
            fixcm=False,
            rng=rng,
        )


def _summary(
    energies: Sequence[float], temperatures: Sequence[float], timestep_fs: float, atoms: int
) -> dict[str, float]:
    """Drift (slope of the linear fit) and spread of the total energy, and the mean temperature."""
    total = 1e3 * np.array(energies) / atoms
    picoseconds = np.arange(len(total)) * timestep_fs * 1e-3
    slope = np.polynomial.Polynomial.fit(picoseconds, total, 1).convert().coef[1]
    return {
        "energy_drift_mev_per_atom_per_ps": float(slope),
        "energy_fluctuation_mev_per_atom": float(total.std()),
        "mean_temperature_kelvin": float(np.mean(temperatures)),
    }


def _trajectory_path(path: str | Path) -> Path:
    """The path of the trajectory, whose ending must be one of extended XYZ."""
    path = Path(path).expanduser()
    if path.suffix not in _ENDINGS:
        raise ValueError(
            f"--trajectory: expected a file that ends in {', '.join(_ENDINGS[:-1])} (extended XYZ) "
            f"or {_ENDINGS[-1]} (ASE), got {str(path)!r}"
        )
    return path


def _propagate(run: _Run, atoms: Any, path: Path) -> dict[str, Any]:
    """Runs the dynamics, writes the trajectory, and returns what is reported about them."""
    energies: list[float] = []  # total energy in eV at every step
    temperatures: list[float] = []  # in kelvin
    dynamics = run.integrator(atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    def observe() -> None:
        step = len(energies)
        energies.append(atoms.get_total_energy())
        temperatures.append(atoms.get_temperature())
        if not np.isfinite(energies[-1]):
            raise FloatingPointError(
                f"the total energy is {energies[-1]} at step {step}: the dynamics is unstable, try "
                "a shorter time step"
            )
        if step % run.log_every == 0:
            _append(path, atoms)
        progress.show(step, f"{energies[-1]:.4f} eV  {temperatures[-1]:.0f} K")

    dynamics.attach(observe, interval=1)
    began = time.monotonic()
    with Progress(run.steps) as progress:
        dynamics.run(run.steps)
    seconds = time.monotonic() - began
    names = ("ensemble", "steps", "timestep_fs", "seed")
    return {
        **{name: getattr(run, name) for name in names},
        "atoms": len(atoms),
        "metrics": _summary(energies, temperatures, run.timestep_fs, len(atoms)),
        "steps_per_second": round(run.steps / seconds, 1),
        "device": jax.devices()[0].device_kind,
    }


def _append(path: Path, atoms: Any) -> None:
    """Adds a configuration to a trajectory."""
    if path.suffix == ".traj":
        with require("ase.io").Trajectory(path, "a") as trajectory:
            trajectory.write(atoms)
    else:
        require("ase.io").write(path, atoms, format="extxyz", append=True)


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
    return require("ase").Atoms(
        numbers=configuration.numbers,
        positions=configuration.positions,
        cell=cell,
        pbc=configuration.pbc,
    )
