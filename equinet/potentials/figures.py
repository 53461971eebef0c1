"""Figures of the errors of a potential."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from equinet.data.atoms import Graph
from equinet.data.extras import require


def draw_errors(
    graphs: Sequence[Graph],
    elements: Sequence[str],
    energies: Float[np.ndarray, "graphs"],
    forces: Sequence[Float[np.ndarray, "nodes 3"]],
) -> dict[str, Any]:
    """Predictions against labels, and the mean absolute force error of each element.

    Args:
        graphs: Graphs with labels, the reference energies subtracted.
        elements: The chemical symbols to which ``Graph.species`` refers.
        energies: Predicted energies of all graphs in eV.
        forces: Predicted forces of each graph in eV/angstrom.

    Returns:
        The figures of matplotlib "energies", "forces" and "elements".
    """
    atoms = np.array([graph.num_nodes for graph in graphs])
    energy_labels = np.array([graph.energy for graph in graphs])
    force_labels = np.concatenate([np.asarray(graph.forces) for graph in graphs])
    found = np.concatenate([np.asarray(force) for force in forces])
    species = np.concatenate([graph.species for graph in graphs])
    symbols = np.asarray(elements)[species]
    return {
        "energies": _parity(
            energy_labels / atoms,
            energies / atoms,
            "energy per atom without reference energies (eV)",
            ("meV", 1e3),
        ),
        "forces": _parity(
            force_labels.ravel(), found.ravel(), "force component (eV/Å)", ("meV/Å", 1e3)
        ),
        "elements": _by_element(symbols, 1e3 * np.abs(found - force_labels).mean(axis=1)),
    }


def _parity(
    labels: Float[np.ndarray, "n"],
    found: Float[np.ndarray, "n"],
    name: str,
    unit: tuple[str, float],
) -> Any:
    """Predictions against labels, with the line of equality and the errors."""
    figure = require("matplotlib.figure", "plots").Figure(figsize=(4, 4))
    axes = figure.add_subplot()
    ends = [min(labels.min(), found.min()), max(labels.max(), found.max())]
    axes.plot(ends, ends, color="0.7", linewidth=1, zorder=0)
    axes.scatter(labels, found, s=4, alpha=0.5, linewidths=0)
    error, (word, factor) = found - labels, unit
    mae, rmse = np.abs(error).mean() * factor, np.sqrt((error**2).mean()) * factor
    axes.set_title(f"MAE {mae:.3g} {word}, RMSE {rmse:.3g} {word}", fontsize=9)
    axes.set_xlabel(f"label: {name}", fontsize=8)
    axes.set_ylabel("prediction", fontsize=8)
    axes.set_aspect("equal", adjustable="datalim")
    figure.tight_layout()
    return figure


def _by_element(symbols: np.ndarray, errors: Float[np.ndarray, "n"]) -> Any:
    """A bar for the mean absolute error of the force components on each element."""
    figure = require("matplotlib.figure", "plots").Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    elements = np.unique(symbols)
    means = [errors[symbols == element].mean() for element in elements]
    bars = axes.bar(elements, means)
    axes.bar_label(bars, [f"{mean:.3g}" for mean in means], fontsize=8)
    axes.set_ylabel("force MAE (meV/Å)")
    figure.tight_layout()
    return figure
