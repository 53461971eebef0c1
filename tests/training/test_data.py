"""The stream of batches."""

import grain
import numpy as np
import pytest
from flax import nnx

from equinet.training import Experiment, TrainingConfig
from equinet.training.data import Batches, read_batches
from equinet.training.mesh import make_mesh


def batches(size=7, batch_size=3, seed=0, length=20):
    return Batches(list(range(size)), list, batch_size=batch_size, seed=seed, length=length)


def test_every_epoch_has_every_example_once_in_another_order():
    stream = [example for i in range(14) for example in batches()[i]]
    epochs = [stream[7 * e : 7 * e + 7] for e in range(6)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_order_goes_with_the_seed():
    assert batches()[0] == batches()[0]
    assert [batches(seed=1)[i] for i in range(3)] != [batches(seed=0)[i] for i in range(3)]


def test_a_batch_larger_than_the_data():
    assert sorted(batches(size=2, batch_size=6)[0]) == [0, 0, 0, 1, 1, 1]


def test_no_examples():
    with pytest.raises(ValueError, match="training set is empty"):
        batches(size=0)


def experiment(collate):
    return Experiment(
        model=nnx.Linear(1, 1, rngs=nnx.Rngs(0)),
        model_spec={},
        train=np.arange(11.0, dtype=np.float32),
        collate=collate,
        loss=lambda model, batch, key: (batch.sum(), {}),
        validate=lambda model: {},
        test=lambda model: {},
        selection="x",
        items=np.size,
    )


def stack(examples, shards):
    assert list(shards) == [0]
    return np.stack(examples)[None]


@pytest.mark.parametrize("threads", [0, 2])
def test_the_position_is_exact(threads):
    config = TrainingConfig(batch_size=4, read_threads=threads, mesh=(("data", 1),), steps=30)
    mesh = make_mesh(config)
    iterator = read_batches(experiment(stack), config, mesh)
    first = [np.asarray(next(iterator)[0]) for _ in range(5)]
    position = iterator.get_state()
    rest = [np.asarray(next(iterator)[0]) for _ in range(5)]
    again = read_batches(experiment(stack), config, mesh)
    again.set_state(position)
    np.testing.assert_equal([np.asarray(next(again)[0]) for _ in range(5)], rest)
    assert first[0].shape == (1, 4)
    assert isinstance(iterator, grain.DatasetIterator)
    assert next(iterator)[1] == 4


def test_the_threads_know_of_float64(x64):
    def collate(examples, shards):
        return np.stack(examples)[None].astype(np.float64)

    config = TrainingConfig(mesh=(("data", 1),))
    assert next(read_batches(experiment(collate), config, make_mesh(config)))[0].dtype == np.float64


def test_an_error_of_the_task_comes_through():
    def collate(examples, shards):
        raise ValueError("frame 3 of water.xyz has no energy")

    config = TrainingConfig(mesh=(("data", 1),))
    with pytest.raises(ValueError, match="frame 3"):
        next(read_batches(experiment(collate), config, make_mesh(config)))
