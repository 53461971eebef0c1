"""Learn functions of known symmetry by an equivariant network or a perceptron of equal size."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from equinet.groups import O, OnAxes
from equinet.models import EMLP
from equinet.nn import MLP, SoftEquivariance
from equinet.testing import equivariance_error
from equinet.training import (
    Experiment,
    Task,
    array_experiment,
    count_parameters,
    in_both_precisions,
    masked_mean,
    predict,
)
from experiments.emlp.config import DataConfig, EMLPConfig
from experiments.emlp.data import Data, Problem, Split, make_data, problem

SELECTION = "mse"
SYMMETRIES = {
    "O(3)": O(3),
    "O_xy(2)": OnAxes(O(2), 3, (0, 1)),
    "O_yz(2)": OnAxes(O(2), 3, (1, 2)),
    "O_xz(2)": OnAxes(O(2), 3, (0, 2)),
}


class Perceptron(nnx.Module):
    """A perceptron on all entries of a feature, as wide as a number of parameters allows.

    Args:
        problem: The function that it learns.
        layers: Number of hidden layers.
        parameters: The least number of parameters that it shall have.
        rngs: Key ``params``.
    """

    def __init__(self, problem: Problem, layers: int, parameters: int, *, rngs: nnx.Rngs) -> None:
        ends = problem.rep_in.dim * problem.channels_in, problem.rep_out.dim
        width = next(w for w in itertools.count(1) if _size(ends, layers, w) >= parameters)
        self.rep_out = problem.rep_out
        self.mlp = MLP((ends[0], *(width,) * layers, ends[1]), use_bias=True, rngs=rngs)

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim_out 1"]:
        """Apply it to ``x``, ``[..., rep_in.dim, channels_in]``."""
        return self.mlp(x.reshape(*x.shape[:-2], -1))[..., None]


class SoftModel(nnx.Module):
    """A network of unconstrained layers, and the penalties that make it softly equivariant.

    Args:
        network: An ``EMLP`` of dense layers.
        penalty: The penalties of its deviations from the symmetries.
    """

    def __init__(self, network: EMLP, penalty: SoftEquivariance) -> None:
        self.network, self.penalty = network, penalty

    def __call__(self, x: Float[Array, "... dim channels"]) -> Float[Array, "... dim_out 1"]:
        """Apply the network."""
        return self.network(x)


class EMLPTask(Task):
    """Regression on features of a group."""

    Config = EMLPConfig

    def build(self, config: EMLPConfig, *, shards: int) -> Experiment:
        """Makes the network and draws the data."""
        model, counts = make_model(config)
        data = make_data(config.data)
        return array_experiment(
            model,
            {"x": data.train.x, "y": data.train.y},
            shards=shards,
            loss=squared_error,
            validate=lambda model: {SELECTION: mean_square(model, data.validation)},
            test=lambda model: report(model, data, config.data, counts),
            selection=SELECTION,
            item_name="samples",
            model_spec={"parameters": counts},
        )


def make_model(config: EMLPConfig) -> tuple[nnx.Module, dict[str, int]]:
    """The model of a config, and the numbers of parameters of both models."""
    section, penalty = config.model, config.penalty
    chosen, soft = problem(config.data), config.data.problem == "inertia_soft"

    def equivariant(rngs: nnx.Rngs) -> EMLP:
        return EMLP(
            *(chosen.rep_in, chosen.rep_out, chosen.channels_in, 1),
            channels=section.channels,
            num_layers=section.layers,
            linear="dense" if soft else "equivariant",
            rngs=rngs,
        )

    rngs = nnx.Rngs(config.training.seed)
    size = count_parameters(nnx.eval_shape(lambda: equivariant(nnx.Rngs(0))))

    def perceptron(rngs: nnx.Rngs) -> Perceptron:
        return Perceptron(chosen, section.layers, size, rngs=rngs)

    other = count_parameters(nnx.eval_shape(lambda: perceptron(nnx.Rngs(0))))
    counts = {"equivariant": size, "mlp": other}
    if section.name == "mlp":
        return perceptron(rngs), counts
    if not soft:
        return equivariant(rngs), counts
    weights = SoftEquivariance(
        tuple(SYMMETRIES.values()),
        penalty.weights,
        warmup_steps=penalty.warmup_steps,
        adjust_step=penalty.adjust_step,
        power=penalty.power,
    )
    return SoftModel(equivariant(rngs), weights), counts


def squared_error(
    model: nnx.Module, batch: Mapping[str, Any], key: Array
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean square, and the penalties where the model has some."""
    errors = jnp.mean((model(batch["x"]) - batch["y"]) ** 2, axis=(-2, -1))
    mean = masked_mean(errors, batch["mask"])
    if not isinstance(model, SoftModel):
        return mean, {"mse": mean}
    total, each = model.penalty(model.network)
    named = {f"penalty {name}": value for name, value in zip(SYMMETRIES, each, strict=True)}
    weights = zip(SYMMETRIES, model.penalty.weights[...], strict=True)
    named |= {f"weight {name}": value for name, value in weights}
    return mean + total, {"mse": mean, **named}


@jax.jit
def _predict(model: nnx.Module, x: Array) -> Array:
    return model(x)


def mean_square(model: nnx.Module, split: Split, batch_size: int = 1000) -> float:
    """The mean squared error in standardised units."""
    found = predict(lambda x: _predict(model, x), split.x, batch_size=batch_size)
    return float(np.mean((found.astype(np.float64) - split.y) ** 2))


def report(
    model: nnx.Module, data: Data, section: DataConfig, counts: Mapping[str, int]
) -> dict[str, Any]:
    """Errors on the test samples, and the equivariance error for the group of the problem."""
    square = mean_square(model, data.test)
    y = data.test.y.astype(np.float64)
    spread = float(np.mean((y - y.mean(0)) ** 2))
    extra = {}
    if isinstance(model, SoftModel):
        _, each = nnx.clone(model.penalty)(model.network)
        extra = {
            "penalty_weights": _named(model.penalty.weights[...]),
            "penalties": _named(each),
            "least_penalties": _named(model.penalty.minimum[...]),
        }
    return {
        "metrics": {
            "test_mse": square * data.scale**2,
            "relative_rmse": math.sqrt(square / spread),
        },
        "equivariance_error": in_both_precisions(lambda dtype: symmetry_error(model, data, dtype)),
        "problem": section.problem,
        "model": "mlp" if isinstance(model, Perceptron) else "equivariant",
        "samples": section.samples,
        "parameters_of": dict(counts),
        **extra,
    }


def symmetry_error(model: nnx.Module, data: Data, dtype: Any) -> float:
    """The equivariance error of the model on test samples, for the group of the problem."""
    reps = data.problem.rep_in, data.problem.rep_out
    inputs = data.test.x[:8]
    key = jax.random.key(0)
    return equivariance_error(
        lambda x: _predict(model, x), *reps, key, inputs=inputs, dtype=dtype, num_samples=4
    )


def _size(ends: tuple[int, int], layers: int, width: int) -> int:
    widths = (ends[0], *(width,) * layers, ends[1])
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def _named(values: Array) -> dict[str, float]:
    return {name: float(value) for name, value in zip(SYMMETRIES, values, strict=True)}
