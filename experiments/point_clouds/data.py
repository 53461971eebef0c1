"""The data of the point-cloud task: solids drawn on the spot, or airplanes of a file."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from equinet.data import data_directory, missing_file
from experiments.point_clouds.config import DataConfig
from experiments.point_clouds.shapes import draw_shapes, normalised

SOURCE = "https://github.com/papagina/RotationContinuity (airplanes of ShapeNet, 1024 points each)"


@dataclasses.dataclass(frozen=True, eq=False)
class Clouds:
    """Clouds and what they are; float32.

    Attributes:
        points: ``[clouds, points, 3]``.
        labels: Index of the solid, zero for airplanes, ``[clouds]``.
        rotations: The rotation of each from the pose of its set, ``[clouds, 3, 3]``.
    """

    points: Float[np.ndarray, "clouds points 3"]
    labels: Int[np.ndarray, "clouds"]
    rotations: Float[np.ndarray, "clouds 3 3"]

    def __len__(self) -> int:
        return len(self.points)

    def rotated(self, rotations: Float[np.ndarray, "clouds 3 3"]) -> "Clouds":
        """The clouds after further rotations."""
        points = np.einsum("cij,cpj->cpi", rotations, self.points)
        both = rotations @ self.rotations
        return Clouds(points.astype(np.float32), self.labels, both.astype(np.float32))

    def part(self, start: int, stop: int) -> "Clouds":
        """Some of the clouds."""
        return Clouds(self.points[start:stop], self.labels[start:stop], self.rotations[start:stop])


def load_clouds(
    config: DataConfig, directory: str | os.PathLike[str] | None
) -> tuple[Clouds, Clouds, Clouds]:
    """Training clouds in their pose, validation clouds rotated as in training, test clouds anyhow.

    Raises:
        ValueError: The file has another form, or too few clouds or points.
        FileNotFoundError: There is no such file.
    """
    sizes = (config.samples, config.validation, config.test)
    rng = np.random.default_rng(config.seed)
    if config.set == "shapes":
        points, labels = draw_shapes(rng, sum(sizes), config.points, noise=config.noise)
    else:
        points = read_airplanes(data_directory(directory) / config.file, sum(sizes), config.points)
        labels = np.zeros(len(points), np.int64)
    poses = np.broadcast_to(np.eye(3, dtype=np.float32), (len(points), 3, 3))
    clouds = Clouds(points.astype(np.float32), labels.astype(np.int32), poses)
    ends = np.cumsum((0, *sizes)).tolist()
    train, validation, test = (clouds.part(a, b) for a, b in itertools.pairwise(ends))
    validation = validation.rotated(random_rotations(rng, len(validation), config.turns))
    return train, validation, test.rotated(random_rotations(rng, len(test)))


def read_airplanes(path: Path, count: int, points: int) -> Float[np.ndarray, "count points 3"]:
    """The first clouds of a file, with points chosen evenly among theirs.

    Raises:
        ValueError: The file has another form, or too few clouds or points.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise missing_file(path, SOURCE, instead="sample solids with --config.data.set=shapes")
    with np.load(path) as arrays:
        if "points" not in arrays or arrays["points"].ndim != 3:
            raise ValueError(f"{path}: expected an array points [clouds, 1024, 3]")
        clouds = arrays["points"].astype(np.float64)
    if len(clouds) < count or clouds.shape[1] < points:
        raise ValueError(
            f"{path} has {len(clouds)} clouds of {clouds.shape[1]} points, got {count} and {points}"
            ": ask for fewer by data.samples, data.validation, data.test and data.points"
        )
    if not np.isfinite(clouds).all():
        raise ValueError(f"{path}: points that are not finite: get the file again")
    chosen = np.linspace(0, clouds.shape[1] - 1, points).astype(int)
    return normalised(clouds[:count, chosen])


def random_rotations(
    rng: np.random.Generator, count: int, kind: str = "all"
) -> Float[np.ndarray, "count 3 3"]:
    """Rotations of the Haar measure, "upright" about the z axis, or "none".

    >>> rotations = random_rotations(np.random.default_rng(0), 4)
    >>> bool(np.allclose(rotations @ rotations.swapaxes(1, 2), np.eye(3)))
    True
    """
    matrices = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
    if kind == "all":
        q, r = np.linalg.qr(rng.normal(size=(count, 3, 3)))
        q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
        return q * np.linalg.det(q)[:, None, None]
    if kind == "upright":
        angle = rng.uniform(-np.pi, np.pi, count)
        matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angle)
        matrices[:, 1, 0] = np.sin(angle)
        matrices[:, 0, 1] = -np.sin(angle)
    return matrices
