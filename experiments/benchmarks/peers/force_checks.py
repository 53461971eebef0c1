"""What a worker finds out about a potential before it is timed; needs numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def force_checks(
    energy_and_forces: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    positions: np.ndarray,
    *,
    edges: int,
    gradient_norm: float,
    step: float = 0.02,
) -> dict[str, Any]:
    """Shapes, edges and the agreement of the forces with finite differences of the energy.

    The energy is differentiated along the forces themselves, so that the expected slope is their
    norm: `slope_error = |(E(x - h f) - E(x + h f)) / 2h - |F|| / |F|`, with `f = F / |F|`.

    Args:
        energy_and_forces: Positions `[nodes, 3]` to energies `[graphs]` and forces `[nodes, 3]`.
        positions: Where to look, in angstrom.
        edges: Directed edges of the graph that the library built.
        gradient_norm: Norm of the loss's gradient with respect to the parameters.
        step: The displacement h in angstrom, shared by all atoms.
    """
    energy, forces = energy_and_forces(positions)
    norm = float(np.linalg.norm(forces))
    direction = forces / max(norm, 1e-30)
    lower, upper = (
        float(np.sum(energy_and_forces(positions + s * step * direction)[0], dtype=np.float64))
        for s in (-1, 1)
    )
    return {
        "energy_shape": list(energy.shape),
        "force_shape": list(forces.shape),
        "edges": edges,
        "force_norm": norm,
        "slope_error": abs((lower - upper) / (2 * step) - norm) / max(norm, 1e-30),
        "gradient_norm": gradient_norm,
    }
