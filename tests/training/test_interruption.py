"""Signals and deadlines."""

import signal
import threading
import time

import pytest

from equinet.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_acts(number):
    handler = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.reason(agree=True) == ""
        assert signal.getsignal(number) != handler
        signal.raise_signal(number)
        assert interruption.reason(agree=False) == number.name
        assert signal.getsignal(number) == handler  # of a second one
    assert signal.getsignal(number) == handler


def test_a_deadline():
    with Interruption(time.monotonic() + 1000) as interruption:
        assert interruption.reason(agree=True) == ""
    with Interruption(time.monotonic() - 1) as interruption:
        assert interruption.reason(agree=True) == "max_minutes"


def test_other_threads_leave_the_handlers_alone():
    handler, seen = signal.getsignal(signal.SIGTERM), []

    def enter():
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [handler]
