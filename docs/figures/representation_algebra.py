"""Matrices of sums and products of representations; writes representation_algebra.svg."""

import pathlib

import jax
import matplotlib

from equinet.groups import O, S
from equinet.reps import Irreps, Regular, Vector, symmetric_power

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 9}


def main() -> None:
    """Draws one rotation and one permutation in four representations each."""
    v, nodes = Vector(O(3)), Vector(S(3))
    rows = [
        (
            O(3).sample(jax.random.key(4)),
            {
                "V": v,
                "V + V": v + v,
                "V * V": v * v,
                'Irreps("0e+1o+2e")': Irreps("0e+1o+2e"),
            },
        ),
        (
            S(3).sample(jax.random.key(2)),
            {
                "W = Vector(S(3))": nodes,
                "Regular(S(3))": Regular(S(3)),
                "W * W": nodes * nodes,
                "symmetric_power(W, 2)": symmetric_power(nodes, 2),
            },
        ),
    ]
    figure, axes = plt.subplots(2, 4, figsize=(9, 4.8))
    for (element, reps), row in zip(rows, axes, strict=True):
        for (title, rep), ax in zip(reps.items(), row, strict=True):
            ax.imshow(rep.matrix(element), cmap="RdBu_r", vmin=-1, vmax=1)
            ax.set(title=title, xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
