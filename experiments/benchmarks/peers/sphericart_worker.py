"""sphericart's spherical harmonics and their gradient, the faster way: runs in `.peers/e3nn`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sphericart.torch import SphericalHarmonics

from experiments.benchmarks.harness.worker import Prepared, time_calls
from experiments.benchmarks.peers.so3_reference import vectors_of
from experiments.benchmarks.peers.torch_op import keep_freed_memory

AXES = [2, 0, 1]  # sphericart's polar axis is z, that of equinet y
Both = Callable[[], tuple[torch.Tensor, torch.Tensor]]


def setup(case: dict[str, Any]) -> Prepared:
    """Values, or values and the gradient for a cotangent.

    The gradient comes from autograd or from the contraction of the Jacobian that
    `compute_with_gradients` gives, whichever is faster.
    """
    keep_freed_memory()
    torch.set_num_threads(case["threads"])
    vectors, cotangent = (torch.tensor(array) for array in vectors_of(case))
    vectors = vectors[:, AXES].contiguous()
    harmonics = SphericalHarmonics(case["lmax"])
    leaf = vectors.clone().requires_grad_()

    def forward() -> torch.Tensor:
        return harmonics.compute(vectors)

    def backward() -> tuple[torch.Tensor, torch.Tensor]:
        output = harmonics.compute(leaf)
        return output, torch.autograd.grad(output, leaf, cotangent)[0]

    def jacobian() -> tuple[torch.Tensor, torch.Tensor]:
        output, derivatives = harmonics.compute_with_gradients(vectors)
        return output, torch.bmm(derivatives, cotangent[:, :, None])[:, :, 0]

    ways: list[Both] = [backward, jacobian]
    fastest = min(ways, key=lambda way: min(time_calls(way, 3)))
    scale = np.sqrt(4 * np.pi)  # orthonormal there, mean square one here
    checks = {}
    for name, way in zip(("autograd", "jacobian"), ways, strict=True):
        output, gradient = (tensor[: case["checked"]].detach().numpy() for tensor in way())
        checks[f"output, {name}"] = (scale * output).tolist()
        checks[f"gradient, {name}"] = (scale * gradient[:, np.argsort(AXES)]).tolist()
    return Prepared(
        step=forward if case["direction"] == "forward" else fastest,
        version=importlib.metadata.version("sphericart-torch"),
        checks=checks,
    )
