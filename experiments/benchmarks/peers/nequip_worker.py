"""nequip as a worker: runs in `.peers/nequip`."""

from __future__ import annotations

from typing import Any

import ase
import ase.data
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.torch_step import prepare

SIZES: dict[str, dict[str, Any]] = {
    "nequip-4x1": {"num_layers": 4, "l_max": 1, "num_features": 32, "parity": True},
    "nequip-2x2": {"num_layers": 2, "l_max": 2, "num_features": 64, "parity": False},
}


def _batch(case: dict[str, Any], names: list[str]) -> AtomicDataDict.Type:
    mapper = ChemicalSpeciesToAtomTypeMapper(model_type_names=names)
    frames = []
    for numbers, positions in zip(case["numbers"], case["positions"], strict=True):
        frame = from_ase(ase.Atoms(numbers=numbers, positions=positions))
        frames.append(compute_neighborlist_(mapper(frame), r_max=case["cutoff"]))
    return AtomicDataDict.batched_from_list(frames)


def setup(case: dict[str, Any]) -> Prepared:
    """NequIP as its own builder makes it, float32 inside (positions and energies float64)."""
    set_global_state()
    torch.set_num_threads(case["threads"])
    elements = sorted({number for numbers in case["numbers"] for number in numbers})
    names = [ase.data.chemical_symbols[number] for number in elements]
    batch = _batch(case, names)
    edges = AtomicDataDict.num_edges(batch)
    model = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        r_max=case["cutoff"],
        type_names=names,
        avg_num_neighbors=edges / AtomicDataDict.num_nodes(batch),
        per_type_energy_scales=1.0,
        per_type_energy_shifts=0.0,
        **SIZES[case["size"]],
    )
    model.train()

    def evaluate(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = model({**batch, AtomicDataDict.POSITIONS_KEY: positions.clone()})
        energy = output[AtomicDataDict.TOTAL_ENERGY_KEY].squeeze(-1)
        return energy, output[AtomicDataDict.FORCE_KEY]

    return prepare("nequip", model, evaluate, case, edges=edges)
