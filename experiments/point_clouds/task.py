"""What is this cloud of points, and how has it been turned? With and without symmetry."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from equinet.groups import SO, axis_angle_to_matrix, nearest_rotation
from equinet.models import PONITA, PointNet
from equinet.nn import FrameAveraging, calibrate
from equinet.ops.frames import PCAFrame, mds, squared_distances
from equinet.ops.orientations import polyhedron
from equinet.ops.orientations.grids import POLYHEDRA
from equinet.reps import Points, Vector
from equinet.testing import equivariance_error
from equinet.training import Experiment, build_section, load_best
from experiments.point_clouds.config import DataConfig, ModelConfig
from experiments.point_clouds.data import Clouds, load_clouds
from experiments.point_clouds.shapes import SHAPES

SELECTION = "loss"
TURN = 9  # numbers of a rotation: three vectors
_CALIBRATION = 16  # clouds


class CloudModel(nnx.Module):
    """A network of any kind, from clouds to logits of solids or to a matrix near the turn.

    Args:
        network: What ``ModelConfig.name`` stands for.
        words: The section of the config.
        task: The set of the data, which says what is asked for.
    """

    def __init__(self, network: nnx.Module, words: ModelConfig, task: str) -> None:
        self.network, self.words, self.task = network, words, task

    def __call__(self, x: Float[Array, "rows points 3"], key: Array | None = None) -> Array:
        """Logits ``[rows, solids]`` or matrices ``[rows, 3, 3]``; a key is given in training."""
        network: Any = self.network
        if self.words.name == "fa_point_net":
            return network(x, key=key if self.words.stochastic else None)
        if self.words.name == "ponita":
            scalars, vectors = network(*_ponita_inputs(x))
            return jnp.mean(scalars if self.task == "shapes" else vectors, axis=1)
        if self.words.name == "mds_point_net":
            x = mds(squared_distances(x), 3)[0]
        y = network(x)
        return y if self.task == "shapes" else y.reshape(-1, 3, 3)


def _ponita_inputs(x: Float[Array, "rows points 3"]) -> tuple[Array, Array, Array]:
    """The points, a scalar that is the same everywhere, and where they are from their centre."""
    arms = x - jnp.mean(x, axis=-2, keepdims=True)
    return x, jnp.ones((*x.shape[:-1], 1), x.dtype), arms[..., None]


class TurnNet(nnx.Module):
    """A PointNet whose outputs are three vectors.

    Args:
        channels: Width of the hidden layers.
        rngs: Key ``params``.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        self.network = PointNet(TURN, channels, rngs=rngs)

    def __call__(self, x: Float[Array, "rows points 3"]) -> Float[Array, "rows 3 3"]:
        """Vectors in columns."""
        return self.network(x).reshape(-1, 3, 3)


