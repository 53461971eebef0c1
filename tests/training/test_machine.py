"""What a result says about the machine, also where the system does not say it."""

import subprocess
import sys

from equinet.training import keep_freed_memory
from equinet.training.machine import machine


def test_without_the_module_resource(monkeypatch):
    """Windows has no `resource`: nothing imports it before it is needed."""
    assert machine()["peak_memory_mb"] > 0
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine()["peak_memory_mb"] is None


def test_the_engine_imports_nothing_that_windows_lacks():
    """A fresh process without `resource` and `fcntl` imports all of the engine."""
    program = """if True:
        import sys
        sys.modules["resource"] = sys.modules["fcntl"] = None
        import equinet.training, equinet.training.machine, equinet.training.workdir
        for name in dir(equinet.training):
            getattr(equinet.training, name)
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_other_systems_have_another_allocator(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert keep_freed_memory() is False
