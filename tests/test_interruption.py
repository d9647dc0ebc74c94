"""Ctrl-C in the middle of long work."""

import os
import signal
import threading

import pytest

from metrabs_acae.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_an_interrupt(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
        os.kill(os.getpid(), number)
        raise AssertionError("not interrupted")
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_it_does_nothing():
    before, requested = signal.getsignal(signal.SIGINT), []

    def work():
        with Interruption() as interruption:
            requested.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert requested == [False] and signal.getsignal(signal.SIGINT) is before
