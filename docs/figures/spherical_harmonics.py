"""Real spherical harmonics of degrees 0 to 3 on the sphere; writes spherical_harmonics.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.reps import spherical_harmonics_table

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 9}


def main() -> None:
    """Draws the half of the sphere that faces the z axis, one row for each degree."""
    x, y = np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 61))
    inside = x**2 + y**2 <= 1
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    values = spherical_harmonics_table(3, np.stack([x, y, z], -1).reshape(-1, 3))
    figure, axes = plt.subplots(4, 7, figsize=(7.5, 4.6))
    for l, row in enumerate(axes):
        for m, ax in enumerate(row, -3):
            ax.set_axis_off()
            if abs(m) <= l:
                image = np.where(inside, values[:, l * l + l + m].reshape(x.shape), np.nan)
                ax.imshow(image, origin="lower", cmap="RdBu_r", vmin=-2.5, vmax=2.5)
                ax.set_title(f"$Y_{{{l},{m}}}$", pad=2)
    figure.tight_layout(pad=0.4)
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
