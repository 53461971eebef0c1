"""What every layer promises, each in the same words."""

import copy
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
    MLP,
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


def test_state_is_parameters_alone(case: Case) -> None:
    """A constant array as an attribute would be a leaf of the state and of every checkpoint."""
    state = nnx.state(case.module)
    kinds = {type(leaf) for leaf in jax.tree.leaves(state, is_leaf=_is_variable)}
    assert kinds <= {nnx.Param}
    assert len(jax.tree.leaves(case.module)) == len(jax.tree.leaves(state))


def _is_variable(leaf: object) -> bool:
    return isinstance(leaf, nnx.Variable)


def test_two_of_a_kind_are_one_structure(case: Case) -> None:
    """Else every new model compiles everything again."""
    other = case.build(nnx.Rngs(7))
    assert jax.tree.structure(other) == jax.tree.structure(case.module)
    assert nnx.graphdef(other) == nnx.graphdef(case.module)
    assert hash(nnx.graphdef(other)) == hash(nnx.graphdef(case.module))


def test_split_merge_copy_and_vmap(case: Case) -> None:
    inputs = case.draw(jnp.float32)
    expected = jax.jit(case)(case.module, *inputs)
    merged = nnx.merge(*nnx.split(case.module))
    for module in (merged, copy.deepcopy(case.module)):
        np.testing.assert_array_equal(jax.jit(case)(module, *inputs), expected)
    np.testing.assert_allclose(case(case.module, *inputs), expected, atol=1e-5)
    stacked = [jnp.stack([x, x]) for x in inputs]
    mapped = jax.jit(jax.vmap(functools.partial(case, case.module)))(*stacked)
    np.testing.assert_allclose(mapped[1], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_is_kept(case: Case, dtype: jnp.dtype) -> None:
    assert jax.eval_shape(case, case.module, *case.draw(dtype)).dtype == dtype
    with jax.enable_x64(True):
        assert jax.eval_shape(case, case.module, *case.draw(jnp.float64)).dtype == jnp.float64


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


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_computes_in_the_type_that_it_is_told(dtype: jnp.dtype) -> None:
    linear = Linear(REP, OUT, 3, 2, dtype=dtype, rngs=nnx.Rngs(0))
    mlp = MLP((3, 4, 2), dtype=dtype, use_bias=True, rngs=nnx.Rngs(0))
    for other in (jnp.bfloat16, jnp.float32):
        assert jax.eval_shape(linear, jnp.ones((4, REP.dim, 3), other)).dtype == dtype
        assert jax.eval_shape(mlp, jnp.ones((4, 3), other)).dtype == dtype
    half = Linear(REP, OUT, 3, 2, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype(jnp.bfloat16)}


def test_inside_linen(key: jax.Array) -> None:
    linear = nnx.bridge.to_linen(Linear, REP, OUT, 3, 2)
    x = jnp.ones((4, REP.dim, 3))
    variables = linear.init(key, x)
    assert set(variables["params"]) == {"kernel"}
    found = jax.jit(linear.apply)(variables, x)
    assert found.shape == (4, OUT.dim, 2)
    assert_equivariant(functools.partial(linear.apply, variables), REP, OUT, key, channels=3)


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
