"""The frame of a point cloud moves with the cloud; writes frame.svg."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.groups import SE
from equinet.ops.frames import PCAFrame

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}
COLORS = ["#2b6cb0", "#c53030"]


def main() -> None:
    """Draws a cloud with the two elements of its frame, and the same after a rotation."""
    group = SE(2)
    x = jax.random.normal(jax.random.key(1), (40, 2)) * jnp.array([1.6, 0.6])
    angle = jnp.deg2rad(60.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    g = jnp.array([[cos, -sin, 0.4], [sin, cos, 0.3], [0.0, 0.0, 1.0]])
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    for ax, cloud, title in zip(axes, (x, group.act(g, x)), ("x", "g x"), strict=True):
        elements = np.asarray(PCAFrame(group)(cloud).elements)
        ax.plot(*cloud.T, ".", color="0.6")
        for element, color in zip(elements, COLORS, strict=True):
            for axis, width in ((0, 0.05), (1, 0.025)):
                arrow = element[:2, axis] * (2.0 - 0.7 * axis)
                ax.arrow(*element[:2, 2], *arrow, width=width, color=color)
        ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"frame of ${title}$")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
