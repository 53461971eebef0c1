"""The polar axis and the order of the components of degree 1; writes conventions.svg."""

import pathlib

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10}


def main() -> None:
    """Draws the axes with the angles of the spherical harmonics, here and in SciPy."""
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.4))
    panels = [
        ("equinet, e3nn: polar axis y", {"y": (0, 1), "x": (0.95, -0.15), "z": (-0.6, -0.5)}),
        ("SciPy, E3x: polar axis z", {"z": (0, 1), "y": (0.95, -0.15), "x": (-0.6, -0.5)}),
    ]
    for ax, (title, arrows) in zip(axes, panels, strict=True):
        *_, first = arrows.values()
        for name, end in arrows.items():
            ax.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "lw": 1.6})
            ax.text(1.13 * end[0], 1.13 * end[1], name, ha="center", va="center", fontsize=13)
        point = np.array([0.45, 0.55])
        ax.plot(*np.stack([(0, 0), point]).T, color="C3", lw=2)
        ax.plot(*np.stack([point, (point[0], -0.25)]).T, "C3:", lw=1)
        ax.plot(*np.stack([(0, 0), (point[0], -0.25)]).T, "C3:", lw=1)
        ax.text(0.14, 0.45, r"$\theta$", color="C3", fontsize=13)
        ax.text(-0.02, -0.36, r"$\varphi$", color="C3", fontsize=13)
        start, stop = np.array(first) * 0.45, np.array([point[0], -0.25]) * 0.55
        style = {"arrowstyle": "->", "color": "C3", "connectionstyle": "arc3,rad=0.35"}
        ax.annotate("", stop, start, arrowprops=style)
        ax.set(title=title, xlim=(-1, 1.25), ylim=(-0.8, 1.25), aspect="equal")
        ax.set_axis_off()
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
