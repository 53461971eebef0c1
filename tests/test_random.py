"""Normal numbers: those of JAX, whatever the shape, compiled or not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinet import random

SHAPES = [(), (0, 3), (1023,), (1024,), (1025,), (3, 5, 7, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_the_numbers_are_those_of_jax(shape, dtype, key, x64):
    found = random.normal(key, shape, dtype)
    assert (found.shape, found.dtype) == (shape, dtype)
    np.testing.assert_array_equal(found, jax.random.normal(key, shape, dtype))


def test_inside_jit_and_vmap_as_outside(key):
    draw = functools.partial(random.normal, shape=(3, 5))
    np.testing.assert_allclose(jax.jit(draw)(key), draw(key), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda: draw(key))(), draw(key), rtol=1e-6)
    assert jax.eval_shape(lambda: draw(key)).shape == (3, 5)
    keys = jax.random.split(key, 2)
    each = jnp.stack([draw(k) for k in keys])
    np.testing.assert_allclose(jax.vmap(draw)(keys), each, rtol=1e-6)


def test_large_draws_are_not_rounded_up(key, monkeypatch):
    monkeypatch.setattr(random, "_MOST", 2000)
    few = random.normal(key, (50, 41))
    monkeypatch.setattr(random, "_MOST", 4000)
    np.testing.assert_array_equal(few, random.normal(key, (50, 41)))


def test_shapes_of_one_size_class_compile_once(key, caplog):
    random.normal(key, (7, 3))
    with jax.log_compiles():
        for n in range(2, 12):
            assert random.normal(key, (n, 11)).shape == (n, 11)
        assert "Compiling" not in caplog.text
        jax.random.normal(key, (13, 11))  # which does compile for a new shape
    assert "Compiling" in caplog.text
