"""Products, convolutions of edges and of images on two devices; run by test_sharding.py.

Prints one JSON object: for each case the largest difference between the values and gradients on
two devices and on one.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from equinet.ops.edges import ClebschGordanConvolution, GauntConvolution, SO2Convolution
from equinet.ops.images import convolve_images, depthwise_convolution
from equinet.ops.products import (
    PRODUCTS,
    ClebschGordanProduct,
    ManyBodyGauntProduct,
    tensor_product,
)

REP = "0e+1o"


def random(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape))


def cases() -> dict[str, tuple[Callable, tuple, tuple]]:
    """Functions, the arrays that are split over the devices, and the arrays that all share."""
    found: dict[str, tuple[Callable, tuple, tuple]] = {}
    x = random(4, 4, 3)
    for kind in sorted(PRODUCTS):
        product = tensor_product(kind, REP, REP, REP)
        weights = random(product.num_weights, 3)
        found[kind] = (product, (x,), (random(4, 3), weights))
    mixed = ClebschGordanProduct(REP, REP, REP)
    shape = (mixed.num_weights, 3, 3, 2)
    found["clebsch_gordan uvw"] = (mixed.mix, (x, x + 1), (random(*shape),))
    found["many bodies"] = (ManyBodyGauntProduct((REP, REP), REP), (x, x + 1), ())
    for convolution in (
        ClebschGordanConvolution(REP, REP, REP, method="aligned"),
        GauntConvolution(REP, REP, REP),
        SO2Convolution(REP, REP, 3, 2),
    ):
        shapes = getattr(convolution, "weight_shapes", ())

        def message(x, vectors, radial, *weights, convolution=convolution):
            edges = convolution.edge_features(vectors)
            return convolution.messages(x, edges, radial, weights or None)

        shared = tuple(random(*shape) for shape in shapes)
        split = (x, random(4, 3), random(4, convolution.num_radial, 3))
        found[type(convolution).__name__] = (message, split, shared)
    image = random(2, 8, 8, 2)
    found["image"] = (convolve_images, (image,), (random(3, 3, 2, 3),))
    found["depthwise"] = (lambda x, k: depthwise_convolution(x, k, 2), (image,), (random(3, 3, 2),))
    return found


def differences(kind: AxisType) -> dict[str, Any]:
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    worst = {}
    for name, (function, split, shared) in cases().items():
        if kind == AxisType.Explicit and name in ("image", "depthwise"):
            continue

        def loss(*arrays: jax.Array, function: Callable = function) -> jax.Array:
            return jnp.sum(jnp.sin(function(*arrays)))

        arrays, every = (*split, *shared), range(len(split) + len(shared))
        expected = jax.jit(jax.value_and_grad(loss, tuple(every)))(*arrays)
        if kind == AxisType.Auto:
            rows = PartitionSpec("data")
            on_devices = jax.shard_map(
                lambda *a, loss=loss: jax.lax.psum(loss(*a), "data"),
                mesh=mesh,
                in_specs=(*[rows] * len(split), *[PartitionSpec()] * len(shared)),
                out_specs=PartitionSpec(),
            )
            result = jax.jit(jax.value_and_grad(on_devices, tuple(every)))(*arrays)
        else:
            sharding = NamedSharding(mesh, PartitionSpec("data"))
            with jax.set_mesh(mesh):
                placed = [jax.device_put(a, sharding) for a in split]
                result = jax.jit(jax.value_and_grad(loss, tuple(every)))(*placed, *shared)
                rows = jax.jit(function)(*placed, *shared)
            assert jax.typeof(rows).sharding.spec[0] == "data", (name, jax.typeof(rows))
        pairs = zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True)
        worst[name] = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)
    return worst


if __name__ == "__main__":
    kinds = {"shard_map": AxisType.Auto, "explicit": AxisType.Explicit}
    sys.stdout.write(json.dumps({name: differences(kind) for name, kind in kinds.items()}))
