"""The invariants of an orientation and a vector; writes orientations.svg."""

import pathlib

import jax.numpy as jnp
import matplotlib

from equinet.ops.orientations import spatial_invariants

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 12}


def main() -> None:
    """Draws two points, the orientation of the first, and both invariants."""
    r, o = jnp.array([2.0, 1.2]), jnp.array([0.8, -0.6])
    along = float(spatial_invariants(r, o)[0])
    foot = along * o
    figure, ax = plt.subplots(figsize=(4.5, 3))
    for end, color, label in ((r, "0.3", "$r$"), (1.1 * o, "#c53030", "$o_i$")):
        ax.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": color, "lw": 2})
        ax.text(*(0.6 * end + jnp.array([0.0, 0.15])), label, color=color)
    ax.plot([0, foot[0]], [0, foot[1]], "--", color="#2b6cb0")
    ax.plot([foot[0], r[0]], [foot[1], r[1]], "--", color="#2f855a")
    ax.text(*(0.9 * foot + jnp.array([-0.1, -0.3])), "$a_1$", color="#2b6cb0")
    ax.text(*((foot + r) / 2 + jnp.array([0.1, 0.0])), "$a_2$", color="#2f855a")
    ax.plot([0, r[0]], [0, r[1]], "ko")
    ax.text(-0.25, 0.0, "$x_i$")
    ax.text(float(r[0]) + 0.1, float(r[1]), "$x_j$")
    ax.set(xlim=(-0.5, 2.6), ylim=(-1.2, 1.6), aspect="equal")
    ax.axis("off")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
