"""What a result says about the machine that it was computed on."""

import resource
from typing import Any

import jax


def machine() -> dict[str, Any]:
    """The peak of the memory so far, of the device or else of this process, and the device's name.

    >>> sorted(machine())
    ['device', 'peak_memory_mb']
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    if peak is None:  # the CPU: all of the process, which Linux counts in kilobytes
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind = jax.devices()[0].device_kind
    return {
        "peak_memory_mb": round(peak / 1e6, 1),
        "device": kind if jax.device_count() == 1 else f"{jax.device_count()} x {kind}",
    }
