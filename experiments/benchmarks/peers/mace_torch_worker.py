"""mace-torch as a worker: runs in `.peers/mace`."""

from __future__ import annotations

import os
from typing import Any

# e3nn 0.4.4 loads its constants with torch.load, which refuses them by default.
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

import ase
import torch
from e3nn import o3
from mace import data, modules, tools
from mace.tools import torch_geometric

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.torch_step import prepare

SIZES: dict[str, dict[str, Any]] = {
    "mace": {
        "hidden_irreps": o3.Irreps("64x0e+64x1o"),
        "max_ell": 3,
        "correlation": 3,
        "num_interactions": 2,
    }
}


def _batch(case: dict[str, Any], table: tools.AtomicNumberTable) -> dict[str, torch.Tensor]:
    frames = []
    for numbers, positions in zip(case["numbers"], case["positions"], strict=True):
        configuration = data.config_from_atoms(ase.Atoms(numbers=numbers, positions=positions))
        frames.append(
            data.AtomicData.from_config(configuration, z_table=table, cutoff=case["cutoff"])
        )
    return torch_geometric.Batch.from_data_list(frames).to_dict()


def setup(case: dict[str, Any]) -> Prepared:
    """MACE with the published model's blocks, in float32."""
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    elements = sorted({number for numbers in case["numbers"] for number in numbers})
    batch = _batch(case, tools.AtomicNumberTable(elements))
    edges = batch["edge_index"].shape[1]
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=case["cutoff"],
        num_bessel=8,
        num_polynomial_cutoff=5,
        interaction_cls=block,
        interaction_cls_first=block,
        num_elements=len(elements),
        atomic_numbers=elements,
        atomic_energies=torch.zeros(len(elements)).numpy(),
        avg_num_neighbors=edges / len(batch["positions"]),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        **SIZES[case["size"]],
    )

    def evaluate(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = model({**batch, "positions": positions.clone()}, training=True)
        return output["energy"], output["forces"]

    return prepare("mace-torch", model, evaluate, case, edges=edges)
