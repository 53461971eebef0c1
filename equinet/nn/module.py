"""What all layers and models share: options, parameters and the check of inputs."""

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import jax
import numpy as np
from flax import nnx
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from equinet.precision import floating
from equinet.random import normal
from equinet.reps import Rep

Initializer = Callable[..., Array]
"""A function ``(key, shape, dtype) -> array``, such as the initialisers of ``jax.nn``."""


class ModuleOptions(TypedDict, total=False):
    r"""The options that every layer and every model takes, and passes on to the modules it holds.

    The page :doc:`/layers/module_contract` explains them with examples.

    - ``dtype``: Type of the computation; None: the type of the input.
    - ``param_dtype``: Type in which parameters are stored; float32 by default.
    - ``precision``: Precision of matrix products that mix channels, a ``jax.lax.Precision`` or its
      name; None: JAX's default. Geometric contractions always run at the highest precision.
    - ``kernel_init``: Initialiser of the weights that mix channels or paths. Layers multiply their
      weights by the constant that keeps the variance of the input, so an initialiser draws numbers
      of variance one, whatever the shape; the default is the standard normal distribution.
    - ``bias_init``: Initialiser of biases; zeros by default.
    - ``scale_init``: Initialiser of factors of single channels; in a layer norm ones by default.
    - ``kernel_metadata``, ``bias_metadata``, ``scale_metadata``: Metadata of these parameters, as
      in ``flax.nnx.Linear``. An ``"out_sharding"`` names mesh axes and counts from the last axis
      of the parameter, the output channels: ``{"out_sharding": (None, "model")}`` fits kernels of
      every rank. A mesh axis whose size does not divide an axis of the parameter is left out.
    """

    dtype: DTypeLike | None
    param_dtype: DTypeLike
    precision: jax.lax.Precision | str | None
    kernel_init: Initializer
    bias_init: Initializer
    scale_init: Initializer
    kernel_metadata: Mapping[str, Any]
    bias_metadata: Mapping[str, Any]
    scale_metadata: Mapping[str, Any]


class Module(nnx.Module):
    r"""Base class of the layers and models, which implements ``ModuleOptions``.

    The constructor of a subclass first calls ``configure`` and creates its parameters with the
    ``Parameters`` that this returns; its ``__call__`` starts with ``cast``. The page
    :doc:`/howto/add_a_layer` shows a whole layer.

    >>> import jax.numpy as jnp
    >>> class Scale(Module):
    ...     def __init__(self, channels: int, *, rngs: nnx.Rngs, **options):
    ...         self.kernel = self.configure(rngs, options).kernel((channels,))
    ...     def __call__(self, x: Array) -> Array:
    ...         x, kernel = self.cast(x, self.kernel)
    ...         return x * kernel[None]
    >>> Scale(4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).dtype
    dtype(bfloat16)
    """

    dtype: DTypeLike | None = None
    precision: str | None = None

    def configure(self, rngs: nnx.Rngs | None, options: ModuleOptions) -> "Parameters":
        """Store the type of the computation and the precision; return the maker of parameters.

        Args:
            rngs: Random keys, of which the stream ``params`` is used; None if no parameter of the
                module is random.
            options: The options that were passed to the constructor.

        Returns:
            The object that creates the parameters of this module.

        Raises:
            TypeError: If an option is unknown; the error names options of similar spelling.
        """
        _check_names(type(self), options)
        self.dtype = options.get("dtype")
        self.precision = precision_name(options.get("precision"))
        return Parameters(rngs, options)

    def cast(self, x: ArrayLike, *others: ArrayLike | nnx.Variable) -> tuple[Array, ...]:
        """Cast inputs and parameters to the type of the computation.

        It is ``dtype``, or if that is None the type of ``x``; integers become floating.

        Args:
            x: The first input.
            *others: Further inputs and parameters.

        Returns:
            All of them as arrays, in the order of the arguments.
        """
        x = floating(x)
        dtype = self.dtype or x.dtype
        arrays = (x, *(v[...] if isinstance(v, nnx.Variable) else floating(v) for v in others))
        return tuple(array.astype(dtype) for array in arrays)


