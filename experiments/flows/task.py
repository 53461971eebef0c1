"""Forecasts of flows by Fourier neural operators with and without the symmetry of the square."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import Cyclic, Dihedral, FiniteGroup
from equinet.models import FNO, rollout
from equinet.models.fno import Place
from equinet.reps import Images, Rep, Scalar, Vector, antisymmetric_power
from equinet.testing import equivariance_error
from equinet.training import (
    Experiment,
    Task,
    constructor_arguments,
    in_both_precisions,
    masked_mean,
    predict,
    split_shards,
)
from experiments.flows.config import DataConfig, FlowConfig
from experiments.flows.data import Flows, Frames, load_flows

SELECTION = "rollout_relative_l2"
GROUPS: Mapping[str, FiniteGroup] = {
    "fno": Cyclic(1),
    "gfno_p4": Cyclic(4),
    "gfno_p4m": Dihedral(4),
}
_TINY = 1e-12  # what a root is kept away from zero by


def fields_rep(equation: str, group: FiniteGroup) -> Rep:
    """The representation of the fields: vorticity changes its sign under reflections."""
    if equation == "navier_stokes":
        return antisymmetric_power(Vector(group), 2)
    return Scalar(group) + Vector(group)


class Forecast(nnx.Module):
    """The next frame: the last one plus a change that a network predicts.

    Args:
        network: From frames to a change of order one.
        change: The scale of the changes.
    """

    def __init__(self, network: FNO, change: float) -> None:
        self.network, self.change = network, change

    def __call__(
        self, window: Float[Array, "... size size fields frames"]
    ) -> Float[Array, "... size size fields 1"]:
        """From a window of frames to the next."""
        return window[..., -1:] + self.change * self.network(window)


class FlowTask(Task):
    """Frames of a flow from those before them."""

    Config = FlowConfig

    def build(self, config: FlowConfig, *, shards: int) -> Experiment:
        """Makes the network and simulates the flows."""
        section, network = config.data, make_network(config)
        flows = load_flows(section)
        windows = section.frames_out if section.teacher_forcing else 1

        def collate(examples: Sequence[int], which: range) -> dict[str, Any]:
            return collate_batch(flows.train, section, examples, which, shards)

        def loss(model: Forecast, batch: Mapping[str, Any], key: Array) -> tuple:
            return training_loss(model, batch, section.frames_in)

        def validate(model: Forecast) -> dict[str, float]:
            return scores(model, flows.validation, section.frames_in)

        return Experiment(
            model=Forecast(network, flows.change),
            train=range(len(flows.train) * windows),
            collate=collate,
            loss=loss,
            validate=validate,
            test=lambda model: report(model, flows, section, config.model.name),
            selection=SELECTION,
            item_name="windows",
        )


def make_network(config: FlowConfig) -> FNO:
    """The network of a config."""
    section = config.model
    forced = config.data.equation == "navier_stokes" and config.data.forcing != "none"
    automatic: Place = "cosines" if forced else "none"
    rep = fields_rep(config.data.equation, GROUPS[section.name])
    return FNO(
        *(rep, rep, config.data.frames_in, 1),
        **constructor_arguments(section),
        place=automatic if section.place == "auto" else section.place,
        rngs=nnx.Rngs(config.training.seed),
    )


def collate_batch(
    frames: Frames, section: DataConfig, examples: Sequence[int], which: range, shards: int
) -> dict[str, Any]:
    """The windows of shards of equal size, the last filled up with copies that the mask leaves out.

    With teacher forcing example e is the window of flow ``e // frames_out`` that starts at frame
    ``e % frames_out``, without it flow e from its first frame to its last.
    """
    index, mask = split_shards(len(examples), which, shards)
    chosen = np.asarray(examples)[index]
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
    return masked_mean(errors, mask), {}


def relative_errors(
    found: Float[Array, "flows size size fields frames"],
    wanted: Float[Array, "flows size size fields frames"],
) -> Float[Array, "flows frames"]:
    """The norm of the error over the norm of the true field, for every frame of every flow."""
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
    """Errors of one frame after true ones, and of frames predicted one after the other.

    ``still_relative_l2`` is the error of a forecast that nothing changes, for comparison.
    """
    frames = np.moveaxis(flows, 1, -1)
    wanted = frames[..., frames_in:]
    count = wanted.shape[-1]

    def next_frames(some: np.ndarray) -> np.ndarray:
        windows = (some[..., start : start + frames_in] for start in range(count))
        return np.concatenate([np.asarray(_next(model, x)) for x in windows], axis=-1)

    def rolled_out(some: np.ndarray) -> Array:
        return _rollout(model, some[..., :frames_in], count)

    predictions = {
        "relative_l2": predict(next_frames, frames, batch_size=batch_size),
        SELECTION: predict(rolled_out, frames, batch_size=batch_size),
        "still_relative_l2": frames[..., frames_in - 1 : -1],
    }
    return {
        name: float(np.mean(predict(_errors, found, wanted, batch_size=batch_size)))
        for name, found in predictions.items()
    }


def _errors(found: Any, wanted: np.ndarray) -> np.ndarray:
    return np.asarray(relative_errors(jnp.asarray(found), jnp.asarray(wanted)))


def report(model: Forecast, flows: Flows, section: DataConfig, name: str) -> dict[str, Any]:
    """Errors on the test flows, also on a finer grid, and the equivariance error."""
    metrics = scores(model, flows.test, section.frames_in)
    if section.transfer:
        fine = scores(model, flows.fine, section.frames_in)
        metrics[f"transfer_{section.transfer}"] = fine[SELECTION]
    return {
        "metrics": metrics,
        "equivariance_error": in_both_precisions(
            lambda dtype: symmetry_error(model, flows.test, section, dtype)
        ),
        "model": name,
        "equation": section.equation,
        "training_flows": section.samples,
    }


def symmetry_error(model: Forecast, flows: Frames, section: DataConfig, dtype: Any) -> float:
    """The equivariance error on a window under the group of the network, or C4 for FNO."""
    group: Any = model.network.rep_in.group
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
