"""Progress on stderr: a bar on a terminal, else a line now and then."""

import contextlib
import contextvars
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, Self, TextIO

_WIDTH = 24  # characters of a bar
_BARS: contextvars.ContextVar[bool | None] = contextvars.ContextVar("bars", default=None)


@contextlib.contextmanager
def progress_bars(bars: bool | None) -> Iterator[None]:
    """Decides about the bars of all `Progress` that is made inside.

    Args:
        bars: True for bars, False for lines now and then, None for a bar on a terminal only.

    >>> with progress_bars(False):
    ...     pass
    """
    token = _BARS.set(bars)
    try:
        yield
    finally:
        _BARS.reset(token)


class Progress:
    r"""How far a piece of work is: a bar that rewrites itself on a terminal, else lines.

    Args:
        total: Number of units of the whole work.
        bar: True for a bar, False for lines, None for what `progress_bars` says, without which a
            bar is shown on a terminal only.
        active: False on every process but the first, where nothing is written.
        stream: Where to write; stderr if it is None.
        unit: What is counted, "step" or "configuration".
        delay: Seconds before which nothing is shown: short work stays silent.

    >>> import io
    >>> stream = io.StringIO()
    >>> with Progress(4, bar=False, stream=stream, unit="frame") as progress:
    ...     progress.show(2, rate=1.0)
    >>> stream.getvalue()
    'frame 2/4  1 frames/s  left 0:00:02\n'
    """

    def __init__(
        self,
        total: int,
        bar: bool | None = None,
        active: bool = True,
        stream: TextIO | None = None,
        *,
        unit: str = "step",
        delay: float = 0.0,
    ) -> None:
        self._total, self._active, self._unit, self._delay = total, active, unit, delay
        self._stream = stream or sys.stderr
        bar = _BARS.get() if bar is None else bar
        self._bar = self._stream.isatty() if bar is None else bar
        self._began, self._last, self._open = time.monotonic(), -math.inf, False

    def show(
        self, done: int, note: str = "", rate: float | None = None, interval: float = 10.0
    ) -> None:
        """Shows what is done, a note, the rate and the time that is left.

        Args:
            done: Number of units that are done.
            note: Text beside it, "loss 0.31".
            rate: Units a second; the average so far if it is None.
            interval: Seconds between two lines; a bar is drawn ten times a second at most.
        """
        now = time.monotonic()
        least = 0.1 if self._bar else interval
        soon = now - self._last < least < math.inf and done < self._total
        if not self._active or soon or now - self._began < self._delay:
            return
        self._last = now
        rate = done / max(now - self._began, 1e-9) if rate is None else rate
        left = _clock((self._total - done) / rate) if rate > 0 else "?"
        parts = [f"{self._unit} {done}/{self._total}", note]
        parts += [f"{rate:.3g} {self._unit}s/s", f"left {left}"]
        text = "  ".join(part for part in parts if part)
        if self._bar:
            filled = int(_WIDTH * done / max(self._total, 1))
            text = f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}\x1b[K"
        self._open = self._bar
        self._stream.write(text if self._bar else text + "\n")
        self._stream.flush()

    def note(self, text: str) -> None:
        """Writes one line below the bar."""
        if self._active:
            self._stream.write(("\n" if self._open else "") + text + "\n")
            self._stream.flush()
            self._open = False

    def close(self) -> None:
        """Ends the line of the bar."""
        if self._open:
            self._stream.write("\n")
            self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
