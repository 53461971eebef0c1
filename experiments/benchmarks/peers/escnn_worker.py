"""escnn's convolution of regular fields: runs in `.peers/escnn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from escnn import gspaces, nn

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.torch_op import prepare

SPACES = {
    "Cyclic(4)": lambda: gspaces.rot2dOnR2(N=4),
    "Cyclic(8)": lambda: gspaces.rot2dOnR2(N=8),
    "Dihedral(4)": lambda: gspaces.flipRot2dOnR2(N=4),
}


def setup(case: dict[str, Any]) -> Prepared:
    """The layer of the case, its filter expanded from its basis at every call, as in training."""
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    space = SPACES[case["group"]]()
    fields = nn.FieldType(space, case["channels"] * [space.regular_repr])
    width = case["width"]
    layer = nn.R2Conv(fields, fields, kernel_size=width, padding=width // 2, bias=False)
    size = (case["batch"], fields.size, case["size"], case["size"])
    x = torch.tensor(np.random.default_rng(0).normal(size=size).astype(np.float32))
    cotangent = torch.ones(size)

    def function(x: torch.Tensor) -> torch.Tensor:
        return layer(nn.GeometricTensor(x, fields)).tensor

    def checks(output: torch.Tensor, gradients: Sequence[torch.Tensor]) -> dict[str, Any]:
        """How far a quarter turn is from exact: a layer whose symmetry is broken is no peer."""
        with torch.no_grad():
            few = nn.GeometricTensor(x[:1], fields)
            quarter = space.fibergroup.element(_quarter(case["group"]))
            turned = layer(few.transform(quarter)).tensor
            expected = layer(few).transform(quarter).tensor
            error = (turned - expected).abs().max() / expected.pow(2).mean().sqrt()
        return {"error": float(error)}

    parameters = list(layer.parameters())
    return prepare("escnn", function, (x,), cotangent, case, checks, parameters)


def _quarter(group: str) -> Any:
    return {"Cyclic(4)": 1, "Cyclic(8)": 2, "Dihedral(4)": (0, 1)}[group]
