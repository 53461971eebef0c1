"""Classify clouds of points, or predict how they were rotated, with and without symmetry."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import SO, axis_angle_to_matrix, nearest_rotation
from equinet.models import PONITA, PointNet
from equinet.nn import FrameAveraging, calibrate
from equinet.ops.frames import PCAFrame, mds, squared_distances
from equinet.ops.orientations import POLYHEDRA, polyhedron
from equinet.precision import HIGHEST
from equinet.reps import Points, Vector
from equinet.testing import equivariance_error
from equinet.training import (
    Experiment,
    Task,
    array_experiment,
    constructor_arguments,
    in_both_precisions,
    masked_mean,
    predict,
)
from experiments.point_clouds.config import DataConfig, PointCloudConfig
from experiments.point_clouds.data import Clouds, load_clouds
from experiments.point_clouds.shapes import SHAPES

SELECTION = "loss"
_CALIBRATION = 16  # clouds


class CloudModel(nnx.Module):
    """A network of any kind, from clouds to logits of solids or to a matrix near the rotation.

    Args:
        network: The network that ``section.name`` stands for.
        section: The section ``config.model``.
        task: The set of the data, which decides what is predicted.
    """

    def __init__(self, network: nnx.Module, section: Any, task: str) -> None:
        self.network, self.section, self.task = network, section, task

    def __call__(self, x: Float[Array, "rows points 3"], key: Array | None = None) -> Array:
        """Logits ``[rows, solids]`` or matrices ``[rows, 3, 3]``; a key is given in training."""
        network: Any = self.network
        if self.section.name == "fa_point_net":
            return network(x, key=key if self.section.stochastic else None)
        if self.section.name == "ponita":
            scalars, vectors = network(*_ponita_inputs(x))
            return jnp.mean(scalars if self.task == "shapes" else vectors, axis=1)
        if self.section.name == "mds_point_net":
            x = mds(squared_distances(x), 3)[0]
        y = network(x)
        return y if self.task == "shapes" else y.reshape(-1, 3, 3)


def _ponita_inputs(x: Float[Array, "rows points 3"]) -> tuple[Array, Array, Array]:
    """The points, a constant scalar, and the vectors from the centre to the points."""
    arms = x - jnp.mean(x, axis=-2, keepdims=True)
    return x, jnp.ones((*x.shape[:-1], 1), x.dtype), arms[..., None]


class RotationNet(nnx.Module):
    """A PointNet whose outputs are three vectors.

    Args:
        channels: Width of the hidden layers.
        rngs: Key ``params``.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        self.network = PointNet(9, channels, rngs=rngs)

    def __call__(self, x: Float[Array, "rows points 3"]) -> Float[Array, "rows 3 3"]:
        """Vectors in columns."""
        return self.network(x).reshape(-1, 3, 3)


class PointCloudTask(Task):
    """Classification of solids, or regression of the rotation of airplanes."""

    Config = PointCloudConfig

    def build(self, config: PointCloudConfig, *, shards: int) -> Experiment:
        """Makes the network, and draws or reads the clouds."""
        model = make_model(config)
        train, validation, test = load_clouds(config.data, config.data_dir)
        if model.section.name == "ponita":
            calibrate(model.network, *_ponita_inputs(jnp.asarray(train.points[:_CALIBRATION])))

        def loss(model: CloudModel, batch: Mapping[str, Any], key: Array) -> tuple:
            return training_loss(model, batch, key, config.data.turns)

        return array_experiment(
            model,
            {"points": train.points, "labels": train.labels, "rotations": train.rotations},
            shards=shards,
            loss=loss,
            validate=lambda model: scores(model, validation),
            test=lambda model: report(model, test, config.data),
            selection=SELECTION,
            item_name="clouds",
        )


