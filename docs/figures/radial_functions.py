"""The picture of message passing: radial functions. Run it to write radial_functions.svg."""

import pathlib

import jax.numpy as jnp
import matplotlib
from flax import nnx

from equinet.nn import RadialNetwork

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11, "svg.fonttype": "path"}


def main() -> None:
    """Six functions of an untrained network."""
    r = jnp.linspace(0.02, 6, 300)
    values = RadialNetwork(5.0, 6, rngs=nnx.Rngs(0))(r)
    figure, axes = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
    axes.plot(r, values)
    axes.axvline(5, color="0.6", linestyle="--", linewidth=1)
    axes.set(xlabel="distance", ylabel=r"$\phi_k(r)$", xlim=(0, 6))
    axes.annotate("cutoff", (5.05, axes.get_ylim()[1]), va="top", color="0.4")
    path = pathlib.Path(__file__).with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
