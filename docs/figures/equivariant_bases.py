"""All equivariant maps between tensors of order two; writes equivariant_bases.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.groups import SO, Cyclic, O, S
from equinet.reps import Regular, Vector, equivariant_basis

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 9}


def main() -> None:
    """Draws the matrices of every basis in one row."""
    pairs = {
        "S(2)": Vector(S(2)) ** 2,
        "O(2)": Vector(O(2)) ** 2,
        "SO(2)": Vector(SO(2)) ** 2,
        "Regular(Cyclic(8))": Regular(Cyclic(8)),
    }
    figure, axes = plt.subplots(4, 8, figsize=(8, 4.6))
    for (name, rep), row in zip(pairs.items(), axes, strict=True):
        table = equivariant_basis(rep, rep).dense()
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.set_axis_off()
        for matrix, ax in zip(table, row, strict=False):
            ax.set_axis_on()
            ax.imshow(matrix / np.abs(matrix).max(), cmap="RdBu_r", vmin=-1, vmax=1)
        row[0].set_title(f"{name}: {len(table)} maps", loc="left")
    figure.tight_layout(pad=0.5)
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
