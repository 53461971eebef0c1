"""Predict later positions of interacting particles by equivariant or frame-averaged networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import E, O
from equinet.models import EGNN, PONITA, ParticleIrreps, charge_products, frame_averaged_gnn
from equinet.nn import calibrate
from equinet.ops.orientations import grid_of_size
from equinet.precision import HIGHEST
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import equivariance_error
from equinet.training import (
    Experiment,
    Task,
    array_experiment,
    constructor_arguments,
    in_both_precisions,
    load_best,
    masked_mean,
    predict,
)
from experiments.nbody.config import DataConfig, NBodyConfig
from experiments.nbody.data import Data, Systems, load_data, read_systems

SELECTION = "position_mse"
_CALIBRATION = 100
BATCH = ("positions", "velocities", "charges", "targets")


class Dynamics(nnx.Module):
    """A network of any kind, from positions, velocities and charges to later positions.

    Args:
        network: The network that ``section.name`` stands for.
        section: The section ``config.model``.
    """

    def __init__(self, network: nnx.Module, section: Any) -> None:
        self.network, self.section = network, section

    def __call__(
        self,
        positions: Float[Array, "... n 3"],
        velocities: Float[Array, "... n 3"],
        charges: Float[Array, "... n"],
        key: Array | None = None,
    ) -> Float[Array, "... n 3"]:
        """The positions at the end; a key is given in training."""
        network: Any = self.network
        name = self.section.name
        if name == "egnn":
            squares, edges = charges[..., None] ** 2, charge_products(charges)
            return network(positions, velocities, squares, edges)[0]
        if name == "fa_gnn":
            key = key if self.section.stochastic else None
            return network(positions, velocities, charges, key=key)
        if name == "ponita":
            return positions + network(*ponita_inputs(positions, velocities, charges))[1][..., 0]
        return network(positions, velocities, charges)


def ponita_inputs(
    positions: Float[Array, "... n 3"],
    velocities: Float[Array, "... n 3"],
    charges: Float[Array, "... n"],
) -> tuple[Array, Array, Array]:
    """Positions, charges as scalars, and as vectors velocities and positions from the centre."""
    centre = jnp.mean(positions, axis=-2, keepdims=True)
    vectors = jnp.stack([velocities, positions - centre], axis=-1)
    return positions, charges[..., None], vectors


class NBodyTask(Task):
    """Regression of positions at a later time."""

    Config = NBodyConfig

    def build(self, config: NBodyConfig, *, shards: int) -> Experiment:
        """Makes the network, and reads or simulates the systems."""
        model = make_model(config)
        data = load_data(config.data, config.data_dir)
        if model.section.name == "ponita":
            some = (jnp.asarray(part) for part in data.train[:_CALIBRATION].parts[:3])
            calibrate(model.network, *ponita_inputs(*some))

        def loss(model: Dynamics, batch: Mapping[str, Any], key: Array) -> tuple:
            return squared_error(model, batch, key, config.data.augment)

        return array_experiment(
            model,
            dict(zip(BATCH, data.train.parts, strict=True)),
            shards=shards,
            loss=loss,
            validate=lambda model: {SELECTION: mean_square(model, data.validation)},
            test=lambda model: report(model, data, config.data),
            selection=SELECTION,
            item_name="systems",
        )

    def evaluate(self, config: NBodyConfig, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test systems of the config, or on the ``valid`` part of a file."""
        section = config.data
        if data is None:
            systems = load_data(section, config.data_dir)
        else:
            test = read_systems(Path(data), "valid", section)
            duration = (section.end_frame - section.start_frame) * section.every * section.time_step
            systems = Data(test[:0], test[:0], test, duration)
        model = make_model(config)
        load_best(workdir, model)
        return report(model, systems, section)


def make_model(config: NBodyConfig) -> Dynamics:
    """The model of a config."""
    section = config.model
    options = {**constructor_arguments(section), "rngs": nnx.Rngs(config.training.seed)}
    if section.name == "egnn":
        network = EGNN(1, 1, 1, **options)
    elif section.name == "fa_gnn":
        network = frame_averaged_gnn(**options)
    elif section.name == "ponita":
        grid = None if section.variant == "edges" else grid_of_size(section.orientations)
        network = PONITA(1, 2, 0, 1, grid=grid, **options)
    else:
        network = ParticleIrreps(**options)
    return Dynamics(network, section)


def squared_error(
    model: Dynamics, batch: Mapping[str, Any], key: Array, augment: bool = False
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean square of the components of the positions, over all systems of all shards."""
    frame_key, element_key = jax.random.split(key)
    arrays = tuple(batch[name] for name in BATCH)
    if augment:
        arrays = augmented(arrays, element_key)
    *inputs, targets = arrays
    squares = jnp.mean((model(*inputs, key=frame_key) - targets) ** 2, axis=(-2, -1))
    mean = masked_mean(squares, batch["mask"])
    return mean, {SELECTION: mean}


def augmented(arrays: tuple[Array, ...], key: Array) -> tuple[Array, ...]:
    """Every system transformed by an element of O(3) about its centre, its charges by a sign."""
    positions, velocities, charges, targets = arrays
    element_key, sign_key = jax.random.split(key)
    elements = O(3).sample(element_key, positions.shape[:-2], positions.dtype)
    centre = jnp.mean(positions, axis=-2, keepdims=True)
    signs = jax.random.rademacher(sign_key, charges.shape[:-1], charges.dtype)

    def act(vectors: Array) -> Array:
        return jnp.matmul(vectors, jnp.swapaxes(elements, -1, -2), precision=HIGHEST)

    moved = act(positions - centre), act(velocities), act(targets - centre)
    return moved[0] + centre, moved[1], charges * signs[..., None], moved[2] + centre


@jax.jit
def _predict(model: Dynamics, positions: Array, velocities: Array, charges: Array) -> Array:
    return model(positions, velocities, charges)


def mean_square(model: Dynamics, systems: Systems, batch_size: int = 500) -> float:
    """The mean squared error of the components of the positions."""
    inputs = systems.parts[:3]
    found = predict(lambda *arrays: _predict(model, *arrays), *inputs, batch_size=batch_size)
    return float(np.mean((found.astype(np.float64) - systems.targets) ** 2))


def report(model: Dynamics, data: Data, section: DataConfig) -> dict[str, Any]:
    """Errors on the test systems, those of straight lines, and the equivariance error."""
    test = data.test
    straight = test.positions + data.duration * test.velocities.astype(np.float64)
    return {
        "metrics": {
            SELECTION: mean_square(model, test),
            "straight_line_mse": float(np.mean((straight - test.targets) ** 2)),
        },
        "equivariance_error": in_both_precisions(lambda dtype: symmetry_error(model, test, dtype)),
        "model": model.section.name,
        "training_systems": section.samples,
        "systems": "file" if section.source == "file" else section.kind,
        "bodies": int(test.charges.shape[-1]),
    }


def symmetry_error(model: Dynamics, systems: Systems, dtype: Any) -> float:
    """The equivariance error on test systems under rotations, reflections and translations."""
    some, points = systems[:8], Points(E(3))
    return equivariance_error(
        lambda *arrays: _predict(model, *arrays),
        (points, WithoutChannels(Vector(E(3))), None),
        points,
        jax.random.key(0),
        inputs=some.parts[:3],
        dtype=dtype,
        num_samples=4,
    )
