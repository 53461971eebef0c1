"""The picture of README: a network commutes with a rotation. Run it to write equivariance.svg."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from flax import nnx

from equinet.groups import SE
from equinet.nn import FrameAveraging
from equinet.ops.frames import PCAFrame
from equinet.reps import Points

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11, "svg.fonttype": "path"}
BLUE, RED = "#2b6cb0", "#c53030"
POINTS = np.array(
    [[-1.2, -0.9], [-0.4, -0.7], [0.3, -0.9], [1.3, -0.5], [0.5, 0.0], [0.1, 0.8], [-0.5, 1.2]]
)


class Network(nnx.Module):
    """An ordinary network that moves seven points of the plane and has no symmetry."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(14, 64, rngs=rngs)
        self.second = nnx.Linear(64, 14, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        moved = self.second(nnx.tanh(self.first(x.reshape(-1, 14))))
        return x + 0.8 * moved.reshape(x.shape)


def draw(ax, points, moved, title):
    """Points with an arrow each to where the network moves them."""
    ax.plot(*points.T, "o", color=BLUE, ms=7)
    if moved is not None:
        options = {"head_width": 0.1, "color": RED, "length_includes_head": True, "lw": 1.6}
        for start, end in zip(points, moved, strict=True):
            ax.arrow(*start, *(end - start), **options)
    ax.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xticks=[], yticks=[])
    ax.set_title(title, fontsize=11)


def main() -> None:
    """Draws the four corners of the commuting square."""
    points, group = Points(SE(2)), SE(2)
    network = FrameAveraging(Network(nnx.Rngs(3)), PCAFrame(group), (points,), points)
    angle = jnp.deg2rad(75.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    g = jnp.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    x = jnp.asarray(POINTS, jnp.float32)[None]
    turned = group.act(g, x)
    figure, axes = plt.subplots(2, 2, figsize=(6.4, 6.4))
    draw(axes[0, 0], x[0], None, r"input $x$")
    draw(axes[0, 1], x[0], network(x)[0], r"output $f(x)$")
    draw(axes[1, 0], turned[0], None, r"rotated input $g\,x$")
    draw(axes[1, 1], turned[0], network(turned)[0], r"$f(g\,x) = g\,f(x)$")
    figure.subplots_adjust(wspace=0.28, hspace=0.28, left=0.02, right=0.98, bottom=0.02, top=0.94)
    arrow = {"arrowstyle": "-|>", "lw": 1.5, "color": "0.25", "mutation_scale": 16}
    for start, end, text, shift in [
        ((0.455, 0.75), (0.55, 0.75), "f", (0, 0.02)),
        ((0.455, 0.23), (0.55, 0.23), "f", (0, 0.02)),
        ((0.23, 0.53), (0.23, 0.468), "g", (0.02, -0.01)),
        ((0.77, 0.53), (0.77, 0.468), "g", (0.02, -0.01)),
    ]:
        axes[0, 0].annotate(
            "", end, start, xycoords="figure fraction", textcoords="figure fraction",
            arrowprops=arrow, annotation_clip=False,
        )  # fmt: skip
        middle = [(a + b) / 2 + c for a, b, c in zip(start, end, shift, strict=True)]
        figure.text(*middle, f"${text}$", ha="center", va="center", fontsize=14)
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
