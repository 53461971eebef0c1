"""e3nn's channel-wise tensor product ("uuu") with free path weights: runs in `.peers/e3nn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from e3nn import o3

from experiments.benchmarks.harness.worker import Prepared
from experiments.benchmarks.peers.so3_reference import all_paths, block, inputs_of, take
from experiments.benchmarks.peers.torch_op import prepare


def setup(case: dict[str, Any]) -> Prepared:
    """The case's product with e3nn's generated code, weights shared or for each row."""
    torch.set_num_threads(case["threads"])
    lmax, channels, data = case["lmax"], case["channels"], inputs_of(case)
    paths, shared = all_paths(lmax), case["weights"] == "shared"
    irreps = o3.Irreps([(channels, (l, 1)) for l in range(lmax + 1)])
    product = o3.TensorProduct(
        irreps,
        irreps,
        irreps,
        [(a, b, c, "uuu", True) for a, b, c in paths],
        shared_weights=shared,
        internal_weights=False,
    )

    def own(array: np.ndarray) -> torch.Tensor:
        """Channels outside of the components, as e3nn stores a multiplicity."""
        parts = [array[:, block(l)].swapaxes(1, 2).reshape(len(array), -1) for l in range(lmax + 1)]
        return torch.tensor(np.concatenate(parts, 1))

    def ours(tensor: torch.Tensor) -> np.ndarray:
        parts = [
            part.reshape(len(part), channels, 2 * l + 1).transpose(1, 2)
            for l, part in enumerate(
                tensor.split([channels * (2 * l + 1) for l in range(lmax + 1)], 1)
            )
        ]
        return torch.cat(parts, 1).numpy()

    def checks(output: torch.Tensor, gradients: Sequence[torch.Tensor]) -> dict[str, Any]:
        x, y, weights = gradients
        found = {name: ours(a) for name, a in (("output", output), ("x", x), ("y", y))}
        found["weights"] = weights.reshape(data["weights"].shape).numpy()
        return {name: array.tolist() for name, array in take(found, case).items()}

    weights = torch.tensor(data["weights"]).flatten(-2)
    inputs = (own(data["x"]), own(data["y"]), weights)
    return prepare("e3nn", product, inputs, own(data["cotangent"]), case, checks)
