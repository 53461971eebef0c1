"""A task to start from: change the data, the model and the loss to your own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from equinet import O, Vector, equivariance_error
from equinet.models import EMLP
from equinet.training import (
    Experiment,
    Task,
    TaskConfig,
    array_experiment,
    in_both_precisions,
    masked_mean,
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """``config.data``.

    Attributes:
        samples: Number of samples to train on; as many are tested.
        seed: Seed of the samples.
    """

    samples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``config.model``.

    Attributes:
        channels: Channels of the hidden features.
        layers: Number of hidden layers.
    """

    channels: int = 16
    layers: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MyConfig(TaskConfig):
    """The config of the task; `TaskConfig` adds ``task`` and ``training``.

    Attributes:
        data: The samples.
        model: The network.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()


def make_data(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of four points, ``[samples, 3, 4]``, and their inertia, ``[samples, 9, 1]``."""
    x = np.random.default_rng(seed).normal(size=(samples, 3, 4))
    square = np.einsum("sic,sic->s", x, x)
    inertia = square[:, None, None] * np.eye(3) - np.einsum("sic,sjc->sij", x, x)
    return x.astype(np.float32), inertia.reshape(samples, 9, 1).astype(np.float32)


class MyTask(Task):
    """What the config names as ``task``."""

    Config = MyConfig

    def build(self, config: MyConfig, *, shards: int) -> Experiment:
        """The model, the data, the loss and the metrics."""
        V = Vector(O(3))
        model = EMLP(
            *(V, V**2, 4, 1),
            channels=config.model.channels,
            num_layers=config.model.layers,
            rngs=nnx.Rngs(config.training.seed),
        )
        x, y = make_data(config.data.samples, config.data.seed)
        x_test, y_test = make_data(config.data.samples, config.data.seed + 1)

        def loss(model: EMLP, batch: dict, key: jax.Array) -> tuple:
            errors = jnp.mean((model(batch["x"]) - batch["y"]) ** 2, axis=(-2, -1))
            mse = masked_mean(errors, batch["mask"])
            return mse, {"mse": mse}

        def validate(model: EMLP) -> dict[str, float]:
            return {"mse": float(np.mean((np.asarray(_predict(model, x_test)) - y_test) ** 2))}

        def symmetry(model: EMLP, dtype: Any) -> float:
            options: dict[str, Any] = {"inputs": x_test[:8], "dtype": dtype}
            key = jax.random.key(0)
            return equivariance_error(lambda x: _predict(model, x), V, V**2, key, **options)

        def test(model: EMLP) -> dict[str, Any]:
            errors = in_both_precisions(lambda dtype: symmetry(model, dtype))
            return {"metrics": validate(model), "equivariance_error": errors}

        return array_experiment(
            model,
            {"x": x, "y": y},
            shards=shards,
            loss=loss,
            validate=validate,
            test=test,
            selection="mse",
        )


@jax.jit
def _predict(model: EMLP, x: jax.Array) -> jax.Array:
    return model(x)
