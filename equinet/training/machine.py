"""What a result says about the machine that it was computed on."""

import ctypes
import importlib
import sys
from typing import Any

import jax


def machine() -> dict[str, Any]:
    """The peak of the memory so far, of the device or else of this process, and the device's name.

    The peak is None where the system does not say it.

    >>> sorted(machine())
    ['device', 'peak_memory_mb']
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use", _peak_of_process())
    kind = jax.devices()[0].device_kind
    return {
        "peak_memory_mb": None if peak is None else round(peak / 1e6, 1),
        "device": kind if jax.device_count() == 1 else f"{jax.device_count()} x {kind}",
    }


def _peak_of_process() -> int | None:
    """The largest memory of this process so far in bytes; None on Windows, which has no count."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in kilobytes


# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tells glibc to reuse large freed blocks instead of handing them back to the kernel.

    XLA's CPU backend allocates the temporaries of a step as one block and frees it afterwards.
    glibc returns such a block at once and takes zeroed pages again at the next step: a third of
    the processor time of a training step was measured there. Call it before the first large
    allocation; it changes nothing on systems with another allocator.

    Returns:
        Whether the allocator took the settings.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
