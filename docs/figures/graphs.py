"""An edge list and the slots of its batch; writes graphs.svg."""

import pathlib

import matplotlib
import numpy as np

from equinet.ops.graphs import GraphBatch

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 11}
SENDERS, RECEIVERS = [1, 2, 0, 0], [0, 0, 1, 2]
POINTS = np.array([[0.0, 0.0], [1.0, 0.8], [1.0, -0.8]])


def main() -> None:
    """Draws the graph and the table of its slots."""
    graph = GraphBatch.from_edges(SENDERS, RECEIVERS, num_nodes=3)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    for sender, receiver in zip(SENDERS, RECEIVERS, strict=True):
        arrow = {"arrowstyle": "->", "shrinkA": 14, "shrinkB": 14}
        arrow |= {"connectionstyle": "arc3,rad=0.2", "color": "0.4"}
        left.annotate("", POINTS[receiver], POINTS[sender], arrowprops=arrow)
    for node, point in enumerate(POINTS):
        left.text(
            *point, str(node), ha="center", va="center", bbox={"boxstyle": "circle", "fc": "w"}
        )
    left.set(xlim=(-0.4, 1.4), ylim=(-1.2, 1.2), title="edges, sender to receiver")
    left.axis("off")
    slots = np.asarray(graph.senders).reshape(3, -1)
    present = np.asarray(graph.edge_mask).reshape(3, -1)
    text = np.where(present, np.char.add("from ", slots.astype(str)), "empty")
    colors = np.where(present, "#dbeafe", "0.92")
    table = right.table(
        text,
        cellColours=colors,
        rowLabels=[f"node {node}" for node in range(3)],
        colLabels=["slot 0", "slot 1"],
        loc="center",
        cellLoc="center",
    )
    table.scale(0.8, 1.8)
    right.set(title="slots")
    right.axis("off")
    figure.tight_layout()
    figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
