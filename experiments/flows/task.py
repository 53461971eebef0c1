"""How does a flow go on? Fourier neural operators that know of the square's symmetry, or not."""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from equinet.groups import Cyclic, Dihedral, FiniteGroup
from equinet.models import FNO, rollout
from equinet.models.fno import Place
from equinet.reps import Images, Rep, Scalar, Vector, antisymmetric_power
from equinet.testing import equivariance_error
from equinet.training import Experiment, build_section, load_best
from experiments.flows.config import DataConfig, ModelConfig
from experiments.flows.data import Flows, Frames, load_flows

SELECTION = "rollout_relative_l2"
GROUPS: Mapping[str, FiniteGroup] = {
    "fno": Cyclic(1),
    "gfno_p4": Cyclic(4),
    "gfno_p4m": Dihedral(4),
}
_TINY = 1e-12  # what a root is kept away from zero by


def fields_rep(equation: str, group: FiniteGroup) -> Rep:
    """How the fields of an equation transform: vorticity changes its sign under reflections."""
    if equation == "navier_stokes":
        return antisymmetric_power(Vector(group), 2)
    return Scalar(group) + Vector(group)


class Forecast(nnx.Module):
    """The next frame: the last one, and a change that a network finds.

    Args:
        network: From frames to a change of order one.
        change: How large changes are.
    """

    def __init__(self, network: FNO, change: float) -> None:
        self.network, self.change = network, change

    def __call__(
        self, window: Float[Array, "... size size fields frames"]
    ) -> Float[Array, "... size size fields 1"]:
        """From a window of frames to the next."""
        return window[..., -1:] + self.change * self.network(window)


