"""Two grids, and the equivariance error of an activation on the sphere; writes sphere.svg."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.ops.sphere import S2Grid, gauss_legendre_grid, hemisphere_grid
from equinet.reps import Irreps
from equinet.testing import equivariance_error

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 9}
DEGREE, LMAX = 16, 3
DEGREES = (7, 9, 11, 15, 19, 25, 31)


def draw(ax, points: np.ndarray, title: str) -> None:
    """The points on the visible half of the sphere, the polar axis y upwards."""
    front = points[points[:, 2] >= -1e-9]
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6"))
    ax.plot(front[:, 0], front[:, 1], "o", ms=3, color="#2b6cb0")
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"{title}\n{len(points)} points")


def error(degree: int) -> float:
    """Equivariance error of the activation silu at the points of a grid."""
    grid, rep = S2Grid(degree), Irreps.spherical_harmonics(LMAX)

    def activate(x: jax.Array) -> jax.Array:
        return grid.from_grid(jax.nn.silu(grid.to_grid(x)), LMAX)

    return float(equivariance_error(activate, rep, rep, jax.random.key(0), dtype=jnp.float32))


def main() -> None:
    """Draws the grids and the error against the degree of the grid."""
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.9))
    half = hemisphere_grid(DEGREE)[0]
    draw(axes[0], gauss_legendre_grid(DEGREE)[0], "Gauss-Legendre")
    draw(axes[1], np.concatenate([half, -half]), "Lebedev")
    axes[2].semilogy(DEGREES, [error(degree) for degree in DEGREES], "o-", color="#c53030")
    axes[2].set(xlabel="degree of the grid", title="equivariance error\nof silu")
    axes[2].grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
