"""Train on upright, centred digits; test on digits after affine maps and homographies."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from equinet.models import GroupCNN
from equinet.reps import Images, Scalar
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
from experiments.digits.config import GROUPS, STRENGTHS, DataConfig, ImageConfig
from experiments.digits.data import deformed, load_digits
from experiments.digits.deform import Digits

CLASSES = 10
SELECTION = "loss"
BATCH = 100  # images that are classified together


class ImageTask(Task):
    """Classification of digits."""

    Config = ImageConfig

    def build(self, config: ImageConfig, *, shards: int) -> Experiment:
        """Makes the network and reads the digits."""
        model = make_model(config)
        train, validation, test = load_digits(config.data, config.data_dir)
        return array_experiment(
            model,
            {"images": train.images, "labels": train.labels},
            shards=shards,
            loss=training_loss,
            validate=lambda model: scores(model, validation, 1),
            test=lambda model: report(model, test, config.data, config.model),
            selection=SELECTION,
            item_name="images",
        )


def make_model(config: ImageConfig) -> GroupCNN:
    """The network of a config."""
    section = config.model
    options = constructor_arguments(section)
    if hasattr(section, "sampling"):
        options["sampling"] = section.sampling()
    options["support"] = options["support"] or None
    rngs = nnx.Rngs(config.training.seed)
    return GroupCNN(GROUPS[section.group], 1, CLASSES, **options, rngs=rngs)


def training_loss(
    model: GroupCNN, batch: Mapping[str, Any], key: Array
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean cross entropy, with samples of the group drawn anew."""
    images = batch["images"].reshape(-1, *batch["images"].shape[2:], 1)
    logits = model(images, key)
    labels, mask = batch["labels"].reshape(-1), batch["mask"].reshape(-1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return masked_mean(losses, mask), {}


@jax.jit
def _probabilities(model: GroupCNN, images: Array, keys: Array) -> Array:
    """The probabilities of the classes for every key, ``[images, keys, classes]``."""
    found = jax.lax.map(lambda key: jax.nn.softmax(model(images, key)), keys)
    return jnp.moveaxis(found, 0, 1)


def probabilities(
    model: GroupCNN, digits: Digits, draws: int
) -> Float[np.ndarray, "draws images 10"]:
    """Probabilities with each of some samplings of the group, always the same ones."""
    keys = jax.random.split(jax.random.key(0), draws)
    images = digits.images[..., None]
    found = predict(lambda x: _probabilities(model, x, keys), images, batch_size=BATCH)
    return np.moveaxis(found, 1, 0)


def scores(model: GroupCNN, digits: Digits, draws: int) -> dict[str, float]:
    """Loss and accuracy of the mean probability over the draws, and the spread of single draws.

    ``accuracy_draw_std`` is the standard deviation of the accuracies of single draws, if there are
    several.
    """
    found = probabilities(model, digits, draws)
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


def report(model: GroupCNN, test: Digits, section: DataConfig, network: Any) -> dict[str, Any]:
    """Accuracies on centred and on deformed digits, and the equivariance error."""
    draws = network.draws
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
        "equivariance_error": in_both_precisions(lambda dtype: symmetry_error(model, test, dtype)),
        "set": section.set,
        "group": network.group,
        "training_images": section.samples,
        "accuracy_against_strength": curve,
    }


def _standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def symmetry_error(model: GroupCNN, digits: Digits, dtype: Any) -> float:
    """The equivariance error: how the outputs change when the group acts on test images."""
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