class PointCloudTask:
    """Classification of solids, or regression of the turn of airplanes."""

    def build(self, config: ConfigDict, *, shards: int) -> Experiment:
        """Draws or reads the clouds and hands the model of the config to the engine."""
        section, model = make(config)
        train, validation, test = load_clouds(section, str(config.data_dir))
        if model.words.name == "ponita":
            calibrate(model.network, *_ponita_inputs(jnp.asarray(train.points[:_CALIBRATION])))
        count = sum(math.prod(x.shape) for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
        sys.stderr.write(f"parameters: {count:,}\n")

        def collate(examples: Sequence[int], which: range) -> dict[str, Any]:
            return collate_batch(train, examples, which, shards)

        def loss(model: CloudModel, batch: Mapping[str, Any], key: Array) -> tuple:
            return training_loss(model, batch, key, section.turns)

        return Experiment(
            model=model,
            model_spec={"parameters": count},
            train=range(len(train)),
            collate=collate,
            loss=loss,
            validate=lambda model: scores(model, validation),
            test=lambda model: report(model, test, section),
            selection=SELECTION,
            items=lambda batch: int(batch["mask"].sum()),
            item_name="clouds",
        )

    def evaluate(self, config: ConfigDict, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test clouds of the config."""
        if data is not None:
            raise ValueError(f"the point-cloud task tests on its own clouds, got the file {data!r}")
        section, model = make(config)
        load_best(workdir, model)
        return report(model, load_clouds(section, str(config.data_dir))[2], section)


def make(config: ConfigDict) -> tuple[DataConfig, CloudModel]:
    """The sections of a config, checked, and its model.

    Raises:
        ValueError: If the model cannot answer what is asked.
    """
    section = build_section(DataConfig, config.data.to_dict(), "config.data")
    words = build_section(ModelConfig, config.model.to_dict(), "config.model")
    rngs, shapes = nnx.Rngs(config.training.seed), section.set == "shapes"
    if words.name == "mds_point_net" and not shapes:
        raise ValueError("distances forget how a cloud is turned: take another model for airplanes")
    if words.name == "ponita":
        names = {vertices: name for name, vertices in POLYHEDRA.items()}
        if words.orientations not in names:
            raise ValueError(
                f"model.orientations: expected one of {sorted(names)}, got {words.orientations}"
            )
        network: nnx.Module = PONITA(
            *(1, 1, len(SHAPES) if shapes else 0, 0 if shapes else 3),
            grid=polyhedron(names[words.orientations]),
            channels=words.channels,
            basis=words.basis,
            layers=words.layers,
            average_neighbours=float(section.points),
            rngs=rngs,
        )
    elif shapes:
        network = PointNet(len(SHAPES), words.channels, rngs=rngs)
    else:
        network = TurnNet(words.channels, rngs=rngs)
    if words.name == "fa_point_net":
        group, rep = SO(3), None if shapes else Vector(SO(3))
        frame = PCAFrame(group)
        network = FrameAveraging(network, frame, (Points(group),), rep, degenerate="keep")
    return section, CloudModel(network, words, section.set)


def collate_batch(
    clouds: Clouds, examples: Sequence[int], which: range, shards: int
) -> dict[str, Any]:
    """Shards of equal size, the last filled up with copies that the mask leaves out."""
    size = -(-len(examples) // shards)
    index = np.arange(shards * size).reshape(shards, size)[list(which)]
    mask = (index < len(examples)).astype(np.float32)
    chosen = np.asarray(examples)[np.minimum(index, len(examples) - 1)]
    return {
        "points": clouds.points[chosen],
        "labels": clouds.labels[chosen],
        "turns": clouds.turns[chosen],
        "mask": mask,
    }


def training_loss(
    model: CloudModel, batch: Mapping[str, Any], key: Array, turns: str
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean loss of clouds that are turned anew."""
    turn_key, frame_key = jax.random.split(key)
    points, turned = batch["points"], batch["turns"]
    lead = points.shape[:2]
    if turns != "none":
        more = _drawn_turns(turn_key, lead, turns).astype(points.dtype)
        high = jax.lax.Precision.HIGHEST
        points = jnp.einsum("...ij,...pj->...pi", more, points, precision=high)
        turned = jnp.matmul(more, turned, precision=high)
    flat = points.reshape(-1, *points.shape[2:])
    found = model(flat, frame_key)
    losses = _losses(found, batch["labels"].reshape(-1), turned.reshape(-1, 3, 3), model.task)
    mask = batch["mask"].reshape(-1)
    return jnp.sum(losses * mask) / jnp.sum(mask), {}


def _drawn_turns(key: Array, shape: tuple[int, ...], turns: str) -> Float[Array, "... 3 3"]:
    """Rotations about the vertical axis z, or of the Haar measure."""
    if turns == "all":
        return SO(3).sample(key, shape)
    angles = jax.random.uniform(key, shape, minval=-math.pi, maxval=math.pi)
    zero = jnp.zeros_like(angles)
    return axis_angle_to_matrix(jnp.stack([zero, zero, angles], axis=-1))


def _losses(found: Array, labels: Array, turns: Array, task: str) -> Float[Array, "rows"]:
    """Cross entropy of the solids, or squared distance to the matrix of the turn."""
    if task == "shapes":
        return optax.softmax_cross_entropy_with_integer_labels(found, labels)
    return jnp.sum((found - turns.astype(found.dtype)) ** 2, axis=(-2, -1))


@jax.jit
def _predict(model: CloudModel, points: Array) -> Array:
    return model(points)


def predict(model: CloudModel, clouds: Clouds, batch_size: int = 100) -> np.ndarray:
    """The outputs for all clouds."""
    starts = range(0, len(clouds), batch_size)
    return np.concatenate(
        [np.asarray(_predict(model, clouds.points[s : s + batch_size])) for s in starts]
    )


def scores(model: CloudModel, clouds: Clouds) -> dict[str, float]:
    """The mean loss, and the part that is right or the median angle that turns are off."""
    found = predict(model, clouds)
    losses = _losses(jnp.asarray(found), clouds.labels, jnp.asarray(clouds.turns), model.task)
    named = {SELECTION: float(jnp.mean(losses))}
    if model.task == "shapes":
        return named | {"accuracy": float(np.mean(found.argmax(-1) == clouds.labels))}
    nearest = np.asarray(nearest_rotation(jnp.asarray(found)), np.float64)
    trace = np.einsum("cij,cij->c", nearest, clouds.turns)
    angles = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return named | {"median_angle_degrees": float(np.median(angles))}


def report(model: CloudModel, test: Clouds, section: DataConfig) -> dict[str, Any]:
    """Scores on clouds turned by any rotation, and how well the symmetry is kept."""
    return {
        "metrics": scores(model, test),
        "equivariance_error": {
            "float32": symmetry_error(model, test, np.float32),
            "float64": symmetry_error(model, test, np.float64),
        },
        "set": section.set,
        "model": model.words.name,
        "turns": section.turns,
    }


def symmetry_error(model: CloudModel, clouds: Clouds, dtype: Any) -> float:
    """The equivariance error on test clouds under rotations."""
    points = Points(SO(3))
    rep_out = None if model.task == "shapes" else Vector(SO(3))
    return equivariance_error(
        lambda x: _predict(model, x),
        (points,),
        rep_out,
        jax.random.key(0),
        group=SO(3),
        inputs=(clouds.points[:8],),
        dtype=dtype,
        num_samples=4,
    )
