"""A letter under elements of five groups of the plane; writes group.svg."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.groups import SO, Dihedral, GLPlus, Group, Similitudes
from equinet.reps import Vector

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10}
LETTER = np.array(
    [[0, 0], [0, 1], [0.6, 1], [0.6, 0.8], [0.2, 0.8], [0.2, 0.6], [0.5, 0.6], [0.5, 0.4],
     [0.2, 0.4], [0.2, 0]]
) - [0.25, 0.5]  # fmt: skip
GROUPS: dict[str, Group] = {
    "Dihedral(4): 8 elements": Dihedral(4),
    "SO(2): rotations": SO(2),
    "Similitudes(2)": Similitudes(2),
    "GLPlus(2)": GLPlus(2),
}


def matrices(group: Group) -> jax.Array:
    """Eight elements as matrices of the plane, all of them where the group is finite."""
    if isinstance(group, Dihedral):
        return Vector(group).matrix(jnp.arange(8))
    return Vector(group).matrix(group.sample(jax.random.key(5), (8,)))


def main() -> None:
    """Draws one panel for each group."""
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
    for ax, (title, group) in zip(axes, GROUPS.items(), strict=True):
        for k, matrix in enumerate(np.asarray(matrices(group))):
            shape = LETTER @ matrix.T
            angle = 2 * np.pi * k / 8
            centre = 2.1 * np.array([np.cos(angle), np.sin(angle)])
            color = plt.cm.viridis(k / 8)
            ax.fill(*(np.clip(shape, -1.2, 1.2) * 0.9 + centre).T, color=color)
        ax.fill(*(LETTER * 0.9).T, color="0.6")
        ax.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", title=title)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
