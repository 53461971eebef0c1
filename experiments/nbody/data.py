"""The data of the n-body task: systems of particles at two times, read or simulated."""

import dataclasses
import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equinet.data import data_directory, missing_file
from experiments.nbody.config import DataConfig
from experiments.nbody.particles import ParticleState, initial_state, protocol, simulate

SOURCE = "https://github.com/vgsatorras/egnn, folder n_body_system/dataset"


@dataclasses.dataclass(frozen=True, eq=False)
class Systems:
    """Systems at the start, and where they are at the end; float32.

    Attributes:
        positions: ``[systems, n, 3]``.
        velocities: ``[systems, n, 3]``.
        charges: ``[systems, n]``.
        targets: The positions at the end, ``[systems, n, 3]``.
    """

    positions: Float[np.ndarray, "systems n 3"]
    velocities: Float[np.ndarray, "systems n 3"]
    charges: Float[np.ndarray, "systems n"]
    targets: Float[np.ndarray, "systems n 3"]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int | slice) -> "Systems":
        positions, velocities, charges, targets = (part[index] for part in self.parts)
        return Systems(positions, velocities, charges, targets)

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The four arrays in order."""
        return self.positions, self.velocities, self.charges, self.targets


@dataclasses.dataclass(frozen=True)
class Data:
    """The three splits, and the time that passes from start to end."""

    train: Systems
    validation: Systems
    test: Systems
    duration: float


def load_data(config: DataConfig, directory: str | os.PathLike[str] | None) -> Data:
    """The splits of a config.

    Raises:
        ValueError: The file lacks a frame, or systems.
        FileNotFoundError: There is no such file.
    """
    duration = (config.end_frame - config.start_frame) * config.every * config.time_step
    if config.source == "simulate":
        sizes = (config.samples, config.validation, config.test)
        first, second, third = (simulated(config, size, part) for part, size in enumerate(sizes))
        return Data(first, second, third, duration)
    path = data_directory(directory) / config.file
    train, valid = (read_systems(path, part, config) for part in ("train", "valid"))
    if config.samples + config.validation > len(train) or config.test > len(valid):
        raise ValueError(
            f"{path} has {len(train)} systems to train and select on and {len(valid)} to test on, "
            f"got data.samples={config.samples}, data.validation={config.validation} and "
            f"data.test={config.test}: ask for fewer"
        )
    selection = train[len(train) - config.validation :]
    return Data(train[: config.samples], selection, valid[: config.test], duration)


def read_systems(path: Path, part: str, config: DataConfig) -> Systems:
    """The systems of one part, "train" or "valid", of a prepared file.

    Raises:
        ValueError: An array or a frame is missing, or something is not finite.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise missing_file(
            path,
            SOURCE,
            instead="name another file with --config.data.file, or simulate the data with "
            "--config.data.source=simulate",
        )
    with np.load(path) as arrays:
        names = [f"{word}_{part}" for word in ("loc", "vel", "charges")]
        missing = [name for name in [*names, "frames"] if name not in arrays]
        if missing:
            raise ValueError(f"{path}: expected arrays {', '.join(missing)}, got {arrays.files}")
        frames = [int(frame) for frame in arrays["frames"]]
        for name in ("start_frame", "end_frame"):
            if getattr(config, name) not in frames:
                raise ValueError(
                    f"data.{name}: got {getattr(config, name)}, {path} has the frames {frames}"
                )
        positions, velocities, charges = (arrays[name].astype(np.float32) for name in names)
    for name, array in zip(names, (positions, velocities, charges), strict=True):
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} holds numbers that are not finite: generate it again")
    start, end = frames.index(config.start_frame), frames.index(config.end_frame)
    charges = charges.reshape(charges.shape[:2])
    return Systems(positions[:, start], velocities[:, start], charges, positions[:, end])


def simulated(config: DataConfig, count: int, part: int) -> Systems:
    """Systems drawn from a seed, others for every part, and followed in float64 on the CPU.

    Frame f lies f + 1 intervals after the start, as in the protocol of EGNN.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), part)
    cpu = jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True), jax.default_device(cpu):
        start = initial_state(
            jax.device_put(key, cpu), config.kind, count, config.bodies, dtype=jnp.float64
        )
        follow = functools.partial(simulate, protocol(config.kind), time_step=config.time_step)
        until = config.every * (config.start_frame + 1)
        first = follow(start, 1, every=until)
        given = ParticleState(first.positions[0], first.velocities[0], start.charges)
        last = follow(given, 1, every=config.every * (config.end_frame - config.start_frame))
        arrays = (given.positions, given.velocities, given.charges, last.positions[0])
        return Systems(*(np.asarray(array, np.float32) for array in arrays))
