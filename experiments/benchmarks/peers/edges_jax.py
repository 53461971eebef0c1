"""Messages along edges with e3nn-jax, cuequivariance-jax and e3x: harmonics, then the coupling.

Each is a `Side` of the features of the senders, the edge vectors and the radial weights of every
edge, and for e3x the weights that it shares. Libraries that couple features without parity take
even irreps: all paths that SO(3) allows. The factors stand in the order feature, filter.
"""

from __future__ import annotations

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.harness.sides import Side, found_in
from experiments.benchmarks.peers.so3_jax import (
    cue_polynomial,
    e3nn_jax_grid_product,
    take_older_rule,
)
from experiments.benchmarks.peers.so3_reference import Arrays, all_paths, block

NAMES = ("x", "vectors", "weights")
POLAR_Z = np.array([2, 0, 1])  # e3x's polar axis is z, that of equinet y


def e3nn_jax_messages(lmax: int, data: Arrays) -> Side:
    """The "uvu" product: `tensor_product` of features of many channels with one filter."""
    paths, channels = all_paths(lmax), data["x"].shape[-1]
    order = np.array(sorted(range(len(paths)), key=lambda index: paths[index][2]))
    features = e3nn_jax.Irreps([(channels, (l, 1)) for l in range(lmax + 1)])
    filters = e3nn_jax.Irreps([(1, (l, 1)) for l in range(lmax + 1)])
    keep = [e3nn_jax.Irrep(l, 1) for l in range(lmax + 1)]

    def function(x: jax.Array, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        harmonics = e3nn_jax.spherical_harmonics(e3nn_jax.s2_irreps(lmax), vectors, True).array
        factors = (e3nn_jax.IrrepsArray(features, x), e3nn_jax.IrrepsArray(filters, harmonics))
        terms = e3nn_jax.tensor_product(*factors, filter_ir_out=keep, regroup_output=False)
        sums: dict[int, jax.Array] = {}
        for index, ((_, ir), chunk) in enumerate(zip(terms.irreps, terms.chunks, strict=True)):
            term = chunk * weights[:, index, :, None]
            sums[ir.l] = sums[ir.l] + term if ir.l in sums else term
        return jnp.concatenate([sums[l].reshape(len(x), -1) for l in range(lmax + 1)], axis=-1)

    def own(array: np.ndarray) -> jax.Array:
        parts = [
            np.swapaxes(array[:, block(l)], 1, 2).reshape(len(array), -1) for l in range(lmax + 1)
        ]
        return jnp.asarray(np.concatenate(parts, 1))

    def back(array: jax.Array) -> np.ndarray:
        splits = np.cumsum([channels * (2 * l + 1) for l in range(lmax)])
        parts = np.split(np.asarray(array), splits, axis=1)
        return np.concatenate(
            [np.swapaxes(p.reshape(len(p), channels, -1), 1, 2) for p in parts], axis=1
        )

    return Side(
        library="e3nn-jax",
        function=function,
        inputs=(
            own(data["x"]),
            jnp.asarray(data["vectors"]),
            jnp.asarray(data["weights"][:, order]),
        ),
        cotangent=own(data["cotangent"]),
        found=found_in(back, lambda w: np.asarray(w)[:, np.argsort(order)], np.asarray, NAMES),
    )


def cuequivariance_messages(lmax: int, data: Arrays) -> Side:
    """A channel-wise segmented product with one filter ("uvu"), and its own harmonics."""
    import cuequivariance as cue
    import cuequivariance_jax as cuex

    take_older_rule()
    edges, dim, channels = data["x"].shape
    polynomial = cue_polynomial(lmax, channels, 1)
    harmonics = cue.descriptors.spherical_harmonics(cue.SO3(1), list(range(lmax + 1))).polynomial
    shapes = [jax.ShapeDtypeStruct((edges, size), jnp.float32) for size in (dim, dim * channels)]

    def function(x: jax.Array, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        unit = vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        y = cuex.segmented_polynomial(harmonics, [unit], shapes[:1], method="naive")[0]
        return cuex.segmented_polynomial(polynomial, [weights, x, y], shapes[1:], method="naive")[0]

    def flat(array: np.ndarray) -> jax.Array:
        return jnp.asarray(array).reshape(edges, -1)

    def back(array: jax.Array) -> np.ndarray:
        return np.asarray(array).reshape(edges, -1, channels)

    return Side(
        library="cuequivariance-jax",
        function=function,
        inputs=(flat(data["x"]), jnp.asarray(data["vectors"]), flat(data["weights"])),
        cotangent=flat(data["cotangent"]),
        found=found_in(back, back, np.asarray, NAMES),
    )


def e3x_messages(lmax: int, data: Arrays, *, functions: int = 8) -> Side:
    """What `e3x.nn.MessagePass` does for an edge: a dense layer makes the filter, then `Tensor`.

    Its radial weights are those of a few radial functions on each edge, mixed for every degree and
    channel, and the weights of the paths are shared. `e3x_weights` is what that amounts to.
    """
    import e3x

    channels = data["x"].shape[-1]
    tensor = e3x.nn.Tensor(max_degree=lmax, include_pseudotensors=True, cartesian_order=False)
    dense = e3x.nn.Dense(features=channels, use_bias=False)
    names = [f"{l}{'+' if l % 2 == 0 else '-'}" for l in range(lmax + 1)]

    def function(
        x: jax.Array, vectors: jax.Array, radial: jax.Array, mixing: jax.Array, kernel: jax.Array
    ) -> jax.Array:
        turned = vectors[:, POLAR_Z]
        harmonics = e3x.so3.spherical_harmonics(turned, lmax, cartesian_order=False)
        basis = harmonics[:, None, :, None] * radial[:, None, None, :]
        weights = {name: {"kernel": mixing[l]} for l, name in enumerate(names)}
        filters = dense.apply({"params": weights}, basis)
        z = tensor.apply({"params": {"kernel": kernel}}, filters, x[:, None])
        return jnp.sum(z, axis=-3)

    return Side(
        library="e3x",
        function=function,
        inputs=(
            jnp.asarray(data["x"]),
            jnp.asarray(data["vectors"]),
            *(jnp.asarray(array) for array in _e3x_parts(lmax, data, functions)),
        ),
        cotangent=jnp.asarray(data["cotangent"]),
        found=found_in(np.asarray, None, np.asarray, NAMES),
    )


def _e3x_parts(
    lmax: int, data: Arrays, functions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radial functions `[edges, functions]`, their mixing, and the kernel of the paths."""
    rng = np.random.default_rng(2)
    edges, _, channels = data["x"].shape
    radial = rng.normal(size=(edges, functions)).astype(np.float32)
    mixing = rng.normal(size=(lmax + 1, functions, channels)).astype(np.float32)
    first, second, last = np.array(all_paths(lmax)).T
    kernel = np.zeros((1, lmax + 1, 1, lmax + 1, 2, lmax + 1, channels), np.float32)
    kernel[0, second, 0, first, (first + second) % 2, last] = rng.normal(
        size=(len(first), channels)
    )
    return radial, mixing, kernel


def e3x_weights(lmax: int, data: Arrays, *, functions: int = 8) -> np.ndarray:
    """The weights `[edges, paths, channels]` that `e3x_messages` amounts to."""
    radial, mixing, kernel = _e3x_parts(lmax, data, functions)
    first, second, last = np.array(all_paths(lmax)).T
    filters = np.einsum("ek,lkc->elc", radial, mixing)
    return filters[:, second] * kernel[0, second, 0, first, (first + second) % 2, last]


def e3nn_jax_grid_messages(lmax: int, data: Arrays, *, fft: bool) -> Side:
    """Features and filter multiplied on e3nn-jax's smallest exact grid: weights of the degrees."""
    product = e3nn_jax_grid_product(lmax, fft=fft)

    def function(x: jax.Array, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        y = e3nn_jax.spherical_harmonics(e3nn_jax.s2_irreps(lmax), vectors, True).array
        return product(x, y[:, None], weights)

    def swapped(array: np.ndarray | jax.Array) -> np.ndarray:
        return np.swapaxes(np.asarray(array), 1, 2)

    return Side(
        library="e3nn-jax",
        function=function,
        inputs=(
            jnp.asarray(swapped(data["x"])),
            jnp.asarray(data["vectors"]),
            jnp.asarray(swapped(data["weights"])),
        ),
        cotangent=jnp.asarray(swapped(data["cotangent"])),
        found=found_in(swapped, None, np.asarray, NAMES),
    )
