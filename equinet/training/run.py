"""A running training: its state, and what happens in each step."""

import collections
import contextlib
import dataclasses
import logging
import math
import time
from typing import Any

import jax
import numpy as np
from flax import nnx

from equinet.training.checkpoint import Checkpoints, DamagedCheckpointError
from equinet.training.data import read_batches
from equinet.training.mesh import make_mesh, to_host
from equinet.training.metrics import MetricsWriter
from equinet.training.optimizer import make_optimizer
from equinet.training.progress import Progress
from equinet.training.settings import TrainingConfig
from equinet.training.state import (
    Arrays,
    FlatModel,
    from_named_arrays,
    initial_state,
    named_arrays,
    place,
    shape_structs,
    state_shardings,
)
from equinet.training.step import Metrics, TrainStep
from equinet.training.task import load_task
from equinet.training.tasks import count_parameters
from equinet.training.workdir import Workdir

_AHEAD = 2  # steps given to the devices and not yet done: enough to keep them busy


@dataclasses.dataclass
class Tally:
    """What a run has used so far, over all its resumptions.

    Attributes:
        seconds: Wall-clock time, without the time of work that a kill lost.
        timed_seconds: Of it, spent in steps that did not compile.
        timed_steps: These steps.
        items: Items in their batches, on this process.
        compilations: Times that the step was compiled.
    """

    seconds: float = 0.0
    timed_seconds: float = 0.0
    timed_steps: int = 0
    items: int = 0
    compilations: int = 0


