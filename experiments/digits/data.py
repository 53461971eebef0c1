"""The data of the image task: centred digits to train on, deformed ones to report on."""

import itertools
import os

import numpy as np

from experiments.digits.config import DataConfig
from experiments.digits.deform import (
    Deformation,
    Digits,
    centred,
    deform,
    draw_deformations,
    enlarged,
    read_bundled_digits,
    read_mnist,
)


def load_digits(
    config: DataConfig, directory: str | os.PathLike[str] | None
) -> tuple[Digits, Digits, Digits]:
    """Digits to train, to select and to report on, all centred.

    Those to report on are the last ones of the set: of MNIST the customary 10,000.

    Raises:
        ValueError: There are too few digits, or they are larger than the images.
        FileNotFoundError: There is no MNIST.
    """
    digits = read_mnist(directory) if config.set == "mnist" else read_bundled_digits()
    images = centred(enlarged(digits.images, config.enlarge), config.size)
    digits = Digits(images, digits.labels)
    total = config.samples + config.validation + config.test
    if total > len(digits):
        raise ValueError(
            f"the set {config.set} has {len(digits)} digits, data.samples + validation + test are "
            f"{total}: ask for fewer"
        )
    ends = itertools.accumulate((0, config.samples, config.validation))
    first, second, third = ends
    last = len(digits)
    return (
        digits.part(first, second),
        digits.part(second, third),
        digits.part(last - config.test, last),
    )


def deformed(
    digits: Digits, seed: int, kind: Deformation = "affine", strength: float = 1.0
) -> Digits:
    """The digits, each after another random map; the same seed gives the same maps."""
    if strength == 0:
        return digits
    rng = np.random.default_rng(seed)
    matrices = draw_deformations(rng, digits.images, kind, strength)
    return Digits(deform(digits.images, matrices), digits.labels)
