"""One training step, compiled once for every shape of a batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from equinet.training.mesh import replicated, sharded_batch, vector_sharding
from equinet.training.optimizer import average, learning_rate, make_optimizer
from equinet.training.settings import TrainingConfig
from equinet.training.state import Arrays, FlatModel, TrainState

Metrics = dict[str, Array]


class TrainStep:
    """`state, metrics = step(state, batch)`; the old state's memory is given to the new one.

    A step whose loss or gradient is not finite changes nothing but `bad_step`, and neither
    does any step after it: the parameters stay the last good ones until the host looks.

    Args:
        flat: The model.
        loss: The experiment's loss.
        config: Optimiser, schedule and average.
        shardings: Of the state.
        mesh: Of the batch, whose leading axis is split over "data".
    """

    def __init__(
        self,
        flat: FlatModel,
        loss: Callable[..., tuple[Float[Array, ""], Metrics]],
        config: TrainingConfig,
        shardings: TrainState,
        mesh: Mesh,
    ) -> None:
        self.compilations = 0
        self._flat, self._loss, self._config, self._mesh = flat, loss, config, mesh
        self._optimizer = make_optimizer(config)
        self._step = jax.jit(
            self._traced,
            donate_argnums=0,
            in_shardings=(shardings, sharded_batch(mesh)),
            out_shardings=(shardings, replicated(mesh)),
        )

    def __call__(self, state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        """One step: the new state and the metrics, still on the devices."""
        return self._step(state, batch)

    def _traced(self, state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        self.compilations += 1  # runs when JAX traces, once for every new shape
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        gradient = jax.value_and_grad(self._loss_of_params, has_aux=True)
        # Without the barrier every use of a parameter slices the long vector again.
        params = jax.lax.optimization_barrier(self._split(state.params))
        (loss, (metrics, rest)), grads = gradient(params, state.rest, batch, key)
        grads = self._flat.packing.pack(grads)
        norm = optax.tree.norm(grads)
        rate = learning_rate(self._config, state.step)
        new = self._update(state, grads, rest, rate)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        good = finite & (state.bad_step < 0)
        new = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state)
        bad_step = jnp.where(finite | (state.bad_step >= 0), state.bad_step, state.step + 1)
        own = {"loss": loss, "gradient_norm": norm, "learning_rate": rate, "bad_step": bad_step}
        return _replace(new, bad_step=bad_step), metrics | own

    def _split(self, packs: Arrays) -> Arrays:
        params = self._flat.packing.unpack(packs)
        axis = self._config.parameter_axis
        if axis is None:
            return params
        constrain, mesh = jax.lax.with_sharding_constraint, self._mesh
        return {k: constrain(x, vector_sharding(mesh, x.shape, axis)) for k, x in params.items()}

    def _loss_of_params(
        self, params: Arrays, rest: Arrays, batch: PyTree, key: Array
    ) -> tuple[Float[Array, ""], tuple[Metrics, Arrays]]:
        model = self._flat.merge(params, rest)
        loss, metrics = self._loss(model, batch, key)
        for name, value in {"loss": loss, **metrics}.items():
            if jnp.shape(value) != ():
                raise ValueError(f"the loss returned {name!r} of shape {jnp.shape(value)}, not ()")
        return loss, (metrics, self._flat.split(model)[1])

    def _update(
        self, state: TrainState, grads: Arrays, rest: Arrays, rate: Float[Array, ""]
    ) -> TrainState:
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
            updates, opt_state = self._optimizer.update(grads, state.opt_state, state.params)
        params = jax.tree.map(lambda p, u: p - rate.astype(p.dtype) * u, state.params, updates)
        ema = state.ema
        if self._config.ema_decay is not None:
            ema = average(ema, params, state.step, self._config.ema_decay)
        return _replace(
            state, step=state.step + 1, params=params, rest=rest, opt_state=opt_state, ema=ema
        )


def _replace(state: TrainState, **changes: Any) -> TrainState:
    return TrainState(**({name: getattr(state, name) for name in _FIELDS} | changes))


_FIELDS = tuple(TrainState.__dataclass_fields__)
