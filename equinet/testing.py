"""The equivariance check: does ``f(g x)`` equal ``g f(x)``?

Transformations are computed in float64, so that the error is due to ``f`` alone, in the dtype that
``f`` runs in.
"""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from equinet.groups import SO, Group, O
from equinet.random import normal
from equinet.reps import Irrep, Irreps, Rep, Transformable
from equinet.reps import Points as Points
from equinet.reps import WithoutChannels as WithoutChannels
from equinet.typing import DTypeLike, Element, Key, Shape

type Transformation = PyTree[Transformable | str | Irrep | None]
"""How arguments or outputs transform; a string stands for irreps."""

_VACUOUS = "the output is zero throughout, which tests nothing: change the input or the parameters"
_DEFAULT_ATOL = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-2, "bfloat16": 2e-1}


def equivariance_error(
    f: Callable[..., PyTree[Array]],
    rep_in: Transformation,
    rep_out: Transformation,
    key: Key,
    *,
    group: Group | None = None,
    num_samples: int = 8,
    inputs: PyTree[Array] | None = None,
    batch: Shape = (4,),
    channels: int = 2,
    dtype: DTypeLike | None = None,
    perturb: bool = True,
) -> float:
    """The largest error of equivariance: ``max |f(g x) - g f(x)| / RMS(f(x))``.

    The maximum is over ``num_samples`` random elements and the discrete generators of the group
    (the inversion, for O(3)). With several outputs each has its own RMS. For groups that are not
    orthogonal each error is divided by the largest spectral norm of ``g`` in the reps, at least 1.

    Args:
        f: The function or module: from arrays to an array or a pytree of arrays.
        rep_in: How the input transforms; a tuple for several arguments. Each is a rep, a string
            that names irreps, ``Points``, ``WithoutChannels``, anything hashable with ``group`` and
            ``transform``, None for what does not transform, or a pytree of these that is a prefix
            of the input.
        rep_out: How the output transforms, in the same form.
        key: A random key.
        group: The group to test; None stands for the group of the reps. Reps of another group take
            the element itself or its linear part, whichever lies in their group.
        num_samples: Number of random elements.
        inputs: The input, a tuple if ``rep_in`` is one; None draws Gaussian numbers.
        batch: Batch axes of inputs that are drawn.
        channels: Channels of inputs that are drawn.
        dtype: What ``f`` runs in (for float64, 64 bits are enabled); None: the dtype of ``inputs``.
        perturb: Whether the parameters of a Flax NNX module are changed at random first, in a copy.
            A bias that starts at zero would hide that it is not equivariant.

    Returns:
        The error. It is infinite where only ``f(x)`` is zero. Where all outputs are zero it is 0
        and a warning is issued, because then nothing is tested.

    Raises:
        ValueError: If the group is not determined, a rep does not fit it, or an input without a rep
            is to be drawn.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Scalar, Vector
        >>> norm = lambda x: jnp.sum(x**2, axis=-2, keepdims=True)
        >>> equivariance_error(norm, Vector(O(3)), Scalar(O(3)), jax.random.key(0)) < 1e-5
        True
        >>> equivariance_error(norm, "1o", "0o", jax.random.key(0)) > 0.1  # not a pseudoscalar
        True
    """
    report = _measure(
        *(f, rep_in, rep_out, key),
        group=group,
        num_samples=num_samples,
        inputs=inputs,
        batch=batch,
        channels=channels,
        dtype=dtype,
        perturb=perturb,
    )
    if report.vacuous:
        warnings.warn(
            f"{_VACUOUS}: the error of {float(np.max(report.errors))} means nothing", stacklevel=2
        )
    return float(np.max(report.errors))


class _Options(TypedDict, total=False):
    group: Group | None
    num_samples: int
    inputs: PyTree[Array] | None
    batch: Shape
    channels: int
    dtype: DTypeLike | None
    perturb: bool


def assert_equivariant(
    f: Callable[..., PyTree[Array]],
    rep_in: Transformation,
    rep_out: Transformation,
    key: Key,
    *,
    atol: float | None = None,
    **options: Unpack[_Options],
) -> None:
    """Raises unless ``equivariance_error``, with the same arguments, is at most ``atol``.

    Args:
        f: As for ``equivariance_error``.
        rep_in: As for ``equivariance_error``.
        rep_out: As for ``equivariance_error``.
        key: As for ``equivariance_error``.
        atol: The largest error allowed; None stands for 1e-10 in float64, 1e-4 in float32.
        **options: The keyword arguments of ``equivariance_error``.

    Raises:
        AssertionError: Naming the worst element and its error; also if the output is zero
            throughout, which tests nothing.
        ValueError: As for ``equivariance_error``.

    Example:
        >>> from equinet.groups import O
        >>> from equinet.reps import Vector
        >>> V = Vector(O(3))
        >>> assert_equivariant(lambda x: 2 * x, V, V, jax.random.key(0))
        >>> assert_equivariant(lambda x: 2 + x, V, V, jax.random.key(0))
        Traceback (most recent call last):
        ...
        AssertionError: not equivariant under O(3): error ...
    """
    report = _measure(f, rep_in, rep_out, key, **options)
    if report.vacuous:
        raise AssertionError(_VACUOUS)
    allowed = _DEFAULT_ATOL[report.dtype.name] if atol is None else atol
    worst = int(np.argmax(report.errors))  # a NaN counts as the largest
    error = report.errors[worst]
    if not error <= allowed:
        element = jax.tree.map(lambda leaf: leaf[worst], report.elements)
        kind = "discrete generator" if worst >= report.num_random else "random element"
        raise AssertionError(
            f"not equivariant under {report.group}: error {error:.3g} > {allowed:.3g} in "
            f"{report.dtype.name} at the {kind}\n{element}"
        )


