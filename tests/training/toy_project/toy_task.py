"""A linear regression: the smallest task that uses all of the engine."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from equinet.training import Experiment, Task, TaskConfig, load_best, load_model_spec


class Model(nnx.Module):
    """A line through 8 channels, with a variable that is not trained."""

    def __init__(self, channels, dropout, *, rngs):
        self.linear = nnx.Linear(8, channels, rngs=rngs)
        self.calls = nnx.BatchStat(jnp.zeros(()))
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x):
        self.calls[...] = self.calls[...] + 1.0
        return self.linear(self.dropout(x))


class Examples:
    """Random access to pairs (x, y), of which reading one may kill the process or be broken."""

    def __init__(self, size, bad):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(size, 8)).astype(np.float32)
        self.y = self.x @ rng.normal(size=(8, 4)).astype(np.float32) + 1
        if bad >= 0:
            self.y[bad] = np.nan
        self.kill_after = int(os.environ.get("TOY_KILL_AFTER", -1))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.kill_after -= 1
        if self.kill_after == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.x[i], self.y[i]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyConfig(TaskConfig):
    size: int = 40
    bad_example: int = -1
    dropout: float = 0.1
    widths: tuple[int, ...] = (8, 4)
    data_dir: str | None = None


class ToyTask(Task):
    """What `config.task` names."""

    Config = ToyConfig

    def build(self, config, *, shards):
        examples = Examples(config.size, config.bad_example)

        def collate(batch, which):
            parts = np.array_split(np.arange(len(batch)), shards)
            most = max(len(part) for part in parts)
            x = np.zeros((len(which), most, 8), np.float32)
            y = np.zeros((len(which), most, 4), np.float32)
            mask = np.zeros((len(which), most), np.float32)
            for row, shard in enumerate(which):
                for column, i in enumerate(parts[shard]):
                    x[row, column], y[row, column] = batch[i]
                    mask[row, column] = 1
            return {"x": x, "y": y, "mask": mask}

        def loss(model, batch, key):
            error = jnp.sum((model(batch["x"]) - batch["y"]) ** 2, axis=-1)
            noise = 0.0 * jax.random.normal(key)
            value = jnp.sum(error * batch["mask"]) / jnp.sum(batch["mask"]) + noise
            return value, {"half": value / 2}

        def validate(model):
            model = nnx.view(model, deterministic=True)
            return {"mse": float(jnp.mean((model(examples.x) - examples.y) ** 2))}

        model = Model(4, config.dropout, rngs=nnx.Rngs(config.training.seed))
        return Experiment(
            model=model,
            model_spec={"channels": 4},
            train=examples,
            collate=collate,
            loss=loss,
            validate=validate,
            test=lambda model: {"metrics": validate(model), "equivariance_error": {"float32": 0.0}},
            selection="mse",
            items=lambda batch: int(batch["mask"].sum()),
        )

    def evaluate(self, config, workdir, data):
        if data is not None:
            raise FileNotFoundError(f"no data file {data}")
        model = Model(load_model_spec(workdir)["channels"], 0.0, rngs=nnx.Rngs(0))
        best = load_best(workdir, model)
        examples = Examples(config.size, -1)
        model = nnx.view(model, deterministic=True)
        mse = jnp.mean((model(examples.x) - examples.y) ** 2)
        return {"metrics": {"mse": float(mse)}, "best_step": best["step"]}
