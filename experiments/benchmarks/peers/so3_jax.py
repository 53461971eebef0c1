"""Tensor products of e3nn-jax, cuequivariance-jax and e3x, each in its own layout and order.

They run in the process of the benchmark, in our environment. Each is a `Side`, a function of two
factors and weights, with the way back to equinet's layout and order for the comparison. Whatever
only sorts or places weights is done before the timing. The libraries of the extra `peers` are
imported where they are used: without one, the others still run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
from jax._src.interpreters import partial_eval

from experiments.benchmarks.harness.race import WorkerError
from experiments.benchmarks.harness.sides import Side, found_in
from experiments.benchmarks.peers.so3_reference import Arrays, all_paths, natural_paths

E3X_DEGREE = 15  # of the table of Clebsch-Gordan coefficients that e3x ships


def _swap(array: Any) -> Any:
    return jnp.swapaxes(jnp.asarray(array), -1, -2)


def _swapped(array: Any) -> np.ndarray:
    return np.swapaxes(np.asarray(array), -1, -2)


def e3nn_jax_product(lmax: int, data: Arrays) -> Side:
    """`e3nn_jax.tensor_product` with a multiplicity of one, channels as a batch axis.

    Its paths are not summed (`regroup_output=False`, which is the faster way), so scaling and
    sum are done here.
    """
    paths = all_paths(lmax)
    order = np.array(sorted(range(len(paths)), key=lambda index: paths[index][2]))
    irreps = e3nn_jax.Irreps([(1, (l, 1)) for l in range(lmax + 1)])
    keep = [e3nn_jax.Irrep(l, 1) for l in range(lmax + 1)]

    def function(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        factors = (e3nn_jax.IrrepsArray(irreps, array) for array in (x, y))
        terms = e3nn_jax.tensor_product(*factors, filter_ir_out=keep, regroup_output=False)
        sums: dict[int, Any] = {}
        for index, ((_, ir), chunk) in enumerate(zip(terms.irreps, terms.chunks, strict=True)):
            term = chunk[..., 0, :] * weights[..., index, None]
            sums[ir.l] = sums[ir.l] + term if ir.l in sums else term
        return jnp.concatenate([sums[l] for l in range(lmax + 1)], axis=-1)

    return Side(
        library="e3nn-jax",
        function=function,
        inputs=(_swap(data["x"]), _swap(data["y"]), _swap(data["weights"][..., order, :])),
        cotangent=_swap(data["cotangent"]),
        found=found_in(_swapped, lambda array: _swapped(array)[..., np.argsort(order), :]),
    )


def take_older_rule() -> None:
    """cuequivariance-jax 0.13 has the rule for unused outputs that JAX called before 0.12."""
    from cuequivariance_jax.segmented_polynomials import segmented_polynomial as cuex_polynomial

    def rule(used: list[bool], live: list[bool], equation: Any) -> Any:
        del live
        return cuex_polynomial.segmented_polynomial_dce(used, equation)

    partial_eval.dce_rules[cuex_polynomial.segmented_polynomial_p] = rule


@functools.cache
def cue_polynomial(lmax: int, channels: int, channels_y: int) -> Any:
    """All paths of weights, x and y into the result; y has all channels or one."""
    import cuequivariance as cue

    second = "ju" if channels_y == channels else "j"
    product = cue.SegmentedTensorProduct.from_subscripts(f"u,iu,{second},ku+ijk")
    for l in range(lmax + 1):
        product.add_segment(1, (2 * l + 1, channels))
        product.add_segment(2, (2 * l + 1, channels) if second == "ju" else (2 * l + 1,))
        product.add_segment(3, (2 * l + 1, channels))
    for a, b, c in all_paths(lmax):
        table = cue.SO3.clebsch_gordan(cue.SO3(a), cue.SO3(b), cue.SO3(c))[0]
        product.add_path(None, a, b, c, c=table * np.sqrt(2 * c + 1))
    return cue.SegmentedPolynomial.eval_last_operand(product)


def cuequivariance_product(lmax: int, data: Arrays) -> Side:
    """A channel-wise segmented tensor product of all paths; "naive" is the method for the CPU."""
    import cuequivariance_jax as cuex

    take_older_rule()
    rows, dim, channels = data["cotangent"].shape
    polynomial = cue_polynomial(lmax, channels, data["y"].shape[-1])
    shape = [jax.ShapeDtypeStruct((rows, dim * channels), jnp.float32)]

    def function(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        return cuex.segmented_polynomial(polynomial, [weights, x, y], shape, method="naive")[0]

    def flat(array: np.ndarray) -> jax.Array:
        lead = array.shape[0] if array.ndim == 3 else 1
        return jnp.asarray(array).reshape(lead, -1)

    def unflat(array: Any) -> np.ndarray:
        return np.asarray(array).reshape(rows, dim, -1)

    return Side(
        library="cuequivariance-jax",
        function=function,
        inputs=(flat(data["x"]), flat(data["y"]), flat(data["weights"])),
        cotangent=flat(data["cotangent"]),
        found=found_in(unflat, lambda array: np.asarray(array).reshape(data["weights"].shape)),
    )


def e3x_product(lmax: int, data: Arrays, *, pseudotensors: bool = True) -> Side:
    """`e3x.nn.Tensor` of features without pseudotensors.

    Args:
        lmax: The degree.
        data: The inputs.
        pseudotensors: With them all paths of SO(3) are there, half of them in the other parity,
            and the parities are added; without them it is half of the paths.

    Raises:
        WorkerError: If e3x has no table to this degree.
    """
    import e3x

    _check_e3x_degree(lmax)

    paths, chosen = all_paths(lmax), all_paths(lmax) if pseudotensors else natural_paths(lmax)
    tensor = e3x.nn.Tensor(
        max_degree=lmax, include_pseudotensors=pseudotensors, cartesian_order=False
    )
    first, second, last = np.array(chosen).T
    parity = (first + second) % 2 if pseudotensors else np.zeros_like(first)
    picked = np.array([paths.index(path) for path in chosen])
    channels = data["x"].shape[-1]
    kernel = np.zeros((1, lmax + 1, 1, lmax + 1, 1 + pseudotensors, lmax + 1, channels), np.float32)
    kernel[0, first, 0, second, parity, last] = data["weights"][picked]

    def function(x: jax.Array, y: jax.Array, kernel: jax.Array) -> jax.Array:
        z = tensor.apply({"params": {"kernel": kernel}}, x[:, None], y[:, None])
        return jnp.sum(z, axis=-3) if pseudotensors else z[:, 0]

    return Side(
        library="e3x" if pseudotensors else "e3x (half of the paths)",
        version_of="e3x",
        function=function,
        inputs=(jnp.asarray(data["x"]), jnp.asarray(data["y"]), jnp.asarray(kernel)),
        cotangent=jnp.asarray(data["cotangent"]),
        found=found_in(
            np.asarray, lambda array: np.asarray(array)[0, first, 0, second, parity, last]
        ),
    )


def _check_e3x_degree(lmax: int) -> None:
    if lmax > E3X_DEGREE:
        raise WorkerError(
            f"left out: e3x comes with Clebsch-Gordan coefficients to degree {E3X_DEGREE} and "
            "computes others one by one with sympy, which did not end in ten minutes"
        )


def e3x_fused(lmax: int, data: Arrays) -> Side:
    """`e3x.nn.FusedTensor`, with the weights that it has: of degrees, not of paths.

    Raises:
        WorkerError: If e3x has no table to this degree.
    """
    import e3x

    _check_e3x_degree(lmax)
    tensor = e3x.nn.FusedTensor(max_degree=lmax, cartesian_order=False)
    x, y = jnp.asarray(data["x"]), jnp.asarray(data["y"])
    weights = jax.jit(tensor.init)(jax.random.key(0), x[:, None], y[:, None])

    def function(x: jax.Array, y: jax.Array, weights: Any) -> jax.Array:
        return jnp.sum(tensor.apply(weights, x[:, None], y[:, None]), axis=-3)

    return Side(
        library="e3x.FusedTensor",
        version_of="e3x",
        function=function,
        inputs=(x, y, weights),
        cotangent=jnp.asarray(data["cotangent"]),
        found=found_in(np.asarray, None),
    )


def e3nn_jax_grid_product(lmax: int, *, fft: bool) -> Callable[..., jax.Array]:
    """Multiply on e3nn-jax's grid, the smallest one that is exact, with weights of the degrees.

    The result is `from_s2grid` of the product of two `to_s2grid`, the Gaunt product.

    Args:
        lmax: The degree.
        fft: Fourier transforms along the circles, or dense products.
    """
    irreps = e3nn_jax.s2_irreps(lmax)
    rows, columns = (3 * lmax + 2) // 2, 3 * lmax + 1 + (3 * lmax) % 2
    degrees = np.arange(3 * (lmax + 1))  # those of x, of y and of the result
    owners = np.repeat(degrees, 2 * (degrees % (lmax + 1)) + 1)

    def to_grid(x: jax.Array) -> Any:
        features = e3nn_jax.IrrepsArray(irreps, x)
        return e3nn_jax.to_s2grid(features, rows, columns, quadrature="gausslegendre", fft=fft)

    def product(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        w1, w2, w3 = jnp.split(weights[..., owners], 3, -1)
        signal = to_grid(x * w1) * to_grid(y * w2)
        return e3nn_jax.from_s2grid(signal, irreps, fft=fft).array * w3

    return product


def e3nn_jax_grid(lmax: int, data: Arrays, *, fft: bool) -> Side:
    """That product as a contender; the `weights` are those of the degrees."""
    return Side(
        library="e3nn-jax (fft)" if fft else "e3nn-jax",
        function=e3nn_jax_grid_product(lmax, fft=fft),
        inputs=tuple(_swap(data[name]) for name in ("x", "y", "weights")),
        cotangent=_swap(data["cotangent"]),
        found=found_in(_swapped, _swapped),
        version_of="e3nn-jax",
    )
