"""Eight pieces of four cubes, two of them mirror images: what can a tensor product tell apart?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from equinet.data.atoms import Budget, Configuration, Graph, collate, deal, to_graph
from equinet.groups import SO, O
from equinet.linalg import safe_norm
from equinet.nn import MLP, LayerNorm, Linear, RadialNetwork, TensorProduct
from equinet.ops.graphs import GraphBatch, edge_vectors, sum_graphs, sum_receivers
from equinet.reps import Irreps, Vector, WithoutChannels, spherical_harmonics
from equinet.testing import equivariance_error
from equinet.training import Experiment, Task, in_both_precisions, masked_mean
from experiments.tetris.config import DataConfig, ModelConfig, TetrisConfig

SELECTION = "cross_entropy"
PIECES = {
    "chiral_shape_1": ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0)),
    "chiral_shape_2": ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, -1, 0)),
    "square": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)),
    "line": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)),
    "corner": ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "L": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)),
    "T": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1)),
    "zigzag": ((0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 0)),
}
NATURAL_ONLY = ("gaunt", "cp")
"""Products of functions on the sphere: irreps of parity (-1)^l in, the same out."""


class TetrisNetwork(nnx.Module):
    r"""Invariants of two and three powers of the density of neighbours, summed over the cubes.

    .. math:: A_i = \tfrac{1}{3} \sum_j \phi(r_{ij})\, Y(\hat r_{ij}), \quad
              B = L_1 A \otimes L_2 A, \quad C = L_3 B \otimes L_4 A

    Every piece but two is its own mirror image up to a rotation, so the labels are a
    representation: inversion exchanges the first two. In that basis the outputs are seven
    invariants e and one pseudoscalar o, and the logits are
    :math:`(e_0 + o, e_0 - o, e_1, \dots, e_6)`. A product between irreps of natural parity has no
    pseudoscalar; then the two mirror images have equal logits.

    Args:
        section: The product and the sizes.
        rngs: Key ``params``.

    Raises:
        ValueError: If the product cannot express the irreps.
    """

    def __init__(self, section: ModelConfig, *, rngs: nnx.Rngs) -> None:
        density, power, scalars = irreps_of(section)
        self.rep_out = Irreps("7x0e+0o" if scalars.count("0o") else "7x0e")
        self.cutoff, self.lmax = section.cutoff, section.lmax
        width = section.channels
        self.radial = RadialNetwork(section.cutoff, width, hidden=(32,), degree=8, rngs=rngs)
        self.linears = nnx.List(
            [Linear(rep, rep, width, width, rngs=rngs) for rep in (density,) * 3 + (power,)]
        )
        options = {"kind": section.product, "rngs": rngs}
        self.second = TensorProduct(density, density, power, width, **options)
        self.third = TensorProduct(power, density, scalars, width, **options)
        self.norm = LayerNorm(Irreps("0e"), 3 * width)
        self.even = MLP((3 * width, width, 7), use_bias=True, rngs=rngs)
        self.odd = Linear("0o", "0o", width, 1, rngs=rngs) if scalars.count("0o") else None

    def __call__(self, graph: GraphBatch) -> Float[Array, "graphs classes"]:
        """The logits of every piece."""
        values = self.values(graph)[..., 0]
        odd = values[:, 7:] if self.odd is not None else jnp.zeros_like(values[:, :1])
        first = values[:, :1]
        return jnp.concatenate([first + odd, first - odd, values[:, 1:7]], axis=1)

    def values(self, graph: GraphBatch) -> Float[Array, "graphs dim 1"]:
        """The outputs before the logits, ``[graphs, rep_out.dim, 1]``."""
        vectors = edge_vectors(graph, 2 * self.cutoff)
        filters = spherical_harmonics(self.lmax, vectors)[:, :, None]
        radial = self.radial(safe_norm(vectors))[:, None, :]
        density = sum_receivers(filters * radial, graph) / 3
        one, two, three = (linear(density) for linear in list(self.linears)[:3])
        second = self.second(one, two)
        third = self.third(self.linears[3](second), three)
        even = jnp.concatenate([density[:, 0], second[:, 0], third[:, 0]], axis=-1)
        even = self.norm(sum_graphs(even, graph)[:, None])
        outputs = jnp.swapaxes(self.even(even), -1, -2)
        if self.odd is None:
            return outputs
        odd = self.odd(sum_graphs(third[:, 1:], graph))
        return jnp.concatenate([outputs, odd], axis=1)


def irreps_of(section: ModelConfig) -> tuple[Irreps, Irreps, Irreps]:
    """Irreps of the density, of its second power and of the invariants that the product can make.

    >>> [str(rep) for rep in irreps_of(ModelConfig("clebsch_gordan"))]
    ['0e+1o+2e', '0e+1o+1e+2e+2o', '0e+0o']
    >>> [str(rep) for rep in irreps_of(ModelConfig("gaunt"))]
    ['0e+1o+2e', '0e+1o+2e', '0e']
    """
    natural = Irreps.spherical_harmonics(section.lmax)
    if section.product in NATURAL_ONLY:
        return natural, natural, Irreps("0e")
    # No pseudoscalar in the second power: two vectors and their mirror images are one rotation.
    others = [(1, (l, p)) for l in range(1, section.lmax + 1) for p in ((-1) ** l, -((-1) ** l))]
    return natural, Irreps([(1, (0, 1)), *others]), Irreps("0e+0o")


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A piece in some orientation, and which it is."""

    graph: Graph
    label: int