def make_model(config: PointCloudConfig) -> CloudModel:
    """The model of a config.

    Raises:
        ValueError: If the model cannot predict what the data ask for.
    """
    section, shapes = config.model, config.data.set == "shapes"
    if section.name == "mds_point_net" and not shapes:
        raise ValueError(
            "config.model.name=mds_point_net: distances do not depend on the rotation of a cloud, "
            "which data.set=airplanes asks for; take another model"
        )
    options = {**constructor_arguments(section), "rngs": nnx.Rngs(config.training.seed)}
    if section.name == "ponita":
        names = {vertices: name for name, vertices in POLYHEDRA.items()}
        if section.orientations not in names:
            raise ValueError(
                f"model.orientations: expected one of {sorted(names)}, got {section.orientations}"
            )
        network: nnx.Module = PONITA(
            *(1, 1, len(SHAPES) if shapes else 0, 0 if shapes else 3),
            grid=polyhedron(names[section.orientations]),
            average_neighbours=float(config.data.points),
            **options,
        )
    elif shapes:
        network = PointNet(len(SHAPES), **options)
    else:
        network = RotationNet(**options)
    if section.name == "fa_point_net":
        group, rep = SO(3), None if shapes else Vector(SO(3))
        frame = PCAFrame(group)
        network = FrameAveraging(network, frame, (Points(group),), rep, degenerate="keep")
    return CloudModel(network, section, config.data.set)


def training_loss(
    model: CloudModel, batch: Mapping[str, Any], key: Array, kind: str
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean loss of clouds that are rotated anew; ``kind`` is ``config.data.turns``."""
    rotation_key, frame_key = jax.random.split(key)
    points, rotations = batch["points"], batch["rotations"]
    lead = points.shape[:2]
    if kind != "none":
        drawn = _drawn_rotations(rotation_key, lead, kind).astype(points.dtype)
        points = jnp.einsum("...ij,...pj->...pi", drawn, points, precision=HIGHEST)
        rotations = jnp.matmul(drawn, rotations, precision=HIGHEST)
    flat = points.reshape(-1, *points.shape[2:])
    found = model(flat, frame_key)
    losses = _losses(found, batch["labels"].reshape(-1), rotations.reshape(-1, 3, 3), model.task)
    return masked_mean(losses, batch["mask"].reshape(-1)), {}


def _drawn_rotations(key: Array, shape: tuple[int, ...], kind: str) -> Float[Array, "... 3 3"]:
    """Rotations about the vertical axis z, or of the Haar measure."""
    if kind == "all":
        return SO(3).sample(key, shape)
    angles = jax.random.uniform(key, shape, minval=-math.pi, maxval=math.pi)
    zero = jnp.zeros_like(angles)
    return axis_angle_to_matrix(jnp.stack([zero, zero, angles], axis=-1))


def _losses(found: Array, labels: Array, rotations: Array, task: str) -> Float[Array, "rows"]:
    """Cross entropy of the solids, or squared distance to the matrix of the rotation."""
    if task == "shapes":
        return optax.softmax_cross_entropy_with_integer_labels(found, labels)
    return jnp.sum((found - rotations.astype(found.dtype)) ** 2, axis=(-2, -1))


@jax.jit
def _predict(model: CloudModel, points: Array) -> Array:
    return model(points)


def scores(model: CloudModel, clouds: Clouds) -> dict[str, float]:
    """The mean loss, and the accuracy or the median angle between true and predicted rotations."""
    found = predict(lambda x: _predict(model, x), clouds.points)
    losses = _losses(
        jnp.asarray(found), jnp.asarray(clouds.labels), jnp.asarray(clouds.rotations), model.task
    )
    named = {SELECTION: float(jnp.mean(losses))}
    if model.task == "shapes":
        return named | {"accuracy": float(np.mean(found.argmax(-1) == clouds.labels))}
    nearest = np.asarray(nearest_rotation(jnp.asarray(found)), np.float64)
    trace = np.einsum("cij,cij->c", nearest, clouds.rotations)
    angles = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return named | {"median_angle_degrees": float(np.median(angles))}


def report(model: CloudModel, test: Clouds, section: DataConfig) -> dict[str, Any]:
    """Scores on clouds rotated by any rotation, and the equivariance error."""
    return {
        "metrics": scores(model, test),
        "equivariance_error": in_both_precisions(lambda dtype: symmetry_error(model, test, dtype)),
        "set": section.set,
        "model": model.section.name,
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
