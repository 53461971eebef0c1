"""The kit for tasks: what most tasks need, so that a task of your own is about 15 lines."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from equinet.training.progress import Progress
from equinet.training.task import Experiment


def array_experiment(
    model: nnx.Module,
    arrays: Mapping[str, np.ndarray],
    *,
    shards: int,
    **options: Any,
) -> Experiment:
    """An experiment whose training examples are the rows of arrays.

    A batch holds for each array the chosen rows, ``[shards, rows, ...]``, and ``"mask"``,
    ``[shards, rows]``: 1 for examples, 0 for copies that fill up the last shard.

    Args:
        model: The initialised model.
        arrays: Arrays by name with one row an example.
        shards: The number of shards of each batch, as `Task.build` is given it.
        **options: The other attributes of `Experiment`: `loss`, `validate`, `test`, `selection`.

    Raises:
        ValueError: The arrays have different numbers of rows, or one is called "mask".

    >>> import numpy as np
    >>> from flax import nnx
    >>> experiment = array_experiment(
    ...     nnx.Linear(2, 1, rngs=nnx.Rngs(0)), {"x": np.zeros((5, 2))}, shards=2,
    ...     loss=lambda *_: None, validate=dict, test=dict, selection="mse",
    ... )
    >>> batch = experiment.collate([4, 0, 2], range(2))
    >>> batch["x"].shape, batch["mask"].tolist()
    ((2, 2, 2), [[1.0, 1.0], [1.0, 0.0]])
    """
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) != 1 or "mask" in arrays:
        raise ValueError(
            f"arrays: expected the same number of rows in each and none named mask, got {rows}"
        )

    def collate(examples: Sequence[int], which: range) -> dict[str, np.ndarray]:
        index, mask = split_shards(len(examples), which, shards)
        chosen = np.asarray(examples)[index]
        return {**{name: array[chosen] for name, array in arrays.items()}, "mask": mask}

    return Experiment(
        model=model, train=range(next(iter(rows.values()))), collate=collate, **options
    )


def split_shards(
    count: int, which: range, shards: int
) -> tuple[Int[np.ndarray, "rows size"], Float[np.ndarray, "rows size"]]:
    """Splits a batch into shards of equal size, the last ones filled up with copies.

    Args:
        count: Examples in the batch.
        which: The numbers of the shards to build.
        shards: The number of all shards.

    Returns:
        The indices of the examples of each shard, and a mask that is 0 for the copies, float32.

    >>> index, mask = split_shards(5, range(3), 3)
    >>> index.tolist(), mask.sum()
    ([[0, 1], [2, 3], [4, 4]], np.float32(5.0))
    """
    size = -(-count // shards)
    index = np.arange(shards * size).reshape(shards, size)[list(which)]
    mask = (index < count).astype(np.float32)
    return np.minimum(index, count - 1), mask


def masked_mean(values: Float[Array, "..."], mask: Float[Array, "..."]) -> Float[Array, ""]:
    r"""The mean over the entries that the mask keeps, over all shards.

    .. math:: \frac{\sum_i m_i v_i}{\sum_i m_i}

    Args:
        values: One number an example.
        mask: 1 or 0 for each, of the same shape.

    >>> import jax.numpy as jnp
    >>> float(masked_mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0])))
    2.0
    """
    return jnp.sum(values * mask) / jnp.sum(mask)


def predict(function: Callable[..., Any], *arrays: np.ndarray, batch_size: int = 100) -> np.ndarray:
    """The values of a function on all rows of some arrays, in slices of one size.

    The last slice is filled up with copies of its last row, so that a compiled function is
    compiled once.

    Args:
        function: From slices of the arrays to an array with one row for each row of a slice.
        arrays: Arrays with the same number of rows.
        batch_size: Rows of a slice.

    Returns:
        The results of all rows, on the host.

    >>> import numpy as np
    >>> predict(lambda x: 2 * x, np.arange(5.0), batch_size=2)
    array([0., 2., 4., 6., 8.])
    """
    count = len(arrays[0])
    size = max(min(batch_size, count), 1)
    found = []
    with Progress(count, unit="prediction", delay=2.0) as progress:
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            part = slice(start, start + size) if start + size <= count else rows
            found.append(np.asarray(function(*(array[part] for array in arrays))))
            progress.show(min(start + size, count))
    return np.concatenate(found)[:count]


def in_both_precisions[T](error: Callable[[Any], T]) -> dict[str, T]:
    """An error that is computed in float32 and in float64, under the names of a report.

    Args:
        error: From a type to the error in that type.

    >>> in_both_precisions(lambda dtype: float(np.finfo(dtype).eps) > 1e-10)
    {'float32': True, 'float64': False}
    """
    return {np.dtype(dtype).name: error(dtype) for dtype in (np.float32, np.float64)}


def count_parameters(model: nnx.Module) -> int:
    """The number of trained numbers of a model; abstract models are counted too.

    >>> from flax import nnx
    >>> count_parameters(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    9
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
