"""The graph task: batches, counts of pairs, a tiny training of every model, words of the config."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from equinet.training import evaluate, load_config, train
from equinet.training.config import flatten
from experiments.graphs import folds
from experiments.graphs.batches import Collator, batches_by_size, permuted
from experiments.graphs.config import NETWORKS, DataConfig, SPENConfig
from experiments.graphs.data import GraphSet, random_folds
from experiments.graphs.dense_graphs import DenseGraph
from experiments.graphs.task import apply, count_pairs, make_model, separation, with_means

CONFIGS = Path(__file__).parents[3] / "configs"
MODELS = tuple(NETWORKS.options)
SETS = ("exp", "graph8c", "sr25", "csl", "mutag", "ptc", "enzymes", "proteins")


def section(name, **options):
    """A small network; options that it does not have are left out."""
    cls = NETWORKS.options[name]
    known = flatten(cls())
    small = {"channels": 4, "pair_channels": 2, "layers": 2, **options}
    return cls(**{key: value for key, value in small.items() if key in known})


TINY = {
    "model.channels": "4",
    "model.pair_channels": "2",
    "model.layers": "2",
    "model.frame_size": "4",
    "model.frame_samples": "2",
    "data.inits": "1",
    "training.steps": "2",
    "training.batch_size": "4",
    "training.warmup_steps": "1",
    "training.validate_every": "2",
}


def tiny(model):
    known = flatten(load_config(f"{CONFIGS}/graphs.py:mutag-{model}"))
    return {key: value for key, value in TINY.items() if key in known}


def ring(*lengths: int) -> np.ndarray:
    blocks, start = np.zeros((sum(lengths),) * 2, bool), 0
    for n in lengths:
        own = np.roll(np.eye(n, dtype=bool), 1, 1)
        blocks[start : start + n, start : start + n] = own | own.T
        start += n
    return blocks


def pairs_set(name: str = "exp") -> GraphSet:
    """Pairs of cycles that colour refinement confuses, with triangles and without."""
    pairs = [((3, 3), (6,)), ((3, 4), (7,)), ((4, 4), (8,)), ((4, 5), (9,)), ((5, 5), (10,))]
    graphs = [
        DenseGraph(ring(*lengths), np.ones((sum(lengths), 1)), label)
        for pair in pairs
        for label, lengths in enumerate(pair)
    ]
    return GraphSet(name, tuple(graphs), random_folds([g.label for g in graphs], 5))


@pytest.mark.parametrize("name", ["gin", pytest.param("spen", marks=pytest.mark.slow)])
def test_shards_hold_every_graph_once(name):
    """Any number of shards gives the logits of one; copies that fill up are left out."""
    graphs = pairs_set()
    words = section(name)
    collator = Collator.of(words, graphs.max_nodes)
    examples = [collator.example(graph) for graph in graphs.graphs[:5]]
    model = make_model(words, graphs, 3, nnx.Rngs(0))
    one, two = (collator(examples, range(n), n) for n in (1, 2))
    assert (one["mask"].sum(), two["mask"].sum(), two["mask"].shape) == (5, 5, (2, 3))
    second = collator(examples, range(1, 2), 2)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[1]), second, two)
    found = [
        np.asarray(jax.jit(apply)(model, batch["inputs"]))[batch["mask"] > 0]
        for batch in (one, two)
    ]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
    assert one["labels"][0].tolist() == [0, 1, 0, 1, 0]


def test_frozen_layers_are_computed_once():
    """The readout of the means that are kept gives the logits of the network, in any order."""
    graphs = pairs_set()
    words = section("spen", frozen=True)
    collator = Collator.of(words, graphs.max_nodes)
    examples = [collator.example(graph) for graph in graphs.graphs[:7]]
    model = make_model(words, graphs, 3, nnx.Rngs(0))
    known = with_means(model, collator, examples)
    whole, kept = (collator(hand, range(1), 1) for hand in (examples[::-1], known[::-1]))
    assert kept["inputs"].shape == (1, 7, 4)
    found = [np.asarray(jax.jit(apply)(model, batch["inputs"])) for batch in (whole, kept)]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_most_random_batches_get_one_shape():
    """Each new shape would compile the model anew; padding changes no logits."""
    rng = np.random.default_rng(0)
    halves = [np.triu(rng.random((n, n)) < 0.2, 1) for n in rng.integers(6, 24, size=40)]
    graphs = [DenseGraph(half | half.T, np.ones((len(half), 1))) for half in halves]
    plain = Collator(hops=2)
    examples = [plain.example(graph) for graph in graphs]
    hands = [[examples[i] for i in rng.integers(40, size=8)] for _ in range(50)]

    def shapes(collator):
        return [collator(hand, range(1), 1)["inputs"].pairs.shape for hand in hands]

    found = shapes(plain.for_batches(examples, 8))
    assert found.count(found[0]) >= 40
    assert len(set(found)) < len(set(shapes(plain)))
    assert Collator().for_batches(examples, 8) == Collator()


def test_batches_by_size_hold_every_graph_once():
    collator = Collator()
    examples = [collator.example(graph) for graph in pairs_set().graphs]
    seen = [(index, hand) for index, hand in batches_by_size(examples, 4)]
    assert sorted(np.concatenate([index for index, _ in seen])) == list(range(10))
    assert all(len(hand) == 4 for _, hand in seen)


def test_pairs_that_are_counted():
    outputs = np.array([[0.0, 0], [0, 0], [1, 0], [1, 1], [0, 0], [5, 5]])
    every, labels = np.ones(6, bool), np.array([0, 0, 1, 1, 2, 2])
    assert count_pairs("exp", outputs, labels, every, 0.5) == (3, 1)
    assert count_pairs("graph8c", outputs, labels, every, 0.5) == (15, 3)
    assert count_pairs("csl", outputs, labels, every, 0.5) == (12, 2)
    some = np.array([True, False, True, True, True, True])
    assert count_pairs("exp", outputs, labels, some, 0.5) == (2, 0)
    assert count_pairs("graph8c", outputs, labels, some, 0.5) == (10, 1)


@pytest.mark.parametrize(
    ("model", "hops", "expected"), [("gin", 1, 5), ("spen", 1, 3), ("spen", 2, 0)]
)
def test_what_random_networks_confuse(model, hops, expected):
    """One hop sees triangles, two hops see squares and pentagons, colours see nothing."""
    words = section(model, hops=hops)
    found = separation(pairs_set(), DataConfig("exp", inits=1), words)
    assert found == {"undistinguished_pairs": expected, "pairs": 5}


def test_graphs_without_a_frame_are_not_counted():
    words = section("fa_mlp", frame_size=4)
    found = separation(pairs_set(), DataConfig("exp", inits=1), words)
    assert found == {"undistinguished_pairs": 0, "pairs": 0, "graphs_without_frame": 10}


def write_tu(folder, graphs):
    """A TU set in the format of its public files."""
    (folder / "10fold_idx").mkdir(parents=True)
    lines = [str(len(graphs))]
    for graph in graphs:
        lines.append(f"{graph.num_nodes} {graph.label}")
        for node, row in enumerate(graph.adjacency):
            near = np.flatnonzero(row)
            lines.append(" ".join(map(str, [node % 2, len(near), *near])))
    (folder / f"{folder.name}.txt").write_text("\n".join(lines) + "\n")
    for k in range(10):
        test = [k]
        train = [i for i in range(len(graphs)) if i != k]
        for part, index in (("train", train), ("test", test)):
            file = folder / "10fold_idx" / f"{part}_idx-{k + 1}.txt"
            file.write_text("\n".join(map(str, index)) + "\n")


@pytest.fixture
def tu_dir(tmp_path):
    rng = np.random.default_rng(0)
    graphs = []
    for index in range(12):
        n = 4 + index % 3
        upper = np.triu(rng.random((n, n)) < 0.5, 1)
        graphs.append(DenseGraph(upper | upper.T, np.ones((n, 1)), index % 2))
    write_tu(tmp_path / "graphs/tu/MUTAG", graphs)
    return tmp_path


@pytest.mark.parametrize(
    "model",
    [m if m in ("gin", "fa_mlp") else pytest.param(m, marks=pytest.mark.slow) for m in MODELS],
)
def test_every_model_trains_and_is_evaluated(model, tu_dir, tmp_path):
    overrides = tiny(model) | {"data_dir": str(tu_dir), "data.fold": "1"}
    config = load_config(f"{CONFIGS}/graphs.py:mutag-{model}", list(overrides.items()))
    result = train(config, tmp_path / "run")
    assert (result["steps"], result["set"], result["model"], result["fold"]) == (
        *(2, "mutag", model),
        1,
    )
    assert result["metrics"]["accuracy"] in (0, 1)
    if model in ("gin", "spen"):
        assert result["equivariance_error"]["float64"] < 1e-12
    assert evaluate(tmp_path / "run")["metrics"] == result["metrics"]
    with pytest.raises(ValueError, match="reads no file"):
        evaluate(tmp_path / "run", "file")


def test_all_folds_become_one_row(tu_dir, tmp_path, capsys):
    options = [f"--config.{key}={value}" for key, value in tiny("gin").items()]
    options += [f"--config.data_dir={tu_dir}", f"--workdir={tmp_path / 'runs'}"]
    options += [f"--results={tmp_path / 'graphs.jsonl'}", "--folds", "0", "1"]
    late = ["--config.training.max_minutes=1e-6"]
    assert folds.main(["mutag-gin", *options, *late]) == 1
    assert "fold 0 stopped, no row written" in capsys.readouterr().err
    assert not (tmp_path / "graphs.jsonl").exists()
    for _ in range(2):  # the second time nothing is trained, and no row added
        assert folds.main(["mutag-gin", *options]) == 0
    (row,) = [json.loads(line) for line in (tmp_path / "graphs.jsonl").read_text().splitlines()]
    assert (row["folds"], row["model"], row["steps"]) == (2, "gin", 2)
    each = [json.loads((tmp_path / f"runs/mutag-gin-{k}/result.json").read_text()) for k in (0, 1)]
    mean = np.mean([result["metrics"]["accuracy"] for result in each])
    assert row["metrics"]["accuracy"] == pytest.approx(mean, abs=1e-4)
    assert "data_dir" not in row["command"]
    assert folds.main(["mutag-gin", "--steps=3"]) == 2
    assert "expected --config." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mutagen-gin", "no set 'mutagen': did you mean mutag?"),
        ("mutag-gim", "no model 'gim': did you mean gin?"),
        ("mutag", "expected mutag-<model>, the models are gin, "),
    ],
)
def test_words_that_are_not_known(words, message):
    with pytest.raises(ValueError, match=message):
        load_config(f"{CONFIGS}/graphs.py:{words}")


def test_every_word_is_a_config():
    for name in SETS:
        for model in MODELS:
            config = load_config(f"{CONFIGS}/graphs.py:{name}-{model}")
            assert (config.data.set, config.model.name) == (name, model)


def test_folds_that_are_not_there(tu_dir, tmp_path):
    overrides = tiny("gin") | {"data_dir": str(tu_dir), "data.fold": "10"}
    config = load_config(f"{CONFIGS}/graphs.py:mutag-gin", list(overrides.items()))
    with pytest.raises(ValueError, match="mutag has 10 folds, from 0 to 9, got 10"):
        train(config, tmp_path / "run")
    with pytest.raises(ValueError, match=r"model.hops: expected 1 or more, got 0"):
        SPENConfig(hops=0)
    with pytest.raises(ValueError, match=r"no effect with model.name=gin: .*model.name=spen"):
        load_config(f"{CONFIGS}/graphs.py:mutag-gin", [("model.hops", "2")])
    with pytest.raises(ValueError, match=r"data.tolerance: a number above 0"):
        DataConfig(tolerance=0.0)


def test_permuted_graphs_are_the_same_graphs():
    graph = pairs_set().graphs[0]
    order = np.array([3, 0, 4, 1, 5, 2])
    moved = permuted(graph, order)
    assert moved.adjacency[0, 1] == graph.adjacency[3, 0]
    assert (moved.adjacency.sum(0) == 2).all()
