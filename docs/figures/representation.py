"""Matrices of three representations of one rotation; writes representation.svg."""

import pathlib

import jax
import matplotlib

from equinet.groups import O, S
from equinet.reps import Irreps, Vector

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10}


def main() -> None:
    """Draws the three matrices."""
    rotation = O(3).sample(jax.random.key(4))
    permutation = S(4).sample(jax.random.key(1))
    panels = [
        ('Irreps("2x0e+1o+2e+3o")', Irreps("2x0e+1o+2e+3o").matrix(rotation)),
        ("Vector(O(3)) ** 2", (Vector(O(3)) ** 2).matrix(rotation)),
        ("Vector(S(4)) ** 2", (Vector(S(4)) ** 2).matrix(permutation)),
    ]
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
    for ax, (title, matrix) in zip(axes, panels, strict=True):
        ax.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
        ax.set(title=title, xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
