"""An image and samples of its lifting over quarter turns; writes images.svg."""

import pathlib

import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.ops.images import convolve_images

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}


def main() -> None:
    """Draws a letter, and its convolution with a kernel and with the rotated kernel."""
    image = np.zeros((20, 20))
    image[3:17, 5:8] = image[3:6, 5:15] = image[9:12, 5:12] = 1
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.6))
    axes[0].imshow(image, cmap="gray_r")
    axes[0].set_title("image")
    for ax, turns in zip(axes[1:], (0, 1), strict=True):
        rotated = jnp.asarray(np.rot90(kernel, turns))[:, :, None, None]
        values = convolve_images(jnp.asarray(image)[None, :, :, None], rotated)[0, :, :, 0]
        ax.imshow(values, cmap="RdBu")
        ax.set_title(f"sample $h_{turns + 1}$: {90 * turns} degrees")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
