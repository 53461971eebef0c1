"""Classify graphs, and count the pairs of graphs that a network cannot distinguish."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree
from scipy.spatial import KDTree
from scipy.special import log_softmax

from equinet.models import GIN, SPEN, AdjacencyMLP, frame_averaged, standardize
from equinet.nn import FrameAveraging
from equinet.ops.graphs import SubgraphBatch
from equinet.training import (
    Experiment,
    Task,
    constructor_arguments,
    in_both_precisions,
    load_best,
    masked_mean,
)
from experiments.graphs.batches import Collator, Example, batches_by_size, permuted
from experiments.graphs.config import SEPARATION, DataConfig, GraphConfig
from experiments.graphs.data import Fold, GraphSet, read_graph_set

SELECTION = "cross_entropy"
OUTPUTS = 16
"""Width of the outputs of the random networks that shall distinguish graphs."""
LARGEST_BATCH, ENTRIES = 64, 2**25
STANDARD = 512
"""Training graphs from which the readout of SPEN is standardized."""


class GraphTask(Task):
    """Classification of the graphs of a set, one fold at a time."""

    Config = GraphConfig

    def build(self, config: GraphConfig, *, shards: int) -> Experiment:
        """Reads the set and makes the network for it."""
        section, graphs = config.model, read_graph_set(config.data.set, config.data_dir or None)
        fold = chosen_fold(graphs, config.data.fold)
        model = make_model(section, graphs, graphs.num_classes, nnx.Rngs(config.training.seed))
        collator = Collator.of(section, graphs.max_nodes)
        train, validation, test = (
            [collator.example(graphs.graphs[i]) for i in part]
            for part in (fold.train, fold.validation, fold.test)
        )

        in_training = collator.for_batches(train, -(-config.training.batch_size // shards))
        if isinstance(model, SPEN):
            some = np.random.default_rng(0).permutation(len(train))[:STANDARD]
            parts = np.array_split(some, -(-len(some) // config.training.batch_size))
            batches = [one_shard(in_training, train, part) for part in parts]
            standardize(model, batches, section.whitening)
            if section.frozen:
                train, validation = (with_means(model, collator, x) for x in (train, validation))

        def collate(examples: Sequence[Example], which: range) -> dict[str, Any]:
            return in_training(examples, which, shards)

        return Experiment(
            model=model,
            train=train,
            collate=collate,
            loss=cross_entropy,
            validate=lambda model: scores(model, collator, validation, section),
            test=lambda model: report(model, collator, test, graphs, config.data, section),
            selection=SELECTION,
            item_name="graphs",
        )

    def evaluate(self, config: GraphConfig, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test graphs of the config's fold; the training set is not prepared."""
        if data is not None:
            return super().evaluate(config, workdir, data)
        section, graphs = config.model, read_graph_set(config.data.set, config.data_dir or None)
        fold = chosen_fold(graphs, config.data.fold)
        model = make_model(section, graphs, graphs.num_classes, nnx.Rngs(config.training.seed))
        load_best(workdir, model)
        collator = Collator.of(section, graphs.max_nodes)
        test = [collator.example(graphs.graphs[i]) for i in fold.test]
        return report(model, collator, test, graphs, config.data, section)


def chosen_fold(graphs: GraphSet, number: int) -> Fold:
    """A fold of a set.

    Raises:
        ValueError: If the set has no such fold.
    """
    if number >= len(graphs.folds):
        raise ValueError(
            f"config.data.fold: {graphs.name} has {len(graphs.folds)} folds, from 0 to "
            f"{len(graphs.folds) - 1}, got {number}"
        )
    return graphs.folds[number]


def make_model(
    section: Any, graphs: GraphSet, outputs: int, rngs: nnx.Rngs
) -> GIN | AdjacencyMLP | SPEN | FrameAveraging:
    """The network of a section ``config.model`` for the graphs of a set."""
    widths, nodes = (graphs.num_features, outputs), graphs.max_nodes
    options = {**constructor_arguments(section), "rngs": rngs}
    if section.name == "spen":
        channels = (section.channels, section.channels, section.pair_channels)
        return SPEN(*widths, channels=channels, average_nodes=graphs.average_nodes, **options)
    kind = section.name.removeprefix("fa_")
    if kind == "mlp":
        network: GIN | AdjacencyMLP = AdjacencyMLP(nodes, *widths, **options)
    else:
        network = GIN(
            *widths,
            identities=nodes if kind == "gin_id" else 0,
            average_degree=graphs.average_degree,
            average_nodes=graphs.average_nodes,
            **options,
        )
    if kind == section.name:
        return network
    return frame_averaged(network, nodes, size=section.frame_size)


