"""An operation of a torch library as a worker: forward, or forward and all gradients."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from experiments.benchmarks.harness.worker import Prepared

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Lets glibc reuse large blocks, as the process of the JAX contenders does."""
    if sys.platform.startswith("linux"):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def prepare(
    library: str,
    function: Callable[..., torch.Tensor],
    inputs: Sequence[torch.Tensor],
    cotangent: torch.Tensor,
    case: dict[str, Any],
    checks: Callable[[torch.Tensor, Sequence[torch.Tensor]], dict[str, Any]],
    parameters: Sequence[torch.Tensor] = (),
) -> Prepared:
    """The step as `Prepared`; gradients of every input and parameter for the cotangent.

    Args:
        library: The name under which pip knows the library.
        function: Of the inputs.
        inputs: Tensors.
        cotangent: Of the output.
        case: Holds `direction` and `threads`.
        checks: From the output and the gradients to what the driver compares.
        parameters: That the function holds itself.
    """
    keep_freed_memory()
    torch.set_num_threads(case["threads"])
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]

    def both() -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        output = function(*leaves)
        return output, torch.autograd.grad(output, [*leaves, *parameters], cotangent)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return function(*inputs)

    output, gradients = both()
    return Prepared(
        step=forward if case["direction"] == "forward" else both,
        version=importlib.metadata.version(library),
        checks=checks(output.detach(), gradients),
    )