class TetrisTask(Task):
    """Classification of the pieces in any orientation."""

    Config = TetrisConfig

    def build(self, config: TetrisConfig, *, shards: int) -> Experiment:
        """Makes the network and the pieces."""
        model = make_model(config)
        cutoff, batch_size = config.model.cutoff, config.training.batch_size
        validation, test = (rotated(config.data, cutoff, part) for part in range(2))

        def collate_train(examples: Sequence[Piece], which: range) -> dict[str, Any]:
            return collate_pieces(examples, which, shards, batch_size)

        return Experiment(
            model=model,
            train=pieces(cutoff),
            collate=collate_train,
            loss=cross_entropy,
            validate=lambda model: classify(model, validation)[0],
            test=lambda model: report(model, test, config.model),
            selection=SELECTION,
            items=lambda batch: int(batch["graph"].graph_mask.sum()),
            item_name="pieces",
        )


def make_model(config: TetrisConfig) -> TetrisNetwork:
    """The network of a config."""
    return TetrisNetwork(config.model, rngs=nnx.Rngs(config.training.seed))


def pieces(cutoff: float, rotations: Sequence[np.ndarray] = (np.eye(3),)) -> list[Piece]:
    """All eight pieces, once in every orientation."""
    found = []
    for rotation in rotations:
        for label, (name, cubes) in enumerate(PIECES.items()):
            positions = np.array(cubes, np.float64) @ rotation.T
            configuration = Configuration(
                numbers=np.ones(4, np.int64), positions=positions, source=name
            )
            found.append(Piece(to_graph(configuration, cutoff=cutoff, elements=("H",)), label))
    return found


def rotated(section: DataConfig, cutoff: float, part: int) -> list[Piece]:
    """The pieces in random orientations, which differ from part to part; no reflections."""
    key = jax.random.fold_in(jax.random.key(section.seed), part)
    with jax.enable_x64(True):
        rotations = np.asarray(SO(3).sample(key, (section.copies,)))
    return pieces(cutoff, list(rotations))


def collate_pieces(
    examples: Sequence[Piece],
    which: range,
    shards: int,
    batch_size: int | None = None,
    dtype: Any = np.float32,
) -> dict[str, Any]:
    """Graphs and labels of some shards; labels of padding are zero."""
    graphs = [example.graph for example in examples]
    budget = Budget.covering(graphs, batch_size or len(graphs), shards)
    batch = collate(graphs, which, shards=shards, budget=budget, dtype=dtype)
    shares = deal([graph.num_nodes for graph in graphs], shards)
    labels = np.zeros((len(which), budget.graphs), np.int32)
    for row, shard in enumerate(which):
        labels[row, : len(shares[shard])] = [examples[index].label for index in shares[shard]]
    return {"graph": batch["graph"], "labels": labels}


def cross_entropy(
    model: TetrisNetwork, batch: Mapping[str, Any], key: Array
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean over all pieces of all shards, and the accuracy."""
    graph, labels = batch["graph"], batch["labels"]
    logits = jax.vmap(model)(graph)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    right = (jnp.argmax(logits, -1) == labels).astype(losses.dtype)
    mask = graph.graph_mask.astype(losses.dtype)
    mean, accuracy = (masked_mean(x, mask) for x in (losses, right))
    return mean, {"accuracy": accuracy}


@jax.jit
def _logits(model: TetrisNetwork, graph: GraphBatch) -> Array:
    return model(graph)


@jax.jit
def _values(model: TetrisNetwork, graph: GraphBatch) -> Array:
    return model.values(graph)


def classify(
    model: TetrisNetwork, examples: Sequence[Piece]
) -> tuple[dict[str, float], dict[str, str]]:
    """Accuracy and mean loss, and for each piece classified wrongly the predicted one."""
    batch = jax.tree.map(lambda x: x[0], collate_pieces(examples, range(1), 1))
    logits = np.asarray(_logits(model, batch["graph"]), np.float64)[: len(examples)]
    labels, names = batch["labels"][: len(examples)], list(PIECES)
    found = logits.argmax(-1)
    largest = logits.max(-1, keepdims=True)
    normal = logits - largest - np.log(np.exp(logits - largest).sum(-1, keepdims=True))
    losses = -normal[np.arange(len(labels)), labels]
    wrong = {names[a]: names[b] for a, b in zip(labels, found, strict=True) if a != b}
    return {"accuracy": float(np.mean(found == labels)), SELECTION: float(losses.mean())}, wrong


def report(model: TetrisNetwork, test: Sequence[Piece], section: ModelConfig) -> dict[str, Any]:
    """Accuracy on rotated pieces, and the equivariance error of the outputs."""
    metrics, wrong = classify(model, test)
    return {
        "metrics": metrics,
        "equivariance_error": in_both_precisions(
            lambda dtype: symmetry_error(model, test[: len(PIECES)], dtype)
        ),
        "product": section.product,
        "irreps": [str(rep) for rep in irreps_of(section)],
        "mistaken": wrong,
    }


def symmetry_error(model: TetrisNetwork, examples: Sequence[Piece], dtype: Any) -> float:
    """The equivariance error of the outputs under O(3), of which reflections exchange labels."""
    batch = collate_pieces(examples, range(1), 1, dtype=np.float64)["graph"]
    batch = jax.tree.map(lambda x: x[0], batch)

    def values(positions: Array) -> Array:
        cell, shifts = (jnp.asarray(a, positions.dtype) for a in (batch.cell, batch.shifts))
        moved = dataclasses.replace(batch, positions=positions, cell=cell, shifts=shifts)
        return _values(model, moved)

    rep_in, key = WithoutChannels(Vector(O(3))), jax.random.key(0)
    inputs = batch.positions
    return equivariance_error(
        values, rep_in, model.rep_out, key, inputs=inputs, dtype=dtype, num_samples=4
    )