@dataclasses.dataclass(frozen=True)
class _Report:
    group: Group
    elements: Element
    errors: Float[np.ndarray, "samples"]
    num_random: int
    vacuous: bool
    dtype: np.dtype


def _measure(
    f: Callable[..., PyTree[Array]],
    rep_in: Transformation,
    rep_out: Transformation,
    key: Key,
    *,
    group: Group | None = None,
    num_samples: int = 8,
    inputs: PyTree[Array] | None = None,
    batch: Shape = (4,),
    channels: int = 2,
    dtype: DTypeLike | None = None,
    perturb: bool = True,
) -> _Report:
    rep_in, rep_out = _read(group, (rep_in, rep_out))
    group = _the_group(group, rep_in, rep_out)
    compute = _compute_dtype(inputs, dtype)
    element_key, input_key = jax.random.split(key)
    f = _perturbed(f, jax.random.fold_in(key, 1)) if perturb else f
    elements = _elements(group, element_key, num_samples)
    if inputs is None:
        inputs = _draw(rep_in, input_key, tuple(batch), channels)
    elif isinstance(rep_in, tuple):
        inputs = tuple(inputs)  # type: ignore[arg-type]
    inputs = _cast(inputs, compute)
    output = _call(f, rep_in, inputs, compute)
    expected = _transform(rep_out, group, elements, output)
    moved = _transform(rep_in, group, elements, inputs)
    count = len(jax.tree.leaves(elements)[0])
    errors = np.zeros(count)
    for k in range(count):
        actual = _call(f, rep_in, _cast(_take(moved, k, inputs), compute), compute)
        errors[k] = _error(actual, _take(expected, k, output), output)
    vacuous = all(not np.any(leaf) for leaf in jax.tree.leaves(output))
    return _Report(
        group,
        elements,
        errors / _amplification((rep_in, rep_out), group, elements),
        num_samples,
        vacuous,
        compute,
    )


def _read(group: Group | None, reps: PyTree[Any]) -> Any:
    """Reads strings as irreps of the group of the other reps, or of O(3) if it has no irreps."""
    named = {leaf.group for leaf in jax.tree.leaves(reps) if not isinstance(leaf, str | Irrep)}
    groups = [g for g in (group, *named) if g is not None and g.linear_group in (O(3), SO(3))]
    known = groups[0] if groups else O(3)

    def read(leaf: Any) -> Any:
        return Irreps(leaf, group=known) if isinstance(leaf, str | Irrep) else leaf

    return jax.tree.map(read, reps)


def _perturbed(f: Any, key: Key) -> Any:
    """A copy of a module with other parameters: a tenth of their size away from where they are."""
    from flax import nnx

    if not isinstance(f, nnx.Module):
        return f
    graph, parameters, rest = nnx.split(f, nnx.Param, ...)
    leaves, structure = jax.tree.flatten(parameters)

    def moved(leaf: Array, key: Key) -> Array:
        if not _is_floating(leaf) or not leaf.size:
            return leaf
        size = jnp.sqrt(jnp.mean(jnp.square(leaf)))
        noise = normal(key, leaf.shape, leaf.dtype)
        return leaf + 0.1 * jnp.where(size == 0, jnp.ones_like(size), size) * noise

    keys = jax.random.split(key, max(1, len(leaves)))
    changed = [moved(leaf, k) for leaf, k in zip(leaves, keys, strict=False)]
    return nnx.merge(graph, jax.tree.unflatten(structure, changed), rest)


def _is_none(rep: Any) -> bool:
    return rep is None


def _leaves(*reps: PyTree[Transformable | None]) -> list[Transformable]:
    return jax.tree.leaves(reps)


def _the_group(group: Group | None, *reps: PyTree[Transformable | None]) -> Group:
    groups = list(dict.fromkeys(rep.group for rep in _leaves(*reps)))
    if group is None and len(groups) != 1:
        found = ", ".join(map(str, groups)) or "none"
        raise ValueError(f"the reps must name one group, got {found}; say which by group=...")
    return groups[0] if group is None else group


def _compute_dtype(inputs: PyTree[Array] | None, dtype: DTypeLike | None) -> np.dtype:
    if dtype is not None:
        return jnp.dtype(dtype)
    floating = [leaf.dtype for leaf in jax.tree.leaves(inputs) if _is_floating(leaf)]
    return jnp.dtype(floating[0] if floating else jnp.result_type(float))


