"""Models as named arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from equinet.training.state import (
    FlatModel,
    check_arrays,
    checksum,
    from_named_arrays,
    named_arrays,
)


class Model(nnx.Module):
    def __init__(self, *, rngs):
        self.layers = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.dropout(x)


def test_split_and_merge_give_the_same_function_and_the_same_random_numbers():
    model = Model(rngs=nnx.Rngs(0))
    flat = FlatModel(model)
    params, rest = flat.split(model)
    assert set(params) == {f"layers.{i}.{name}" for i in (0, 1) for name in ("kernel", "bias")}
    assert all(isinstance(x, jax.Array) and x.dtype != "key<fry>" for x in rest.values())
    x = jnp.ones((8, 2))
    again = flat.merge(params, rest)
    np.testing.assert_array_equal(again(x), model(x))
    np.testing.assert_array_equal(again(x), model(x))


def test_load_writes_in_place_and_refuses_other_models():
    model, other = Model(rngs=nnx.Rngs(0)), Model(rngs=nnx.Rngs(1))
    flat = FlatModel(model)
    params, rest = flat.split(other)
    flat.load(model, {k: np.asarray(v) for k, v in params.items()}, rest)
    np.testing.assert_array_equal(model.layers[1].kernel[...], other.layers[1].kernel[...])
    assert isinstance(model.layers[1].kernel[...], jax.Array)
    with pytest.raises(ValueError, match="the model lacks 'extra'"):
        flat.load(model, params | {"extra": params["layers.0.bias"]}, rest)
    with pytest.raises(ValueError, match=r"'layers.0.bias' is \(\(3,\), 'float32'\)"):
        flat.load(model, params | {"layers.0.bias": jnp.zeros(3)}, rest)


def test_check_arrays_sees_the_dtype():
    with pytest.raises(ValueError, match="float16"):
        check_arrays({"x": jnp.zeros(2, jnp.float16)}, {"x": jnp.zeros(2)}, "this run")


def test_named_arrays_come_back_as_the_tree():
    tree = {"a": (jnp.ones(2), None), "b": {"c": jnp.zeros(())}}
    named = named_arrays(tree)
    assert set(named) == {"a.0", "b.c"}
    assert jax.tree.structure(from_named_arrays(named, tree)) == jax.tree.structure(tree)


def test_checksum_sees_one_bit_and_not_the_kind_of_array():
    arrays = {"x": jnp.arange(5.0), "flag": jnp.bool_(True), "half": jnp.ones(3, jnp.bfloat16)}
    on_host = {name: np.asarray(x) for name, x in arrays.items()}
    assert checksum(arrays) == checksum(on_host)
    words = np.arange(5.0, dtype=np.float32).view(np.uint32)
    words[2] ^= 1
    assert checksum(arrays) != checksum(arrays | {"x": jnp.asarray(words.view(np.float32))})
