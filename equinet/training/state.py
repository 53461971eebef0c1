"""A model as named arrays, and the state of a training as one pytree of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import Mesh, Sharding
from jaxtyping import Array, Int32, UInt32

from equinet.training.mesh import put_state, replicated, vector_sharding
from equinet.training.packing import Arrays, Packing


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that a step reads and writes, in few arrays: what a call costs goes with their number.

    Attributes:
        step: Steps done.
        bad_step: The first step whose loss or gradient was not finite, or -1. From then on
            nothing is updated.
        key: Raw random key of the run; the key of a step is folded from it.
        params: The trained parameters, packed into vectors.
        rest: Every other variable of the model by name.
        opt_state: State of the optimiser, on the vectors.
        ema: Moving average of the vectors, empty where none is kept.
    """

    step: Int32[Array, ""]
    bad_step: Int32[Array, ""]
    key: UInt32[Array, "words"]
    params: Arrays
    rest: Arrays
    opt_state: Any
    ema: Arrays


class FlatModel:
    """Splits a model into named arrays and builds it again, without walking it at every step.

    Attributes:
        graphdef: The static part of the model.
        packing: How the parameters lie in the vectors of a `TrainState`.

    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> flat = FlatModel(model)
    >>> params, rest = flat.split(model)
    >>> sorted(params), rest
    (['bias', 'kernel'], {})
    >>> flat.merge(flat.packing.unpack(flat.packing.pack(params)), rest).kernel.shape
    (2, 3)
    """

    def __init__(self, model: nnx.Module) -> None:
        self.graphdef, *states = nnx.split(model, nnx.Param, ...)
        self._names: list[list[str]] = []
        self._trees: list[Any] = []
        self._keys: dict[str, Any] = {}
        for state in states:
            named, tree = _named_leaves(state)
            self._names.append([name for name, _ in named])
            self._trees.append(tree)
            for name, leaf in named:
                if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                    self._keys[name] = jax.random.key_impl(leaf)
        self.packing = Packing.of(self.split(model)[0])

    def split(self, model: nnx.Module) -> tuple[Arrays, Arrays]:
        """Parameters and other variables by name; random keys as raw integers.

        Raises:
            ValueError: The model holds other variables than at first.
        """
        _, *states = nnx.split(model, nnx.Param, ...)
        named = (_named_leaves(state)[0] for state in states)
        params, rest = ({name: self._raw(name, x) for name, x in leaves} for leaves in named)
        for found, expected in zip((params, rest), self._names, strict=True):
            if set(found) != set(expected):
                changed = sorted(set(found) ^ set(expected))
                raise ValueError(f"the loss added or removed variables of the model: {changed}")
        return params, rest

    def merge(self, params: Arrays, rest: Arrays) -> nnx.Module:
        """The model that holds these arrays."""
        return nnx.merge(self.graphdef, *self._states(params, rest))

    def load(self, model: nnx.Module, params: Arrays, rest: Arrays) -> None:
        """Writes the arrays into `model`, in place.

        Raises:
            ValueError: Names, shapes or dtypes are not those of the model.
        """
        for given, own in zip((params, rest), self.split(model), strict=True):
            check_arrays(given, own, "the model")
        for state in self._states(params, rest):
            nnx.update(model, jax.tree.map(jnp.asarray, state))

    def _states(self, *parts: Arrays) -> list[Any]:
        return [
            jax.tree.unflatten(tree, [self._typed(name, part[name]) for name in names])
            for tree, names, part in zip(self._trees, self._names, parts, strict=True)
        ]

    def _raw(self, name: str, leaf: Any) -> Any:
        return jax.random.key_data(leaf) if name in self._keys else leaf

    def _typed(self, name: str, leaf: Any) -> Any:
        if name not in self._keys:
            return leaf
        return jax.random.wrap_key_data(jnp.asarray(leaf), impl=self._keys[name])


def initial_state(
    flat: FlatModel,
    model: nnx.Module,
    optimizer: optax.GradientTransformation,
    seed: int,
    ema: bool,
) -> TrainState:
    """The state before the first step, on the host."""
    params, rest = flat.split(model)
    packs = flat.packing.pack(params)
    return TrainState(
        step=jnp.int32(0),
        bad_step=jnp.int32(-1),
        key=jax.random.key_data(jax.random.key(seed)),
        params=packs,
        rest=rest,
        opt_state=optimizer.init(packs),
        ema=dict(packs) if ema else {},
    )


def state_shardings(state: TrainState, mesh: Mesh, axis: str | None) -> TrainState:
    """The sharding of every array: all vectors by one rule, the rest copied to every device."""

    def shardings(tree: Any) -> Any:
        return jax.tree.map(lambda x: vector_sharding(mesh, np.shape(x), axis), tree)

    whole = jax.tree.map(lambda _: replicated(mesh), state)
    split = {name: shardings(getattr(state, name)) for name in ("params", "opt_state", "ema")}
    return dataclasses.replace(whole, **split)


def place(state: TrainState, shardings: TrainState) -> TrainState:
    """The state of the host, put on the mesh."""
    return put_state(state, shardings)


def named_arrays(tree: Any) -> Arrays:
    """A flat dictionary of the arrays of a pytree, the form in which a checkpoint keeps them."""
    return dict(_named_leaves(tree)[0])


def from_named_arrays(arrays: Arrays, like: Any) -> Any:
    """The pytree built as `like` whose arrays `named_arrays` flattened."""
    named, tree = _named_leaves(like)
    return jax.tree.unflatten(tree, [arrays[name] for name, _ in named])


def check_arrays(given: Arrays, expected: Arrays, owner: str) -> None:
    """Names, shapes and dtypes must agree; orbax would cast a wrong dtype silently.

    Raises:
        ValueError: The first array that differs, what it is and what `owner` wants.
    """
    for name in sorted(set(given) ^ set(expected)):
        side = "lacks" if name in given else "also has"
        raise ValueError(f"saved arrays do not fit: {owner} {side} {name!r}")
    for name, x in expected.items():
        found = (tuple(given[name].shape), np.dtype(given[name].dtype).name)
        wanted = (tuple(x.shape), np.dtype(x.dtype).name)
        if found != wanted:
            raise ValueError(f"saved array {name!r} is {found}, {owner} has {wanted}")


def shape_structs(arrays: Arrays, sharding: Sharding | None = None) -> Arrays:
    """Shapes, dtypes and shardings of arrays: what a checkpoint is restored like."""
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding)
        for name, x in arrays.items()
    }


def checksum(arrays: Arrays) -> int:
    """Sum of all 32-bit words modulo 2^64, the same on any number of devices and processes."""
    on_host = [x for x in arrays.values() if isinstance(x, np.ndarray)]
    on_devices = [x for x in arrays.values() if not isinstance(x, np.ndarray)]
    shards = [shard for x in on_devices for shard in x.addressable_shards]
    total = _sum_of_words([shard.data for shard in shards if shard.replica_id == 0])
    if on_devices and jax.process_count() > 1:
        halves = np.array([total & 0xFFFFFFFF, total >> 32 & 0xFFFFFFFF], np.uint32)
        every = np.asarray(multihost_utils.process_allgather(halves))
        total = sum(int(low) + (int(high) << 32) for low, high in every)
    return (total + _sum_of_words(on_host)) % 2**64


def _sum_of_words(arrays: list[Any]) -> int:
    total = 0
    for array in arrays:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        words = data.view(np.uint32) if data.size % 4 == 0 else data
        total += int(words.sum(dtype=np.uint64))
    return total


def _named_leaves(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        named.append((name.removesuffix(".value"), leaf))
    return named, structure