class Parameters:
    """Creates the parameters of one module; ``Module.configure`` returns it.

    A key is drawn from ``rngs`` for every parameter with random values, in the order of the calls.
    """

    def __init__(self, rngs: nnx.Rngs | None, options: ModuleOptions) -> None:
        self._rngs, self._options = rngs, options
        self.dtype = options.get("param_dtype", np.float32)

    def kernel(
        self, shape: Sequence[int], *, init: Initializer | ArrayLike = normal, scale: float = 1.0
    ) -> nnx.Param:
        """Create weights that mix channels or paths.

        Args:
            shape: Shape of the parameter; its last axis counts the output channels.
            init: Initialiser, or the values themselves, if the user gives no ``kernel_init``.
            scale: Factor that multiplies the initial values.

        Returns:
            The parameter, in ``param_dtype``.
        """
        return self.create("kernel", shape, init, scale)

    def bias(
        self, shape: Sequence[int], *, init: Initializer | ArrayLike = 0.0, scale: float = 1.0
    ) -> nnx.Param:
        """Create a bias; the arguments are the same as for ``kernel``."""
        return self.create("bias", shape, init, scale)

    def scale(self, shape: Sequence[int], *, init: Initializer | ArrayLike = 1.0) -> nnx.Param:
        """Create factors of single channels; the arguments are the same as for ``kernel``."""
        return self.create("scale", shape, init, 1.0)

    def create(
        self, kind: str, shape: Sequence[int], init: Initializer | ArrayLike, scale: float
    ) -> nnx.Param:
        """Create a parameter.

        Args:
            kind: Which options apply: ``"kernel"``, ``"bias"`` or ``"scale"``.
            shape: Shape of the parameter.
            init: Initialiser, or the values themselves, if the user gives none of this kind.
            scale: Factor that multiplies the initial values.
        """
        value = self.values(kind, shape, init)
        value = value if scale == 1 else scale * value
        metadata = self.metadata(kind, value.shape)
        if "out_sharding" in metadata and not isinstance(value, Tracer):
            mesh = jax.sharding.get_mesh()
            if not mesh.empty:  # Flax reshards arrays of the mesh only
                replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
                value = jax.device_put(value, replicated)
        return nnx.Param(value, **metadata)

    def values(self, kind: str, shape: Sequence[int], init: Initializer | ArrayLike) -> Array:
        """Initial values of a parameter; the arguments are the same as for ``create``.

        Raises:
            ValueError: If the values are random and the module has no ``rngs``.
        """
        options: Mapping[str, Any] = self._options
        init = options.get(f"{kind}_init", init)
        if not callable(init):
            # Not `jnp.full`, which XLA compiles for every shape.
            return jax.device_put(np.array(np.broadcast_to(init, tuple(shape)), self.dtype))
        if self._rngs is None:
            raise ValueError(f"{kind}_init draws random numbers: pass rngs=nnx.Rngs(seed)")
        return init(self._rngs.params(), tuple(shape), self.dtype)

    def metadata(self, kind: str, shape: Sequence[int]) -> dict[str, Any]:
        """Metadata of a parameter of this kind and shape, with ``out_sharding`` fitted to them."""
        options: Mapping[str, Any] = self._options
        metadata = dict(options.get(f"{kind}_metadata", {}))
        sharding = metadata.get("out_sharding")
        if sharding is not None and not isinstance(sharding, jax.sharding.Sharding):
            metadata["out_sharding"] = _fitted(tuple(sharding), shape)
        return metadata


def check_feature(x: Array, rep: Rep, channels: int | None = None) -> None:
    """Check that an array is a feature of this representation.

    Args:
        x: The array, expected as ``[..., rep.dim, channels]``.
        rep: The representation of axis -2.
        channels: Expected size of axis -1; None: any size.

    Raises:
        ValueError: If the shape does not fit.

    >>> import jax.numpy as jnp
    >>> from equinet.reps import Irreps
    >>> check_feature(jnp.ones((5, 4, 8)), Irreps("0e+1o"), 8)
    """
    fits = x.ndim >= 2 and x.shape[-2] == rep.dim and channels in (None, x.shape[-1])
    if not fits:
        size = "channels" if channels is None else channels
        raise ValueError(f"expected [..., {rep.dim}, {size}] for {rep}, got {x.shape}")


def along_last(parameter: Array, ndim: int) -> Array:
    """Reshape ``[channels]`` to ``[1, ..., 1, channels]`` with ``ndim`` axes."""
    return parameter.reshape((1,) * (ndim - 1) + (-1,))


def precision_name(precision: jax.lax.Precision | str | None) -> str | None:
    """The name of a precision, as ``jax.default_matmul_precision`` expects it, or None."""
    return precision.name.lower() if isinstance(precision, jax.lax.Precision) else precision


def _check_names(kind: type, options: Mapping[str, Any]) -> None:
    known = list(ModuleOptions.__annotations__)
    for name in options:
        if name not in known:
            parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
            own = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
            near = difflib.get_close_matches(name, [*own, *known])
            hint = (
                f"did you mean {' or '.join(near)}?" if near else f"expected one of {own + known}"
            )
            raise TypeError(f"{kind.__name__} has no option {name!r}: {hint}")


def _fitted(names: tuple[Any, ...], shape: Sequence[int]) -> tuple[Any, ...]:
    """Names of mesh axes for a parameter of this shape, counted from its last axis."""
    rank = len(shape)
    names = (None,) * (rank - len(names)) + names[max(len(names) - rank, 0) :]
    sizes = jax.sharding.get_abstract_mesh().shape

    def fits(name: Any, size: int) -> bool:
        axes = name if isinstance(name, tuple) else (name,)
        return size % math.prod(sizes.get(axis, 1) for axis in axes) == 0

    return tuple(n if fits(n, size) else None for n, size in zip(names, shape, strict=True))
