"""What every layer and every model promises, tested over one table."""

import copy
import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet import models, nn
from tests.contract.table import LAYERS, MODELS, NOT_MODULES, TABLE, Entry

P = jax.sharding.PartitionSpec
COMPILED = ("EMLP", "Potential")
"""Models whose program is compiled here; that of the others is so by `make test-slow`."""
HAVE_OPTIONS = sorted(name for name, entry in TABLE.items() if entry.options)


@functools.cache
def module_of(name: str, seed: int = 0) -> nnx.Module:
    with jax.enable_x64(False):
        return TABLE[name].build(rngs=nnx.Rngs(seed))


def run(entry: Entry, graphdef: Any, state: Any, *inputs: Any) -> Any:
    return entry.call(nnx.merge(graphdef, state), *inputs)


def floats(tree: Any) -> list[Any]:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert leaves
    return leaves


def stack(*trees: Any) -> Any:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def names(state: Any) -> dict[str, Any]:
    flat = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(state))[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}


def test_table_covers_every_public_layer_and_model() -> None:
    public = {name for name in (*dir(nn), *dir(models)) if name[0].isupper()}
    assert public - NOT_MODULES == set(TABLE)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_structure(name: str) -> None:
    """Two of a kind are one structure with a hash; copies, pickles and abstract ones agree."""
    entry, module = TABLE[name], module_of(name)
    graphdef, state = nnx.split(module)
    other = nnx.graphdef(module_of(name, 1))
    assert (graphdef, hash(graphdef)) == (other, hash(other))
    kinds = {type(x) for x in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, nnx.Variable))}
    assert kinds <= {nnx.Param}
    abstract = nnx.eval_shape(lambda: entry.build(rngs=nnx.Rngs(0)))
    for same in (nnx.merge(graphdef, state), copy.deepcopy(module), abstract):
        assert nnx.graphdef(same) == graphdef
        assert jax.tree.map(jnp.shape, nnx.state(same)) == jax.tree.map(jnp.shape, state)
    loaded = pickle.loads(pickle.dumps(module))
    assert nnx.graphdef(loaded) == graphdef
    jax.tree.map(np.testing.assert_array_equal, nnx.state(loaded), state)


