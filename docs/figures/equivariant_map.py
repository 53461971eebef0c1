"""All linear maps of 4 x 4 matrices that commute with permutations; writes equivariant_map.svg."""

import pathlib

import matplotlib

from equinet.groups import S
from equinet.reps import Vector, equivariant_basis

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet"}


def main() -> None:
    """Draws the basis, one 16 x 16 matrix a panel."""
    square = Vector(S(4)) ** 2
    maps = equivariant_basis(square, square).dense()
    figure, axes = plt.subplots(3, 5, figsize=(8, 5))
    for ax, matrix in zip(axes.flat, maps, strict=True):
        ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1.3 * matrix.max())
        ax.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