def one_shard(
    collator: Collator, examples: Sequence[Example], chosen: Int[np.ndarray, "graphs"]
) -> PyTree[Array]:
    """The inputs of some graphs, without the axis of shards."""
    batch = collator([examples[index] for index in chosen], range(1), 1)["inputs"]
    return jax.tree.map(lambda x: jnp.asarray(x[0]), batch)


def with_means(model: SPEN, collator: Collator, examples: Sequence[Example]) -> list[Example]:
    """The examples with the outputs of the frozen layers, so that no step computes these again."""
    found = list(examples)
    for index, part in batches_by_size(examples, min(LARGEST_BATCH, len(examples))):
        inputs = collator(part, range(1), 1)["inputs"]
        means = np.asarray(_means(model, jax.tree.map(lambda x: x[0], inputs)))
        for i, mean in zip(index, means, strict=False):
            found[i] = dataclasses.replace(examples[i], means=mean)
    return found


@jax.jit
def _means(model: SPEN, batch: SubgraphBatch) -> Array:
    return model.means(batch)


def apply(model: nnx.Module, inputs: PyTree[Array], key: Array | None = None) -> Array:
    """The outputs ``[shards, graphs, outputs]`` of a batch; a key draws one order of a frame."""
    if isinstance(model, SPEN):
        network: Any = model if isinstance(inputs, SubgraphBatch) else model.readout
        return jax.vmap(network)(inputs)
    if isinstance(model, FrameAveraging):
        return model(*inputs, key=key)
    return model(*inputs)  # type: ignore[operator]


