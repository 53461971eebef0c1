"""The matrix of a filter before and after aligning its edge; writes edge_convolutions.svg."""

import pathlib

import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.ops.edges import edge_rotations
from equinet.ops.products import ClebschGordanProduct
from equinet.reps import Irreps, spherical_harmonics

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10}
LMAX = 3


def filter_matrix(edge: np.ndarray) -> np.ndarray:
    """The matrix that multiplies a feature of the sender, for one set of path weights."""
    rep = Irreps.spherical_harmonics(LMAX, parity=1)
    product = ClebschGordanProduct(rep, rep, rep)
    harmonics = spherical_harmonics(LMAX, jnp.asarray(edge))[:, None]
    weights = np.random.default_rng(0).normal(size=(product.num_weights, 1))
    columns = jnp.eye(rep.dim)[..., None]
    return np.asarray(product(harmonics, columns, jnp.asarray(weights, jnp.float32)))[..., 0].T


def draw(ax, matrix: np.ndarray, title: str) -> None:
    """Absolute values of the entries; the lines separate the degrees."""
    ax.imshow(np.abs(matrix) > 1e-4, cmap="Blues", vmin=0, vmax=1.3)
    for l in range(1, LMAX + 1):
        ax.axhline(l * l - 0.5, color="0.6", lw=0.7)
        ax.axvline(l * l - 0.5, color="0.6", lw=0.7)
    ticks = [l * l + l for l in range(LMAX + 1)]
    ax.set_xticks(ticks, [f"l={l}" for l in range(LMAX + 1)])
    ax.set_yticks(ticks, [f"l={l}" for l in range(LMAX + 1)])
    ax.set_title(title)


def main() -> None:
    """Draws both matrices."""
    edge = np.array([0.3, -0.5, 0.8], np.float32)
    rotation = edge_rotations(1, jnp.asarray(edge)[None]).degree(1)[0]
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    draw(axes[0], filter_matrix(edge), "any edge")
    draw(axes[1], filter_matrix(np.asarray(rotation @ edge)), "edge along the polar axis")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
