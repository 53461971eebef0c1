"""Two molecules in one padded batch; writes data.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.data.atoms import Configuration, collate, to_graph

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}


def main() -> None:
    """Draws which slots of a batch hold the edges of which graph."""
    water = Configuration(np.array([8, 1, 1]), np.array([[0, 0, 0], [0, 0.8, 0.6], [0, -0.8, 0.6]]))
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    methane = Configuration(np.array([6, 1, 1, 1, 1]), np.vstack([[0, 0, 0], 0.63 * corners]))
    graphs = [to_graph(c, cutoff=1.2, elements=("H", "C", "O")) for c in (water, methane)]
    graph = collate(graphs, range(1), shards=1)["graph"]
    mask = graph.edge_mask[0].reshape(-1, graph.degree)
    index = np.where(mask, graph.graph_index[0][:, None] + 1, 0)
    figure, ax = plt.subplots(figsize=(3.4, 3.6))
    colors = matplotlib.colors.ListedColormap(["white", "#2b6cb0", "#c53030"])
    ax.pcolormesh(index, cmap=colors, vmin=0, vmax=2, edgecolors="0.8")
    ax.invert_yaxis()
    ax.set(xlabel="slot", ylabel="atom")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
