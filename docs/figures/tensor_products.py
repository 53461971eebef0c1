"""Path coefficients of four products of degrees 0 to 3; writes tensor_products.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.ops.products import (
    ClebschGordanProduct,
    CompleteProduct,
    CPProduct,
    GauntProduct,
)
from equinet.reps import Irreps, clebsch_gordan

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 9}
LMAX = 3
EVEN, NATURAL = (Irreps.spherical_harmonics(LMAX, parity=p) for p in (1, -1))
PRODUCTS = {
    "Clebsch-Gordan": ClebschGordanProduct(EVEN, EVEN, EVEN),
    "Gaunt": GauntProduct(NATURAL, NATURAL, NATURAL),
    "complete": CompleteProduct(EVEN, EVEN, EVEN),
    "CP": CPProduct(NATURAL, NATURAL, NATURAL),
}


def coefficients(product) -> np.ndarray:
    """Size of every path, ``[l3, l1, l2]``, relative to the largest of the same l3."""
    dim = product.rep1.dim
    # The table of the product: one row for each pair of components.
    x = np.repeat(np.eye(dim, dtype=np.float32), dim, axis=0)[..., None]
    y = np.tile(np.eye(dim, dtype=np.float32), (dim, 1))[..., None]
    table = np.asarray(product(x, y))[..., 0].reshape(dim, dim, dim)
    found = np.full((LMAX + 1,) * 3, np.nan)
    for l3 in range(LMAX + 1):
        for l1 in range(LMAX + 1):
            for l2 in range(abs(l1 - l3), min(LMAX, l1 + l3) + 1):
                block = table[l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2, l3**2 : (l3 + 1) ** 2]
                found[l3, l1, l2] = abs(np.vdot(block, clebsch_gordan(l1, l2, l3)))
        found[l3] /= np.nanmax(found[l3])
    return found


def main() -> None:
    """Draws a row of panels for each product, one panel for each degree of the result."""
    figure, axes = plt.subplots(len(PRODUCTS), LMAX + 1, figsize=(6.4, 6.6))
    for row, (name, product) in zip(axes, PRODUCTS.items(), strict=True):
        for l3, (ax, sizes) in enumerate(zip(row, coefficients(product), strict=True)):
            colours = plt.get_cmap("Blues").copy()
            colours.set_bad("0.88")
            ax.imshow(sizes, cmap=colours, vmin=0, vmax=1)
            ax.set_xticks(range(LMAX + 1))
            ax.set_yticks(range(LMAX + 1))
            if name == "Clebsch-Gordan":
                ax.set_title(f"$l_3 = {l3}$")
            if l3 == 0:
                ax.set_ylabel(f"{name}\n$l_1$")
    for ax in axes[-1]:
        ax.set_xlabel("$l_2$")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
