"""Where will interacting particles be? Networks of different kinds, equivariant and averaged."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from equinet.groups import E, O
from equinet.models import EGNN, PONITA, ParticleIrreps, charge_products, frame_averaged_gnn
from equinet.nn import calibrate
from equinet.ops.orientations import grid_of_size
from equinet.reps import Points, Vector, WithoutChannels
from equinet.testing import equivariance_error
from equinet.training import Experiment, build_section, load_best
from experiments.nbody.config import DataConfig, ModelConfig
from experiments.nbody.data import Data, Systems, load_data, read_systems

SELECTION = "position_mse"
_CALIBRATION = 100
BATCH = ("positions", "velocities", "charges", "targets")


class Dynamics(nnx.Module):
    """A network of any kind, from positions, velocities and charges to later positions.

    Args:
        network: What ``ModelConfig.name`` stands for.
        words: The section of the config.
    """

    def __init__(self, network: nnx.Module, words: ModelConfig) -> None:
        self.network, self.words = network, words

    def __call__(
        self,
        positions: Float[Array, "... n 3"],
        velocities: Float[Array, "... n 3"],
        charges: Float[Array, "... n"],
        key: Array | None = None,
    ) -> Float[Array, "... n 3"]:
        """The positions at the end; a key is given while training."""
        network: Any = self.network
        if self.words.name == "egnn":
            squares, edges = charges[..., None] ** 2, charge_products(charges)
            return network(positions, velocities, squares, edges)[0]
        if self.words.name == "fa_gnn":
            key = key if self.words.stochastic else None
            return network(positions, velocities, charges, key=key)
        if self.words.name == "ponita":
            return positions + network(*ponita_inputs(positions, velocities, charges))[1][..., 0]
        return network(positions, velocities, charges)


def ponita_inputs(
    positions: Float[Array, "... n 3"],
    velocities: Float[Array, "... n 3"],
    charges: Float[Array, "... n"],
) -> tuple[Array, Array, Array]:
    """Positions, the charges as scalars, and velocities and places about the centre as vectors."""
    centre = jnp.mean(positions, axis=-2, keepdims=True)
    vectors = jnp.stack([velocities, positions - centre], axis=-1)
    return positions, charges[..., None], vectors


class NBodyTask:
    """Regression of positions at a later time."""

    def build(self, config: ConfigDict, *, shards: int) -> Experiment:
        """Loads or simulates the data and hands the model of the config to the engine."""
        section = build_section(DataConfig, config.data.to_dict(), "config.data")
        data, model = load_data(section, str(config.data_dir)), make_model(config)
        if model.words.name == "ponita":
            some = (jnp.asarray(part) for part in data.train[:_CALIBRATION].parts[:3])
            calibrate(model.network, *ponita_inputs(*some))
        count = count_parameters(model)
        sys.stderr.write(f"parameters: {count:,}\n")

        def collate(examples: Sequence[Any], which: range) -> dict[str, Any]:
            return collate_batch(examples, which, shards)

        def loss(model: Dynamics, batch: Mapping[str, Any], key: Array) -> tuple:
            return squared_error(model, batch, key, section.augment)

        return Experiment(
            model=model,
            model_spec={"parameters": count},
            train=[data.train[index].parts for index in range(len(data.train))],
            collate=collate,
            loss=loss,
            validate=lambda model: {SELECTION: mean_square(model, data.validation)},
            test=lambda model: report(model, data, section),
            selection=SELECTION,
            items=lambda batch: int(batch["mask"].sum()),
            item_name="systems",
        )

    def evaluate(self, config: ConfigDict, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test systems of the config, or on the ``valid`` part of a file."""
        section = build_section(DataConfig, config.data.to_dict(), "config.data")
        if data is None:
            systems = load_data(section, str(config.data_dir))
        else:
            test = read_systems(Path(data), "valid", section)
            duration = (section.end_frame - section.start_frame) * section.every * section.time_step
            systems = Data(test[:0], test[:0], test, duration)
        model = make_model(config)
        load_best(workdir, model)
        return report(model, systems, section)