def _is_floating(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Runs what it encloses in float64 on the CPU: accelerators may lack it, or round products."""
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def _elements(group: Group, key: Key, num_samples: int) -> Element:
    """Random elements, then the discrete generators: numpy, stacked along a first axis."""
    with _float64():
        random = group.sample(_on_cpu(key), (num_samples,))
        fixed = group.discrete_generators()
        return jax.tree.map(
            lambda a, b: np.concatenate([np.asarray(a), np.asarray(b, a.dtype)]), random, fixed
        )


def _draw(
    rep_in: PyTree[Transformable | None], key: Key, batch: tuple[int, ...], channels: int
) -> PyTree[Array]:
    leaves, structure = jax.tree.flatten(rep_in, is_leaf=_is_none)
    shapes = [(rep.dim, channels) if isinstance(rep, Rep) else _shape(rep) for rep in leaves]
    with _float64():
        keys = jax.random.split(_on_cpu(key), len(leaves))
        drawn = [
            np.asarray(normal(k, batch + shape)) for k, shape in zip(keys, shapes, strict=True)
        ]
    return jax.tree.unflatten(structure, drawn)


def _shape(rep: Any) -> tuple[int, ...]:
    if not hasattr(rep, "shape"):
        raise ValueError(f"cannot draw an input for {rep}: pass inputs=... for all arguments")
    return rep.shape


def _on_cpu(key: Key) -> Key:
    return jax.device_put(key, jax.local_devices(backend="cpu")[0])


def _cast(tree: PyTree[Array], dtype: np.dtype) -> PyTree[Array]:
    """Floating arrays as numpy of one dtype."""
    return jax.tree.map(lambda a: np.asarray(a).astype(dtype) if _is_floating(a) else a, tree)


def _call(
    f: Callable[..., PyTree[Array]],
    rep_in: PyTree[Transformable | None],
    inputs: PyTree[Array],
    dtype: np.dtype,
) -> PyTree[np.ndarray]:
    wide = contextlib.nullcontext() if dtype != np.float64 else jax.enable_x64(True)
    with wide:
        arrays = jax.tree.map(
            lambda a: jax.device_put(a) if isinstance(a, np.ndarray) else a, inputs
        )
        output = f(*arrays) if isinstance(rep_in, tuple) else f(arrays)
        return jax.tree.map(lambda a: np.asarray(a).astype(np.float64), output)


def _transform(
    reps: PyTree[Transformable | None], group: Group, elements: Element, tree: PyTree[Array]
) -> PyTree[Array]:
    """Every array under a rep acted on by every element, along a new first axis."""

    def act(rep: Transformable | None, subtree: PyTree[Array]) -> PyTree[Array]:
        if rep is None:
            return subtree
        g = _elements_of(rep, group, elements)
        wide = jax.tree.map(lambda a: np.asarray(a).astype(np.float64), subtree)
        return jax.tree.map(lambda x: np.asarray(_act(rep, g, x)), wide)

    with _float64():
        return jax.tree.map(act, reps, tree, is_leaf=_is_none)


@functools.partial(jax.jit, static_argnums=0)
def _act(rep: Transformable, g: Element, x: Array) -> Array:
    return jax.vmap(rep.transform, in_axes=(0, None))(g, x)


def _elements_of(rep: Transformable, group: Group, elements: Element) -> Element:
    """The elements as elements of the rep's group: themselves, or their linear parts."""
    if rep.group == group:
        return elements
    for candidate in (elements, group.linear_part(elements)):
        if np.all(rep.group.contains(candidate)):
            return candidate
    raise ValueError(f"{rep} is a rep of {rep.group}: elements of {group} cannot act on it")


def _take(stacked: PyTree[Array], k: int, single: PyTree[Array]) -> PyTree[Array]:
    """Entry ``k`` of the arrays that were stacked; the others as they are."""
    return jax.tree.map(lambda a, b: a[k] if np.ndim(a) > np.ndim(b) else a, stacked, single)


def _error(actual: PyTree[Array], expected: PyTree[Array], output: PyTree[Array]) -> float:
    def error(a: np.ndarray, b: np.ndarray, reference: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):  # infinity minus infinity is reported, not warned of
            largest = np.max(np.abs(a - b), initial=0.0)
        scale = np.sqrt(np.mean(reference**2)) if reference.size else 1.0
        return 0.0 if largest == 0 else float(np.divide(largest, scale)) if scale else np.inf

    return float(np.max(jax.tree.leaves(jax.tree.map(error, actual, expected, output))))


def _amplification(
    reps: PyTree[Transformable | None], group: Group, elements: Element
) -> Float[np.ndarray, "samples"]:
    """The largest spectral norm of each element in the reps, at least 1."""
    largest = np.ones(len(jax.tree.leaves(elements)[0]))
    if group.is_orthogonal:
        return largest
    with _float64():
        for rep in _leaves(reps):
            g = _elements_of(rep, group, elements)
            matrix = rep.matrix(g) if isinstance(rep, Rep) else rep.group.linear_part(g)
            largest = np.maximum(largest, np.linalg.norm(np.asarray(matrix), 2, axis=(-2, -1)))
    return largest