@pytest.mark.parametrize("name", HAVE_OPTIONS)
def test_options(name: str) -> None:
    """Types, initialisers and metadata reach every parameter; unknown options are refused."""
    entry = TABLE[name]
    metadata = {f"{kind}_metadata": {"kind": kind} for kind in ("kernel", "bias", "scale")}
    constant = {
        f"{kind}_init": nnx.initializers.constant(2.0) for kind in ("kernel", "bias", "scale")
    }
    options = {"param_dtype": jnp.bfloat16, "precision": "highest", **metadata, **constant}
    state = nnx.state(entry.build(rngs=nnx.Rngs(0), **options))
    for leaf in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, nnx.Variable)):
        assert leaf.dtype == jnp.bfloat16
        assert leaf.get_metadata("kind") in ("kernel", "bias", "scale")
        assert leaf.size == 0 or np.ptp(np.asarray(leaf[...], np.float32)) < 20
    with pytest.raises(TypeError, match=r"has no option 'kernel_inti': did you mean kernel_init"):
        entry.build(rngs=nnx.Rngs(0), kernel_inti=None)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_types(name: str) -> None:
    """The type of the computation is that of the input, or ``dtype``; promotion is strict."""
    entry, module = TABLE[name], module_of(name)
    call = functools.partial(run, entry, *nnx.split(module))
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            found = floats(jax.eval_shape(call, *entry.inputs(dtype)))
            assert {x.dtype for x in found} == {jnp.dtype(dtype)}
    if entry.options:
        half = entry.build(rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
        found = floats(
            jax.eval_shape(functools.partial(entry.call, half), *entry.inputs(jnp.float32))
        )
        assert {x.dtype for x in found} == {
            jnp.dtype(jnp.float32 if entry.follows else jnp.bfloat16)
        }


def _program(entry: Entry, graphdef: Any, state: Any, single: Any, inputs: Any) -> dict[str, Any]:
    """Everything that must agree, in one compilation."""
    call = functools.partial(run, entry, graphdef)
    leaves, restore = jax.tree.flatten(state)
    weights = iter(range(10**6))

    def loss(leaves: list[Any]) -> Any:
        outputs = floats(jax.checkpoint(call)(jax.tree.unflatten(restore, leaves), *inputs))
        noise = [np.random.default_rng(next(weights)).normal(size=y.shape) for y in outputs]
        total = sum(
            jnp.sum(y * jnp.asarray(w, y.dtype)) for y, w in zip(outputs, noise, strict=True)
        )
        return total, outputs

    (_, remat), gradients = jax.value_and_grad(loss, has_aux=True)(leaves)
    results = {
        "plain": floats(call(state, *inputs)),
        "single": floats(call(state, *single)),
        "vmap": floats(jax.vmap(functools.partial(call, state))(*stack(inputs, inputs))),
        "remat": remat,
        "gradients": jax.tree.unflatten(restore, gradients),
    }
    if entry.homogeneous:
        layers = stack(state, state)
        step = lambda x, layer: (call(layer, x), None)  # noqa: E731
        results["scan"] = floats(jax.lax.scan(step, inputs[0], layers, length=2)[0])
        results["twice"] = floats(call(state, call(state, *inputs)))
    return results


@pytest.mark.parametrize(
    "name",
    [
        *LAYERS,
        *(pytest.param(n, marks=() if n in COMPILED else pytest.mark.slow) for n in MODELS),
    ],
)
def test_transformations_and_gradients(name: str, x64: None) -> None:
    """In float64: jit, vmap, remat, scan over layers, float32, and which gradients are zero."""
    entry, module = TABLE[name], module_of(name)
    graphdef, state = nnx.split(module)
    single, inputs = entry.inputs(jnp.float32), entry.inputs(jnp.float64)
    found = jax.jit(functools.partial(_program, entry, graphdef))(state, single, inputs)
    for index, plain in enumerate(found["plain"]):
        tolerance = 1e-12 * max(1.0, float(jnp.max(jnp.abs(plain))))
        np.testing.assert_allclose(found["vmap"][index][1], plain, atol=tolerance, rtol=1e-9)
        np.testing.assert_allclose(found["remat"][index], plain, atol=tolerance, rtol=1e-9)
        close = 1e-4 * max(1.0, float(jnp.max(jnp.abs(plain))))
        np.testing.assert_allclose(found["single"][index], plain, atol=close)
        assert float(jnp.max(jnp.abs(plain))) > 0
    if entry.homogeneous:
        np.testing.assert_allclose(found["scan"][0], found["twice"][0], rtol=1e-9, atol=1e-12)
    for path, gradient in names(found["gradients"]).items():
        assert np.isfinite(gradient).all(), path
        unused = any(path.startswith(part) for part in entry.no_gradient)
        if not unused and gradient.size:
            assert np.any(gradient), f"no gradient reaches {path}"


@pytest.mark.parametrize("name", sorted(TABLE))
def test_export(name: str) -> None:
    """The whole program is one StableHLO module, without calls back to Python."""
    entry = TABLE[name]
    graphdef, state = nnx.split(module_of(name))
    leaves, structure = jax.tree.flatten((state, entry.inputs(jnp.float32)))

    def flat(*leaves: Any) -> list[Any]:
        state, inputs = jax.tree.unflatten(structure, leaves)
        return floats(run(entry, graphdef, state, *inputs))

    exported = jax.export.export(jax.jit(flat))(*leaves)
    assert "stablehlo" in exported.mlir_module()
    assert len(exported.out_avals) == len(floats(jax.eval_shape(flat, *leaves)))


@pytest.mark.parametrize("name", [n for n in HAVE_OPTIONS if TABLE[n].call is Entry.call])
def test_inside_linen(name: str) -> None:
    """The bridge makes it a Linen module with the same parameters."""
    entry = TABLE[name]
    inputs = entry.inputs(jnp.float32)
    linen = nnx.bridge.ToLinen(entry.build)
    variables = jax.eval_shape(linen.init, jax.random.key(0), *inputs)
    leaves = jax.tree.leaves(variables.get("params", {}))
    expected = [leaf.shape for leaf in jax.tree.leaves(nnx.state(module_of(name)))]
    assert sorted(leaf.shape for leaf in leaves) == sorted(expected)
    found = jax.eval_shape(linen.apply, variables, *inputs)
    assert {x.dtype for x in floats(found)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_shard_map(name: str) -> None:
    """Replicated parameters, one batch a device, gradients summed: it can be traced."""
    entry = TABLE[name]
    graphdef, state = nnx.split(module_of(name))
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    inputs = stack(entry.inputs(jnp.float32))

    def gradients(state: Any, inputs: Any) -> Any:
        inputs = jax.tree.map(lambda x: x[0], inputs)

        def loss(state: Any) -> Any:
            return sum(jnp.sum(y) for y in floats(run(entry, graphdef, state, *inputs)))

        if not jax.tree.leaves(state):
            return jax.lax.psum(loss(state), "data")
        return jax.grad(lambda state: jax.lax.psum(loss(state), "data"))(state)

    mapped = jax.shard_map(gradients, mesh=mesh, in_specs=(P(), P("data")), out_specs=P())
    jax.eval_shape(mapped, state, inputs)