def make_model(config: ConfigDict) -> Dynamics:
    """The model of a config."""
    words = build_section(ModelConfig, config.model.to_dict(), "config.model")
    rngs = nnx.Rngs(config.training.seed)
    if words.name == "egnn":
        network = EGNN(1, 1, 1, hidden=words.channels, layers=words.layers, rngs=rngs)
    elif words.name == "fa_gnn":
        network = frame_averaged_gnn(words.channels, words.layers, rngs=rngs)
    elif words.name == "ponita":
        network = PONITA(
            *(1, 2, 0, 1),
            grid=None if words.variant == "edges" else grid_of_size(words.orientations),
            variant=words.variant,
            channels=words.channels,
            basis=words.basis,
            layers=words.layers,
            degree=words.degree,
            widening=words.widening,
            length=4.0,
            average_neighbours=5.0,
            rngs=rngs,
        )
    else:
        network = ParticleIrreps(
            *(words.channels, words.layers),
            hidden=words.hidden,
            lmax=words.lmax,
            correlation=words.correlation,
            product=words.product,
            convolution=words.convolution,
            rngs=rngs,
        )
    return Dynamics(network, words)


def collate_batch(examples: Sequence[Any], which: range, shards: int) -> dict[str, Any]:
    """Shards of equal size, the last filled up with copies that the mask leaves out."""
    size = -(-len(examples) // shards)
    index = np.arange(shards * size).reshape(shards, size)[list(which)]
    mask = (index < len(examples)).astype(np.float32)
    index = np.minimum(index, len(examples) - 1)
    parts = {name: np.stack([e[part] for e in examples])[index] for part, name in enumerate(BATCH)}
    return {**parts, "mask": mask}


def squared_error(
    model: Dynamics, batch: Mapping[str, Any], key: Array, augment: bool = False
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean square of the components of the positions, over all systems of all shards."""
    frame_key, turn_key = jax.random.split(key)
    arrays = tuple(batch[name] for name in BATCH)
    if augment:
        arrays = augmented(arrays, turn_key)
    *inputs, targets = arrays
    squares = jnp.mean((model(*inputs, key=frame_key) - targets) ** 2, axis=(-2, -1))
    mean = jnp.sum(squares * batch["mask"]) / jnp.sum(batch["mask"])
    return mean, {SELECTION: mean}


def augmented(arrays: tuple[Array, ...], key: Array) -> tuple[Array, ...]:
    """Every system turned about its centre by an element of O(3), and its charges by a sign."""
    positions, velocities, charges, targets = arrays
    turn_key, sign_key = jax.random.split(key)
    turns = O(3).sample(turn_key, positions.shape[:-2], positions.dtype)
    centre = jnp.mean(positions, axis=-2, keepdims=True)
    signs = jax.random.rademacher(sign_key, charges.shape[:-1], charges.dtype)

    def turn(vectors: Array) -> Array:
        return jnp.matmul(vectors, jnp.swapaxes(turns, -1, -2), precision=jax.lax.Precision.HIGHEST)

    moved = turn(positions - centre), turn(velocities), turn(targets - centre)
    return moved[0] + centre, moved[1], charges * signs[..., None], moved[2] + centre


@jax.jit
def _predict(model: Dynamics, positions: Array, velocities: Array, charges: Array) -> Array:
    return model(positions, velocities, charges)


def mean_square(model: Dynamics, systems: Systems, batch_size: int = 500) -> float:
    """The mean squared error of the components of the positions, some systems at a time."""
    total = 0.0
    for start in range(0, len(systems), batch_size):
        some = systems[start : start + batch_size]
        found = np.asarray(_predict(model, *some.parts[:3]), np.float64)
        total += float(np.sum((found - some.targets) ** 2))
    return total / systems.targets.size


def report(model: Dynamics, data: Data, section: DataConfig) -> dict[str, Any]:
    """Errors on the test systems, beside those of going straight on, and the symmetry."""
    test = data.test
    straight = test.positions + data.duration * test.velocities.astype(np.float64)
    return {
        "metrics": {
            SELECTION: mean_square(model, test),
            "straight_line_mse": float(np.mean((straight - test.targets) ** 2)),
        },
        "equivariance_error": {
            "float32": symmetry_error(model, test, np.float32),
            "float64": symmetry_error(model, test, np.float64),
        },
        "model": model.words.name,
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


def count_parameters(model: nnx.Module) -> int:
    """The number of trained numbers."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
