"""Which entries of a Clebsch-Gordan table are not zero; writes product.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.reps import clebsch_gordan

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10}
LMAX = 2


def main() -> None:
    """Draws the couplings of degrees 0 to 2 with degrees 0 to 2, one panel a result."""
    size = (LMAX + 1) ** 2
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
    for l3, ax in enumerate(axes):
        table = np.zeros((size, size))
        for l1 in range(LMAX + 1):
            for l2 in range(LMAX + 1):
                if abs(l1 - l2) <= l3 <= l1 + l2:
                    block = clebsch_gordan(l1, l2, l3)
                    strongest = np.take_along_axis(
                        block, np.abs(block).argmax(-1)[..., None], axis=-1
                    )[..., 0]
                    table[l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2] = strongest
        ax.imshow(table, cmap="RdBu", vmin=-0.7, vmax=0.7)
        for edge in (0.5, 3.5):
            ax.axhline(edge, color="0.6", lw=0.7)
            ax.axvline(edge, color="0.6", lw=0.7)
        ticks = ([0, 2, 6], ["l=0", "l=1", "l=2"])
        ax.set_xticks(*ticks)
        ax.set_yticks(*ticks)
        ax.set_title(f"into degree {l3}")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
