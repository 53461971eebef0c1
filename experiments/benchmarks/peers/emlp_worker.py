"""EMLP: the equivariant basis between tensor powers, or a linear layer on 64 channels."""

from __future__ import annotations

import importlib.metadata
import os
import time
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import emlp.groups
import emlp.reps
import jax
import jax.numpy as jnp
import numpy as np
from emlp.reps.representation import Rep

from experiments.benchmarks.harness.worker import Prepared


def setup(case: dict[str, Any]) -> Prepared:
    """Prepares one part of a case: `"basis"`, `"apply"` or `"apply and gradient"`."""
    name, n = case["group"], case["n"]
    group = getattr(emlp.groups, name)(n // 2 if name == "Sp" else n)
    rep_in, rep_out = emlp.reps.T(case["inputs"]), emlp.reps.T(case["outputs"])
    prepare = _basis if case["part"] == "basis" else _layer
    step, checks, compile_s = prepare(case, group, rep_in, rep_out)
    version = importlib.metadata.version("emlp")
    return Prepared(step=step, version=version, compile_s=compile_s, checks=checks)


def _basis(case: dict[str, Any], group: Any, rep_in: Any, rep_out: Any) -> tuple[Any, Any, float]:
    maps = (rep_in >> rep_out)(group)

    def step() -> Any:
        Rep.solcache.clear()
        return jax.block_until_ready(jnp.asarray(_matrix(maps.equivariant_basis())))

    begin = time.perf_counter()
    basis = np.asarray(step(), np.float64)
    first = time.perf_counter() - begin
    dim = int(basis.shape[1])
    checks: dict[str, Any] = {"dim": dim}
    if basis.size <= case["compare"]:
        checks["basis"] = basis.T.reshape(dim, -1).tolist()
    return step, checks, first


def _layer(case: dict[str, Any], group: Any, rep_in: Any, rep_out: Any) -> tuple[Any, Any, float]:
    """What `emlp.nn.Linear` computes; its objax wrapper does not run on today's JAX."""
    channels = case["channels"]
    maps = (channels * rep_in)(group) >> (channels * rep_out)(group)
    projector = maps.equivariant_projector()
    rows, columns = (channels * rep_out)(group).size(), (channels * rep_in)(group).size()
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=rows * columns), jnp.float32)
    x = jnp.asarray(rng.normal(size=(case["batch"], columns)), jnp.float32)

    def apply(x: jax.Array, weights: jax.Array) -> jax.Array:
        return x @ (projector @ weights).reshape(rows, columns).T

    def both(x: jax.Array, weights: jax.Array) -> Any:
        y, backward = jax.vjp(apply, x, weights)
        return y, backward(y)

    run = jax.jit(apply if case["part"] == "apply" else both)

    def step() -> Any:
        return jax.block_until_ready(run(x, weights))

    begin = time.perf_counter()
    step()
    return step, {}, time.perf_counter() - begin


def _matrix(basis: Any) -> Any:
    return basis.to_dense() if hasattr(basis, "to_dense") else basis
