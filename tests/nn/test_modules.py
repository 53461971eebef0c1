"""Equivariance, trained and not, and derivatives at zero, of the layers for irreps.

Transformations, types, copies and export of all layers: tests/contract.
"""

import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.groups import SO
from equinet.nn import (
    BodyOrderExpansion,
    Gate,
    LayerNorm,
    Linear,
    NormActivation,
    SeparableLayerNorm,
    TensorProduct,
)
from equinet.reps import Irreps
from equinet.testing import assert_equivariant, equivariance_error

REP, OUT = Irreps("2x0e+1o+2e"), Irreps("0e+0o+1o+1e+2e")
NATURAL = Irreps("0e+1o+2e")
ROTATIONS = Irreps("0e+2x1e", group=SO(3))
TYPES = np.eye(2)[[0, 1, 1, 0]]


@dataclasses.dataclass(frozen=True)
class Case:
    """How a layer is built and called."""

    build: Callable[[nnx.Rngs], nnx.Module]
    reps: tuple[Irreps, ...]
    rep_out: Irreps
    channels_out: int = 3
    typed: bool = False

    @functools.cached_property
    def module(self) -> nnx.Module:
        return self.build(nnx.Rngs(0))

    def __call__(self, module: nnx.Module, *inputs: jax.Array) -> jax.Array:
        types = (jnp.asarray(TYPES, inputs[0].dtype),) if self.typed else ()
        return module(*inputs, *types)

    def draw(self, dtype: jnp.dtype) -> list[jax.Array]:
        rng = np.random.default_rng(1)
        return [jnp.asarray(rng.normal(size=(4, rep.dim, 3)), dtype) for rep in self.reps]


GATE = Gate(Irreps("2x0e+0o+1o+2e"))
CASES = {
    "linear": Case(lambda rngs: Linear(REP, OUT, 3, 2, use_bias=True, rngs=rngs), (REP,), OUT, 2),
    "linear_typed": Case(
        lambda rngs: Linear(REP, OUT, 3, 2, num_types=2, rngs=rngs), (REP,), OUT, 2, typed=True
    ),
    "clebsch_gordan": Case(
        lambda rngs: TensorProduct(REP, REP, OUT, 3, rngs=rngs), (REP, REP), OUT
    ),
    "gaunt": Case(
        lambda rngs: TensorProduct(NATURAL, NATURAL, NATURAL, 3, kind="gaunt", rngs=rngs),
        (NATURAL, NATURAL),
        NATURAL,
    ),
    "complete": Case(
        lambda rngs: TensorProduct(OUT, NATURAL, OUT, 3, kind="complete", rngs=rngs),
        (OUT, NATURAL),
        OUT,
    ),
    "expansion": Case(
        lambda rngs: BodyOrderExpansion(NATURAL, OUT, 3, correlation=3, num_types=2, rngs=rngs),
        (NATURAL,),
        OUT,
        typed=True,
    ),
    "expansion_so3": Case(
        lambda rngs: BodyOrderExpansion(
            ROTATIONS, ROTATIONS, 3, correlation=2, num_types=2, rngs=rngs
        ),
        (ROTATIONS,),
        ROTATIONS,
        typed=True,
    ),
    "gate_so3": Case(lambda rngs: Gate(ROTATIONS), (Gate(ROTATIONS).rep_in,), ROTATIONS),
    "gate": Case(lambda rngs: Gate(GATE.rep_out), (GATE.rep_in,), GATE.rep_out),
    "norm_activation": Case(lambda rngs: NormActivation(REP), (REP,), REP),
    "layer_norm": Case(lambda rngs: LayerNorm(REP, 3), (REP,), REP),
    "separable_layer_norm": Case(lambda rngs: SeparableLayerNorm(REP, 3), (REP,), REP),
}
LEARNED = sorted(set(CASES) - {"gate", "gate_so3", "norm_activation"})


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_shape_and_reps(case: Case) -> None:
    inputs = case.draw(jnp.float32)
    found = jax.eval_shape(case, case.module, *inputs)
    assert found.shape == (4, case.rep_out.dim, case.channels_out)


