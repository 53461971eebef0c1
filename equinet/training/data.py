"""The stream of batches: shuffled, read ahead of the step, resumed at the exact position."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int, PyTree

from equinet.precision import read_only
from equinet.training.mesh import local_shards, make_put_batch
from equinet.training.settings import TrainingConfig
from equinet.training.task import Experiment


@functools.lru_cache(maxsize=2)  # a batch lies in two epochs at most, unless they are tiny
def epoch_order(size: int, seed: int, epoch: int) -> Int[np.ndarray, "size"]:
    """The order of the examples in one epoch, read-only.

    >>> sorted(epoch_order(3, 0, 0).tolist())
    [0, 1, 2]
    """
    return read_only(np.random.default_rng((seed, epoch)).permutation(size))


class Batches:
    """Random access to the batches of an endless stream of shuffled epochs.

    Batch i holds the positions [i B, (i + 1) B) of the epochs one after another, so any batch can
    be made at any time by any process: the position in the stream is one number.

    Args:
        examples: Random access to the examples.
        collate: What makes a batch of a list of examples.
        batch_size: Examples in the global batch.
        seed: Of the orders of the epochs.
        length: Batches in all.

    Raises:
        ValueError: There are no examples.
    """

    def __init__(
        self,
        examples: Sequence[Any],
        collate: Callable[[list[Any]], PyTree],
        *,
        batch_size: int,
        seed: int,
        length: int,
    ) -> None:
        if len(examples) == 0:
            raise ValueError("the task's training set is empty: expected one example at least")
        self._examples, self._collate = examples, collate
        self._batch_size, self._seed, self._length = batch_size, seed, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> PyTree:
        return self._collate([self._examples[i] for i in self.indices(index)])

    def indices(self, index: int) -> list[int]:
        """The numbers of the examples in batch `index`."""
        size, start = len(self._examples), index * self._batch_size
        positions = (divmod(i, size) for i in range(start, start + self._batch_size))
        return [int(epoch_order(size, self._seed, epoch)[i]) for epoch, i in positions]


def read_batches(
    experiment: Experiment, config: TrainingConfig, mesh: Mesh
) -> grain.DatasetIterator[tuple[PyTree, int]]:
    """An iterator of (batch on the devices, its items), made and sent ahead in threads.

    `get_state` and `set_state` give and take the position in the stream.
    """
    shards, put_batch = local_shards(mesh), make_put_batch(mesh)
    x64 = jax.config.jax_enable_x64  # threads do not inherit `jax.enable_x64`

    def collate(examples: list[Any]) -> tuple[PyTree, int]:
        with jax.enable_x64(x64):
            batch = experiment.collate(examples, shards)
            return put_batch(batch), int(experiment.items(batch))

    batches = Batches(
        experiment.train,
        collate,
        batch_size=config.batch_size,
        seed=config.seed,
        length=config.steps,
    )
    threads = grain.ReadOptions(
        num_threads=config.read_threads,
        prefetch_buffer_size=config.prefetch if config.read_threads else 0,
    )
    return iter(grain.MapDataset.source(batches).to_iter_dataset(threads))
