"""When a run stops before its last step: a signal, or the end of its time."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils

REASONS = ("", "SIGTERM", "SIGINT", "max_minutes")


class Interruption:
    """Makes the first SIGTERM or Ctrl-C a request to stop; a second one has its usual effect.

    Args:
        deadline: Time (`time.monotonic`) at which the run is asked to stop; None for never.

    >>> with Interruption(deadline=time.monotonic() - 1) as interruption:
    ...     interruption.reason(agree=True)
    'max_minutes'
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline, self._signal = deadline, ""
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def reason(self, agree: bool) -> str:
        """Why to stop now, "" to go on.

        Args:
            agree: True at a step where every process asks: several processes must stop at the
                same one, so elsewhere the answer is to go on.
        """
        late = self._deadline is not None and time.monotonic() > self._deadline
        reason = self._signal or ("max_minutes" if late else "")
        if jax.process_count() == 1:
            return reason
        if not agree:
            return ""
        own = np.int32(REASONS.index(reason))
        return REASONS[int(np.max(multihost_utils.process_allgather(own)))]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
