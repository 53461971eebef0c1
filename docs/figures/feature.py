"""The layout of a feature; writes feature.svg."""

import pathlib

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}
ROWS = [("0e", 1, "#d69e2e"), ("1o", 3, "#2b6cb0"), ("2e", 5, "#2f855a")]
CHANNELS = 8


def main() -> None:
    """Draws rows of irreps and columns of channels."""
    figure, ax = plt.subplots(figsize=(6.5, 4))
    values = np.random.default_rng(0).uniform(0.25, 0.95, (9, CHANNELS))
    row = 0
    for name, dim, color in ROWS:
        for i in range(dim):
            for j in range(CHANNELS):
                box = (j, -row - i - 1)
                ax.add_patch(
                    plt.Rectangle(box, 0.94, 0.94, color=color, alpha=values[row + i, j], lw=0)
                )
        text = f"{name}: {dim} row" + "s" * (dim > 1)
        ax.text(-0.3, -row - dim / 2, text, ha="right", va="center", color=color)
        row += dim
    arrow = {"arrowstyle": "<->", "color": "0.3"}
    ax.annotate("", (0, 0.4), (CHANNELS, 0.4), arrowprops=arrow)
    ax.text(CHANNELS / 2, 0.6, "channels: learned weights mix them", ha="center", va="bottom")
    ax.annotate("", (CHANNELS + 0.4, 0), (CHANNELS + 0.4, -9), arrowprops=arrow)
    ax.text(
        CHANNELS + 0.7, -4.5, "rep.dim: the group acts here", rotation=270, ha="left", va="center"
    )
    ax.set(xlim=(-2.6, CHANNELS + 1.6), ylim=(-9.2, 1.5))
    ax.axis("off")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