def test_equivariant_in_both_types_one_after_the_other(case: Case, key: jax.Array) -> None:
    """In float64 to rounding, though float32 was traced first: no table lost its digits."""
    function = jax.jit(functools.partial(case, case.module))
    options = {"num_samples": 4, "channels": 3}
    reps = case.reps, case.rep_out
    assert_equivariant(function, *reps, key, dtype=jnp.float32, **options)
    assert_equivariant(function, *reps, key, dtype=jnp.float64, atol=1e-12, **options)


@pytest.mark.parametrize("name", LEARNED)
def test_equivariant_when_trained(name: str, key: jax.Array, train: Callable) -> None:
    case = CASES[name]
    inputs = case.draw(jnp.float32)
    module = train(case.build(nnx.Rngs(1)), lambda module: case(module, *inputs))
    function = jax.jit(functools.partial(case, module))
    reps = case.reps, case.rep_out
    assert_equivariant(function, *reps, key, dtype=jnp.float64, num_samples=4, channels=3)


@pytest.mark.parametrize("name", ["clebsch_gordan", "gate", "linear"])
def test_wrong_parity_fails(name: str, key: jax.Array) -> None:
    case = CASES[name]
    flipped = Irreps([(mul, (ir.l, -ir.p if ir.l == 1 else ir.p)) for mul, ir in case.rep_out])
    function = jax.jit(functools.partial(case, case.module))
    options = {"num_samples": 1, "channels": 3, "dtype": jnp.float64}
    assert equivariance_error(function, case.reps, flipped, key, **options) > 0.1


def test_finite_derivatives_at_zero(case: Case, x64: None) -> None:
    """First order, and second in reverse over reverse, as a loss on forces needs."""
    zeros = [jnp.zeros_like(x) for x in case.draw(jnp.float64)]
    module = case.module  # made here: made on first use inside of jit, its weights would leak

    def energy(*inputs: jax.Array) -> jax.Array:
        return jnp.sum(case(module, *inputs) ** 2) + jnp.sum(case(module, *inputs))

    def squared_gradient(*inputs: jax.Array) -> jax.Array:
        gradients = jax.grad(energy, argnums=range(len(inputs)))(*inputs)
        return sum(jnp.sum(g**2) for g in gradients)

    for function in (energy, squared_gradient):
        gradients = jax.jit(jax.grad(function, argnums=range(len(zeros))))(*zeros)
        assert all(np.isfinite(g).all() for g in gradients)


_TREE_MODE = """
import jax, jax.numpy as jnp
from flax import nnx
from equinet.models import Potential
from equinet.nn import Linear
assert not nnx.set_graph_mode.current_value()
model = Potential(("H", "O"), lmax=1, channels=2, correlation=2, gate=True, rngs=nnx.Rngs(0))
copy = nnx.merge(*nnx.split(model))
assert jax.tree.structure(copy) == jax.tree.structure(model)
layer = Linear("0e+1o", "0e+1o", 2, 2, use_bias=True, rngs=nnx.Rngs(0))
gradient = nnx.jit(nnx.grad(lambda layer, x: jnp.sum(layer(x) ** 2)))(layer, jnp.ones((3, 4, 2)))
assert len(jax.tree.leaves(gradient)) == len(jax.tree.leaves(nnx.state(layer))) == 2
print("tree mode", len(jax.tree.leaves(nnx.state(model))))
"""


@pytest.mark.slow
def test_without_graph_mode() -> None:
    """The mode that Flax plans to make the default: modules are trees without shared parts."""
    environment = os.environ | {"NNX_GRAPH_MODE": "false", "NNX_GRAPH_UPDATES": "false"}
    command = [sys.executable, "-c", _TREE_MODE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tree mode" in done.stdout