def cross_entropy(
    model: nnx.Module, batch: Mapping[str, Any], key: Array
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean over all graphs of all shards, and the accuracy."""
    logits, labels, mask = apply(model, batch["inputs"], key), batch["labels"], batch["mask"]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    right = (jnp.argmax(logits, -1) == labels).astype(losses.dtype)
    mean, accuracy = (masked_mean(x, mask) for x in (losses, right))
    return mean, {"accuracy": accuracy}


@jax.jit
def _outputs(model: nnx.Module, inputs: PyTree[Array]) -> Array:
    return apply(model, inputs)


@jax.jit
def _sampled(model: FrameAveraging, inputs: PyTree[Array], keys: Array) -> Array:
    return jnp.mean(jax.lax.map(lambda key: apply(model, inputs, key), keys), axis=0)


@jax.jit
def _degenerate(model: FrameAveraging, inputs: PyTree[Array]) -> Array:
    return model.elements(*inputs).degenerate


def predict(
    model: nnx.Module,
    collator: Collator,
    examples: Sequence[Example],
    section: Any,
    dtype: Any = np.float32,
) -> tuple[Float[np.ndarray, "graphs outputs"], np.ndarray]:
    """The outputs for all graphs, and for which of them they are exact.

    Outputs are exact unless a frame has more elements than ``section.frame_size``: then they are
    the mean over ``section.frame_samples`` random ones.
    """
    framed = isinstance(model, FrameAveraging)
    entries = (collator.nodes or 1) ** 2 * (section.frame_size if framed else 1)
    batch_size = min(LARGEST_BATCH, len(examples), max(ENTRIES // entries, 1))
    found, exact = {}, np.ones(len(examples), bool)
    with jax.enable_x64(dtype == np.float64):
        for index, part in batches_by_size(examples, batch_size):
            inputs = collator(part, range(1), 1, dtype)["inputs"]
            few = np.ones(batch_size, bool)
            if isinstance(model, FrameAveraging):
                few = ~np.asarray(_degenerate(model, inputs))[0]
            y = np.zeros(())
            if few.any():
                y = np.asarray(_outputs(model, inputs))[0]
            if not few.all():
                keys = jax.random.split(jax.random.key(0), section.frame_samples)
                y = np.where(few[:, None], y, np.asarray(_sampled(model, inputs, keys))[0])
            exact[index] = few[: len(index)]
            found.update(zip(index.tolist(), y, strict=False))
    return np.stack([found[i] for i in range(len(examples))]).astype(np.float64), exact


def scores(
    model: nnx.Module, collator: Collator, examples: Sequence[Example], section: Any
) -> dict[str, float]:
    """Accuracy and mean cross entropy."""
    logits, _ = predict(model, collator, examples, section)
    labels = np.array([example.graph.label for example in examples])
    losses = -log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]
    right = logits.argmax(-1) == labels
    return {"accuracy": float(right.mean()), SELECTION: float(losses.mean())}


def report(
    model: nnx.Module,
    collator: Collator,
    test: Sequence[Example],
    graphs: GraphSet,
    data: DataConfig,
    section: Any,
) -> dict[str, Any]:
    """Scores on the test graphs, pairs that random networks confuse, and invariance."""
    metrics: dict[str, float] = scores(model, collator, test, section)
    if data.set in SEPARATION and data.inits:
        metrics |= separation(graphs, data, section)
    errors = in_both_precisions(
        lambda dtype: invariance_error(model, collator, test[:16], section, dtype)
    )
    return {
        "metrics": metrics,
        "equivariance_error": {name: e for name, e in errors.items() if e is not None},
        "set": data.set,
        "fold": data.fold,
        "model": section.name,
    }


def separation(graphs: GraphSet, data: DataConfig, section: Any) -> dict[str, int]:
    """The number of pairs that random networks cannot distinguish, in float64, without training.

    A pair counts where all ``data.inits`` networks give both graphs outputs that differ by less
    than ``data.tolerance`` in every entry, in units of the root mean square over the set. Graphs
    whose frame is too large to be listed are left out, because their outputs are random.

    Returns:
        ``undistinguished_pairs``, the ``pairs`` that were compared, and for averages over frames
        ``graphs_without_frame``.
    """
    collator = Collator.of(section, graphs.max_nodes)
    examples = [collator.example(graph) for graph in graphs.graphs]
    columns, exact = [], np.ones(len(examples), bool)
    for seed in range(data.inits):
        model = make_model(section, graphs, OUTPUTS, nnx.Rngs(seed))
        outputs, exact = predict(model, collator, examples, section, np.float64)
        columns.append(outputs / max(math.sqrt(np.mean(outputs**2)), 1e-30))
    labels = np.array([graph.label for graph in graphs.graphs])
    pairs, same = count_pairs(
        data.set, np.concatenate(columns, axis=-1), labels, exact, data.tolerance
    )
    extra = {"graphs_without_frame": int((~exact).sum())} if section.name.startswith("fa_") else {}
    return {"undistinguished_pairs": same, "pairs": pairs, **extra}


def count_pairs(
    name: str,
    outputs: Float[np.ndarray, "graphs outputs"],
    labels: Int[np.ndarray, "graphs"],
    exact: np.ndarray,
    tolerance: float,
) -> tuple[int, int]:
    """The pairs of a set, and how many of them have outputs within a tolerance.

    Of ``exp`` these are graphs 2 i and 2 i + 1; of ``csl`` graphs of two classes, as those of one
    are the same graph; of the others all pairs. Graphs that are not ``exact`` are left out.
    """
    if name == "exp":
        both = exact[0::2] & exact[1::2]
        apart = np.abs(outputs[0::2] - outputs[1::2]).max(-1)[both]
        return int(both.sum()), int((apart < tolerance).sum())
    labels = labels if name == "csl" else np.arange(len(labels))
    groups = [np.flatnonzero(exact), *(np.flatnonzero(exact & (labels == k)) for k in set(labels))]
    if name != "csl":
        groups = groups[:1]
    counts = [
        (len(group) * (len(group) - 1) // 2, _near(outputs[group], tolerance)) for group in groups
    ]
    (pairs, same), within = counts[0], counts[1:]
    return pairs - sum(p for p, _ in within), same - sum(s for _, s in within)


def _near(outputs: Float[np.ndarray, "graphs outputs"], tolerance: float) -> int:
    """The number of pairs of rows whose entries all differ by at most the tolerance."""
    if len(outputs) < 2:
        return 0
    tree = KDTree(outputs)
    return (int(tree.count_neighbors(tree, tolerance, p=np.inf)) - len(outputs)) // 2


def invariance_error(
    model: nnx.Module,
    collator: Collator,
    examples: Sequence[Example],
    section: Any,
    dtype: Any,
) -> float | None:
    """The largest change of the outputs when nodes are permuted, over their root mean square.

    None where no graph has a frame that can be listed.
    """
    rng = np.random.default_rng(0)
    graphs = [example.graph for example in examples]
    moved = [collator.example(permuted(g, rng.permutation(g.num_nodes))) for g in graphs]
    (before, exact), (after, too) = (
        predict(model, collator, part, section, dtype) for part in (examples, moved)
    )
    exact = exact & too
    if not exact.any():
        return None
    scale = math.sqrt(np.mean(before[exact] ** 2))
    return float(np.abs(after - before)[exact].max() / max(scale, 1e-30))
