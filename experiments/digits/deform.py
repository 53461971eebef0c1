"""Images of digits, and what deforms them: affine maps, homographies, rotations."""

import dataclasses
import gzip
import math
import os
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from jaxtyping import Array, Float, Int

from equinet.data import data_directory, missing_file
from equinet.reps import pixel_coordinates

Deformation = Literal["affine", "homography", "rotation"]
Pixels = Float[np.ndarray, "images height width"]

SOURCE = "http://yann.lecun.com/exdb/mnist or https://github.com/rasbt/mnist-pngs"
ARRAYS = "mnist_train.npz"
IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")

_BATCH = 500  # images that are deformed at once


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """Images of digits and what they are.

    Attributes:
        images: Brightness from 0 to 1, float32, ``[images, height, width]``.
        labels: The digits, ``[images]``.
    """

    images: Pixels
    labels: Int[np.ndarray, "images"]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> "Digits":
        """Some of the images."""
        return Digits(self.images[start:stop], self.labels[start:stop])


def read_mnist(directory: str | os.PathLike[str] | None = None) -> Digits:
    """The 60,000 training digits of MNIST, 28 x 28 pixels.

    They lie in ``mnist/`` below the data directory: either ``mnist_train.npz`` with arrays ``x``
    ``[60000, 28, 28]`` and ``y``, or the original ``train-images-idx3-ubyte.gz`` and
    ``train-labels-idx1-ubyte.gz``.

    Args:
        directory: See ``equinet.data.data_directory``.

    Raises:
        ValueError: If a file has another form, or there is no data directory.
        FileNotFoundError: If no file is there; the message says where to get them.
    """
    folder = data_directory(directory) / "mnist"
    if (folder / ARRAYS).is_file():
        with np.load(folder / ARRAYS) as arrays:
            if not {"x", "y"} <= set(arrays):
                raise ValueError(f"{folder / ARRAYS}: expected arrays x and y, got {list(arrays)}")
            return _digits(arrays["x"], arrays["y"], folder / ARRAYS)
    if all((folder / name).is_file() for name in IDX):
        images, labels = (read_idx(folder / name) for name in IDX)
        return _digits(images, labels, folder / IDX[0])
    raise missing_file(
        folder / IDX[0],
        f"{SOURCE} together with {IDX[1]} (or {ARRAYS} with arrays x and y)",
        instead="take the digits of scikit-learn with --config.data.set=digits",
    )


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format, compressed by gzip.

    Raises:
        ValueError: If the file is not one of these, or is cut off.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error}): get it again") from None
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path}: expected an IDX file of bytes, got {content[:4]!r}")
    shape = np.frombuffer(content, ">i4", content[3], 4)
    values = np.frombuffer(content, np.uint8, -1, 4 + 4 * content[3])
    if values.size != math.prod(shape.tolist()):
        raise ValueError(f"{path}: cut off: {values.size} bytes of {shape.tolist()}")
    return values.reshape(shape)


