"""Optimisers, learning rates and the average of the parameters, from the config."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PyTree

from equinet.training.settings import TrainingConfig


def learning_rate(config: TrainingConfig, step: Int32[Array, ""]) -> Float[Array, ""]:
    r"""The learning rate of the step number `step`, counted from 0.

    A linear warm-up over w steps, then with :math:`t = (s - w) / (S - 1 - w)` in [0, 1] and f the
    final fraction: :math:`f + (1 - f)(1 + \cos \pi t)/2` ("cosine"), :math:`1 - (1 - f) t`
    ("linear"), :math:`f^t` ("exponential") or 1, times the peak.

    >>> config = TrainingConfig(steps=101, learning_rate=1.0, final_fraction=0.0)
    >>> [round(float(learning_rate(config, jnp.int32(step))), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    now = step.astype(jnp.float32)
    warm = jnp.minimum((now + 1) / (config.warmup_steps + 1), 1)
    length = max(config.steps - 1 - config.warmup_steps, 1)
    t = jnp.clip((now - config.warmup_steps) / length, 0, 1)
    fraction = config.final_fraction
    shape = {
        "cosine": lambda: fraction + (1 - fraction) * (1 + jnp.cos(jnp.pi * t)) / 2,
        "linear": lambda: 1 - (1 - fraction) * t,
        "exponential": lambda: jnp.exp(t * jnp.log(jnp.float32(fraction))),
        "constant": lambda: jnp.ones_like(t),
    }[config.schedule]()
    return config.learning_rate * warm * shape


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Clipping, then the optimiser, then decoupled decay: updates still to be scaled by -rate.

    They work on the vectors of a `Packing`. The rate is kept out, so that the step scales by
    `learning_rate` of its own counter and reports the very number it used.
    """
    b1, b2, eps = config.beta1, config.beta2, config.epsilon
    core = {
        "adam": lambda: optax.scale_by_adam(b1, b2, eps),
        "adamw": lambda: optax.scale_by_adam(b1, b2, eps),
        "amsgrad": lambda: optax.scale_by_amsgrad(b1, b2, eps),
        "lion": lambda: optax.scale_by_lion(b1, b2),
        "sgd": lambda: optax.trace(decay=b1),
    }[config.optimizer]()
    chain = [core]
    if config.gradient_clip_norm is not None:
        chain.insert(0, optax.clip_by_global_norm(config.gradient_clip_norm))
    if config.weight_decay:
        chain.append(optax.add_decayed_weights(config.weight_decay, mask=_decayed))
    return optax.chain(*chain)


def average(
    ema: PyTree[Float[Array, "..."]],
    params: PyTree[Float[Array, "..."]],
    step: Int32[Array, ""],
    decay: float,
) -> PyTree[Float[Array, "..."]]:
    """The exponential moving average after step number `step`, with a warm-up of the decay.

    `ema + (1 - d) (params - ema)` with `d = min(decay, (1 + step) / (10 + step))`, so that the
    average forgets the random initial parameters early in the run.
    """
    now = step.astype(jnp.float32)
    rest = 1 - jnp.minimum(decay, (1 + now) / (10 + now))
    return jax.tree.map(lambda e, p: e + rest.astype(e.dtype) * (p - e), ema, params)


def _decayed(params: Any) -> Any:
    return {name: name.endswith("_matrices") for name in params}
