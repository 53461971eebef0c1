"""Arrays in long vectors and back."""

import jax
import jax.numpy as jnp
import numpy as np

from equinet.training.packing import Packing

ARRAYS = {
    "b": jnp.arange(3.0),
    "w": jnp.arange(6.0).reshape(2, 3) + 10,
    "half": jnp.ones((2, 2), jnp.bfloat16),
    "scalar": jnp.float32(7),
    "empty": jnp.zeros((0, 4)),
}


def test_round_trip_eager_jit_and_numpy():
    packing = Packing.of(ARRAYS)
    for pack, unpack in [
        (packing.pack, packing.unpack),
        (jax.jit(packing.pack), jax.jit(packing.unpack)),
        (lambda x: {k: np.asarray(v) for k, v in packing.pack(x).items()}, packing.unpack),
    ]:
        again = unpack(pack(ARRAYS))
        assert set(again) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert again[name].dtype == array.dtype
            np.testing.assert_array_equal(np.asarray(again[name]), np.asarray(array))


def test_one_vector_for_every_dtype_and_kind():
    packs = Packing.of(ARRAYS).pack(ARRAYS)
    assert set(packs) == {"float32_vectors", "float32_matrices", "bfloat16_matrices"}
    assert all(pack.shape == (1024,) for pack in packs.values())


def test_shapes_say_what_lies_in_the_vectors():
    shapes = Packing.of(ARRAYS).shapes()
    assert {k: (v.shape, v.dtype) for k, v in shapes.items()} == {
        k: (v.shape, v.dtype) for k, v in ARRAYS.items()
    }


def test_order_does_not_depend_on_the_dictionary():
    assert Packing.of(ARRAYS) == Packing.of(dict(reversed(ARRAYS.items())))
