"""Frames near equal eigenvalues: the margin, and averages over three frames; writes frames.svg."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib

from equinet.groups import SO
from equinet.nn import FrameAveraging
from equinet.ops.frames import BlendFrame, Frame, PCAFrame, TupleFrame
from equinet.reps import Points

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}


def main() -> None:
    """Draws margin and averages while two principal axes exchange their lengths."""
    group = SO(2)
    shape = jnp.array([[1.0, 0.2], [-0.4, 1.0], [-1.0, -0.5], [0.4, -0.7]])
    values, vectors = jnp.linalg.eigh(shape.T @ shape)
    white = shape @ vectors / jnp.sqrt(values)[None]
    t = jnp.linspace(-0.3, 0.3, 121)
    clouds = white[None] * jnp.stack([1 + t, 1 - t], axis=-1)[:, None]

    def average(frame: Frame) -> jax.Array:
        def feature(x: jax.Array) -> jax.Array:
            return jnp.tanh(2 * x[:, 0, 0]) * x[:, 1, 1] + x[:, 2, 0] ** 3

        layer = FrameAveraging(feature, frame, (Points(group),), None, degenerate="keep")
        return layer(clouds)

    principal, pairs = PCAFrame(group), TupleFrame(group)
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3))
    axes[0].plot(t, principal(clouds).margin, color="#2b6cb0")
    axes[0].set(title="margin of the principal axes")
    frames = {"PCAFrame": principal, "TupleFrame": pairs}
    frames["BlendFrame"] = BlendFrame(principal, pairs, 0.1, 0.6)
    for (name, frame), color in zip(frames.items(), ("#2b6cb0", "#c53030", "0.3"), strict=True):
        axes[1].plot(t, average(frame), ".", markersize=3, color=color, label=name)
    axes[1].legend(frameon=False, fontsize=9)
    axes[1].set(title="average of a function")
    for ax in axes:
        ax.set(xlabel="deformation of the cloud")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