def read_bundled_digits() -> Digits:
    """The 1,797 digits of 8 x 8 pixels that come with scikit-learn, in an order without pattern.

    Raises:
        ImportError: If scikit-learn is not installed.

    >>> read_bundled_digits().images.shape
    (1797, 8, 8)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the bundled digits need scikit-learn: pip install 'equinet-jax[images]'"
        ) from error
    bundled: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(bundled.target))
    images = bundled.images[order].astype(np.float32) / 16
    return Digits(images, bundled.target[order].astype(np.int32))


def _digits(images: np.ndarray, labels: np.ndarray, path: Path) -> Digits:
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{path}: expected images [count, height, width] and as many labels, got "
            f"{images.shape} and {labels.shape}"
        )
    pixels = images.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError(f"{path}: pixels that are not finite: get the file again")
    return Digits(pixels / 255, labels.astype(np.int32))


def centred(images: Pixels, size: int) -> Pixels:
    """The images in the middle of larger ones of zeros.

    Raises:
        ValueError: If they do not fit.

    >>> centred(np.ones((1, 2, 2)), 4)[0].tolist()[1]
    [0.0, 1.0, 1.0, 0.0]
    """
    height, width = images.shape[1:]
    if size < max(height, width):
        raise ValueError(f"images of {height} x {width} do not fit into {size} x {size} pixels")
    top, left = (size - height) // 2, (size - width) // 2
    edges = ((0, 0), (top, size - height - top), (left, size - width - left))
    return np.pad(images, edges)


def enlarged(images: Pixels, factor: int) -> Pixels:
    """The images with as many times more pixels along both axes, interpolated linearly.

    Raises:
        ValueError: If the factor is below 1.

    >>> enlarged(np.array([[[0.0, 1.0]]]), 2)[0].tolist()
    [[0.0, 0.25, 0.75, 1.0], [0.0, 0.25, 0.75, 1.0]]
    """
    if factor < 1:
        raise ValueError(f"images are enlarged 1 time or more, got {factor}")
    zoom = (1, factor, factor)
    found = scipy.ndimage.zoom(images, zoom, order=1, mode="nearest", grid_mode=True)
    return np.asarray(found)


def deform(images: Pixels, matrices: Float[np.ndarray, "images 3 3"]) -> Pixels:
    r"""The images after projective maps of their pixels.

    .. math:: g(p) = f(A^{-1} p)

    where p are homogeneous coordinates, in pixels from the centre of the image. Values between
    pixels are interpolated linearly, outside they are zero.

    Args:
        images: ``[images, height, width]``.
        matrices: The A of every image.

    Raises:
        ValueError: If a matrix is singular or the numbers of images and matrices differ.

    >>> turn = np.array([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> deform(np.array([[[0.0, 1.0], [2.0, 3.0]]]), turn)[0].tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    if matrices.shape != (len(images), 3, 3):
        raise ValueError(f"expected a matrix for each of {len(images)}, got {matrices.shape}")
    if np.any(np.abs(np.linalg.det(matrices)) < 1e-12) or not np.isfinite(matrices).all():
        raise ValueError("a matrix is singular or not finite: pixels cannot be traced back")
    inverses = np.linalg.inv(matrices).astype(np.float32)
    parts = [
        np.asarray(_deform(images[k : k + _BATCH].astype(np.float32), inverses[k : k + _BATCH]))
        for k in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts) if parts else images


@jax.jit
def _deform(
    images: Float[Array, "images height width"], inverses: Float[Array, "images 3 3"]
) -> Float[Array, "images height width"]:
    height, width = images.shape[1:]
    places = jnp.asarray(pixel_coordinates((height, width)), images.dtype).reshape(-1, 2)
    ones = jnp.ones((len(places), 1), images.dtype)
    back = jnp.einsum(
        *("kij,pj->kip", inverses, jnp.concatenate([places, ones], axis=1)),
        precision=jax.lax.Precision.HIGHEST,
    )
    centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2], images.dtype)
    found = back[:, :2] / back[:, 2:] + centre.reshape(1, 2, 1)

    def one(image: Array, place: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(image, list(place), order=1)

    return jax.vmap(one)(images, found).reshape(images.shape)


def draw_deformations(
    rng: np.random.Generator, images: Pixels, kind: Deformation = "affine", strength: float = 1.0
) -> Float[np.ndarray, "images 3 3"]:
    r"""Maps by which test images are deformed.

    "affine", the recipe of affNIST: rotation by up to 20 degrees, shear up to 0.2, scales of both
    axes from 0.8 to 1.2, each uniform, then a translation that is uniform among those that keep all
    ink inside of the image. "homography": such a map after a perspective one, whose denominator
    varies by up to a fifth over the image. "rotation": by any angle, nothing else.

    Args:
        rng: Draws the maps.
        images: Whose ink must stay inside.
        kind: "affine", "homography" or "rotation".
        strength: Multiplies all ranges, those of translations up to 1; 0 leaves images alone.

    Raises:
        ValueError: If the kind is unknown, or a scale is not positive.

    References:
        Tieleman, affNIST (2013), https://www.cs.toronto.edu/~tijmen/affNIST; homographies:
        MacDonald et al., arXiv:2111.04288 (2022). The ranges of the translations and of the
        homographies are ours.

    >>> images = np.zeros((2, 8, 8))
    >>> draw_deformations(np.random.default_rng(0), images, strength=0.0)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not 0 <= strength < 5:
        raise ValueError(f"strength: expected a number from 0 to 5, got {strength}")
    count = len(images)
    matrices = np.tile(np.eye(3), (count, 1, 1))
    if kind == "rotation":
        matrices[:, :2, :2] = _rotations(rng.uniform(-np.pi, np.pi, count) * strength)
        return matrices
    if kind not in ("affine", "homography"):
        raise ValueError(f"kind: expected affine, homography or rotation, got {kind!r}")
    turns = _rotations(np.radians(rng.uniform(-20, 20, count)) * strength)
    shears = np.tile(np.eye(2), (count, 1, 1))
    shears[:, 0, 1] = rng.uniform(-0.2, 0.2, count) * strength
    scales = 1 + rng.uniform(-0.2, 0.2, (count, 2)) * strength
    matrices[:, :2, :2] = turns @ shears * scales[:, None, :]
    if kind == "homography":
        half = (max(images.shape[1:]) - 1) / 2
        perspective = np.tile(np.eye(3), (count, 1, 1))
        perspective[:, 2, :2] = rng.uniform(-0.1, 0.1, (count, 2)) * strength / half
        matrices = matrices @ perspective
    low, high = _room(images, matrices)
    where = rng.uniform(0, 1, (count, 2))
    shift = np.where(low < high, low + where * (high - low), (low + high) / 2) * min(strength, 1)
    translation = np.tile(np.eye(3), (count, 1, 1))
    translation[:, :2, 2] = shift
    return translation @ matrices


def _rotations(angle: Float[np.ndarray, "images"]) -> Float[np.ndarray, "images 2 2"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def _room(
    images: Pixels, matrices: Float[np.ndarray, "images 3 3"]
) -> tuple[Float[np.ndarray, "images 2"], Float[np.ndarray, "images 2"]]:
    """The least and the largest translation that leave all ink of the moved images inside."""
    places = pixel_coordinates(images.shape[1:]).reshape(-1, 2)
    homogeneous = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    half = (np.asarray(images.shape[1:]) - 1) / 2
    low, high = np.zeros((len(images), 2)), np.zeros((len(images), 2))
    for k, (image, matrix) in enumerate(zip(images, matrices, strict=True)):
        ink = homogeneous[image.reshape(-1) > 0]
        if len(ink) == 0:
            continue
        moved = ink @ matrix.T
        moved = moved[:, :2] / moved[:, 2:]
        low[k], high[k] = -half - moved.min(0), half - moved.max(0)
    return low, high
