"""Digits that were only seen upright and centred, recognised after affine maps and homographies."""

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

from equinet.models import GroupCNN, Sampling
from equinet.reps import Images, Scalar
from equinet.testing import equivariance_error
from equinet.training import Experiment, build_section, load_best
from experiments.digits.config import GROUPS, STRENGTHS, DataConfig, ModelConfig
from experiments.digits.data import deformed, load_digits
from experiments.digits.deform import Digits

CLASSES = 10
SELECTION = "loss"
BATCH = 100  # images that are classified at once


class ImageTask:
    """Classification of digits."""

    def build(self, config: ConfigDict, *, shards: int) -> Experiment:
        """Reads the digits and hands the model of the config to the engine."""
        section, words, model = make(config)
        train, validation, test = load_digits(section, str(config.data_dir))
        count = sum(math.prod(x.shape) for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
        sys.stderr.write(f"parameters: {count:,}\n")

        def collate(examples: Sequence[int], which: range) -> dict[str, Any]:
            return collate_batch(train, examples, which, shards)

        return Experiment(
            model=model,
            model_spec={"parameters": count},
            train=range(len(train)),
            collate=collate,
            loss=training_loss,
            validate=lambda model: scores(model, validation, 1),
            test=lambda model: report(model, test, section, words),
            selection=SELECTION,
            items=lambda batch: int(batch["mask"].sum()),
            item_name="images",
        )

    def evaluate(self, config: ConfigDict, workdir: Path, data: str | None) -> dict[str, Any]:
        """The report on the test digits of the config."""
        if data is not None:
            raise ValueError(f"the image task tests on its own digits, got the file {data!r}")
        section, words, model = make(config)
        load_best(workdir, model)
        return report(model, load_digits(section, str(config.data_dir))[2], section, words)


def make(config: ConfigDict) -> tuple[DataConfig, ModelConfig, GroupCNN]:
    """The sections of a config, checked, and its model.

    Raises:
        ValueError: If a section has a wrong key or value.
    """
    section = build_section(DataConfig, config.data.to_dict(), "config.data")
    words = build_section(ModelConfig, config.model.to_dict(), "config.model")
    model = GroupCNN(
        GROUPS[words.group],
        1,
        CLASSES,
        channels=words.channels,
        blocks=words.blocks,
        radius=words.radius,
        downsampling=words.downsampling,
        form=words.form,
        sampling=Sampling(words.count, words.scale, words.density, words.points),
        support=words.support or None,
        boundary=words.boundary,
        basis=words.basis,
        kernel_width=words.kernel_width,
        frequency=words.frequency,
        rngs=nnx.Rngs(config.training.seed),
    )
    return section, words, model


def collate_batch(
    digits: Digits, examples: Sequence[int], which: range, shards: int
) -> dict[str, Any]:
    """Shards of equal size, the last filled up with copies that the mask leaves out."""
    size = -(-len(examples) // shards)
    index = np.arange(shards * size).reshape(shards, size)[list(which)]
    mask = (index < len(examples)).astype(np.float32)
    chosen = np.asarray(examples)[np.minimum(index, len(examples) - 1)]
    return {"images": digits.images[chosen], "labels": digits.labels[chosen], "mask": mask}


def training_loss(
    model: GroupCNN, batch: Mapping[str, Any], key: Array
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean cross entropy, over samples of the group drawn anew."""
    images = batch["images"].reshape(-1, *batch["images"].shape[2:], 1)
    logits = model(images, key)
    labels, mask = batch["labels"].reshape(-1), batch["mask"].reshape(-1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(losses * mask) / jnp.sum(mask), {}


@jax.jit
def _probabilities(model: GroupCNN, images: Array, keys: Array) -> Array:
    """The probabilities of the classes for every key, ``[keys, images, classes]``."""
    return jax.lax.map(lambda key: jax.nn.softmax(model(images, key)), keys)


def predict(model: GroupCNN, digits: Digits, draws: int) -> Float[np.ndarray, "draws images 10"]:
    """Probabilities under each of some samplings of the group, always the same ones."""
    keys = jax.random.split(jax.random.key(0), draws)
    images = digits.images[..., None]
    size = min(BATCH, len(images))
    pad = -len(images) % size
    images = np.concatenate([images, np.zeros_like(images[:pad])]) if pad else images
    parts = [
        np.asarray(_probabilities(model, images[k : k + size], keys))
        for k in range(0, len(images), size)
    ]
    return np.concatenate(parts, axis=1)[:, : len(digits)]


def scores(model: GroupCNN, digits: Digits, draws: int) -> dict[str, float]:
    """Loss and accuracy of the mean probability over the draws, and how single draws scatter.

    ``accuracy_draw_std`` is the standard deviation of the accuracies of single draws, if there are
    several.
    """
    found = predict(model, digits, draws)
    mean = found.mean(0)
    right = mean[np.arange(len(digits)), digits.labels]
    single = (found.argmax(-1) == digits.labels).mean(-1)
    found_scores = {
        SELECTION: float(-np.log(np.maximum(right, 1e-12)).mean()),
        "accuracy": float((mean.argmax(-1) == digits.labels).mean()),
    }
    if draws > 1:
        found_scores["accuracy_draw_std"] = float(single.std(ddof=1))
    return found_scores


def report(
    model: GroupCNN, test: Digits, section: DataConfig, words: ModelConfig
) -> dict[str, Any]:
    """Accuracies on centred and on deformed digits, and how well the symmetry is kept."""
    draws = words.draws
    affine = [scores(model, deformed(test, section.seed + k), draws) for k in range(section.draws)]
    accuracies = [each["accuracy"] for each in affine]
    known = {0.0: scores(model, test, draws), 1.0: affine[0]}
    curve = []
    for strength in STRENGTHS:
        if strength not in known:
            moved = deformed(test, section.seed, "affine", strength)
            known[strength] = scores(model, moved, draws)
        curve.append([strength, known[strength]["accuracy"]])
    metrics = {
        "accuracy": float(np.mean(accuracies)),
        "accuracy_standard_error": _standard_error(accuracies),
        SELECTION: float(np.mean([each[SELECTION] for each in affine])),
        "accuracy_centred": known[0.0]["accuracy"],
    }
    if draws > 1:
        metrics["accuracy_draw_std"] = float(np.mean([x["accuracy_draw_std"] for x in affine]))
    for kind in ("homography", "rotation"):
        moved = deformed(test, section.seed, kind)
        metrics[f"accuracy_{kind}"] = scores(model, moved, draws)["accuracy"]
    return {
        "metrics": metrics,
        "equivariance_error": {
            "float32": symmetry_error(model, test, np.float32),
            "float64": symmetry_error(model, test, np.float64),
        },
        "set": section.set,
        "group": words.group,
        "training_images": section.samples,
        "accuracy_against_strength": curve,
    }


def _standard_error(values: Sequence[float]) -> float:
    """Of the mean."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def symmetry_error(model: GroupCNN, digits: Digits, dtype: Any) -> float:
    """How much the outputs change when test images are moved by the group of the network."""
    return equivariance_error(
        jax.jit(lambda x: model(x[..., 0, :])),
        (Images(Scalar(model.group)),),
        None,
        jax.random.key(0),
        group=model.group,
        inputs=(digits.images[:8, ..., None, None],),
        dtype=dtype,
        num_samples=4,
    )