class FlowTask:
    """Frames of a flow from those before them."""

    def build(self, config: ConfigDict, *, shards: int) -> Experiment:
        """Simulates the flows and hands the network of the config to the engine."""
        section, flows, model = make(config)
        count = sum(math.prod(x.shape) for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
        sys.stderr.write(f"parameters: {count:,}\n")
        windows = section.frames_out if section.teacher_forcing else 1

        def collate(examples: Sequence[int], which: range) -> dict[str, Any]:
            return collate_batch(flows.train, section, examples, which, shards)

        def loss(model: Forecast, batch: Mapping[str, Any], key: Array) -> tuple:
            return training_loss(model, batch, section.frames_in)

        def validate(model: Forecast) -> dict[str, float]:
            return scores(model, flows.validation, section.frames_in)

        return Experiment(
            model=model,
            model_spec={"parameters": count},
            train=range(len(flows.train) * windows),
            collate=collate,
            loss=loss,
            validate=validate,
            test=lambda model: report(model, flows, section, str(config.model.name)),
            selection=SELECTION,
            items=lambda batch: int(batch["mask"].sum()),
            item_name="windows",
        )

    def evaluate(self, config: ConfigDict, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test flows of the config."""
        if data is not None:
            raise ValueError(f"the task of flows tests on its own flows, got the file {data!r}")
        section, flows, model = make(config)
        load_best(workdir, model)
        return report(model, flows, section, str(config.model.name))


def make(config: ConfigDict) -> tuple[DataConfig, Flows, Forecast]:
    """The section of the data, the flows, and the network of a config.

    Raises:
        ValueError: A grid is too coarse for the modes of the network.
    """
    section = build_section(DataConfig, config.data.to_dict(), "config.data")
    words = build_section(ModelConfig, config.model.to_dict(), "config.model")
    grids = [size for size in (section.size, section.transfer) if size]
    if min(grids) < 2 * words.modes - 1:
        raise ValueError(
            f"model.modes: expected {(min(grids) + 1) // 2} or less for images of {min(grids)} "
            f"pixels along an axis, got {words.modes}"
        )
    forced = section.equation == "navier_stokes" and section.forcing != "none"
    automatic: Place = "cosines" if forced else "none"
    rep = fields_rep(section.equation, GROUPS[words.name])
    network = FNO(
        *(rep, rep, section.frames_in, 1),
        modes=words.modes,
        channels=words.channels,
        layers=words.layers,
        place=automatic if words.place == "auto" else words.place,
        rngs=nnx.Rngs(config.training.seed),
    )
    flows = load_flows(section)
    return section, flows, Forecast(network, flows.change)


def collate_batch(
    frames: Frames, section: DataConfig, examples: Sequence[int], which: range, shards: int
) -> dict[str, Any]:
    """Shards of equal size, the last filled up with copies that the mask leaves out.

    With teacher forcing example e is the window of flow ``e // frames_out`` that starts at frame
    ``e % frames_out``, without it flow e from its first frame to its last.
    """
    size = -(-len(examples) // shards)
    index = np.arange(shards * size).reshape(shards, size)[list(which)]
    mask = (index < len(examples)).astype(np.float32)
    chosen = np.asarray(examples)[np.minimum(index, len(examples) - 1)]
    if section.teacher_forcing:
        flow, start = np.divmod(chosen, section.frames_out)
        length = section.frames_in + 1
    else:
        flow, start = chosen, np.zeros_like(chosen)
        length = section.frames_in + section.frames_out
    windows = frames[flow[..., None], start[..., None] + np.arange(length)]
    return {"frames": np.moveaxis(windows, 2, -1), "mask": mask}


def training_loss(
    model: Forecast, batch: Mapping[str, Any], frames_in: int
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean relative error of the frames after the first ones."""
    frames, mask = batch["frames"], batch["mask"]
    frames, mask = frames.reshape(-1, *frames.shape[2:]), mask.reshape(-1)
    given, wanted = frames[..., :frames_in], frames[..., frames_in:]
    if wanted.shape[-1] == 1:
        found = model(given)
    else:
        found = rollout(jax.checkpoint(model), given, wanted.shape[-1])
    errors = jnp.mean(relative_errors(found, wanted), axis=-1)
    return jnp.sum(errors * mask) / jnp.sum(mask), {}


def relative_errors(
    found: Float[Array, "flows size size fields frames"],
    wanted: Float[Array, "flows size size fields frames"],
) -> Float[Array, "flows frames"]:
    """The distance from what is wanted over its norm, of every frame of every flow."""
    axes = (1, 2, 3)
    squares = jnp.sum((found - wanted) ** 2, axis=axes)
    return jnp.sqrt(squares / jnp.sum(wanted**2, axis=axes) + _TINY)


@partial(jax.jit, static_argnums=2)
def _rollout(model: Forecast, window: Array, count: int) -> Array:
    return rollout(model, window, count)


@jax.jit
def _next(model: Forecast, window: Array) -> Array:
    return model(window)


def scores(
    model: Forecast, flows: Frames, frames_in: int, batch_size: int = 10
) -> dict[str, float]:
    """Errors of one frame after true ones, and of frames one after the other.

    Beside them that of a flow which stands still, the scale of the former.
    """
    named: dict[str, list[np.ndarray]] = {"relative_l2": [], SELECTION: [], "still_relative_l2": []}
    for first in range(0, len(flows), batch_size):
        some = np.moveaxis(flows[first : first + batch_size], 1, -1)
        wanted = some[..., frames_in:]
        count = wanted.shape[-1]
        found = _rollout(model, some[..., :frames_in], count)
        named[SELECTION].append(_errors(found, wanted))
        windows = (some[..., start : start + frames_in] for start in range(count))
        following = np.concatenate([np.asarray(_next(model, x)) for x in windows], axis=-1)
        named["relative_l2"].append(_errors(following, wanted))
        named["still_relative_l2"].append(_errors(some[..., frames_in - 1 : -1], wanted))
    return {name: float(np.mean(np.concatenate(errors))) for name, errors in named.items()}


def _errors(found: Any, wanted: np.ndarray) -> np.ndarray:
    return np.asarray(relative_errors(jnp.asarray(found), jnp.asarray(wanted)))


def report(model: Forecast, flows: Flows, section: DataConfig, name: str) -> dict[str, Any]:
    """Errors on the test flows, also on a finer grid, and how well the symmetry is kept."""
    metrics = scores(model, flows.test, section.frames_in)
    if section.transfer:
        fine = scores(model, flows.fine, section.frames_in)
        metrics[f"transfer_{section.transfer}"] = fine[SELECTION]
    return {
        "metrics": metrics,
        "equivariance_error": {
            "float32": symmetry_error(model, flows.test, section, np.float32),
            "float64": symmetry_error(model, flows.test, section, np.float64),
        },
        "model": name,
        "equation": section.equation,
        "training_flows": section.samples,
    }


def symmetry_error(model: Forecast, flows: Frames, section: DataConfig, dtype: Any) -> float:
    """The equivariance error on a window under the network's group; under turns for FNO."""
    group = model.network.rep_in.group
    if group.order == 1:
        group = Cyclic(4)
    images = Images(fields_rep(section.equation, group))
    return equivariance_error(
        lambda x: _next(model, x),
        images,
        images,
        jax.random.key(0),
        inputs=np.moveaxis(flows[:2, : section.frames_in], 1, -1),
        dtype=dtype,
        num_samples=3,
    )
