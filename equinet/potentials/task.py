"""Learn the potential energy surface of atoms: energies and forces, reported as the field does."""

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.data.atoms import (
    Budget,
    Configuration,
    Graph,
    batches,
    collate,
    measure,
    subtract_references,
    symbols_of,
    to_graphs,
)
from equinet.groups import O
from equinet.models import (
    EnergyModel,
    OrientationPotential,
    potential_class,
    potential_from_spec,
)
from equinet.nn import calibrate
from equinet.ops.graphs import GraphBatch
from equinet.potentials.calculator import load_potential
from equinet.potentials.config import FileDataConfig, LossConfig, PotentialConfig
from equinet.potentials.data import load_splits, read_file, read_part, reference_energies, rotated
from equinet.reps import Vector, WithoutChannels
from equinet.testing import equivariance_error
from equinet.training import (
    Experiment,
    Task,
    constructor_arguments,
    count_parameters,
    in_both_precisions,
)
from equinet.training.progress import Progress
from equinet.training.schema import blame

SELECTION = "force_mae_mev_per_angstrom"


class PotentialTask(Task):
    """Energies and forces of molecules and crystals."""

    Config = PotentialConfig

    def build(self, config: PotentialConfig, *, shards: int) -> Experiment:
        """Reads or makes the data and scales the model to them."""
        check_network(config.model)
        splits = load_splits(config.data, config.data_dir)
        elements = symbols_of(
            number for configuration in splits.train for number in np.unique(configuration.numbers)
        )
        options = constructor_arguments(config.model)
        cutoff = _cutoff(config.model)
        graphs = [
            to_graphs(split, cutoff=cutoff, elements=elements)
            for split in (splits.train, splits.validation, splits.test)
        ]
        statistics = measure(graphs[0], elements, reference_energies(config.data, config.data_dir))
        # The mean residue joins the references: what is left for the network is near zero.
        references = [
            energy + statistics.energy_per_atom for energy in statistics.reference_energies
        ]
        measured = {
            "elements": elements,
            "average_neighbours": statistics.average_neighbours,
            "energy_scale": statistics.force_rms or 1.0,
            "reference_energies": references,
        }
        model = make_network(
            config.model.network, options, measured, rngs=nnx.Rngs(config.training.seed)
        )
        train, validation, test = (subtract_references(part, references) for part in graphs)
        batch_size = config.training.batch_size
        if isinstance(model, OrientationPotential):
            calibrate(model, some_of(train, batch_size))
        augment = config.data.augment and not model.is_invariant
        budget = Budget.covering(train, batch_size, shards)

        def collate_batch(examples: Sequence[Graph], which: range) -> dict[str, Any]:
            return collate(examples, which, shards=shards, budget=budget)

        def loss(model: EnergyModel, batch: Mapping[str, Any], key: Array) -> tuple:
            return potential_loss(model, batch, config.loss, key if augment else None)

        return Experiment(
            model=model,
            model_spec={
                "model": {"network": config.model.network, **model.spec()},
                "structure": _structure(splits.test[0]),
            },
            train=train,
            collate=collate_batch,
            loss=loss,
            validate=lambda model: energy_and_force_errors(model, validation, batch_size),
            test=lambda model: report(model, test, batch_size),
            selection=SELECTION,
            items=lambda batch: int(batch["graph"].node_mask.sum()),
            item_name="atoms",
        )

    def evaluate(self, config: PotentialConfig, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test split of a config, or on a file with the keys of the config."""
        model, graphs = _trained(config, workdir, data)
        return {
            **report(model, graphs, config.training.batch_size),
            "parameters": count_parameters(model),
        }

    def figures(self, config: PotentialConfig, workdir: Path, data: str | None) -> dict[str, Any]:
        """Parity of energies and of forces, and the force error of each element."""
        from equinet.potentials.figures import draw_errors

        model, graphs = _trained(config, workdir, data)
        return draw_errors(
            graphs, model.elements, *predict(model, graphs, config.training.batch_size)
        )


def _trained(
    config: PotentialConfig, workdir: Path, data: str | None
) -> tuple[EnergyModel, list[Graph]]:
    """The best model of a training, and the graphs of its test split or of a file."""
    model = load_potential(workdir)
    section = config.data
    if data is not None:
        configurations = read_file(Path(data), section)
    elif isinstance(section, FileDataConfig):
        configurations = read_part(section.test, section, config.data_dir)
    else:
        configurations = load_splits(section, config.data_dir).test
    graphs = to_graphs(configurations, cutoff=model.cutoff, elements=model.elements)
    return model, subtract_references(graphs, model.reference_energies)


def make_network(
    network: str, options: Mapping[str, Any], measured: Mapping[str, Any], *, rngs: nnx.Rngs
) -> EnergyModel:
    """The network of a config, scaled by what was measured in the data.

    Args:
        network: A key of ``POTENTIALS`` or ``"module:Class"``.
        options: The arguments of its constructor that the config decides.
        measured: Those that the data decide; a network need not take the number of neighbours.
        rngs: Key ``params``.
    """
    taken = inspect.signature(potential_class(network).__init__).parameters
    known = {name: value for name, value in measured.items() if name in taken}
    return potential_from_spec({"network": network, **options, **known}, rngs=rngs)


def check_network(section: Any) -> None:
    """Makes the network of a config abstractly, so that a mistake is found before any data.

    Raises:
        ValueError: What the constructor of the network raises.
    """
    measured = {
        "elements": ("H",),
        "average_neighbours": 16.0,
        "energy_scale": 1.0,
        "reference_energies": [0.0],
    }
    options = constructor_arguments(section)
    with blame("config.model"):
        nnx.eval_shape(lambda: make_network(section.network, options, measured, rngs=nnx.Rngs(0)))
        _cutoff(section)


def _cutoff(section: Any) -> float:
    """The radius of the neighbourhood in angstrom that the network of a config asks for."""
    if not hasattr(section, "cutoff"):
        raise ValueError(
            f"the network {section.network} must have an argument cutoff with a default (angstrom)"
        )
    return float(section.cutoff)


def some_of(graphs: Sequence[Graph], count: int) -> GraphBatch:
    """One shard with this many graphs, evenly spaced, because neighbours in a file are similar."""
    chosen = [graphs[index] for index in range(0, len(graphs), -(-len(graphs) // count))]
    batch = collate(chosen, range(1), shards=1)["graph"]
    return jax.tree.map(lambda array: jnp.asarray(array[0]), batch)


def potential_loss(
    model: EnergyModel, batch: Mapping[str, Any], weights: LossConfig, key: Array | None = None
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Weighted mean squares over all shards; padding and missing labels do not contribute.

    Args:
        model: The potential.
        batch: Graphs, labels and label weights, every array ``[shards, ...]``.
        weights: Weights of the labels.
        key: Random key of the elements of O(3) by which the graphs are transformed; None: they are
            not transformed.

    Returns:
        The loss, and the mean squares by name.
    """
    batch = batch if key is None else rotated(batch, key)
    shards = batch["weights"]["energy"].shape[0]
    sums = (
        jax.tree.map(
            lambda x: x[None], _squares(model, jax.tree.map(lambda x: x[0], batch), weights)
        )
        if shards == 1
        else jax.vmap(lambda shard: _squares(model, shard, weights))(batch)
    )
    total = jnp.zeros((), jnp.float32)
    means = {}
    for name, (square, count) in sums.items():
        means[name] = square.sum() / jnp.maximum(count.sum(), 1)
        total = total + getattr(weights, name) * means[name]
    return total, {f"{name}_mean_square": mean for name, mean in means.items()}


def _squares(
    model: EnergyModel, shard: Mapping[str, Any], weights: LossConfig
) -> dict[str, tuple[Array, Array]]:
    """Sum of squares and number of terms of every label of one shard."""
    graph, labels, given = shard["graph"], shard["labels"], shard["weights"]
    if weights.stress:
        energy, forces, stress = model.energy_forces_stress(graph)
    else:
        energy, forces = model.energy_and_forces(graph)
        stress = None
    members = graph.graph_index[None, :] == jnp.arange(graph.num_graphs, dtype=jnp.int32)[:, None]
    atoms = jnp.maximum((members & graph.node_mask[None, :]).sum(1), 1).astype(energy.dtype)
    energy_square = given["energy"] * (energy - labels["energy"]) ** 2 / atoms
    force_square = given["forces"][:, None] * (forces - labels["forces"]) ** 2
    squares = {
        "energy": (energy_square.sum(), given["energy"].sum()),
        "forces": (force_square.sum(), 3 * given["forces"].sum()),
    }
    if stress is not None:
        square = given["stress"][:, None, None] * (stress - labels["stress"]) ** 2
        squares["stress"] = (square.sum(), 9 * given["stress"].sum())
    return squares


@jax.jit
def _predict(model: EnergyModel, graph: Any) -> tuple[Array, Array]:
    return model.energy_and_forces(graph)


def predict(
    model: EnergyModel, graphs: Sequence[Graph], batch_size: int
) -> tuple[Float[np.ndarray, "graphs"], list[Float[np.ndarray, "nodes 3"]]]:
    """Energies (without references) and forces of all graphs, in order."""
    energies, forces = [], []
    starts = range(0, len(graphs), batch_size)
    with Progress(len(graphs), unit="prediction", delay=2.0) as progress:
        for start, batch in zip(starts, batches(graphs, batch_size), strict=True):
            chunk = graphs[start : start + batch_size]
            shard = jax.tree.map(lambda x: jnp.asarray(x[0]), batch["graph"])
            energy, force = jax.device_get(_predict(model, shard))
            energies.append(energy[: len(chunk)])
            ends = np.cumsum([graph.num_nodes for graph in chunk])
            forces += np.split(force[: ends[-1]], ends[:-1])
            progress.show(start + len(chunk))
    return np.concatenate(energies).astype(np.float64), forces


def energy_and_force_errors(
    model: EnergyModel, graphs: Sequence[Graph], batch_size: int
) -> dict[str, float]:
    """MAE and RMSE of energies (meV, and per atom) and force components (meV/angstrom)."""
    energies, forces = predict(model, graphs, batch_size)
    atoms = np.array([graph.num_nodes for graph in graphs])
    error = 1e3 * (energies - np.array([graph.energy for graph in graphs]))
    labels = 1e3 * np.concatenate([np.asarray(graph.forces).ravel() for graph in graphs])
    force_error = 1e3 * np.concatenate([f.astype(np.float64).ravel() for f in forces]) - labels
    return {
        "force_mae_mev_per_angstrom": float(np.abs(force_error).mean()),
        "force_rmse_mev_per_angstrom": _rms(force_error),
        "label_force_rms_mev_per_angstrom": _rms(labels),
        "energy_mae_mev": float(np.abs(error).mean()),
        "energy_rmse_mev": _rms(error),
        "energy_mae_mev_per_atom": float(np.abs(error / atoms).mean()),
        "energy_rmse_mev_per_atom": _rms(error / atoms),
    }


def report(model: EnergyModel, graphs: Sequence[Graph], batch_size: int) -> dict[str, Any]:
    """Errors on held-out graphs and the equivariance error of the forces in both precisions."""
    return {
        "metrics": energy_and_force_errors(model, graphs, batch_size),
        "equivariance_error": in_both_precisions(
            lambda dtype: force_equivariance_error(model, graphs[0], dtype)
        ),
        "configurations": len(graphs),
    }


def force_equivariance_error(model: EnergyModel, graph: Graph, dtype: Any) -> float:
    """Equivariance error of the forces of one graph under O(3), computed in ``dtype``.

    Translations are left out because a batch has none: ``collate`` takes the mean off the
    positions in float64.
    """
    batch = collate([graph], range(1), shards=1, dtype=np.float64)["graph"]
    batch = jax.tree.map(lambda x: x[0], batch)
    vectors = WithoutChannels(Vector(O(3)))

    def forces(positions: Array, cell: Array) -> Array:
        shifts = jnp.asarray(batch.shifts, positions.dtype)
        moved = dataclasses.replace(batch, positions=positions, cell=cell, shifts=shifts)
        return _predict(model, moved)[1][: graph.num_nodes]

    inputs = (batch.positions, batch.cell)
    key = jax.random.key(0)
    return equivariance_error(forces, (vectors, vectors), vectors, key, inputs=inputs, dtype=dtype)


def _rms(x: Float[np.ndarray, "..."]) -> float:
    return math.sqrt(float(np.mean(np.square(x))))


def _structure(configuration: Configuration) -> dict[str, Any]:
    """A start for molecular dynamics, as JSON: the first held-out configuration."""
    return {
        "numbers": configuration.numbers.tolist(),
        "positions": configuration.positions.tolist(),
        "cell": None if configuration.cell is None else configuration.cell.tolist(),
        "pbc": list(configuration.pbc),
    }