class Run:
    """A training from its restored state to its last step.

    Args:
        config: The whole config, for the task.
        settings: The engine's section of it.
        folder: The workdir.
        progress: Bar or lines on stderr; see `Progress`.

    Attributes:
        done: Steps done.
    """

    def __init__(
        self, config: Any, settings: TrainingConfig, folder: Workdir, progress: bool | None
    ) -> None:
        self._began, self.settings, self.folder, self.done = time.monotonic(), settings, folder, 0
        mesh = make_mesh(settings)
        self.experiment = load_task(str(config.task)).build(config, shards=mesh.shape["data"])
        parameters = count_parameters(self.experiment.model)
        folder.write_model_spec({"parameters": parameters, **self.experiment.model_spec})
        self.flat = FlatModel(self.experiment.model)
        state = initial_state(
            self.flat,
            self.experiment.model,
            make_optimizer(settings),
            settings.seed,
            settings.ema_decay is not None,
        )
        shardings = state_shardings(state, mesh, settings.parameter_axis)
        self.state = place(state, shardings)
        self.step = TrainStep(self.flat, self.experiment.loss, settings, shardings, mesh)
        self.batches = read_batches(self.experiment, settings, mesh)
        self.tally, self.best_meta = Tally(), dict[str, Any]()
        self._safe_best, self._saved = -1, -1
        self._in_flight = collections.deque[Any]()
        self._shown = (0.0, 0)
        with contextlib.ExitStack() as stack:  # what is open is closed if a later piece fails
            path = folder.path
            keep, layout = settings.keep_checkpoints, self.flat.packing.shapes()
            self.checkpoints = Checkpoints(path / "checkpoints", keep, layout)
            stack.callback(self.checkpoints.close)
            self.best = Checkpoints(path / "best")
            stack.callback(self.best.close)
            self._restore()
            self.writer = MetricsWriter(path, self.done, folder.writes)
            stack.callback(self.writer.close)
            self.progress = Progress(settings.steps, progress, folder.writes)
            stack.callback(self.progress.close)
            self.progress.note(f"parameters: {parameters:,}")
            self.close = stack.pop_all().close
        self._mark = time.perf_counter()

    def advance(self) -> bool:
        """One step and what is due after it; True where all processes are in step to agree."""
        batch, items = next(self.batches)
        compilations, begin = self.step.compilations, time.perf_counter()
        self.state, metrics = self.step(self.state, batch)
        self.done += 1
        if self.step.compilations > compilations:
            jax.block_until_ready(metrics)
            self._mark += time.perf_counter() - begin
        else:
            self.tally.items += items
            self.tally.timed_steps += 1
        self._in_flight.append(metrics["loss"])
        if len(self._in_flight) > _AHEAD:
            self._in_flight.popleft().block_until_ready()
        use = self.settings
        due = [self._due(n) for n in (use.log_every, use.validate_every, use.checkpoint_every)]
        if any(due):
            self._events(metrics, *due)
        return any(due)

    def save(self) -> None:
        """Starts to save a checkpoint of this step, unless it has one."""
        if self._saved == self.done:
            return
        self._add_seconds()
        self.checkpoints.wait()
        self.best.wait()  # a checkpoint names the best model of its time: that one is whole first
        self._prune_best()
        meta = {
            "data": dict(self.batches.get_state()),
            "tally": dataclasses.asdict(self._tally()),
            "best": self.best_meta,
        }
        self.checkpoints.save(self.done, named_arrays(self.state), meta)
        self._saved, self._safe_best = self.done, self.best_meta.get("step", -1)

    def settle(self, metrics: Metrics) -> dict[str, float]:
        """Waits for the running steps and checks whether all were finite.

        Raises:
            FloatingPointError: One was not; it names the step and the last good checkpoint.
        """
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        now = time.perf_counter()
        self.tally.timed_seconds += max(now - self._mark, 0.0)
        bad_step = int(values.pop("bad_step"))
        if bad_step >= 0:
            self.checkpoints.wait()
            steps = self.checkpoints.steps()
            raise FloatingPointError(
                f"loss or gradient is not finite at step {bad_step} (loss {values['loss']} at step "
                f"{self.done}); last good checkpoint: {f'step {steps[-1]}' if steps else 'none'} "
                f"in {self.folder.path}; try a lower training.learning_rate or set "
                "training.gradient_clip_norm"
            )
        return values

    def finish(self) -> dict[str, Any]:
        """The task's final report on the best model, all saves being on disk."""
        self.checkpoints.wait()
        self.best.wait()
        self._safe_best = self.best_meta.get("step", -1)
        self._prune_best()
        return self.experiment.test(self._best_model())

    def summary(self) -> dict[str, Any]:
        """The numbers that the engine itself knows."""
        self._add_seconds()
        tally = self._tally()
        items = tally.items * jax.process_count()
        rate = round(items / tally.timed_seconds, 3) if tally.timed_seconds else None
        return {
            "seed": self.settings.seed,
            "parameters": sum(math.prod(x.shape) for x in self.flat.packing.shapes().values()),
            "seconds": round(tally.seconds, 3),
            "compilations": tally.compilations,
            f"{self.experiment.item_name}_per_second": rate,
            "best_step": self.best_meta.get("step"),
        }

    def _due(self, every: int) -> bool:
        return self.done % every == 0 or self.done == self.settings.steps

    def _events(self, metrics: Metrics, log: bool, validate: bool, checkpoint: bool) -> None:
        values = self.settle(metrics)
        self.checkpoints.check()
        if log:
            self._log(values)
        if validate:
            self._validate()
        if checkpoint:
            self.save()
        self._mark = time.perf_counter()

    def _log(self, values: dict[str, float]) -> None:
        seconds, steps = self._shown
        self._shown = (self.tally.timed_seconds, self.tally.timed_steps)
        rate = (self._shown[1] - steps) / max(self._shown[0] - seconds, 1e-9)
        self._add_seconds()
        timing = {"steps_per_second": rate, "seconds": self.tally.seconds}
        self.writer.write(self.done, "train", values | timing)
        self.progress.show(self.done, f"loss {values['loss']:.4g}", rate)

    def _validate(self) -> None:
        arrays = self._averaged()
        metrics = self.experiment.validate(self._load(arrays))
        metrics = {name: float(value) for name, value in metrics.items()}
        name = self.experiment.selection
        if name not in metrics:
            raise ValueError(f"validate() returned {sorted(metrics)}, not the selection {name!r}")
        self.writer.write(self.done, "validation", metrics)
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        better = metrics[name] < self.best_meta.get("value", math.inf)
        self.progress.note(f"step {self.done}  {numbers}{'  (best)' if better else ''}")
        if better:
            self.best_meta = {"step": self.done, "value": metrics[name], "metrics": metrics}
            self.best.save(self.done, arrays, self.best_meta)

    def _averaged(self) -> Arrays:
        params = self.flat.packing.unpack(to_host(self.state.ema or self.state.params))
        return named_arrays({"params": params, "rest": to_host(self.state.rest)})

    def _best_model(self) -> nnx.Module:
        if self.best_meta:
            try:
                return self._load(self.best.restore(self.best_meta["step"], self._averaged())[0])
            except DamagedCheckpointError as error:
                _warn("%s; the last averaged parameters are tested", error)
        return self._load(self._averaged())

    def _load(self, arrays: Arrays) -> nnx.Module:
        load_arrays(self.flat, self.experiment.model, arrays)
        return self.experiment.model

    def _restore(self) -> None:
        found = self.checkpoints.restore_latest(shape_structs(named_arrays(self.state)))
        if found is not None:
            self.done, arrays, meta = found
            self.folder.refuse_shorter(self.done, self.settings.steps)
            self.state = from_named_arrays(arrays, self.state)
            self.batches.set_state(meta["data"])
            self.tally, self.best_meta = Tally(**meta["tally"]), meta["best"]
            self._saved = self.done
        kept = self.best.steps()
        for step in kept:
            if step > self.done:  # the resumed run will come to it again
                self.best.delete(step)
        if self.best_meta and self.best_meta["step"] not in kept:
            _warn("the best model, of step %s, is gone: starting anew", self.best_meta["step"])
            self.best_meta = {}
        self._safe_best = self.best_meta.get("step", -1)
        self._shown = (self.tally.timed_seconds, self.tally.timed_steps)

    def _prune_best(self) -> None:
        for step in self.best.steps():
            if step < self._safe_best:
                self.best.delete(step)

    def _add_seconds(self) -> None:
        now = time.monotonic()
        self.tally.seconds += now - self._began
        self._began = now

    def _tally(self) -> Tally:
        compilations = self.tally.compilations + self.step.compilations
        return dataclasses.replace(self.tally, compilations=compilations)


def load_arrays(flat: FlatModel, model: nnx.Module, arrays: Arrays) -> None:
    """Writes a flat dictionary, as `best/` holds it, into a model.

    Raises:
        ValueError: The arrays are not those of the model.
    """
    parts: dict[str, dict[str, np.ndarray]] = {"params": {}, "rest": {}}
    for name, array in arrays.items():
        part, _, own = name.partition(".")
        parts[part][own] = array
    flat.load(model, parts["params"], parts["rest"])


def _warn(text: str, *values: Any) -> None:
    logging.getLogger("equinet").warning(text, *values)
