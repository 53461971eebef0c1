"""fairchem's SO(2) convolution (eSCN, as in its UMA backbone): runs in `.peers/fairchem`."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from fairchem.core.models.uma.common import rotation
from fairchem.core.models.uma.common.quaternion.quaternion_wigner_utils import (
    create_wigner_data_module,
)
from fairchem.core.models.uma.common.quaternion.wigner_d_hybrid import axis_angle_wigner_hybrid
from fairchem.core.models.uma.common.so3 import CoefficientMapping
from fairchem.core.models.uma.nn.execution_backends import ExecutionBackend
from fairchem.core.models.uma.nn.so2_layers import SO2_Convolution, SO2_m_Conv_Block

from experiments.benchmarks.harness.worker import Prepared, time_calls
from experiments.benchmarks.peers.so2_reference import CHECKED, so2_inputs
from experiments.benchmarks.peers.torch_op import keep_freed_memory, prepare

Rotations = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def rotations_of(lmax: int, mmax: int) -> list[Rotations]:
    """Its two ways from edge vectors to the rotations into the edge's frame and back.

    Rows are sorted by order and those above mmax left out, as the backbone prepares them.
    """
    stored = torch.load(pathlib.Path(rotation.__file__).parent.parent / "Jd.pt")
    jd = [matrix.float() for matrix in stored[: lmax + 1]]
    quaternions = create_wigner_data_module(lmax=lmax, lmin=5)
    mapping = CoefficientMapping(lmax, mmax)
    kept = CoefficientMapping(lmax, lmax).coefficient_idx(lmax, mmax) if mmax < lmax else None

    def prepared(wigner: torch.Tensor, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return ExecutionBackend.prepare_wigner(wigner, back, mapping, kept)

    def by_quaternions(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return prepared(
            *axis_angle_wigner_hybrid(
                vectors,
                lmax,
                coeffs=quaternions.coeffs,
                U_blocks=quaternions.U_blocks,
                custom_kernels=quaternions.custom_kernels,
            )
        )

    def by_angles(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = rotation.init_edge_rot_euler_angles(vectors)
        wigner = rotation.eulers_to_wigner(angles, 0, lmax, jd)
        return prepared(wigner, torch.transpose(wigner, 1, 2).contiguous())

    return [by_quaternions, by_angles]


def convolution(case: dict[str, Any], matrices: Sequence[np.ndarray]) -> SO2_Convolution:
    """Its layer with these matrices; the radial weights are given to it, not made by it."""
    lmax, mmax, channels = case["lmax"], case["mmax"], case["channels"]
    layer = SO2_Convolution(channels, channels, lmax, mmax, CoefficientMapping(lmax, mmax))
    with torch.no_grad():
        layer.fc_m0.bias.zero_()
        layer.fc_m0.weight.copy_(torch.tensor(matrices[0][0]))
        for part, matrix in zip(layer.so2_m_conv, matrices[1:], strict=True):
            part.fc.weight.copy_(torch.tensor(np.concatenate(list(matrix))))
    return layer


def messages(rotations: Rotations, layer: SO2_Convolution) -> Callable[..., torch.Tensor]:
    """The work of an edge as a function of features, vectors and radial weights."""

    def function(
        x: torch.Tensor, vectors: torch.Tensor, radial: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        wigner, back = rotations(vectors)
        return torch.bmm(back, layer(torch.bmm(wigner, x), radial))

    return function


def with_blocks(layer: SO2_Convolution, case: dict[str, Any]) -> None:
    """Its faster form for inference: one block matrix for each m, made before."""
    lmax, mmax, channels = case["lmax"], case["mmax"], case["channels"]
    for m, part in enumerate(layer.so2_m_conv, start=1):
        block = SO2_m_Conv_Block(m, channels, channels, lmax, mmax)
        block.load_state_dict(part.state_dict())
        layer.so2_m_conv[m - 1] = block


def setup(case: dict[str, Any]) -> Prepared:
    """Part `all`: rotations, convolution and rotations back; part `wigner`: the rotations alone.

    The fastest of its ways in the direction is timed; the results of all are compared.
    """
    keep_freed_memory()
    torch.set_num_threads(case["threads"])
    data = so2_inputs(case)
    x, vectors, radial, cotangent = (
        torch.tensor(data[name]) for name in ("x", "vectors", "radial", "cotangent")
    )
    ways = rotations_of(case["lmax"], case["mmax"])
    if case["part"] == "wigner":
        return _fastest([_rotations_alone(case, way, vectors) for way in ways])
    forms = [convolution(case, data["matrices"])]
    if case["direction"] == "forward":
        forms.append(convolution(case, data["matrices"]))
        with_blocks(forms[1], case)
    candidates = []
    for way, layer in itertools.product(ways, forms):
        trained = [p for n, p in layer.named_parameters() if n != "fc_m0.bias"]
        leaves = trained if case["direction"] != "forward" else []
        function = messages(way, layer)
        inputs = (x, vectors, radial.flatten(1))
        candidates.append(_prepared(case, function, inputs, leaves, cotangent))
    return _fastest(candidates)


def _prepared(
    case: dict[str, Any],
    function: Callable[..., torch.Tensor],
    inputs: Sequence[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    cotangent: torch.Tensor,
) -> Prepared:
    """One way as `Prepared`; the layer's own parameters are differentiated too."""

    def checks(output: torch.Tensor, gradients: Sequence[torch.Tensor]) -> dict[str, Any]:
        names = ("output", "x", "vectors", "radial")
        found = dict(zip(names, (output, *gradients), strict=False))
        found["radial"] = found["radial"].reshape(len(output), -1, case["channels"])
        return {name: tensor[:CHECKED].tolist() for name, tensor in found.items()}

    return prepare("fairchem-core", function, inputs, cotangent, case, checks, parameters)


def _rotations_alone(case: dict[str, Any], way: Rotations, vectors: torch.Tensor) -> Prepared:
    def both(vectors: torch.Tensor) -> torch.Tensor:
        wigner, back = way(vectors)
        return torch.cat((wigner.flatten(1), back.flatten(1)), 1)

    with torch.no_grad():
        cotangent = torch.ones_like(both(vectors))
    return prepare("fairchem-core", both, (vectors,), cotangent, case, lambda output, _: {})


def _fastest(candidates: Sequence[Prepared]) -> Prepared:
    chosen = min(candidates, key=lambda candidate: min(time_calls(candidate.step, 3)))
    checks = {
        f"{name}, way {index}": array
        for index, candidate in enumerate(candidates)
        for name, array in candidate.checks.items()
    }
    return Prepared(step=chosen.step, version=chosen.version, checks=checks)
