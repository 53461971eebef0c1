"""Checkpoints, orbax behind one class: a save is whole or absent, a restore right or an error."""

import contextlib
import errno
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import args as ocp_args

from equinet.training.state import Arrays, check_arrays, checksum


class Checkpoints:
    """Numbered checkpoints of named arrays and a small JSON object, in one folder.

    A save goes on in the background: an error shows at the next call of any method. What was
    not finished when the process died is under a temporary name and is swept away.

    Args:
        folder: Where they lie, `<folder>/<step>/`.
        keep: How many of the latest stay; None for all.
        layout: Shapes and dtypes of the arrays that are packed in what is saved, by name: a
            checkpoint of another layout is refused.
    """

    def __init__(self, folder: Path, keep: int | None = None, layout: Arrays | None = None) -> None:
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # what orbax logs is raised as well
        self.folder, self._layout = folder.resolve(), layout or {}
        with self._saving():
            self.folder.mkdir(parents=True, exist_ok=True)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            cleanup_tmp_directories=True,
            create=False,
            multiprocessing_options=_multiprocessing(self.folder.name),
        )
        handlers = {"arrays": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def steps(self) -> list[int]:
        """The steps of the whole checkpoints, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Starts to save; the arrays may be given away as soon as this returns.

        Raises:
            OSError: This or an earlier save failed; the checkpoints before it are untouched.
        """
        layout = {name: [list(x.shape), x.dtype.name] for name, x in self._layout.items()}
        meta = meta | {"checksum": checksum(arrays), "layout": layout}
        items = ocp_args.Composite(
            arrays=ocp_args.StandardSave(arrays), meta=ocp_args.JsonSave(meta)
        )
        with self._saving():
            self._manager.wait_until_finished()
            self._check_space(arrays)
            saved = self._manager.save(step, args=items, force=True)
        if not saved:
            raise OSError(f"{self.folder} already holds a checkpoint of step {step}")

    def restore(self, step: int, like: Arrays) -> tuple[Arrays, dict[str, Any]]:
        """The arrays, laid out as the shape structs `like` say, and the JSON object.

        Raises:
            ValueError: The arrays are of other names, shapes or dtypes than `like`.
            DamagedCheckpointError: The files are incomplete or altered.
        """
        with self._reading(step):
            metadata = self._manager.item_metadata(step)["arrays"]
            if metadata is None:
                raise ValueError("its list of arrays is missing")
            only_meta = ocp_args.Composite(meta=ocp_args.JsonRestore())
            meta = self._manager.restore(step, args=only_meta)["meta"]
            expected, layout = meta.pop("checksum"), meta.pop("layout")
        packed = {name: jax.ShapeDtypeStruct(*rest) for name, rest in layout.items()}
        check_arrays(packed, self._layout, "the model")
        check_arrays(metadata.tree, like, "this run")
        items = ocp_args.Composite(arrays=ocp_args.StandardRestore(like))
        with self._reading(step):
            arrays = self._manager.restore(step, args=items)["arrays"]
            if checksum(arrays) != expected:
                raise ValueError("the arrays are not the ones that were saved")
        return arrays, meta

    def restore_latest(self, like: Arrays) -> tuple[int, Arrays, dict[str, Any]] | None:
        """The latest checkpoint that is whole; None where there is none at all.

        A damaged one is put aside as `<step>.damaged`, with a warning.

        Raises:
            ValueError: All are damaged, or the arrays do not fit.
        """
        for step in reversed(self.steps()):
            try:
                return step, *self.restore(step, like)
            except DamagedCheckpointError as error:
                if jax.process_count() > 1:  # the others may have read their part: no agreement
                    raise
                logging.getLogger("equinet").warning("%s; trying an earlier one", error)
                aside = self.folder / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / str(step)).rename(aside)
                self._manager.reload()
        if any(self.folder.glob("*.damaged")):
            raise ValueError(f"every checkpoint in {self.folder} is damaged: use a fresh workdir")
        return None

    def delete(self, step: int) -> None:
        """Removes the checkpoint of a step."""
        with self._saving():
            self._manager.wait_until_finished()
            self._manager.delete(step)

    def check(self) -> None:
        """Raises the error of a save that failed in the background (OSError)."""
        with self._saving():
            self._manager.check_for_errors()

    def wait(self) -> None:
        """Returns when the running save is on disk."""
        with self._saving():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then ends the background threads."""
        with self._saving():
            self._manager.close()

    def _check_space(self, arrays: Arrays) -> None:
        """Half a checkpoint helps nobody: sees beforehand that the disk is full."""
        free, needed = shutil.disk_usage(self.folder).free, 2**20
        needed += 2 * sum(x.nbytes for x in arrays.values())
        if free < needed and jax.process_count() == 1:  # several must fail together or not at all
            text = f"{free >> 20} MB free, a checkpoint takes up to {needed >> 20} MB"
            raise OSError(errno.ENOSPC, f"No space left on device ({text})")

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise DamagedCheckpointError(self.folder / str(step), error) from error

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            kept = [path.name for path in self.folder.glob("*") if path.name.isdigit()]
            last = f"step {max(kept, key=int)}" if kept else "none"
            raise OSError(
                f"cannot save a checkpoint in {self.folder}: {_first_line(error)} "
                f"(last good checkpoint: {last})"
            ) from error


class DamagedCheckpointError(ValueError):
    """A checkpoint whose files are incomplete or altered."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(f"the checkpoint {path} is damaged: {_first_line(error)}")


def _multiprocessing(name: str) -> ocp.options.MultiprocessingOptions:
    """Several processes meet by messages, apart for every folder.

    By default they meet by a collective on the devices, which must not cross those of a step.
    """
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    every = set(range(jax.process_count()))
    return ocp.options.MultiprocessingOptions(active_processes=every, barrier_sync_key_prefix=name)


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    if "No space left" in line and not isinstance(error, OSError):
        return "No space left on device"  # tensorstore wraps it in six layers
    return f"{type(error).__name__}: {line[:300]}"
