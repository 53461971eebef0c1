"""The training step that the torch peers share: energy, forces, loss, gradient and Adam."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.force_checks import force_checks


def prepare(
    library: str,
    model: torch.nn.Module,
    evaluate: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    case: dict[str, Any],
    *,
    edges: int,
) -> Prepared:
    """The step as `Prepared`: `evaluate` and the rest that every torch potential has in common.

    Positions and labels have the library's own default dtype.

    Args:
        library: The name under which pip knows the library.
        model: The potential, with its parameters.
        evaluate: Positions `[nodes, 3]` to energies `[graphs]` and forces `[nodes, 3]`, with a
            graph behind the forces.
        case: The case of the benchmark.
        edges: Directed edges that `evaluate` works on.
    """
    positions = torch.tensor(case["positions"]).reshape(-1, 3)
    energy_labels = torch.tensor(case["energy"])
    force_labels = torch.tensor(case["forces"]).reshape(-1, 3)
    atoms = len(positions) / len(energy_labels)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def gradient() -> None:
        optimiser.zero_grad(set_to_none=True)
        energy, forces = evaluate(positions)
        loss = torch.mean(((energy - energy_labels) / atoms) ** 2)
        loss = loss + torch.mean((forces - force_labels) ** 2)
        loss.backward()

    def step() -> None:
        gradient()
        optimiser.step()

    def energy_and_forces(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energy, forces = evaluate(torch.tensor(moved, dtype=positions.dtype))
        return energy.detach().numpy(), forces.detach().numpy()

    gradient()
    squares = [torch.sum(p.grad**2) for p in model.parameters() if p.grad is not None]
    checks = force_checks(
        energy_and_forces,
        positions.numpy(),
        edges=edges,
        gradient_norm=float(torch.sqrt(torch.stack(squares).sum())),
    )
    return Prepared(
        step=step,
        version=importlib.metadata.version(library),
        parameters=sum(p.numel() for p in model.parameters()),
        checks=checks,
    )
