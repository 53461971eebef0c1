"""The Tetris task: which products tell a piece from its mirror image."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from equinet.ops.products import PRODUCTS
from equinet.training import load_config, train
from experiments.tetris.config import DataConfig, ModelConfig
from experiments.tetris.task import (
    NATURAL_ONLY,
    PIECES,
    TetrisNetwork,
    classify,
    collate_pieces,
    cross_entropy,
    irreps_of,
    make_model,
    pieces,
    rotated,
    symmetry_error,
)

CONFIGS = Path(__file__).parents[3] / "configs"
NAMES = list(PIECES)


def network(product: str, seed: int = 0) -> TetrisNetwork:
    return TetrisNetwork(ModelConfig(product, channels=4), rngs=nnx.Rngs(seed))


def logits(model: TetrisNetwork, examples: list) -> np.ndarray:
    batch = jax.tree.map(lambda x: x[0], collate_pieces(examples, range(1), 1))
    return np.asarray(jax.jit(lambda model, graph: model(graph))(model, batch["graph"]))


def shape(cubes: np.ndarray) -> tuple:
    """What rotations and translations leave of a piece: its least image under the 24."""
    turns = [
        np.eye(3)[list(axes)] * np.array(signs)[:, None]
        for axes in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    images = [cubes @ turn.T for turn in turns if np.linalg.det(turn) > 0]
    return min(tuple(sorted(map(tuple, (x - x.min(0)).astype(int).tolist()))) for x in images)


def test_eight_pieces_of_which_two_are_mirror_images() -> None:
    cubes = [np.array(piece) for piece in PIECES.values()]
    found = [shape(piece) for piece in cubes]
    assert len(set(found)) == 8
    mirrored = [found.index(shape(-piece)) for piece in cubes]
    assert mirrored == [1, 0, 2, 3, 4, 5, 6, 7]


def test_orientations() -> None:
    section = DataConfig(copies=3)
    validation, test = (rotated(section, 4.0, part) for part in range(2))
    assert [piece.label for piece in test] == list(range(8)) * 3
    for piece in test:
        assert piece.graph.num_edges == 12
        assert piece.graph.source == NAMES[piece.label]
        base = np.array(PIECES[NAMES[piece.label]], float)
        gram, expected = (np.sum((x[:, None] - x) ** 2, -1) for x in (piece.graph.positions, base))
        np.testing.assert_allclose(gram, expected, atol=1e-12)
    edges = test[4].graph.positions[1:] - test[4].graph.positions[0]
    start = np.array(PIECES["corner"])
    assert np.linalg.det(edges) == pytest.approx(np.linalg.det(start[1:] - start[0]))
    assert np.abs(validation[0].graph.positions - test[0].graph.positions).max() > 0.1


@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_mirror_images_need_a_pseudoscalar(product: str) -> None:
    """Whatever the weights: equal logits where the irreps have natural parity alone."""
    model = network(product)
    first, second = logits(model, pieces(4.0))[:2]
    natural = product in NATURAL_ONLY
    assert str(model.rep_out) == ("7x0e" if natural else "7x0e+0o")
    np.testing.assert_allclose(first[2:], second[2:], atol=1e-4)
    np.testing.assert_allclose(first[:2], second[1::-1], atol=1e-4)
    assert (first[0] == first[1]) == natural
    assert natural or abs(first[0] - first[1]) > 1e-3
    _, wrong = classify(model, pieces(4.0))
    assert not natural or "chiral_shape_2" in wrong


@pytest.mark.parametrize("product", ["clebsch_gordan", "gaunt"])
def test_outputs_are_equivariant(product: str) -> None:
    assert symmetry_error(network(product), pieces(4.0), np.float64) < 1e-12


def test_a_reflection_exchanges_the_labels_of_the_two() -> None:
    model = network("clebsch_gordan")
    mirror = np.diag([1.0, 1.0, -1.0])
    found, expected = (logits(model, pieces(4.0, [g])) for g in (mirror, np.eye(3)))
    np.testing.assert_allclose(found[:, [1, 0, 2, 3, 4, 5, 6, 7]], expected, atol=1e-4)
    assert np.abs(found[:2] - expected[:2]).max() > 1e-3  # the control


def test_irreps_that_the_products_reach() -> None:
    reps = {p: [str(rep) for rep in irreps_of(ModelConfig(p, lmax=1))] for p in PRODUCTS}
    assert reps["gaunt"] == ["0e+1o", "0e+1o", "0e"]
    assert reps["clebsch_gordan"] == ["0e+1o", "0e+1o+1e", "0e+0o"]


def test_the_loss_does_not_depend_on_the_shards() -> None:
    model, examples = network("gaunt"), rotated(DataConfig(copies=1), 4.0, 0)[1:]
    loss = jax.jit(cross_entropy)
    value, named = loss(model, collate_pieces(examples, range(1), 1), jax.random.key(0))
    batch = collate_pieces(examples, range(3), 3)
    assert int(batch["graph"].graph_mask.sum()) == 7
    found, other = loss(model, batch, jax.random.key(0))
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    assert float(other["accuracy"]) == pytest.approx(float(named["accuracy"]))
    metrics, _ = classify(model, examples)
    assert metrics["cross_entropy"] == pytest.approx(float(value), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(float(named["accuracy"]))


@pytest.mark.slow
@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_seven_or_eight_of_eight(product: str, tmp_path) -> None:
    result = train(load_config(f"{CONFIGS}/tetris.py:{product}"), tmp_path / "run")
    natural = product in NATURAL_ONLY
    assert result["metrics"]["accuracy"] == (7 / 8 if natural else 1)
    assert result["mistaken"] == ({"chiral_shape_2": "chiral_shape_1"} if natural else {})
    assert result["equivariance_error"]["float64"] < 1e-10


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"model.product: expected one of .*gaunt.*'gant'"):
        load_config(f"{CONFIGS}/tetris.py:gant")
    with pytest.raises(ValueError, match=r"model.lmax and model.channels.*got 0 and 16"):
        ModelConfig(lmax=0)
    with pytest.raises(ValueError, match=r"data.copies: expected a number above 0, got 0"):
        DataConfig(copies=0)
    config = load_config(f"{CONFIGS}/tetris.py:gaunt", [("model.channels", "2")])
    assert config.model == ModelConfig("gaunt", channels=2)
    assert str(make_model(config).rep_out) == "7x0e"
