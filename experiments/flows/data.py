"""The data of the task of flows: frames of many flows, simulated and kept."""

import dataclasses
import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equinet.files import atomic_file
from experiments.flows.config import DEFAULTS, DataConfig
from experiments.flows.navier_stokes import NavierStokes, random_vorticity, simulate
from experiments.flows.periodic import resample
from experiments.flows.shallow_water import ShallowWater, WaterState, random_water, simulate_water

Frames = Float[np.ndarray, "flows frames size size fields"]

_AT_ONCE = 10  # flows that are simulated together
_MODES = 20
_RECIPE = 1  # of the flows: raised when the same config gives others


@dataclasses.dataclass(frozen=True, eq=False)
class Flows:
    """Frames of the three splits, float32, in units of their deviations.

    Attributes:
        train: ``[flows, frames, size, size, fields]``.
        validation: Likewise.
        test: Likewise.
        fine: The test flows on the grid of ``DataConfig.transfer``; empty if that is 0.
        change: Root of the mean square of the change from frame to frame, in the same units.
    """

    train: Frames
    validation: Frames
    test: Frames
    fine: Frames
    change: float


def load_flows(config: DataConfig) -> Flows:
    """The flows of a config: of its cache, or simulated.

    Raises:
        ValueError: The flows do not stay finite.
    """
    path = Path(config.cache).expanduser() / _file_name(config) if config.cache else None
    if path is not None and path.is_file():
        with np.load(path) as arrays:
            parts = {part: arrays[part] for part in ("train", "validation", "test", "fine")}
    else:
        parts = _simulated_parts(config)
        if path is not None:
            _write(path, parts)
    centre, scale = _units(parts["train"], config.equation)
    parts = {part: ((frames - centre) / scale).astype(np.float32) for part, frames in parts.items()}
    change = float(np.sqrt(np.mean(np.diff(parts["train"], axis=1) ** 2)))
    return Flows(**parts, change=change)


def _file_name(config: DataConfig) -> str:
    """Another for whatever makes other flows, the defaults of the equation included."""
    words = dataclasses.asdict(config) | {
        name: config.value(name) for name in DEFAULTS[config.equation]
    }
    kept = {k: v for k, v in words.items() if k not in ("cache", "teacher_forcing")}
    recipe = json.dumps([_RECIPE, kept], sort_keys=True)
    return f"flows-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.npz"


def _simulated_parts(config: DataConfig) -> dict[str, Frames]:
    sizes = (config.samples, config.validation, config.test)
    parts: dict[str, Frames] = {}
    for index, (part, count) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        key = jax.random.fold_in(jax.random.key(config.seed), index)
        grids = (config.size, config.transfer) if part == "test" else (config.size,)
        found = simulated(config, key, count, grids)
        parts[part] = found[0]
        if part == "test":
            parts["fine"] = found[1]
    return parts


def simulated(
    config: DataConfig, key: Array, count: int, sizes: tuple[int, ...]
) -> tuple[Frames, ...]:
    """The frames of flows drawn from a key, in float32, on one grid or several.

    Frame k lies k + 1 intervals after the start. The frames of a grid of 0 pixels are empty.

    Raises:
        ValueError: A flow does not stay finite.
    """
    start = _initial(config, key, -(-count // _AT_ONCE) * _AT_ONCE)
    blocks: list[tuple[np.ndarray, ...]] = []
    for first in range(0, count, _AT_ONCE):
        fields = _followed(config, start[first : first + _AT_ONCE])
        if not bool(jnp.isfinite(fields).all()):
            raise ValueError(
                "the flows do not stay finite: lower data.time_step from "
                f"{config.value('time_step')}, or data.amplitude"
            )
        blocks.append(tuple(_images(fields, size) for size in sizes))
    # In one order in memory, so that sums over flows just made and over those of a file agree.
    return tuple(
        np.ascontiguousarray(np.concatenate(grid)[:count]) for grid in zip(*blocks, strict=True)
    )


def _initial(config: DataConfig, key: Array, count: int) -> Float[Array, "flows fields size size"]:
    size, amplitude = config.solver, config.value("amplitude")
    modes = min(_MODES, (size - 1) // 3)
    if config.equation == "navier_stokes":
        return random_vorticity(key, count, size, factor=amplitude, max_mode=modes)[:, None]
    state = random_water(key, count, size, waves=amplitude, speed=amplitude, max_mode=modes)
    return jnp.concatenate([state.height[:, None], state.velocity], axis=1)


def _followed(
    config: DataConfig, start: Float[Array, "flows fields size size"]
) -> Float[Array, "frames flows fields size size"]:
    interval, viscosity = config.value("interval"), config.value("viscosity")
    every = int(np.ceil(interval / config.value("time_step") - 1e-9))
    frames, dt = config.frames_in + config.frames_out, interval / every
    if config.equation == "navier_stokes":
        flow = NavierStokes(viscosity, config.forcing)
        return simulate(flow, start, frames, every=every, time_step=dt)
    water = ShallowWater(rotation=config.rotation, viscosity=viscosity)
    state = WaterState(start[:, 0], start[:, 1:])
    found = simulate_water(water, state, frames, every=every, time_step=dt)
    return jnp.concatenate([found.height[:, :, None], found.velocity], axis=2)


def _images(fields: Float[Array, "frames flows fields size size"], size: int) -> Frames:
    frames, flows, kinds = fields.shape[:3]
    if size == 0:
        return np.zeros((flows, frames, 0, 0, kinds), np.float32)
    return np.asarray(resample(fields, size)).transpose(1, 0, 3, 4, 2)


def _units(train: Frames, equation: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre and deviation of every field; the components of the velocity share theirs."""
    if equation == "navier_stokes":
        return np.zeros(1, np.float32), np.sqrt(np.mean(train**2, dtype=np.float64, keepdims=True))
    centre = np.array([train[..., 0].mean(dtype=np.float64), 0.0, 0.0])
    height, speed = train[..., 0].std(dtype=np.float64), np.sqrt(np.mean(train[..., 1:] ** 2))
    return centre, np.array([height, speed, speed])


def _write(path: Path, parts: dict[str, Frames]) -> None:
    """The file is there whole or not at all."""
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **parts)
